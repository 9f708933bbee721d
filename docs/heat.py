"""Draw each character of a text on a colour as SVG: `python docs/heat.py -m MODEL "SENTENCE" FILE.svg`.

The colour is that of the surprisal, or with `--cell 0.17` that of the activation of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import click

import charlm
from charlm.scoring.heat_map import COLOURS, INKS, level, level_names

CELL, ROW, MARGIN = 17, 34, 10
"""Width of a character, height of a row and width of the margin, in pixels."""
FONT = "font-family='ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace'"
DIVERGING = ("#1f4e96", "#3170b0", "#8fbfe6", "#d3e5f5", "#f4f4f4", "#fde3bf", "#fbb765", "#e08214", "#a04f00")
"""Background of each level of an activation, from -1 to 1."""
DIVERGING_INKS = ("#ffffff", "#ffffff", *["#222222"] * 6, "#ffffff")
"""Colour of the text on each background."""


class Scale(NamedTuple):
    """A scale of colours: the background, the ink and the name of each level, and what the levels are."""

    colours: Sequence[str]
    inks: Sequence[str]
    names: Sequence[str]
    caption: str


SURPRISAL = Scale(COLOURS, INKS, level_names(), "surprise in bits")


def box(x: float, y: float, width: float, text: str, colours: tuple[str, str]) -> str:
    """Return a coloured box with a text; the box makes the text readable on light and dark pages."""
    colour, ink = colours
    return (
        f"<rect x='{x}' y='{y}' width='{width}' height='26' rx='3' fill='{colour}'/>"
        f"<text x='{x + width / 2}' y='{y + 18.5}' fill='{ink}' text-anchor='middle'>{escape(text)}</text>"
    )


def heat_map(characters: Sequence[tuple[str, int]], columns: int, scale: Scale) -> str:
    """Return an SVG document: the characters on the colours of their levels, `columns` a row at most, and a legend."""
    boxes, row, column, widest = [], 0, 0, 0
    for character, index in characters:
        if column == columns:
            row, column = row + 1, 0
        shown = "\u21b5" if character == "\n" else character
        corner = MARGIN + column * CELL, MARGIN + row * ROW
        boxes.append(box(*corner, CELL - 1, shown, (scale.colours[index], scale.inks[index])))
        column += 1
        widest = max(widest, column)
        if character == "\n":
            row, column = row + 1, 0
    top = MARGIN + ROW * (row + (column > 0)) + 8
    legend = [
        box(MARGIN + 46 * k, top, 44, name, (scale.colours[k], scale.inks[k])) for k, name in enumerate(scale.names)
    ]
    start = MARGIN + 46 * len(scale.names) + 6
    caption = f"<text x='{start}' y='{top + 18.5}' fill='#888888'>{escape(scale.caption)}</text>"
    width, height = max(2 * MARGIN + CELL * widest, start + 9 * len(scale.caption) + MARGIN), top + ROW
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"{FONT} font-size='15'>\n" + "\n".join([*boxes, *legend, caption]) + "\n</svg>\n"
    )


def surprisals(model: charlm.LanguageModel, text: str) -> list[tuple[str, int]]:
    """Return each character with the level of its surprisal."""
    return [(score.character, level(score.surprisal_bits)) for score in model.score_characters(text, end=False)]


def activations(model: charlm.LanguageModel, text: str, layer: int, cell: int) -> list[tuple[str, int]]:
    """Return each character with the level of the activation of a cell, from -1 to 1."""
    found = model.activations(text)
    levels = ((found.cells[layer, :, cell] + 1) / 2 * len(DIVERGING)).astype(int).clip(0, len(DIVERGING) - 1)
    return list(zip(found.tokens, levels.tolist(), strict=True))


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--columns", default=48, show_default=True, help="Characters per row.")
@click.option("--cell", metavar="LAYER.CELL", help="Show the activation of this cell.")
@click.argument("sentence")
@click.argument("picture", type=click.Path(path_type=Path))
def main(model: Path, columns: int, cell: str | None, sentence: str, picture: Path) -> None:
    """Write SENTENCE, each character on the colour of its surprisal or of a cell, to PICTURE, an SVG file."""
    loaded = charlm.load(model)
    if cell is None:
        characters, scale = surprisals(loaded, sentence), SURPRISAL
    else:
        layer, number = map(int, cell.split("."))
        names = [f"{2 * k / (len(DIVERGING) - 1) - 1:g}" for k in range(len(DIVERGING))]
        scale = Scale(DIVERGING, DIVERGING_INKS, names, f"cell {cell}")
        characters = activations(loaded, sentence, layer, number)
    picture.write_text(heat_map(characters, columns, scale), encoding="utf-8")


if __name__ == "__main__":
    main()
