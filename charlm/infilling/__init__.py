"""Infilling: missing characters, and characters that do not fit, predicted from the text around them."""
