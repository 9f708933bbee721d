"""charlm score: print how probable texts are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click

from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import read_groups, read_texts, refuse_unknown, require_texts
from charlm.config import LOGARITHMS

scoring_option = option_group("Scoring")


@click.command("score", cls=Command)
@options.texts
@options.decoding
@options.model
@scoring_option(
    "--context", default="", show_default=False, metavar="TEXT", help="Read this before each text, without scoring it."
)
@scoring_option("--eos/--no-eos", "end", default=None, show_default="if the model learned lines",
                help="Score the end of each text.")  # fmt: skip
@scoring_option("--strict", is_flag=True, help="Refuse texts with characters outside the vocabulary.")
@scoring_option("--pseudo", is_flag=True, help="Score each character given all others, with a bidirectional model.")
@scoring_option("--adapt", is_flag=True,
                help="Adapt the weights while scoring (dynamic evaluation); the model file is unchanged.")  # fmt: skip
@options.output("--json", "form", flag_value="json", help="Print JSON Lines, in the order of the input.")
@options.output("--tsv", "form", flag_value="tsv", help="Print tab-separated values, in the order of the input.")
@options.output("--summary", "form", flag_value="summary", help="Print a summary of all texts.")
@options.output("--per-char", "form", flag_value="chars",
               help="Print the probability, rank and alternatives of each character.")  # fmt: skip
@options.output("--rank", "form", flag_value="groups",
               help='Rank the candidates of each group, from files of lines "group TAB candidate".')  # fmt: skip
@options.output("--base", type=click.Choice(list(LOGARITHMS)), default="e",
               help="Print tables and summaries in nats (e), bits (2) or bans (10).")  # fmt: skip
@options.output("--best", default=5, type=click.IntRange(0), metavar="K",
               help="Print K alternatives of each character.")  # fmt: skip
@options.output("--color/--no-color", default=None, show_default="on a terminal", help="Colour --per-char.")
@options.threads
def command(
    texts: tuple[str, ...], files: tuple[Path, ...], by_line: bool, encoding: str | None, errors: str | None,
    model_path: Path, threads: int | None,
    context: str, end: bool | None, strict: bool, pseudo: bool, adapt: bool,
    form: str | None, base: str, best: int, color: bool | None,
) -> None:  # fmt: skip
    """Print the probability of each TEXT: log-probability in nats, bits per character, perplexity.

    Several texts are ranked, the most probable first, each with its probability relative to the others. --json and
    --tsv keep the order of the input and print each score as it is computed, for any number of lines. With --pseudo,
    the scores are pseudo-log-likelihoods; compare them only with one another.

    Examples:
      charlm score "the quick brown fox" "the quick fox brown"
      charlm score --file log.txt --lines --tsv > scores.tsv
      charlm score --per-char --color "the qick brown fox"
    """
    from charlm.cli.scores import print_characters, print_groups, print_scores

    require_texts(texts, files)
    if form == "groups" and texts:
        raise click.UsageError('--rank reads lines "group TAB candidate" from files; name them with --file')
    if adapt and (context or form in ("chars", "groups")):
        raise click.UsageError("--adapt cannot be combined with --context, --per-char or --rank")
    if pseudo and (adapt or context or end or form in ("chars", "groups")):
        raise click.UsageError("--pseudo cannot be combined with --context, --eos, --per-char, --rank or --adapt")
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    score_many = partial(model.score_many, end=end, context=context, threads=threads)

    def checked(candidates: Iterable[str]) -> Iterable[str]:
        """Refuse unknown characters with --strict."""
        return refuse_unknown(model, candidates) if strict else candidates

    if form == "groups":
        groups = ((name, score_many(checked(lines))) for path in files for name, lines in read_groups(path, model.text))
        return print_groups(groups, base)
    inputs = checked(read_texts(texts, files, by_line, model.text))
    if form == "chars":
        is_coloured = color if color is not None else sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for text in inputs:
            characters = model.score_characters(text, end=end, context=context, alternatives=best)
            print_characters(characters, is_coloured)
        return None
    if pseudo:
        options.require_bidirectional(model)
        return print_scores(map(model.pseudo_score, inputs), form, base, model.text.unit)
    scores = model.score_adaptively(inputs, end=end) if adapt else score_many(inputs)
    return print_scores(scores, form, base, model.text.unit)
