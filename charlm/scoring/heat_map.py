"""The levels of surprisal of a heat map, and a heat map as HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from itertools import islice, pairwise

LIMITS = (1.0, 2.0, 4.0, 6.0, 9.0)
"""Surprisals in bits at which the colour changes."""
COLOURS = ("#fff7ec", "#fdd49e", "#fdbb84", "#fc8d59", "#e34a33", "#b30000")
"""Background of each level, from probable to surprising (ColorBrewer OrRd)."""
INKS = ("#222222", "#222222", "#222222", "#222222", "#ffffff", "#ffffff")
"""Colour of the text on each background."""
MAX_SHOWN = 5_000
"""Characters of a heat map in HTML; a notebook becomes slow with many more."""


def level(bits: float) -> int:
    """Return the index of the colour of a surprisal in bits."""
    return sum(bits >= limit for limit in LIMITS)


def level_names() -> list[str]:
    """Return the range of each level in bits, such as "1-2"."""
    bounds = ["0", *(f"{limit:g}" for limit in LIMITS)]
    return [*map("-".join, pairwise(bounds)), f"{bounds[-1]}+"]


def heat_map_html(characters: Iterable[tuple[str, float]], caption: str) -> str:
    """Return characters on the colours of their surprisal, a legend and a caption, as HTML without scripts or links.

    Parameters
    ----------
    characters : each with its log-probability in nats; the surprisal is the tooltip of a character.
    caption : text below the heat map.
    """
    remaining = iter(characters)
    boxes = []
    for character, log_prob in islice(remaining, MAX_SHOWN):
        bits = max(0.0, -log_prob / math.log(2))
        boxes.append(box(visible(character), level(bits), f"{character!r}: {bits:.2f} bits"))
    rest = sum(1 for _ in remaining)
    more = f" ... and {rest:,} more" * bool(rest)
    legend = " ".join(box(name, index) for index, name in enumerate(level_names()))
    return (
        '<div style="font-family: monospace; white-space: pre-wrap; line-height: 1.6">'
        f"{''.join(boxes)}{more}</div><div><small>bits: {legend} &nbsp; {escape(caption)}</small></div>"
    )


def box(text: str, index: int, tooltip: str = "") -> str:
    """Return a text on the colour of a level."""
    title = f' title="{escape(tooltip)}"' if tooltip else ""
    return f'<span style="background: {COLOURS[index]}; color: {INKS[index]}"{title}>{escape(text)}</span>'


def visible(character: str) -> str:
    """Return a character, or a word, as it is shown: invisible ones escaped, with a mark before a newline."""
    return "".join(
        "↵\n" if c == "\n" else c if c.isprintable() else c.encode("unicode_escape").decode() for c in character
    )
