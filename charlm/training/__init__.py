"""Training: from a text to a model file."""
