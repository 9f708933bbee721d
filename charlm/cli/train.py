"""charlm train: learn a text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import Command
from charlm.cli.options import model_option, threads_option
from charlm.cli.signals import Signals
from charlm.cli.tables import PSEUDO
from charlm.cli.terminal import warn
from charlm.config import (
    DECODING_ERRORS,
    DEVICES,
    ENGINES,
    HELD_OUT,
    NORMALIZATIONS,
    PRECISIONS,
    SIZES,
    UNITS,
    EngineConfig,
    TextConfig,
)
from charlm.nn.cells import CELLS
from charlm.optim import OPTIMIZERS

if TYPE_CHECKING:
    from charlm.runs.run import Run


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@model_option
@click.option("--cell", type=click.Choice(list(CELLS)), help="Recurrent cell.  [default: lstm]")
@click.option("--hidden", type=int, metavar="N", help="Units in each layer.  [default: chosen]")
@click.option("--layers", type=int, metavar="N", help="Depth of the stack.  [default: chosen]")
@click.option("--bidirectional", is_flag=True, default=None,
              help="Predict each character from both sides, for fill, proof and score --pseudo.")  # fmt: skip
@click.option("--dropout", type=float, metavar="P", help="Share of outputs dropped in training.  [default: chosen]")
@click.option("--recurrent-dropout", type=float, metavar="P",
              help="Share of recurrent weights dropped in training.  [default: chosen]")  # fmt: skip
@click.option("--batch", type=int, metavar="N", help="Streams read side by side.  [default: chosen]")
@click.option("--bptt", type=int, metavar="N", help="Steps of back-propagation through time.  [default: chosen]")
@click.option("--epochs", type=float, metavar="N", help="Budget: passes over the text.")
@click.option("--steps", type=int, metavar="N", help="Budget: updates of the weights.")
@click.option("--minutes", type=float, metavar="M", help="Budget: minutes of training.  [default: by the text's size]")
@click.option("--lr", "learning_rate", type=float, metavar="R", help="Peak learning rate.  [default: chosen]")
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="Optimizer.  [default: adam]")
@click.option("--clip", type=float, metavar="NORM", help="Largest norm of the gradient, 0 for none.  [default: 1]")
@click.option("--patience", type=int, metavar="N", help="Evaluations in vain before stopping.  [default: chosen]")
@click.option("--size", type=click.Choice(SIZES), help="Size of the network alone.  [default: chosen]")
@click.option("--valid", type=float, metavar="P", help="Share of the text that is held out.  "
              "[default: 0.1, of long texts less]")  # fmt: skip
@click.option("--held-out", type=click.Choice(HELD_OUT),
              help="Which part of running text: stretches all over it, or its end.  [default: spread]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.  [default: 0]")
@threads_option
@click.option("--engine", type=click.Choice(ENGINES), default="numpy", show_default=True,
              help="What computes: NumPy, or PyTorch, alone or under torchrun.")  # fmt: skip
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Device of PyTorch.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True,
              help="Of PyTorch's products; the weights stay float32.")  # fmt: skip
@click.option("--lines", is_flag=True, help="Each line is a document of its own.")
@click.option("--min-count", type=int, metavar="N", help="Rarer characters become UNK.  [default: chosen]")
@click.option("--encoding", metavar="NAME", default="utf-8", show_default=True, help="Encoding of the text.")
@click.option("--errors", type=click.Choice(DECODING_ERRORS), default="strict", show_default=True,
              help="What becomes of bytes that are not valid.")  # fmt: skip
@click.option("--normalize", type=click.Choice(NORMALIZATIONS), default="none", show_default=True,
              help="Unicode normal form; applied again to prompts and scored texts.")  # fmt: skip
@click.option("--unit", type=click.Choice(UNITS), default="char", show_default=True,
              help="What a token is: a character, or a word.")  # fmt: skip
@click.option("--init-from", type=click.Path(path_type=Path), metavar="MODEL",
              help="Begin with this model's weights; its file stays as it is.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run that was stopped, as it was set.")
@click.option("--save-every", "save_minutes", type=float, default=1.0, show_default=True, metavar="MINUTES",
              help="Time between saves; 0 saves after every step.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a model that is there already.")
def command(
    files: tuple[str, ...],
    model_path: Path,
    engine: str,
    device: str,
    precision: str,
    lines: bool,
    min_count: int | None,
    encoding: str,
    errors: str,
    normalize: str,
    unit: str,
    init_from: Path | None,
    resume: bool,
    save_minutes: float,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Learn the text in FILE... ("-" is standard input) and write a model file.

    A part of the text is held out, and the model with the lowest loss on it is kept. Ctrl-C saves and
    stops. What is not given is chosen by the length of the text and the minutes.
    """
    from charlm.runs.run import Run

    computing = EngineConfig(engine, device, precision)
    text = TextConfig(unit, lines, min_count, encoding, errors, normalize)
    with Signals() as signals:
        try:
            with Run(
                files, model_path, settings, text,
                overwrite=overwrite, resume=resume, save_minutes=save_minutes, init_from=init_from, engine=computing,
            ) as session:  # fmt: skip
                signals.stop = session.stop
                run(session) if session.ranks.is_main_process else train_along(session)
        except KeyboardInterrupt:
            return signals.exit_code
        if session.interrupted and session.ranks.is_main_process:
            warn(f"stopped; go on with: {resume_command(files, model_path)}")
            return signals.exit_code
        return signals.exit_code if session.interrupted else 0


def resume_command(files: Sequence[str], model: Path) -> str:
    """Return the shell command that resumes a run; `--` precedes a text whose name looks like an option."""
    options = ["-m", str(model), "--resume"]
    looks_like_option = any(file.startswith("-") and file != "-" for file in files)
    return shlex.join(["charlm", "train", *([*options, "--", *files] if looks_like_option else [*files, *options])])


def run(session: Run) -> None:
    """Train, and print how it goes."""
    from charlm.cli.progress import follow, say_notes

    say_what_begins(session)
    say_notes(session)
    follow(session)
    say_notes(session)
    if session.trainer.has_lost_patience:
        warn("stopped early: the held-out loss rises (--patience 0 trains on); the best model is kept")
    say_what_was_written(session)


def train_along(session: Run) -> None:
    """Train as a rank that says nothing: the first speaks for all."""
    for _ in session.reports():
        session.notes.clear()


def say_what_begins(session: Run) -> None:
    """Print the size of the text and of the run, and the settings."""
    from charlm.training.memory import as_size

    corpus = session.corpus
    what = "words and marks" if session.vocabulary.unit == "word" else "characters"
    warn(
        f"{corpus.source.n_characters:,} {what}, {len(session.vocabulary)} in the vocabulary, "
        f"{len(corpus.valid_ids):,} held out; {session.network.size:,} parameters, "
        f"about {as_size(session.memory)} of memory"
    )
    warn(session.choice.reason)


def say_what_was_written(session: Run) -> None:
    """Print where the model is, and the held-out loss that it reached."""
    nats, unit = session.model.training.get("valid_loss"), session.vocabulary.unit
    loss = f"held-out {PSEUDO}" if session.network.config.bidirectional else "held-out"
    reached = "" if nats is None else f": {loss} {nats:.4f} nats/{unit}, {nats / log(2):.4f} bits/{unit}"
    warn(f"wrote {session.files.model}{reached}")
