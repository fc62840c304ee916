"""One forcing product mapped onto another, and what is left between them."""
