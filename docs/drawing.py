"""Boxes, arrows and labels as SVG, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape

FONT = "font-family='ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace' font-size='15' text-anchor='middle'"
LINE, RED, INK = "#7b7f86", "#d9534f", "#222222"
"""Colours of arrows and labels, of what stands out, and of the text in a box."""
FILLS = {
    "input": "#cfe3f7",
    "state": "#cdebcd",
    "output": "#fde3bf",
    "gate": "#e4d6f2",
    "loss": "#f7cccc",
    "plain": "#e6e6e6",
    "dark": "#3170b0",
}
"""Background of each kind of box."""
HEAD = 7
"""Length of the head of an arrow, in pixels."""


class Box(NamedTuple):
    """A box by its centre and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def border(self, dx: float, dy: float) -> tuple[float, float]:
        """Return the point where the ray from the centre in a direction leaves the box."""
        scale = min(
            self.width / 2 / abs(dx) if dx else math.inf,
            self.height / 2 / abs(dy) if dy else math.inf,
        )
        return self.x + dx * scale, self.y + dy * scale


class Drawing:
    """An SVG document that grows with its elements."""

    def __init__(self) -> None:
        self.elements: list[str] = []
        self.width = self.height = 0.0

    def box(self, x: float, y: float, text: str, kind: str, width: float = 46, height: float = 28) -> Box:
        """Draw a box with a text around a centre."""
        ink = "#ffffff" if kind == "dark" else INK
        self._cover(x + width / 2, y + height / 2)
        self.elements.append(
            f"<rect x='{x - width / 2:g}' y='{y - height / 2:g}' width='{width:g}' height='{height:g}' rx='3' "
            f"fill='{FILLS[kind]}'/>"
        )
        if text:
            self.elements.append(f"<text x='{x:g}' y='{y + 5:g}' fill='{ink}'>{escape(text)}</text>")
        return Box(x, y, width, height)

    def label(self, x: float, y: float, text: str, colour: str = LINE, anchor: str = "middle") -> None:
        """Write a text on the page itself."""
        width = 9.1 * len(text)
        self._cover(x + {"start": width, "middle": width / 2, "end": 0}[anchor], y + 5)
        place = "" if anchor == "middle" else f" text-anchor='{anchor}'"
        self.elements.append(f"<text x='{x:g}' y='{y + 5:g}' fill='{colour}'{place}>{escape(text)}</text>")

    def arrow(
        self, start: Box, end: Box, text: str = "", colour: str = LINE, shift: tuple[float, float] = (0, 0)
    ) -> None:
        """Draw an arrow between the borders of two boxes, shifted by some pixels, with a text at its middle."""
        dx, dy = end.x - start.x, end.y - start.y
        (x1, y1), (x2, y2) = start.border(dx, dy), end.border(-dx, -dy)
        self.line((x1 + shift[0], y1 + shift[1]), (x2 + shift[0], y2 + shift[1]), colour=colour, head=True)
        if text:
            across = abs(dx) > abs(dy)
            x, y = (x1 + x2) / 2 + shift[0], (y1 + y2) / 2 + shift[1]
            self.label(x if across else x + 5, y - 12 if across else y, text, colour, "middle" if across else "start")

    def line(self, *points: tuple[float, float], colour: str = LINE, head: bool = False, dashed: bool = False) -> None:
        """Draw a line through points, with the head of an arrow at its end if wanted."""
        path = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
        dashes = " stroke-dasharray='5 4'" if dashed else ""
        self.elements.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'{dashes}/>")
        for x, y in points:
            self._cover(x, y)
        if head:
            (x1, y1), (x2, y2) = points[-2:]
            length = math.hypot(x2 - x1, y2 - y1)
            dx, dy = HEAD * (x2 - x1) / length, HEAD * (y2 - y1) / length
            corners = (x2, y2), (x2 - dx - dy / 2, y2 - dy + dx / 2), (x2 - dx + dy / 2, y2 - dy - dx / 2)
            tip = " ".join(f"{x:.4g},{y:.4g}" for x, y in corners)
            self.elements.append(f"<polygon points='{tip}' fill='{colour}'/>")

    def svg(self, margin: float = 8) -> str:
        """Return the document."""
        width, height = self.width + margin, self.height + margin
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
            f"height='{height:.0f}' {FONT}>\n" + "\n".join(self.elements) + "\n</svg>\n"
        )

    def _cover(self, x: float, y: float) -> None:
        """Extend the document to a point."""
        self.width, self.height = max(self.width, x), max(self.height, y)


def chain(
    drawing: Drawing,
    corner: tuple[float, float],
    rows: Sequence[tuple[str, Sequence[str]]],
    step: float = 78,
    rise: float = 66,
) -> list[list[Box]]:
    """Draw an unrolled network: rows of (kind, texts) from the bottom to the top; states are joined along their row.

    Returns
    -------
    list of list of Box
        The boxes of each row; `corner` is the centre of the first.
    """
    x, y = corner
    boxes = [
        [drawing.box(x + t * step, y - k * rise, text, kind) for t, text in enumerate(texts)]
        for k, (kind, texts) in enumerate(rows)
    ]
    for below, above in pairwise(boxes):
        for start, end in zip(below, above, strict=False):
            drawing.arrow(start, end)
    for (kind, _), row in zip(rows, boxes, strict=True):
        if kind == "state":
            for start, end in pairwise(row):
                drawing.arrow(start, end)
    return boxes
