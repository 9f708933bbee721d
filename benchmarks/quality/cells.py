"""Test loss and gradient flow of every cell after equal training time.

Each cell is trained by `charlm train` with the settings of the recipe, without the last tenth of the text. The loss
and `LanguageModel.gradients` are measured on that tenth. Last, an RNN whose initial recurrent weights are doubled is
trained with and without clipping.
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
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import split_test, test_set_loss
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
    """Train with the command line; return the gradient norms in the log."""
    command = [sys.executable, "-m", "charlm", "train", source, "-m", model, "--overwrite", *flags]
    subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
    rows = model.with_suffix(".log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row)["grad_norm"] for row in rows]


def doubled_start(source: Path, path: Path) -> None:
    """Write an untrained RNN whose recurrent matrix is twice an orthogonal one."""
    vocabulary = Corpus.read([source], TextConfig()).vocabulary
    network = Network(NetworkConfig("rnn", BAD_HIDDEN, 1), len(vocabulary), start=vocabulary.eos)
    params = network.initial(np.random.default_rng(0))
    params["rnn.weight_hh_l0"][...] *= 2
    LanguageModel(network, params, vocabulary, TextConfig()).save(path, overwrite=True)


def row(name: str, loss: float | None, model: LanguageModel, text: str, back: int, clipped: str) -> list[float]:
    """Print a row of the table; return the norms of the last layer."""
    flow = model.gradients(text, back=back)
    top = len(flow.norms) - 1
    norms: list[float] = flow.norms[top].tolist()
    until = flow.steps_until_vanished(top)
    loss_cell = "" if loss is None else f"{loss:.4f}"
    at = " | ".join(f"{norms[k]:.2g}" for k in (1, back // 4, back))
    print(
        f"| {name} | {model.config.hidden}x{model.config.layers} | {model.training.steps or 0:,} | {loss_cell} "
        f"| {at} | {flow.factor(top):.3f} | {until or f'> {back}'} | {clipped} |",
        flush=True,
    )
    return norms


def clipped_in(model: Path) -> str:
    """Return how often the run of a model clipped its gradients."""
    found = read_clipping(model.with_suffix(".log.jsonl"), 1.0)
    return "" if found is None else f"{found.clipped} of {found.steps}"


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", default=0.5, show_default=True, help="Training time of each cell.")
@click.option("--threads", default=2, show_default=True)
@click.option("--cells", default=",".join(CELLS), show_default=True)
@click.option("--back", default=64, show_default=True, help="Maximum steps back.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the norms to this file.")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for the models.  [default: discarded]")
def main(
    text: Path, minutes: float, threads: int, cells: str, back: int, plot: Path | None, folder: Path | None
) -> None:
    """Train every cell for equal time; print test loss and gradient norms."""
    if plot:
        find_matplotlib(plot)
    train_text, test_text = split_test(text.read_text(encoding="utf-8"), False, 0.1, 0)
    print(describe_machine())
    print(f"{text.name}: the last tenth is the test text; {minutes:g} minutes each, {threads} threads\n")
    print(f"| cell | units | steps | test nats/char | norm at k = 1 | k = {back // 4} | k = {back} "
          "| factor per step | below 1 % from k = | clipped |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    curves: dict[str, list[float]] = {}
    with TemporaryDirectory() as temporary:
        models = folder or Path(temporary)
        models.mkdir(exist_ok=True)
        source = Path(temporary) / "learned.txt"
        source.write_text(train_text, encoding="utf-8", newline="")
        for cell in cells.split(","):
            path = models / f"{cell}.safetensors"
            train(source, path, "--cell", cell, "--minutes", minutes, "--threads", threads)
            model = charlm.load(path)
            curves[cell] = row(cell, test_set_loss(model, test_text, False), model, test_text, back, clipped_in(path))
        start = models / "doubled.safetensors"
        doubled_start(source, start)
        curves[BAD] = row(BAD, None, charlm.load(start), test_text, back, "untrained")
        print()
        for clip in (0, 1):
            path = models / f"doubled-clip{clip}.safetensors"
            flags = ("--init-from", start, "--clip", clip, "--steps", BAD_STEPS, "--threads", 1, "--batch", 16)
            norms = train(source, path, *flags, "--bptt", 64, "--lr", 0.01)
            loss = test_set_loss(charlm.load(path), test_text, False)
            print(f"{BAD}, {BAD_STEPS} steps with --clip {clip}: test loss {loss:.4f} nats/char; gradient norm "
                  f"up to {max(norms):.3g}")  # fmt: skip
    if plot:
        draw_curves(curves, plot)


if __name__ == "__main__":
    main()
