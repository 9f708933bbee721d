"""All cells for equal minutes: the loss on text that they never see, and what their gradients do on the way back.

Each cell is trained by the command line, with the settings that charlm chooses for the minutes, on all but the last
tenth of the text; on that tenth its loss is measured, and `LanguageModel.gradients`.
Then a bad start: a plain network whose recurrent weights are doubled, trained with clipping and without.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import charlm
from benchmarks.alternation import describe_machine
from benchmarks.quality import one_pass, put_aside
from charlm.cli.curves import draw_curves, find_matplotlib
from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.clipping_log import read_clipping
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.text.corpus import Corpus

BAD = "rnn, doubled start"
BAD_HIDDEN, BAD_STEPS = 64, 100


def train(source: Path, model: Path, *flags: object) -> list[float]:
    """Train by the command line; returns the norms of the gradient that the log has."""
    command = [sys.executable, "-m", "charlm", "train", source, "-m", model, "--overwrite", *flags]
    subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
    rows = model.with_suffix(".log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row)["grad_norm"] for row in rows]


def doubled_start(source: Path, path: Path) -> None:
    """Write a plain network that knows nothing yet, and whose recurrent matrix is twice an orthogonal one."""
    with Corpus.read([source], TextConfig()) as corpus:
        vocabulary = corpus.vocabulary
    network = Network(NetworkConfig("rnn", BAD_HIDDEN, 1), len(vocabulary), start=vocabulary.eos)
    params = network.initial(np.random.default_rng(0))
    params["rnn.weight_hh_l0"][...] *= 2
    LanguageModel(network, params, vocabulary, TextConfig()).save(path, overwrite=True)


def row(name: str, loss: float | None, model: LanguageModel, kept: str, back: int, clipped: str) -> list[float]:
    """Print a row of the table; returns the norms of the last layer."""
    flow = model.gradients(kept, back=back)
    top = len(flow.norms) - 1
    norms: list[float] = flow.norms[top].tolist()
    until = flow.steps_until_little(top)
    reached = "" if loss is None else f"{loss:.4f}"
    at = " | ".join(f"{norms[k]:.2g}" for k in (1, back // 4, back))
    print(
        f"| {name} | {model.config.hidden}x{model.config.layers} | {model.training.get('steps') or 0:,} | {reached} "
        f"| {at} | {flow.factor(top):.3f} | {until or f'> {back}'} | {clipped} |",
        flush=True,
    )
    return norms


def clipped_in(model: Path) -> str:
    """Return how often clipping acted in the run that wrote a model."""
    found = read_clipping(model.with_suffix(".log.jsonl"), 1.0)
    return "" if found is None else f"{found.clipped} of {found.steps}"


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", default=0.5, show_default=True, help="For each cell.")
@click.option("--threads", default=2, show_default=True)
@click.option("--cells", default=",".join(CELLS), show_default=True)
@click.option("--back", default=64, show_default=True, help="Steps back.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the norms into this file.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the models here.  [default: nowhere]")
def main(
    text: Path, minutes: float, threads: int, cells: str, back: int, plot: Path | None, folder: Path | None
) -> None:
    """Train every cell for as long, and print its loss and its gradients on the tenth put aside."""
    if plot:
        find_matplotlib(plot)
    learned, kept = put_aside(text.read_text(encoding="utf-8"), False, 0.1, 0)
    print(describe_machine())
    print(f"{text.name}: the last tenth put aside; {minutes:g} minutes each, {threads} threads\n")
    print(f"| cell | units | steps | nats/char put aside | norm at k = 1 | k = {back // 4} | k = {back} "
          "| factor a step | below 1 % after | clipped |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    curves: dict[str, list[float]] = {}
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(exist_ok=True)
        source = Path(temporary) / "learned.txt"
        source.write_text(learned, encoding="utf-8", newline="")
        for cell in cells.split(","):
            path = place / f"{cell}.safetensors"
            train(source, path, "--cell", cell, "--minutes", minutes, "--threads", threads)
            model = charlm.load(path)
            curves[cell] = row(cell, one_pass(model, kept, False), model, kept, back, clipped_in(path))
        start = place / "doubled.safetensors"
        doubled_start(source, start)
        curves[BAD] = row(BAD, None, charlm.load(start), kept, back, "untrained")
        print()
        for clip in (0, 1):
            path = place / f"doubled-clip{clip}.safetensors"
            flags = ("--init-from", start, "--clip", clip, "--steps", BAD_STEPS, "--threads", 1, "--batch", 16)
            norms = train(source, path, *flags, "--bptt", 64, "--lr", 0.01)
            loss = one_pass(charlm.load(path), kept, False)
            print(f"{BAD}, {BAD_STEPS} steps with --clip {clip}: {loss:.4f} nats/char put aside; norm of the gradient "
                  f"up to {max(norms):.3g}")  # fmt: skip
    if plot:
        draw_curves(curves, plot)


if __name__ == "__main__":
    main()
