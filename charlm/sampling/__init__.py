"""Draw texts from a network."""
