"""Scaling of training under torchrun: step times on 1 and 2 processes, and a cost model for more.

    t(N) = t1(b) + 2 (N-1)/N 4 P / w + 2 (N-1) l

N: ranks.  b: streams of a rank.  t1(b): measured step of one process with b streams.  4 P: bytes of a gradient.
w, l: bandwidth (bytes/s) and latency (s) of a link of a ring, measured between two processes by all-reduces of a
gradient and of one number, and assumed for other links.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks.library.alternation import describe_machine
from benchmarks.library.processes import process_tree, proportional_set_size
from benchmarks.library.texts import write_random_text
from charlm.config import EngineConfig, TrainConfig
from charlm.engines.numpy_engine import NumpyEngine
from charlm.model import LanguageModel, load
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.text.corpus import Corpus
from charlm.text.windows import batches_over

SHAPES = ((128, 1, 64, 64), (256, 2, 64, 64))
"""Hidden, layers, batch, BPTT."""
STEPS = 24
RANKS = (1, 2, 8, 64, 512)
ASSUMED = {"10 Gbit/s, 50 us": (1.25e9, 50e-6), "100 Gbit/s, 10 us": (12.5e9, 10e-6)}
"""Assumed links: bandwidth in bytes/s, latency in s."""


def step_times(text: Path, model: Path, settings: dict[str, Any], result: Path) -> None:
    """Train on this rank, and write the median seconds of a step and of two all-reduces."""
    from torch import distributed, ones

    with Run([text], model, settings, RunOptions(engine=EngineConfig("torch", "cpu"), overwrite=True)) as run:
        times, last = [], time.perf_counter()
        for _ in run.reports():
            times.append(time.perf_counter() - last)
            last = time.perf_counter()
        found = {"step": median(times[5:-1]), "parameters": run.setup.network.size, "gradient": 0.0, "number": 0.0}
        if run.group.world_size > 1:
            for name, size in (("gradient", run.setup.network.size), ("number", 1)):
                tensor, seconds = ones(size), []
                for _ in range(30):
                    started = time.perf_counter()
                    distributed.all_reduce(tensor)
                    seconds.append(time.perf_counter() - started)
                found[name] = median(seconds)
        if run.group.is_main_process:
            result.write_text(json.dumps(found))


def measure(text: Path, shape: tuple[int, ...], batch: int, ranks: int) -> dict[str, float]:
    """Run `step_times` on `ranks` processes of one thread; return the lower of two medians of each figure."""
    hidden, layers, _, bptt = shape
    settings: dict[str, float] = {
        "hidden": hidden,
        "layers": layers,
        "batch": batch,
        "bptt": bptt,
        "steps": STEPS,
        "threads": 1,
    }
    settings |= {"valid": 0.0, "dropout": 0.0}
    runs = []
    for _ in range(2):
        with TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            task = json.dumps([str(text), str(Path(folder) / "m.safetensors"), settings, str(result)])
            subprocess.run(
                [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}",
                 "-m", "benchmarks", "scale", "--rank", task],
                check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            runs.append(json.loads(result.read_text()))
    return {name: min(run[name] for run in runs) for name in runs[0]}


def predicted(alone: float, size: float, ranks: int, link: tuple[float, float]) -> float:
    """Return the seconds of a step by the cost model.  alone: t1(b).  size: P."""
    bandwidth, latency = link
    return alone + 2 * (ranks - 1) * (4 * size / ranks / bandwidth + latency)


def print_times(text: Path) -> None:
    """Print measured step times on 1 and 2 processes, and the predictions for more."""
    for shape in SHAPES:
        hidden, layers, batch, bptt = shape
        alone = {batch // ranks: measure(text, shape, batch // ranks, 1) for ranks in (1, 2, 8, 64)}
        two, size = measure(text, shape, batch, 2), alone[batch]["parameters"]
        here = 4 * size / max(two["gradient"] - two["number"], 1e-9), two["number"] / 2
        guess = predicted(alone[batch // 2]["step"], size, 2, here)
        print(f"\nLSTM {hidden}x{layers}, {size:,.0f} parameters, windows of {bptt} characters, 1 thread each")
        print("| measured here | ms |\n|---|---|")
        for streams, found in alone.items():
            print(f"| step, 1 process, {streams} streams | {1e3 * found['step']:.1f} |")
        print(f"| step, 2 processes, {batch} streams in all | {1e3 * two['step']:.1f} |")
        print(f"| the same by the model ({guess / two['step'] - 1:+.0%}) | {1e3 * guess:.1f} |")
        print(f"| all-reduce of {4 * size / 1e6:.2f} MB | {1e3 * two['gradient']:.2f} |")
        print(f"| all-reduce of one number | {1e3 * two['number']:.2f} |")
        print(f"\nComputed, {batch} streams a rank (the batch grows with N): fraction of the time spent computing")
        print("| link | " + " | ".join(f"N = {n}" for n in RANKS) + " |\n|---|" + "---|" * len(RANKS))
        for name, link in ASSUMED.items():
            fractions = [alone[batch]["step"] / predicted(alone[batch]["step"], size, n, link) for n in RANKS]
            print(f"| {name} | " + " | ".join(f"{fraction:.0%}" for fraction in fractions) + " |")
        print(f"\nComputed, {batch} streams in all: speed-up over one process")
        print("| link | " + " | ".join(f"N = {batch // b}" for b in alone) + " |\n|---|" + "---|" * len(alone))
        for name, link in ASSUMED.items():
            gains = [alone[batch]["step"] / predicted(t["step"], size, batch // b, link) for b, t in alone.items()]
            print(f"| {name} | " + " | ".join(f"{gain:.1f}" for gain in gains) + " |", flush=True)


def noise_scale(model: LanguageModel, text: Path, few: int = 8, many: int = 512, bptt: int = 64) -> tuple[float, float]:
    """Return |G|^2, and the noise scale of the gradient in streams of `bptt` characters.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1: E|G_b|^2 = |G|^2 + S/b at two batches b.
    """
    squares: dict[int, list[float]] = {few: [], many: []}
    corpus = Corpus.read([text], vocabulary=model.vocabulary)
    for streams, found in squares.items():
        batches = batches_over(corpus, TrainConfig(batch=streams, bptt=bptt))
        with NumpyEngine(model.network, model.params, bptt, streams, 1) as engine:
            for _ in range(16 * many // streams + 4):
                window = batches.next()
                engine.loss_and_grads(window.inputs, window.targets, window.weights)
                found.append(float(np.dot(engine.grads, engine.grads)))
    a, b = (float(np.mean(found[4:])) for found in squares.values())  # the first windows have no state yet
    square = (many * b - few * a) / (many - few)
    return square, (a - b) / (1 / few - 1 / many) / square


def print_memory(megabytes: int) -> None:
    """Train two ranks on a large text; print the peak memory of each rank and of PyTorch alone."""
    alone = peaks([sys.executable, "-c", "import torch, torch.distributed, time; time.sleep(1)"])
    with TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_random_text(text, megabytes)
        started = time.perf_counter()
        peak = peaks(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "charlm",
             "train", str(text), "-m", str(Path(folder) / "m.safetensors"), "--engine=torch", "--device=cpu",
             "--hidden=128", "--layers=2", "--steps=300", "--threads=1"]
        )  # fmt: skip
        seconds, size = time.perf_counter() - started, text.stat().st_size / 1e6
    print("| process | peak MB |\n|---|---|")
    print(f"| `import torch` alone | {alone['']:.0f} |")
    for rank in ("0", "1"):
        print(f"| rank {rank}, {size:,.0f} MB of text, LSTM 128x2 ({seconds:.0f} s) | {peak[rank]:.0f} |", flush=True)


def peaks(command: list[str]) -> dict[str, float]:
    """Run a command; return rank -> peak memory in MB ("" for processes without a rank)."""
    peak: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in process_tree(process.pid):
                rank = rank_of(pid)
                peak[rank] = max(peak.get(rank, 0.0), proportional_set_size(pid) / 1024)
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError("the run failed")
    return peak


def rank_of(pid: int) -> str:
    """Return the rank that torchrun gave to a process, "" if it has none or has exited."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((entry[5:].decode() for entry in entries if entry.startswith(b"RANK=")), "")


@click.command()
@click.option("--rank", hidden=True)
@click.option(
    "--model", type=click.Path(path_type=Path), help="Model of --text whose gradient noise scale is measured."
)
@click.option("--text", type=click.Path(exists=True, path_type=Path))
@click.option("--megabytes", default=0, help="Measure the memory of two ranks on a text of this size instead.")
def main(rank: str | None, model: Path | None, text: Path | None, megabytes: int) -> None:
    """Measure step times on 1 and 2 ranks, predict more, and measure the gradient noise scale."""
    if rank:
        given, path, settings, result = json.loads(rank)
        step_times(Path(given), Path(path), settings, Path(result))
        return
    print(describe_machine())
    if megabytes:
        print_memory(megabytes)
        return
    with TemporaryDirectory() as folder:
        write_random_text(Path(folder) / "text.txt", 2)
        print_times(Path(folder) / "text.txt")
    if model and text:
        square, streams = noise_scale(load(model), text)
        print(f"\nnoise scale of the gradient: {streams:,.0f} streams of 64 characters (|G|^2 {square:.2g})")


if __name__ == "__main__":
    main()
