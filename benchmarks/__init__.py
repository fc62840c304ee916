"""How fast the package is here: ``python -m benchmarks``, see README.md."""
