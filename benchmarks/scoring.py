"""Scoring speed: one long text, and many short lines; charlm and PyTorch in turn."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from threadpoolctl import threadpool_limits

import charlm
from benchmarks.alternation import alternate, describe_machine
from benchmarks.memory import peak
from benchmarks.peers import TorchModel
from charlm.config import NetworkConfig, TextConfig
from charlm.machine import usable_cores
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.scoring.chunked import score_long
from charlm.text.vocabulary import Vocabulary


def untrained(text: str, hidden: int, layers: int) -> LanguageModel:
    """Return an untrained model of the characters of a text."""
    vocabulary = Vocabulary.build(dict.fromkeys(text, 1))
    network = Network(NetworkConfig("lstm", hidden, layers), len(vocabulary))
    return LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig())


def torch_score(model: TorchModel, ids: np.ndarray, threads: int) -> float:
    """Score one text with PyTorch, the whole of it in one call; return characters per second."""
    import torch

    torch.set_num_threads(threads)
    begun = time.perf_counter()
    with torch.inference_mode():
        data = torch.from_numpy(ids.astype(np.int64))[:, None]
        logits = model.head(model.rnn(model.enter(data[:-1]))[0][:, 0])
        torch.nn.functional.cross_entropy(logits, data[1:, 0], reduction="sum")
    return (len(ids) - 1) / (time.perf_counter() - begun)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), default="corpora/lighthouse.txt",
              show_default=True)  # fmt: skip
@click.option("--tail", default=0.1, show_default=True, help="Share of the text, from its end, that is scored.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--lines", default=1_000_000, show_default=True, help="Short lines that stream from standard input.")
@click.option("-m", "--model", type=click.Path(path_type=Path), help="Compare this one with a plain reading instead.")
def main(text: Path, tail: float, rounds: int, lines: int, model: Path | None) -> None:
    """Print characters per second of a long text, and what batches gain over single calls."""
    print(describe_machine(), "\n")
    whole = text.read_text(encoding="utf-8")
    part = whole[int((1 - tail) * len(whole)) :]
    if model:
        plain_reading(charlm.load(model), part, rounds)
        return
    print("| one text | charlm chars/s | PyTorch chars/s | ratio |\n|---|---|---|---|")
    for hidden, layers in ((128, 2), (256, 1), (512, 2)):
        candidate = untrained(whole, hidden, layers)
        ids = np.concatenate([[0], candidate.vocabulary.encode(part)])

        def ours(candidate: LanguageModel = candidate) -> float:
            begun = time.perf_counter()
            candidate.score(part)
            return len(part) / (time.perf_counter() - begun)

        peers = {n: TorchModel("lstm", len(candidate.vocabulary), hidden, layers) for n in (1, 2)}
        candidates = {"charlm": ours} | {
            f"{n} threads": lambda n=n, p=p, ids=ids: torch_score(p, ids, n) for n, p in peers.items()
        }
        result = alternate(candidates, rounds)
        speed = result.rates.pop("charlm")
        print(f"| {hidden}x{layers}, {len(part):,} characters | {speed:,.0f} | {max(result.rates.values()):,.0f} "
              f"| {result.ratio:.2f} |", flush=True)  # fmt: skip
    many_lines(untrained(whole, 128, 2), whole, rounds)
    if lines:
        stream(untrained(whole, 128, 1), whole, lines)


def plain_reading(model: LanguageModel, text: str, rounds: int) -> None:
    """Compare a long text that is read in columns with one reading of it, character by character."""
    ids = np.concatenate([[model.vocabulary.eos], model.vocabulary.encode(text)]).astype(np.intp)
    networks = model.networks(usable_cores())
    state = networks[0].zero_state(1)
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        in_columns, _ = score_long(networks, ids[:-1], ids[1:], state)
        between = time.perf_counter()
        plain, _ = networks[0].score(ids[:-1, None], ids[1:, None], state)
        seconds.append((between - begun, time.perf_counter() - between))
    columns, alone = np.median(seconds, axis=0)
    apart = np.abs(in_columns - plain[:, 0])
    print(f"{len(text):,} characters: {columns:.2f} s in columns, {alone:.2f} s in one reading; a character differs by "
          f"{apart.max():.1e} nats at most, {apart.mean():.1e} on average")  # fmt: skip


def many_lines(model: LanguageModel, text: str, rounds: int) -> None:
    """Compare 10,000 short lines in batches with one call for each, in turn."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, len(text) - 20, 10_000)
    lines = [text[k : k + 6 + k % 9].replace("\n", " ") for k in starts]
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        batched = [score.log_prob for score in model.score_many(lines)]
        between = time.perf_counter()
        with threadpool_limits(1):
            list(model.score_many(lines, threads=1))
        after = time.perf_counter()
        single = [model.score(line).log_prob for line in lines[:1000]]
        seconds.append((between - begun, after - between, (time.perf_counter() - after) * len(lines) / 1000))
    together, on_one_core, alone = np.median(seconds, axis=0)
    gain = float(np.median([one / many for many, _, one in seconds]))
    apart = float(np.abs(np.array(batched[:1000]) - single).max())
    print(f"\n10,000 lines of 6 to 14 characters, 128x2: {together:.2f} s in batches ({on_one_core:.2f} on one core), "
          f"{alone:.2f} s in single calls (from 1,000), {gain:.1f} times; "
          f"they differ by {apart:.1e} nats at most")  # fmt: skip


def stream(model: LanguageModel, text: str, lines: int) -> None:
    """Pipe many short lines through the command."""
    with TemporaryDirectory() as folder:
        path, source = Path(folder) / "model.safetensors", Path(folder) / "lines.txt"
        model.save(path)
        words = text.split()
        with source.open("w", encoding="utf-8") as file:
            file.writelines(" ".join(words[(7 * k) % len(words) :][:2]) + "\n" for k in range(lines))
        begun = time.perf_counter()
        command = ["-m", "charlm", "score", "-m", str(path), "--file", str(source), "--lines", "--tsv"]
        out = subprocess.run([sys.executable, *command], capture_output=True, check=True)
        seconds = time.perf_counter() - begun
        most = peak(command)
        counted = out.stdout.count(b"\n") - 1
        print(f"{lines:,} lines in, {counted:,} out, LSTM 128x1: {seconds:.0f} s, {lines / seconds:,.0f} lines/s, "
              f"{most:.0f} MB at most")  # fmt: skip


if __name__ == "__main__":
    main()
