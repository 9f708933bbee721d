"""What charlm is measured by. Each file is a command: python -m benchmarks.training --help."""
