"""What gradients do on a text, and what clipping did in a run."""
