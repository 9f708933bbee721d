"""Networks with their weights prepared for inference."""
