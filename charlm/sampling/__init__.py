"""Sampling: texts drawn from a network. Filters change the distribution that is drawn from."""
