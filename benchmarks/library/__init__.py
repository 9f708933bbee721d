"""What several benchmarks use: timing in turn, PyTorch models, splits of texts, memory of processes."""
