"""Restoring text: missing characters, and characters that do not fit, by what stands on both sides of them."""
