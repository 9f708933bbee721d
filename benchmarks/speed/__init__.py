"""Speed and memory, most of them against PyTorch. Each module is a command."""
