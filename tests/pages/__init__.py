"""Tests that run the code blocks of the documentation."""
