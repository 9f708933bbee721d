"""Scoring speed: one long text, charlm and PyTorch in turn; and many short lines."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from threadpoolctl import threadpool_limits

import charlm
from benchmarks.library.alternation import alternate, describe_machine, race, rate_of, timed
from benchmarks.library.peers import Form, Step, TorchModel, forms
from benchmarks.library.processes import peak_memory
from charlm.config import NetworkConfig, TextConfig
from charlm.machine import usable_cores
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.scoring.chunked import score_chunked
from charlm.text.vocabulary import Vocabulary

SIZES = ((128, 2), (256, 1), (512, 2))
"""Hidden size and layers of the networks that score the long text."""
RACE_CHARACTERS = 2000
"""Length of the text on which the forms of PyTorch race."""


def untrained(text: str, hidden: int, layers: int) -> LanguageModel:
    """Return an untrained model whose vocabulary is that of a text."""
    vocabulary = Vocabulary.build(dict.fromkeys(text, 1))
    network = Network(NetworkConfig("lstm", hidden, layers), len(vocabulary))
    return LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig())


def trained(text: Path, hidden: int, layers: int, minutes: float, tail: float) -> LanguageModel:
    """Train a model on a text without its tail, with `charlm train`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        command = [sys.executable, "-m", "charlm", "train", str(text), "-m", str(path), "--minutes", str(minutes)]
        command += ["--ensemble", "1"]
        command += ["--hidden", str(hidden), "--layers", str(layers), "--held-out", "end", "--valid", str(tail)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return charlm.load(path)


def torch_step(model: LanguageModel, ids: np.ndarray, form: Form) -> Step:
    """Return a PyTorch step that scores `ids` with the weights of a model."""
    config = model.config
    params = {name: model.params[name] for name in model.network.layout}
    peer = TorchModel(config.cell, len(model.vocabulary), config.hidden, config.layers, form, params)

    def step() -> int:
        peer.score(ids)
        return len(ids) - 1

    return step


def long_text(name: str, model: LanguageModel, text: str, rounds: int, threads: int, compiled: bool) -> None:
    """Print a row: charlm and the fastest form of PyTorch score one text in turn."""
    ids = np.concatenate([[model.vocabulary.eos], model.vocabulary.encode(text)])
    config = model.config

    def ours() -> int:
        model.score(text)
        return len(text)

    peers = race(forms(threads, compiled), partial(torch_step, model, ids[: RACE_CHARACTERS + 1]))
    candidates: dict[str, Callable[[], float]] = {"charlm": partial(rate_of, ours, 0.5, 1)}
    candidates |= {str(form): timed(form, torch_step(model, ids, form), 0.5, warm_up=0) for form in peers}
    result = alternate(candidates, rounds)
    print(
        f"| {config.cell} | {config.hidden}x{config.layers}, {name} | {len(text):,} | {result.ours:,.0f} "
        f"| {result.theirs:,.0f} | {result.form} | {result.ratio:.2f} |",
        flush=True,
    )


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), default="corpora/lighthouse.txt",
              show_default=True)  # fmt: skip
@click.option("--tail", default=0.1, show_default=True, help="Fraction at the end of the text to score.")
@click.option(
    "--minutes", default=1.0, show_default=True, help="Training time of each network on the rest of the text."
)
@click.option("--rounds", default=3, show_default=True)
@click.option("--lines", default=0, show_default=True, help="Also stream this many short lines.")
@click.option("-m", "--model", "models", multiple=True, type=click.Path(path_type=Path),
              help="Score with this model instead of training three; repeatable.")  # fmt: skip
