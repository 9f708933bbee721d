"""Score texts: their probabilities under one model or under several models."""
