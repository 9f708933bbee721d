"""charlm classify: say which of several models a text is from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import Command
from charlm.cli.inputs import texts_from
from charlm.cli.options import decoding_options, open_model
from charlm.cli.tables import aligned, in_tsv, show
from charlm.cli.terminal import escape

if TYPE_CHECKING:
    from charlm.scoring.ranking import Classification

FILE = click.Path(path_type=Path, allow_dash=True)


@click.command(cls=Command)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("-m", "--model", "paths", type=click.Path(path_type=Path), multiple=True, required=True, metavar="PATH",
              help="A model file; give two or more.")  # fmt: skip
@click.option("--prior", "priors", type=float, multiple=True, metavar="P",
              help="How probable each model is beforehand, in their order.  [default: all the same]")  # fmt: skip
@click.option("--file", "files", type=FILE, multiple=True, metavar="FILE", help='Read a file; "-" is standard input.')
@click.option("--lines", is_flag=True, help="Each line of the files is a text.")
@click.option("--eos/--no-eos", "end", default=None,
              help="Whether the end of a text counts.  [default: where all models learned lines]")  # fmt: skip
@click.option("--json", "form", flag_value="json", help="Print a JSON object a text.")
@click.option("--tsv", "form", flag_value="tsv", help="Print tab-separated values.")
@decoding_options
def command(
    texts: tuple[str, ...],
    paths: tuple[Path, ...],
    priors: tuple[float, ...],
    files: tuple[Path, ...],
    lines: bool,
    end: bool | None,
    form: str | None,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Print the probability that each TEXT is from each model, by Bayes' rule.

    Characters that a model does not know are shared out of its UNK, so that models with different vocabularies are
    compared fairly. Results come in the order of the input.
    """
    from charlm.scoring.ranking import classify

    if not texts and not files:
        raise click.UsageError("nothing to classify: give a TEXT, or --file FILE")
    models = [open_model(path, encoding=encoding, errors=errors) for path in paths]
    names = names_of(paths)
    reading = replace(models[0].text, normalize="none")  # each model normalises for itself
    given = texts_from(texts, files, lines, reading)
    found = classify(models, given, priors=priors or None, end=end)
    if form == "json":
        show(as_json(found, names))
    elif form == "tsv":
        show(as_tsv(found, names))
    else:
        show(as_table(list(found), names))


def names_of(paths: Iterable[Path]) -> list[str]:
    """Return a name for each model: its file's, or its whole path where two files have one name."""
    given = list(paths)
    stems = [path.name.removesuffix(".safetensors") for path in given]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, given, strict=True)]


def as_json(found: Iterable[Classification], names: list[str]) -> Iterator[str]:
    """Yield an object for each text: the best model, the posterior, and log p(text | model) in nats."""
    for one in found:
        fields = {
            "text": one.text,
            "best": names[one.best],
            "posterior": dict(zip(names, one.posterior, strict=True)),
            "log_prob": dict(zip(names, one.log_probs, strict=True)),
        }
        yield json.dumps(fields, ensure_ascii=False)


def as_tsv(found: Iterable[Classification], names: list[str]) -> Iterator[str]:
    """Yield a head and a line for each text: the best model, each one's probability, the text."""
    yield "\t".join(["best", *map(in_tsv, names), "text"])
    for one in found:
        yield "\t".join([in_tsv(names[one.best]), *map(repr, one.posterior), in_tsv(one.text)])


def as_table(found: Iterable[Classification], names: list[str]) -> Iterator[str]:
    """Yield a table with a column for each model."""
    rows = [["best", *names, "text"]]
    rows += [[names[one.best], *(f"{p:.2%}" for p in one.posterior), one.text] for one in found]
    return aligned([[escape(cell) for cell in row] for row in rows])
