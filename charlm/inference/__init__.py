"""A network with its weights prepared for reading."""
