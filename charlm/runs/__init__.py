"""One training run and its files."""
