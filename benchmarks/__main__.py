"""`python -m benchmarks`: the speed and memory figures of docs/performance.md, one benchmark after another."""

from __future__ import annotations

import subprocess
import sys

import click

BENCHMARKS = ("training", "sampling", "scoring", "startup", "memory")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHMARKS), metavar="[NAME]...")
def main(names: tuple[str, ...]) -> None:
    """Run the benchmarks NAME... (training, sampling, scoring, startup, memory; all by default: twenty minutes)."""
    for name in names or BENCHMARKS:
        print(f"\n## python -m benchmarks.{name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
