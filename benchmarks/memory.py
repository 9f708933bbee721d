"""Peak memory of training: all processes of a run together, charlm and PyTorch; and of a text of a gigabyte.

Pages that processes share are counted once (proportional set size), as Linux reports it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from benchmarks.alternation import describe_machine

TORCH_RUN = """
import numpy as np, torch
from benchmarks.peers import TorchModel
torch.set_num_threads(2)
streams = np.random.default_rng(0).integers(0, 65, (2000, 64))
step = TorchModel("lstm", 65, 512, 2).training_step(streams, 128)
for _ in range(4):
    step()
"""


def peak(arguments: list[str]) -> float:
    """Run Python with these arguments; return the peak memory of it and its children, in MB."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    most = 0
    while process.poll() is None:
        most = max(most, sum(proportional_set_size(pid) for pid in family(process.pid)))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode() if process.stderr else "failed")
    return most / 1024


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(int(child)))]


def proportional_set_size(pid: int) -> int:
    """Return a process's memory in kB, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def write_text(path: Path, megabytes: int) -> None:
    """Write lines of random words, about so many megabytes."""
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + k) for k in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(5000)]
    with path.open("w", encoding="ascii") as file:
        for _ in range(megabytes):
            picks = rng.integers(0, 5000, 170_000)
            text = " ".join(words[k] for k in picks)
            file.write("\n".join(text[k : k + 60] for k in range(0, 1_000_000, 60)) + "\n")


@click.command()
@click.option("--megabytes", default=1000, show_default=True, help="Of the large text; 0 leaves it out.")
def main(megabytes: int) -> None:
    """Print the peak memory of charlm and PyTorch at 512x2, and of charlm on a large text at 128x2."""
    print(describe_machine(), "\n")
    print("| run | peak MB |\n|---|---|")
    with TemporaryDirectory() as folder:
        text, model = Path(folder) / "text.txt", Path(folder) / "model.safetensors"
        write_text(text, 1)
        common = ["-m", "charlm", "train", "-m", str(model), "--overwrite"]
        large = ["--hidden", "512", "--layers", "2", "--batch", "64", "--bptt", "128", "--steps", "4"]
        ours, theirs = peak([*common, str(text), *large]), peak(["-c", TORCH_RUN])
        print(f"| charlm, LSTM 512x2, batch 64, BPTT 128 | {ours:.0f} |")
        print(f"| PyTorch, the same | {theirs:.0f} |")
        print(f"| ratio | {ours / theirs:.2f} |", flush=True)
        if megabytes:
            write_text(text, megabytes)
            size = text.stat().st_size / 1e6
            begun = time.perf_counter()
            most = peak([*common, str(text), "--hidden", "128", "--layers", "2", "--steps", "300"])
            print(f"| charlm, LSTM 128x2, {size:,.0f} MB of text ({time.perf_counter() - begun:.0f} s) | {most:.0f} |")


if __name__ == "__main__":
    main()
