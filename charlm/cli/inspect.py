"""charlm inspect: write a page that shows what a model does on a text, inside and out."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, read_prefix
from charlm.cli.terminal import warn
from charlm.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from charlm.diagnostics.training_log import TrainingLog

PAGE = Path("charlm.html")
inspection_option = option_group("Inspection")


@click.command("inspect", cls=Command)
@options.passage
@options.decoding
@options.model
@inspection_option("--start", default=0, metavar="N", help="Start at character N of the text; the first is 0.")
@inspection_option("--length", default=2000, metavar="N", help="Show N characters, at most 10,000.")
@inspection_option("--limit", default=10_000, metavar="N", help="Rank cells on N characters.")
@inspection_option("--member", default=0, metavar="K", help="Look inside member K of a mixture; the first is 0.")
@options.output(
    "-o",
    "--output",
    type=options.PATH,
    default=PAGE,
    metavar="PATH",
    help='Write the page to this file; "-" is standard output.',
)
@options.output("--open", "is_opened", is_flag=True, help="Open the page in the browser.")
@options.output("--json", "as_json", is_flag=True, help="Print all numbers of the page as a JSON object instead.")
@options.threads
def command(
    inputs: Inputs, encoding: str | None, errors: str | None, model_path: Path, start: int, length: int, limit: int,
    member: int, output: Path, is_opened: bool, as_json: bool, threads: int | None,
) -> None:  # fmt: skip
    """Write an HTML page that shows what a model does on a text.

    It shows the surprisal of each character and what the model expected there, cells and gates, saliency, gradient
    flow and the training. It ranks the cells by the properties of the text that they predict, and colours the text by
    a cell. The page is one file and needs no network. The model should not have been trained on the text.

    Examples:
      charlm inspect "To be, or not to be" -o hamlet.html --open
      charlm inspect --file play.txt --start 100000 -o play.html
      charlm inspect --file play.txt --json > play.json
    """
    from charlm.checkpoint import atomic_write
    from charlm.page.facts import Inspection, collect
    from charlm.page.passage import take_passage
    from charlm.page.render import to_html, to_json

    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    refuse_to_overwrite(output, [*inputs.sources, model_path])
    prefix = read_prefix(inputs.chunks(model.text), max(0, start) + max(length, limit) + 1)
    passage = take_passage(model.clean(prefix), start=start, length=length, limit=limit)
    if passage.is_cut:
        warn(f"shows {passage.length:,} characters from {passage.start:,} on; `start` and `length` choose others")
    facts = collect(Inspection(model, passage, model_path.name, member, log_of(model_path)), threads)
    if as_json:
        click.echo(to_json(facts))
        return
    page = to_html(facts).encode()
    if str(output) == "-":
        click.echo(page, nl=False)
        return
    atomic_write(output, [page])
    warn(f"wrote {output}, {len(page) / 1000:,.0f} kB")
    if is_opened and not webbrowser.open(output.resolve().as_uri()):
        warn(f"no browser was found; open {output} in one")


def refuse_to_overwrite(output: Path, sources: Sequence[str | Path]) -> None:
    """Raise ConfigError if the page would replace a text or the model."""
    for source in sources:
        if isinstance(source, Path) and os.path.realpath(source) == os.path.realpath(output):
            raise ConfigError(f"{output}: the page would replace a file that it is made from; pass another `output`")


def log_of(model: Path) -> TrainingLog | None:
    """Return the log of the training next to a model file; None if there is none."""
    from charlm.diagnostics.training_log import read_log
    from charlm.runs.files import Files

    with suppress(CheckpointError):
        return read_log(Files(model).log)
    return None
