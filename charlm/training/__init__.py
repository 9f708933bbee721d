"""Training: from windows of token ids to a report for each step."""
