"""Peak memory of training with charlm and PyTorch, and of charlm on a text of a gigabyte."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.library.alternation import describe_machine
from benchmarks.library.processes import peak_memory
from benchmarks.library.texts import write_random_text

TORCH_RUN = """
import numpy as np, torch
from benchmarks.library.peers import TorchModel
torch.set_num_threads(2)
streams = np.random.default_rng(0).integers(0, 65, (2000, 64))
step = TorchModel("lstm", 65, 512, 2).training_step(streams, 128)
for _ in range(4):
    step()
"""


@click.command()
@click.option("--megabytes", default=1000, show_default=True, help="Size of the large text; 0 skips it.")
def main(megabytes: int) -> None:
    """Measure peak memory of training, all processes of a run together."""
    print(describe_machine(), "\n")
    print("| run | peak MB |\n|---|---|")
    with TemporaryDirectory() as folder:
        text, model = Path(folder) / "text.txt", Path(folder) / "model.safetensors"
        write_random_text(text, 1)
        common = ["-m", "charlm", "train", "-m", str(model), "--overwrite"]
        large = ["--hidden", "512", "--layers", "2", "--batch", "64", "--bptt", "128", "--steps", "4"]
        ours, theirs = peak_memory([*common, str(text), *large]), peak_memory(["-c", TORCH_RUN])
        print(f"| charlm, LSTM 512x2, batch 64, BPTT 128 | {ours:.0f} |")
        print(f"| PyTorch, the same | {theirs:.0f} |")
        print(f"| ratio | {ours / theirs:.2f} |", flush=True)
        if megabytes:
            write_random_text(text, megabytes)
            size = text.stat().st_size / 1e6
            started = time.perf_counter()
            peak = peak_memory([*common, str(text), "--hidden", "128", "--layers", "2", "--steps", "300"])
            print(
                f"| charlm, LSTM 128x2, {size:,.0f} MB of text ({time.perf_counter() - started:.0f} s) | {peak:.0f} |"
            )


if __name__ == "__main__":
    main()
