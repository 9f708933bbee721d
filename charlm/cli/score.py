"""charlm score: say how probable texts are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from wcwidth import wcswidth

from charlm.cli.options import model_option, open_model
from charlm.cli.terminal import escape, warn

if TYPE_CHECKING:
    from charlm.scoring.score import Score


@click.command(short_help="Say how probable a text is.")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@model_option
@click.option("--eos/--no-eos", "end", default=None,
              help="Whether the end of a text counts.  [default: where the model learned lines]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a text.")
def command(texts: tuple[str, ...], model_path: Path, end: bool | None, as_json: bool) -> None:
    """Print the probability of each TEXT: log-probability in nats, bits per character, perplexity.

    Several texts are ranked, the most probable first, each with its probability relative to the others.
    With --json they stay in the order given.
    """
    from charlm.scoring.ranking import rank

    model = open_model(model_path)
    scores = list(model.score_many(texts, end=end))
    if as_json:
        for score in scores:
            click.echo(json.dumps(score.as_json(), ensure_ascii=False))
        return
    for text, score in zip(texts, scores, strict=True):
        if score.unknown:
            warn(f"{score.unknown} of {score.characters} characters are unknown to the model: {text}")
    print_table(rank(scores))


def print_table(ranked: list[tuple[float, Score]]) -> None:
    """Print a row a text, most probable first; columns line up for wide characters, too."""
    head = ("log p (nats)", "nats/char", "bits/char", "perplexity", "relative", "text")
    rows = [
        (
            f"{score.log_prob:.3f}",
            f"{score.nats_per_char:.4f}",
            f"{score.bits_per_char:.4f}",
            f"{score.perplexity:.3f}",
            f"{share:.2%}",
            escape(score.text),
        )
        for share, score in ranked
    ]
    widths = [max(wcswidth(row[k]) for row in [head, *rows]) for k in range(len(head) - 1)]
    for row in [head, *rows]:
        cells = [" " * (width - wcswidth(cell)) + cell for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]))
