"""charlm score: say how probable texts are."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import Command
from charlm.cli.inputs import groups_from_tsv, lines_of, texts_from
from charlm.cli.options import decoding_options, model_option, open_model, threads_option
from charlm.cli.tables import as_json, as_summary, as_table, as_tsv, show
from charlm.cli.terminal import for_output, warn

if TYPE_CHECKING:
    from charlm.model import LanguageModel
    from charlm.scoring.score import Score

FILE = click.Path(path_type=Path, allow_dash=True)


@click.command(cls=Command)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@model_option
@click.option("--file", "files", type=FILE, multiple=True, metavar="FILE", help='Score a file; "-" is standard input.')
@click.option("--lines", is_flag=True, help="Each line of the files is a text.")
@click.option("--context", default="", metavar="TEXT", help="Read this before each text, and do not count it.")
@click.option("--eos/--no-eos", "end", default=None,
              help="Whether the end of a text counts.  [default: where the model learned lines]")  # fmt: skip
@click.option("--json", "form", flag_value="json", help="Print a JSON object a text, in the order of the input.")
@click.option("--tsv", "form", flag_value="tsv", help="Print tab-separated values, in the order of the input.")
@click.option("--summary", "form", flag_value="summary", help="Print the figures of all texts together.")
@click.option("--per-char", "form", flag_value="chars", help="Print each character's probability, rank, alternatives.")
@click.option("--rank", "form", flag_value="groups",
              help='Rank the candidates of each group in files of lines "group TAB candidate".')  # fmt: skip
@click.option("--base", type=click.Choice(["e", "2", "10"]), default="e", show_default=True,
              help="Base of the logarithms in tables and summaries: nats, bits or bans.")  # fmt: skip
@click.option("--best", default=5, show_default=True, type=click.IntRange(0), metavar="K",
              help="Alternatives named for each character.")  # fmt: skip
@click.option("--color/--no-color", default=None, help="Colour --per-char.  [default: on a terminal]")
@click.option("--strict", is_flag=True, help="Refuse texts with unknown characters.")
@click.option("--pseudo", is_flag=True, help="Score each character given all others, by a model of both directions.")
@click.option("--adapt", is_flag=True, help="Let the weights follow the texts as they are read; the file stays.")
@threads_option
@decoding_options
def command(
    texts: tuple[str, ...],
    model_path: Path,
    files: tuple[Path, ...],
    lines: bool,
    context: str,
    end: bool | None,
    form: str | None,
    base: str,
    best: int,
    color: bool | None,
    strict: bool,
    pseudo: bool,
    adapt: bool,
    threads: int | None,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Print the probability of each TEXT: log-probability in nats, bits per character, perplexity.

    Several texts are ranked, the most probable first, each with its probability relative to the others. The forms
    for programs (--json, --tsv) keep the order of the input and print each text's figures as soon as they are
    there, so any number of lines goes through. With --pseudo the figures are those of the pseudo-log-likelihood, which
    is no probability: only figures of the same kind can be compared.
    """
    if not texts and not files:
        raise click.UsageError("nothing to score: give a TEXT, or --file FILE")
    if form == "groups" and texts:
        raise click.UsageError('--rank reads groups from files of lines "group TAB candidate": name them with --file')
    if adapt and (context or form in ("chars", "groups")):
        raise click.UsageError("--adapt goes with neither --context nor --per-char nor --rank")
    if pseudo and (adapt or context or end or form in ("chars", "groups")):
        raise click.UsageError("--pseudo goes with neither --context, --eos, --per-char, --rank nor --adapt")
    model = open_model(model_path, threads, encoding=encoding, errors=errors)
    if form == "groups":
        return rank_groups(model, files, context, end, base, strict, threads)
    given = texts_from(texts, files, lines, model.text)
    if strict:
        given = known_texts(model, given)
    if form == "chars":
        return print_characters(model, given, context, end, best, color)
    if pseudo:
        scores: Iterator[Score] = map(model.pseudo_score, given)
    elif adapt:
        scores = model.score_adaptively(given, end=end)
    else:
        scores = model.score_many(given, end=end, context=context, threads=threads)
    return print_scores(scores, form, base, model.text.unit)


def known_texts(model: LanguageModel, texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts as long as the model knows every character; the first other one is an error."""
    for text in texts:
        model.refuse_unknown(text)
        yield text


def print_scores(scores: Iterator[Score], form: str | None, base: str, unit: str) -> None:
    """Print scores in one of the forms; None is a ranked table."""
    from charlm.scoring.ranking import rank
    from charlm.scoring.score import Summary

    if form == "json":
        show(as_json(scores))
    elif form == "tsv":
        show(as_tsv(scores))
    elif form == "summary":
        show(as_summary(functools.reduce(Summary.__add__, scores, Summary()), base, unit))
    else:
        every = list(scores)
        warn_of_unknown(every, unit)
        show(as_table(rank(every), base, unit))


def warn_of_unknown(scores: Iterable[Score], unit: str) -> None:
    """Say how many characters the model has never seen."""
    scores = list(scores)
    unknown, total = sum(score.unknown for score in scores), sum(score.characters for score in scores)
    if unknown:
        what = "characters" if unit == "char" else "tokens"
        warn(f"{unknown:,} of {total:,} {what} are unknown to the model, and scored as UNK")


def rank_groups(
    model: LanguageModel,
    files: Iterable[Path],
    context: str,
    end: bool | None,
    base: str,
    strict: bool,
    threads: int | None,
) -> None:
    """Print each group's candidates, the most probable first: group, place, relative probability, log p, text."""
    from charlm.cli.tables import UNITS, in_tsv
    from charlm.scoring.ranking import rank
    from charlm.scoring.score import in_base

    click.echo(f"group\tplace\trelative\tlog_prob_{UNITS[base]}\ttext")
    for path in files:
        for group, candidates in groups_from_tsv(lines_of(path, model.text), str(path)):
            given = known_texts(model, candidates) if strict else candidates
            ranked = rank(model.score_many(given, end=end, context=context, threads=threads))
            for place, (share, score) in enumerate(ranked, 1):
                log_prob = in_base(score.log_prob, base)
                row = f"{in_tsv(group)}\t{place}\t{share:.6g}\t{log_prob!r}\t{in_tsv(score.text)}"
                click.echo(for_output(row))


def print_characters(
    model: LanguageModel, texts: Iterable[str], context: str, end: bool | None, best: int, color: bool | None
) -> None:
    """Print each character of each text: a heat map in colour, or a table."""
    from charlm.cli.heat import heat_map, plain

    if color is None:
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    form: Any = heat_map if color else plain
    for text in texts:
        for piece in form(model.score_characters(text, end=end, context=context, alternatives=best)):
            click.echo(piece if color else for_output(piece), nl=False, color=color)
