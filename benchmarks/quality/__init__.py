"""Losses and task accuracies of trained models. Each module is a command."""
