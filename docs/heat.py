"""Draw the surprisal of each character of a sentence as SVG: `python docs/heat.py -m MODEL "SENTENCE" FILE.svg`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import click

import charlm
from charlm.scoring.heat_map import COLOURS, INKS, level, level_names
from charlm.scoring.score import CharScore

CELL, ROW, MARGIN = 17, 34, 10
"""Width of a character, height of a row and width of the margin, in pixels."""
FONT = "font-family='ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace'"


def cell(x: float, y: float, width: float, text: str, colour: int) -> str:
    """Return a coloured box with a text; the box makes the text readable on light and dark pages."""
    return (
        f"<rect x='{x}' y='{y}' width='{width}' height='26' rx='3' fill='{COLOURS[colour]}'/>"
        f"<text x='{x + width / 2}' y='{y + 18.5}' fill='{INKS[colour]}' text-anchor='middle'>{escape(text)}</text>"
    )


def heat_map(scores: Sequence[CharScore], columns: int) -> str:
    """Return an SVG document: the characters on their colours, `columns` a row, and a legend."""
    boxes = []
    for k, score in enumerate(scores):
        row, column = divmod(k, columns)
        boxes.append(
            cell(MARGIN + column * CELL, MARGIN + row * ROW, CELL - 1, score.character, level(score.surprisal_bits))
        )
    names = level_names()
    top = MARGIN + ROW * (1 + (len(scores) - 1) // columns) + 8
    legend = [cell(MARGIN + 46 * k, top, 44, name, k) for k, name in enumerate(names)]
    caption = f"<text x='{MARGIN + 46 * len(names) + 6}' y='{top + 18.5}' fill='#888888'>surprise in bits</text>"
    width, height = 2 * MARGIN + CELL * min(columns, len(scores)), top + ROW
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"{FONT} font-size='15'>\n" + "\n".join([*boxes, *legend, caption]) + "\n</svg>\n"
    )


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--columns", default=48, show_default=True, help="Characters per row.")
@click.argument("sentence")
@click.argument("picture", type=click.Path(path_type=Path))
def main(model: Path, columns: int, sentence: str, picture: Path) -> None:
    """Write the surprisal of each character of SENTENCE to PICTURE, an SVG file."""
    scores = list(charlm.load(model).score_characters(sentence, end=False))
    picture.write_text(heat_map(scores, columns), encoding="utf-8")


if __name__ == "__main__":
    main()
