"""Scoring: how probable texts are, under one model or under several."""
