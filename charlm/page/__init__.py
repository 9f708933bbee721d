"""The page of `charlm inspect`: what a model shows on a text, as one object, and as one HTML file."""
