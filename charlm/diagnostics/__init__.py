"""Diagnostics: gradients of a model on a text, and gradient clipping in a training run."""
