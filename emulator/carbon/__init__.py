"""The science: pure functions on arrays, with no files and no frameworks."""
