"""charlm classify: find which of several models a text is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, each_with, gather, require_files
from charlm.cli.labels import show_confusion, show_labels
from charlm.cli.tables import aligned, model_names, show, show_json, show_tsv

if TYPE_CHECKING:
    from charlm.scoring.ranking import Classification

model_option = option_group("Model")
scoring_option = option_group("Scoring")


@click.command("classify", cls=Command)
@options.words_and_files
@options.decoding
@options.models
@model_option("--prior", "priors", type=float, multiple=True, metavar="P", show_default="equal",
              help="Prior probability of each model, in their order.")  # fmt: skip
@scoring_option("--eos/--no-eos", "end", default=None, show_default="if all models learned lines",
                help="Score the end of each text.")  # fmt: skip
@options.output("--top", type=options.COUNT, metavar="K", show_default="1, all with --json",
                help="Print the K best labels of a model of labels.")  # fmt: skip
@options.output("--evaluate", "labelled_file", type=options.INPUT, metavar="FILE",
                help='Compare the labels with those in FILE, of lines "label TAB text".')  # fmt: skip
@options.records
@options.threads
def command(
    words: tuple[str, ...], files: tuple[Path, ...], by_line: bool, encoding: str | None, errors: str | None,
    model_paths: tuple[Path, ...], priors: tuple[float, ...], end: bool | None, top: int | None,
    labelled_file: Path | None, form: str | None, threads: int | None,
) -> None:  # fmt: skip
    """Print the label of each TEXT, or the probability that it is from each of several models.

    One model of --task classify predicts its labels; one of --labels compares the probabilities of the text given each
    label, with their priors. Several language models are compared by Bayes' rule: a model
    divides the probability of its UNK among the characters that it does not know, so that models with different
    vocabularies are comparable. Results come in the order of the input. --tsv prints all labels.

    Examples:
      charlm classify -m languages.safetensors "guten Tag" --top 3
      charlm classify -m languages.safetensors --evaluate held-out.tsv
      charlm classify -m english.safetensors -m german.safetensors "guten Tag"
      charlm classify -m en.safetensors -m de.safetensors --file mails.txt --lines
    """
    if labelled_file is None:
        inputs = gather(words, files, by_line=by_line)
    elif words or files:
        raise click.UsageError("--evaluate reads the texts of its FILE; leave out TEXT and --file")
    else:
        inputs = Inputs(tuple(require_files([labelled_file])))
    default = options.default_model()
    if not model_paths and not default.exists():
        raise click.UsageError("no model is given; name one of labels, or two or more language models, each with -m")
    paths = model_paths or (default,)
    models = [options.open_model(path, threads, encoding=encoding, errors=errors) for path in paths]
    if is_of_labels(models, priors, end):
        if labelled_file is not None:
            show_confusion(models[0], labelled_file, form, threads)
        else:
            show_labels(models[0], inputs, form, top, threads)
        return
    if not model_paths:
        raise click.UsageError("no model is given; name two or more language models, each with -m")
    if top is not None or labelled_file is not None:
        raise click.UsageError("--top and --evaluate are for one model of labels, see charlm train --task classify")
    show_posteriors(models, model_names(model_paths), inputs, form, partial(
        charlm.classify, models, priors=priors or None, end=end, threads=threads
    ))  # fmt: skip


def is_of_labels(models: Sequence[charlm.LanguageModel], priors: Sequence[float], end: bool | None) -> bool:
    """Return whether there is one model, which predicts labels; UsageError if it is combined with others."""
    if not any(model.labels for model in models):
        return False
    if len(models) > 1:
        raise click.UsageError("a model of labels cannot be compared with other models; name it alone")
    if priors or end is not None:
        raise click.UsageError("--prior, --eos and --no-eos are for several language models")
    return True


def show_posteriors(
    models: Sequence[charlm.LanguageModel], names: Sequence[str], inputs: Inputs, form: str | None,
    classify: Callable[[Iterator[str]], Iterator[Classification]],
) -> None:  # fmt: skip
    """Print the probability of each of several language models, for each text."""
    from charlm.cli.records import classified_record

    as_written = replace(models[0].text, normalize="none")  # each model normalizes for itself
    found = each_with(inputs.texts(as_written), classify)
    if form == "json":
        show_json(classified_record(one, names, text, models[0].text.unit) for text, one in found)
    elif form == "tsv":
        show_tsv(["best", *names, "text"], ([names[one.best], *one.posterior, one.text] for _, one in found))
    else:
        rows = ([names[one.best], *(f"{p:.2%}" for p in one.posterior), one.text] for _, one in found)
        show(aligned([["best", *names, "text"], *rows]))
