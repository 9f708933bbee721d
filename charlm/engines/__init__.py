"""Engines compute the loss and the gradients of a window: on NumPy in processes, or on PyTorch."""
