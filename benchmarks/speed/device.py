"""Training on a device by the PyTorch engine: its speed against a plain PyTorch loop in the same process, and runs.

With the default options, the loops take about a minute and a half, and each run its minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np

from benchmarks.library.alternation import alternate, describe_machine
from benchmarks.library.peers import Form, TorchModel
from charlm.config import EngineConfig, NetworkConfig, TextConfig, TrainConfig
from charlm.engines.engine import Engine
from charlm.engines.process_group import ProcessGroup
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.errors import ResourceError
from charlm.model import load
from charlm.nn.network import Network
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.windows import batches_over
from charlm.training.learner import Learner

ROWS = (
    "lstm 512x2 64 128 float32, lstm 512x1 64 100 bfloat16, lstm 512x2 256 128 float32, lstm 512x2 256 128 bfloat16, "
    "lstm 1024x3 256 256 float32, lstm 1024x3 256 256 bfloat16, gru 512x2 64 128 float32, lstm 256x1 16 48 float32"
)
CHUNKS = EngineTuning(min_steps_per_chunk_on_gpu=DEFAULT_TUNING.min_steps_per_chunk)
"""Windows with resets are read in chunks on a GPU, as on a CPU."""
READ_SECONDS = 0.25
"""Seconds between two reads of the losses, as in a run."""
MAX_EXTRA_SECONDS = 120.0
"""Seconds in addition to its minutes after which a run is ended."""


class Row(NamedTuple):
    """What is trained. shape: hidden and layers, such as "512x2"."""

    cell: str
    shape: str
    batch: int
    bptt: int
    precision: str

    @classmethod
    def parse(cls, words: str) -> Row:
        """Return the row of words such as "lstm 512x2 64 128 float32"."""
        cell, shape, batch, bptt, precision = words.split()
        return cls(cell, shape, int(batch), int(bptt), precision)

    @property
    def network(self) -> NetworkConfig:
        """The network."""
        hidden, layers = map(int, self.shape.split("x"))
        return NetworkConfig(self.cell, hidden, layers)


class Measured(NamedTuple):
    """A training loop. step: starts a step.  finish: waits until all steps are done."""

    step: Callable[[], object]
    finish: Callable[[], object]


def rate_of(loop: Measured, characters: int, seconds: float, host_times: list[float]) -> float:
    """Return characters per second of a loop, and append the median seconds that Python needs to start a step."""
    loop.step()
    loop.finish()
    steps, started, times = 0, time.perf_counter(), []
    while time.perf_counter() - started < seconds:
        round_start = time.perf_counter()
        while (before := time.perf_counter()) - round_start < READ_SECONDS:
            loop.step()
            times.append(time.perf_counter() - before)
            steps += 1
        loop.finish()
    host_times.append(float(np.median(times)))
    return steps * characters / (time.perf_counter() - started)


@contextmanager
def charlm_loop(corpus: Corpus, row: Row, device: str, threads: int, tuning: EngineTuning) -> Iterator[Measured]:
    """Yield the loop of charlm: full steps with averaging of the weights, and with resets."""
    from charlm.engines.torch_engine import TorchEngine

    train = TrainConfig(batch=row.batch, bptt=row.bptt, learning_rate=1e-3, threads=threads)
    network = Network(row.network, len(corpus.vocabulary), corpus.vocabulary.eos)
    params, config = network.initial(np.random.default_rng(0)), EngineConfig("torch", device, row.precision)
    engine: Engine = TorchEngine(network, params, row.batch, config, train, ProcessGroup(), tuning)
    with engine:
        learner = Learner(engine, batches_over(corpus, train), train)
        yield Measured(lambda: learner.train_window(1e-3), learner.read_steps)


def plain_loop(corpus: Corpus, row: Row, form: Form) -> Measured:
    """Return a plain PyTorch loop with fused Adam and clipping, without averaging and resets."""
    import torch

    network = row.network
    model = TorchModel(row.cell, len(corpus.vocabulary), network.hidden, network.layers, form)
    ids = np.asarray(corpus.train_ids)
    streams = ids[: len(ids) // row.batch * row.batch].reshape(row.batch, -1).T.copy()
    step = model.training_step(streams, row.bptt)
    return Measured(step, torch.cuda.synchronize if form.device == "cuda" else lambda: None)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), default="corpora/lighthouse.txt",
              show_default=True, help="Text of the loops, repeated until it is long enough.")  # fmt: skip
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True)
@click.option("--rows", default=ROWS, help="Cell, shape, batch, BPTT and precision, separated by commas.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=0.7, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=1, show_default=True, help="Threads of PyTorch on the CPU.")
@click.option("--train", type=click.Path(exists=True, path_type=Path),
              help="Then train on this text by default settings, with the last tenth held out.")  # fmt: skip
@click.option("--minutes", default="1,5", show_default=True, help="Budgets of these runs, separated by commas.")
def main(
    text: Path, device: str, rows: str, rounds: int, seconds: float, threads: int, train: Path | None, minutes: str
) -> None:
    """Measure the PyTorch engine of charlm and a plain PyTorch loop in turn, and train with default settings."""
    import torch

    chosen = [Row.parse(words) for words in rows.split(",")]
    needed = 4 * max(row.batch * (row.bptt + 1) for row in chosen)
    corpus = Corpus.read([text] * (1 + needed // text.stat().st_size), TextConfig(min_count=1), hold_out=HoldOut(0))
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} threads"
    print(f"{describe_machine()}; {name}; {rounds} rounds of {seconds:g} s\n")
    print("| row | charlm chars/s | in chunks | PyTorch chars/s | ratio | ms of Python: charlm, PyTorch | GPU memory |")
    print("|---|---|---|---|---|---|---|")
    failed = 0
    for row in chosen:
        form = Form(threads, device=device, bfloat16=row.precision == "bfloat16")
        try:
            print(measure(corpus, row, form, rounds, seconds), flush=True)
        except (RuntimeError, ResourceError) as error:  # such as a lack of memory; the other rows are measured
            print(f"| {' '.join(map(str, row))} | failed: {str(error).splitlines()[0]} |", flush=True)
            failed += 1
    if train is not None:
        print("\n| minutes | held-out loss | steps | chars/s while it trains | seconds of the command | settings |")
        print("|---|---|---|---|---|---|")
        for budget in minutes.split(","):
            print(train_by_default(train, device, float(budget)), flush=True)
    if failed:
        raise click.ClickException(f"{failed} of {len(chosen)} rows failed")


def train_by_default(text: Path, device: str, minutes: float) -> str:
    """Run `charlm train` with default settings, and return the row of the table."""
    with TemporaryDirectory() as folder:
        model = Path(folder) / "m.safetensors"
        command = ["train", str(text), "-m", str(model), "--engine", "torch", "--device", device, "--no-progress",
                   "--minutes", f"{minutes:g}", "--held-out", "end", "--valid", "0.1"]  # fmt: skip
        started = time.perf_counter()
        try:
            run = subprocess.run(
                [sys.executable, "-m", "charlm", *command], capture_output=True, text=True,
                timeout=60 * minutes + MAX_EXTRA_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            return f"| {minutes:g} | failed: {error} |"
        seconds = time.perf_counter() - started
        if run.returncode:
            return f"| {minutes:g} | failed: {run.stderr.strip()} |"
        log = [json.loads(line) for line in model.with_suffix(".log.jsonl").read_text().splitlines()]
        speed = float(np.median([row["chars_per_second"] for row in log]))
        loss = load(model).training.valid_loss
    settings = next(line for line in run.stderr.splitlines() if " chosen for " in line).removeprefix("charlm: ")
    return f"| {minutes:g} | {loss:.4f} | {log[-1]['step']:,} | {speed:,.0f} | {seconds:.0f} | {settings} |"


def measure(corpus: Corpus, row: Row, form: Form, rounds: int, seconds: float) -> str:
    """Return the row of the table."""
    import torch

    form.apply()
    characters = row.batch * row.bptt
    host: dict[str, list[float]] = {"charlm": [], "chunks": [], "one-hot": [], "embedding": []}
    if form.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with ExitStack() as stack:
        loop_of = partial(charlm_loop, corpus, row, form.device, form.threads)
        own = stack.enter_context(loop_of(DEFAULT_TUNING))
        own.step()
        own.finish()
        memory = torch.cuda.max_memory_allocated() / 1e6 if form.device == "cuda" else 0.0
        chunks = stack.enter_context(loop_of(CHUNKS))
        one_hot, embedding = (plain_loop(corpus, row, Form(form.threads, embedding=has_embedding, device=form.device,
                              bfloat16=form.bfloat16)) for has_embedding in (False, True))  # fmt: skip
        loops = dict(zip(host, (own, chunks, one_hot, embedding), strict=True))
        measured = {name: partial(rate_of, loop, characters, seconds, host[name]) for name, loop in loops.items()}
        in_chunks: list[float] = []

        def run_chunks() -> float:
            in_chunks.append(measured["chunks"]())
            return 0.0

        result = alternate(measured | {"chunks": run_chunks}, rounds)
    python = ", ".join(f"{1e3 * float(np.median(host[name])):.2f}" for name in ("charlm", result.form))
    return (
        f"| {' '.join(map(str, row))} | {result.ours:,.0f} | {float(np.median(in_chunks)):,.0f} | {result.theirs:,.0f} "
        f"({result.form}) | {result.ratio:.2f} | {python} | {memory:,.0f} MB |"
    )