@click.option("--untrained/--no-untrained", "with_untrained", default=True, help="Also score with untrained networks.")
@click.option("--plain", is_flag=True, help="Compare chunked with sequential scoring of the long text.")
@click.option("--threads", default=usable_cores(), show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Also try torch.compile.")
def main(
    text: Path, tail: float, minutes: float, rounds: int, lines: int, models: tuple[Path, ...],
    with_untrained: bool, plain: bool, threads: int, compiled: bool,
) -> None:  # fmt: skip
    """Measure scoring speed: a long text against PyTorch, and batches of lines against single calls.

    The networks are trained on the text without its end, which is scored.
    """
    print(describe_machine(), "\n")
    content = text.read_text(encoding="utf-8")
    end = content[int((1 - tail) * len(content)) :]
    print("| cell | shape | characters | charlm chars/s | PyTorch chars/s | its form | ratio |")
    print("|---|---|---|---|---|---|---|")
    networks = [charlm.load(model) for model in models] or [trained(text, *size, minutes, tail) for size in SIZES]
    for model in networks:
        seconds = model.training.seconds or 0.0
        long_text(f"trained for {seconds / 60:.1f} minutes", model, end, rounds, threads, compiled)
    for size in SIZES if with_untrained else ():
        long_text("untrained", untrained(content, *size), end, rounds, threads, compiled)
    for model in networks if plain else ():
        sequential(model, end, rounds)
    many_lines(untrained(content, 128, 2), content, rounds)
    if lines:
        stream(untrained(content, 128, 1), content, lines)


def sequential(model: LanguageModel, text: str, rounds: int) -> None:
    """Compare chunked scoring of a long text with sequential scoring."""
    ids = np.concatenate([[model.vocabulary.eos], model.vocabulary.encode(text)]).astype(np.intp)
    network = model.prepared
    state = network.zero_state(1)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        chunked, _ = score_chunked(network, ids[:-1], ids[1:], state, usable_cores())
        between = time.perf_counter()
        plain, _ = network.score(ids[:-1, None], ids[1:, None], state)
        seconds.append((between - started, time.perf_counter() - between))
    in_chunks, in_sequence = np.median(seconds, axis=0)
    difference = np.abs(chunked - plain[:, 0])
    size = f"{model.config.hidden}x{model.config.layers}"
    print(f"\n{size}, {len(text):,} characters: {in_chunks:.2f} s chunked, {in_sequence:.2f} s sequential; difference "
          f"per character at most {difference.max():.1e} nats, mean {difference.mean():.1e}")  # fmt: skip


def many_lines(model: LanguageModel, text: str, rounds: int) -> None:
    """Compare scoring 10,000 short lines in batches with one call per line, in turn."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, len(text) - 20, 10_000)
    lines = [text[k : k + 6 + k % 9].replace("\n", " ") for k in starts]
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        batched = [score.log_prob for score in model.score_many(lines)]
        between = time.perf_counter()
        with threadpool_limits(1):
            list(model.score_many(lines, threads=1))
        after = time.perf_counter()
        single = [model.score(line).log_prob for line in lines[:1000]]
        seconds.append((between - started, after - between, (time.perf_counter() - after) * len(lines) / 1000))
    batches, one_core, single_calls = np.median(seconds, axis=0)
    gain = float(np.median([one / many for many, _, one in seconds]))
    difference = float(np.abs(np.array(batched[:1000]) - single).max())
    print(f"\n10,000 lines of 6 to 14 characters, 128x2: {batches:.2f} s in batches ({one_core:.2f} on one core), "
          f"{single_calls:.2f} s in single calls (from 1,000), speed-up {gain:.1f}; "
          f"difference at most {difference:.1e} nats")  # fmt: skip


def stream(model: LanguageModel, text: str, lines: int) -> None:
    """Measure `charlm score --lines` on a file of short lines."""
    with TemporaryDirectory() as folder:
        path, source = Path(folder) / "model.safetensors", Path(folder) / "lines.txt"
        model.save(path)
        words = text.split()
        with source.open("w", encoding="utf-8") as file:
            file.writelines(" ".join(words[(7 * k) % len(words) :][:2]) + "\n" for k in range(lines))
        started = time.perf_counter()
        command = ["-m", "charlm", "score", "-m", str(path), "--file", str(source), "--lines", "--tsv"]
        out = subprocess.run([sys.executable, *command], capture_output=True, check=True)
        seconds = time.perf_counter() - started
        peak = peak_memory(command)
        n_results = out.stdout.count(b"\n") - 1
        print(f"{lines:,} lines in, {n_results:,} out, LSTM 128x1: {seconds:.0f} s, {lines / seconds:,.0f} lines/s, "
              f"peak {peak:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
