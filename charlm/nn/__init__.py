"""Networks: arrays in, arrays and gradients out. Knows nothing of text."""
