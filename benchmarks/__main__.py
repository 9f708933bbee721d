"""`python -m benchmarks`: the speed and memory figures of docs/performance.md, one benchmark after another."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("training", "sampling", "startup", "memory")

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"\n## python -m benchmarks.{name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
