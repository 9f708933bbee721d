"""charlm cells: find what single cells of a network represent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, read_prefix
from charlm.cli.tables import aligned, show, show_tsv
from charlm.cli.terminal import escape, shows_colors, warn
from charlm.errors import ConfigError

if TYPE_CHECKING:
    from charlm.diagnostics.activations import Activations
    from charlm.diagnostics.cell_ranking import CellScore

COLOURS = (25, 67, 110, None, 223, 215, 208)
"""Backgrounds of the levels of an activation, from -1 to 1, in the 256 colours of a terminal: blue to orange."""
INKS = (231, 231, 16, None, 16, 16, 16)
"""Colour of the text on each background."""
MEASURES = {"auc": "AUC", "correlation": "correlation"}
"""Measures in JSON, and in the table."""

cells_option = option_group("Cells")


def cell_name(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return the layer and the cell of LAYER.CELL."""
    match = re.fullmatch(r"(\d+)\.(\d+)", value or "")
    if value is not None and match is None:
        raise click.BadParameter(f"{value!r} is not LAYER.CELL, both counted from 0, such as 0.17", context, option)
    return match and (int(match[1]), int(match[2]))


@click.command("cells", cls=Command)
@options.passage
@options.decoding
@options.model
@cells_option("--member", default=0, metavar="K", help="Inspect member K of a mixture; the first is 0.")
@cells_option("--cell", "shown", callback=cell_name, metavar="LAYER.CELL", help="Colour the text by this cell.")
@cells_option("--limit", default=20_000, type=options.COUNT, metavar="N", help="Read the first N characters.")
@options.output("-k", "--best", default=3, type=options.COUNT, metavar="K", help="Print K cells for each property.")
@options.output("--color/--no-color", default=None, show_default="on a terminal", help="Colour the text for --cell.")
@options.records
def command(
    inputs: Inputs, encoding: str | None, errors: str | None, model_path: Path, member: int,
    shown: tuple[int, int] | None, limit: int, best: int, color: bool | None, form: str | None,
) -> None:  # fmt: skip
    """Rank the cells by how well each alone predicts a property of a text, such as "inside quotes".

    The text must be some thousand characters that the model was not trained on. Cells are chosen on its first half;
    the column "held-out" is measured on the second half. AUC 0.5 is chance, 1 perfect. "character alone" is what the
    current character predicts without memory. Sign - means that the cell is low where the property is true or high.

    Examples:
      charlm cells --file play.txt
      charlm cells --file play.txt --cell 0.17 --limit 400
      charlm cells --file play.txt --tsv > cells.tsv
    """
    from charlm.cli.records import ACTIVATION_KEYS, activation_record, cell_record, in_unit, show_records
    from charlm.diagnostics.cell_ranking import CellScore

    if color and form:
        raise click.UsageError(f"--color and --{form} exclude each other; pass one of them")
    model = options.open_model(model_path, encoding=encoding, errors=errors)
    text = model.clean(read_prefix(inputs.chunks(model.text), limit + 1))
    if len(text) > limit:
        warn(f"read the first {limit:,} characters; `limit` sets another number")
        text = text[:limit]
    unit = model.text.unit
    if shown is not None:
        found = model.activations(text, member=member)
        check_cell(found, shown)
        if form:
            records = (activation_record(found, *shown, index, unit) for index in range(len(found.tokens)))
            show_records(records, form, in_unit(dict.fromkeys(ACTIVATION_KEYS), unit, is_new=True))
        elif color if color is not None else shows_colors():
            print_coloured(found, *shown)
        else:
            print_values(found, *shown)
        return
    scores = model.cells(text, best=best, member=member)
    if form:
        example = cell_record(CellScore("", "auc", 0, 0, 1, 1, 1, 1, None), member, unit)
        show_records((cell_record(score, member, unit) for score in scores), form, example)
        return
    report_rare(scores)
    show(table(scores))


def check_cell(found: Activations, cell: tuple[int, int]) -> None:
    """Raise ConfigError if a network has no such cell."""
    layers, _, hidden = found.cells.shape
    if cell[0] >= layers or cell[1] >= hidden:
        raise ConfigError(f"there is no cell {cell[0]}.{cell[1]}; the model has 0.0 to {layers - 1}.{hidden - 1}")


def report_rare(scores: list[CellScore]) -> None:
    """Print the properties that were too rare in the text to be ranked."""
    from charlm.diagnostics.properties import PROPERTIES

    ranked = {score.name for score in scores}
    if rare := [name for name in PROPERTIES if name not in ranked]:
        warn(f"too rare in this text: {', '.join(rare)}")


def table(scores: list[CellScore]) -> Iterator[str]:
    """Yield the lines of the ranked list."""
    head = ["cell", "sign", "measure", "first half", "held-out", "character alone", "property"]
    rows = (
        [f"{one.layer}.{one.cell}", "-+"[one.sign > 0], MEASURES[one.measure], f"{one.chosen:.3f}",
         f"{one.held_out:.3f}", f"{one.baseline:.3f}", one.name]
        for one in scores
    )  # fmt: skip
    return aligned([head, *rows])


def print_coloured(found: Activations, layer: int, cell: int) -> None:
    """Print a text on the colours of the activations of a cell, and a legend."""
    values = found.cells[layer, :, cell]
    limit = max(1.0, float(abs(values).max(initial=0)))  # a rectifier is not bounded
    for token, value in zip(found.tokens, values.tolist(), strict=True):
        click.echo(coloured(escape(token, keep="\n"), value / limit), nl=False, color=True)
    middles = [2 * level / (len(COLOURS) - 1) - 1 for level in range(len(COLOURS))]
    bounds = [coloured(f" {limit * middle:.2g} ", middle) for middle in middles]
    click.echo(f"\nactivation of cell {layer}.{cell}: {''.join(bounds)}", color=True)


def coloured(text: str, value: float) -> str:
    """Return a text on the colour of a value from -1 to 1."""
    level = min(int((value + 1) / 2 * len(COLOURS)), len(COLOURS) - 1)
    return click.style(text, fg=INKS[level], bg=COLOURS[level])


def print_values(found: Activations, layer: int, cell: int) -> None:
    """Print a table of the characters of a text, the activation of a cell, and its gates."""
    columns = [values[layer, :, cell].tolist() for values in (found.cells, *found.gates.values())]
    rows = (
        [index, token, *(f"{value:.4f}" for value in values)]
        for index, (token, *values) in enumerate(zip(found.tokens, *columns, strict=True))
    )
    show_tsv(["index", "character", "activation", *found.gates], rows)
