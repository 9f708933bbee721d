"""charlm next: print what may come next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from charlm.cli import mixing, options
from charlm.cli.command import Command
from charlm.cli.inputs import read_option
from charlm.cli.sample import warn_of_unknown
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.scoring.continuations import Continuation

BAR = 40
"""Width of the bar of probability 1, in characters."""
EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
"""The last character of a bar, by eighths of a character."""


@click.command("next", cls=Command)
@click.argument("words", nargs=-1, metavar="[PROMPT]")
@options.decoding
@mixing.models
@options.output("-k", "--best", default=10, type=options.COUNT, metavar="K", help="Print the K most probable of each.")
@options.records
def command(
    words: tuple[str, ...], encoding: str | None, errors: str | None, chosen: mixing.Chosen, best: int,
    form: str | None,
) -> None:  # fmt: skip
    """Print the most probable next characters after PROMPT, and the most probable next words.

    A word ends before the next character that cannot be in it, such as a space or the end of the text. If PROMPT ends
    inside a word, the words complete it. Without PROMPT, prints how a text begins. "-" is standard input.

    Examples:
      charlm next "Once upon a "
      charlm next "the qu" -k 3
      charlm next "the " --json
      charlm next -m a.safetensors b.safetensors "the "
      charlm next -m surnames.safetensors --label italian "Ro"
    """
    from charlm.cli.records import next_record, show_records
    from charlm.scoring.continuations import Continuation

    if len(words) > 1:
        raise click.UsageError(f"unexpected argument {words[1]!r}; put PROMPT in quotes")
    model = mixing.open_models(chosen, encoding=encoding, errors=errors, texts=words)
    prompt = model.clean(read_option(words[0] if words else "", model.text))
    warn_of_unknown(model, prompt)
    expected = model.next(prompt, words=best)
    if not expected.is_exact:
        warn("the search for words was stopped; others may be as probable")
    found = {"character": expected.characters[:best], "word": expected.words}
    if form:
        unit = model.text.unit
        records = (
            next_record(one, kind, rank, prompt, unit)
            for kind, continuations in found.items()
            for rank, one in enumerate(continuations, 1)
        )
        show_records(records, form, next_record(Continuation("", 0.0, ""), "", 1, prompt, unit))
    elif model.text.unit == "word":
        show(table("word", expected.words))
    else:
        show([*table("character", found["character"]), "", *table("word", expected.words)])


def table(title: str, continuations: Sequence[Continuation]) -> Iterator[str]:
    """Yield the lines of a table with a bar for each probability."""
    rows = ([shown(one.word), f"{one.probability:.2%}", bar(one.probability)] for one in continuations)
    return (line.rstrip() for line in aligned([[title, "p", ""], *rows]))


def shown(text: str) -> str:
    """Return a text as a table shows it: in quotes if it is not visible."""
    return text if text.isprintable() and not text.isspace() and text else repr(text)


def bar(probability: float) -> str:
    """Return a bar whose length is proportional to a probability."""
    whole, eighths = divmod(round(probability * BAR * 8), 8)
    return "\u2588" * whole + EIGHTHS[eighths].strip()
