"""Text: characters to ids, and ids to streams of windows (T, B)."""
