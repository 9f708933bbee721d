"""charlm classify: find which of several models a text is from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, each_with
from charlm.cli.tables import aligned, model_names, show, show_json, show_tsv

model_option = option_group("Model")
scoring_option = option_group("Scoring")


@click.command("classify", cls=Command)
@options.texts
@options.decoding
@options.models
@model_option("--prior", "priors", type=float, multiple=True, metavar="P", show_default="equal",
              help="Prior probability of each model, in their order.")  # fmt: skip
@scoring_option("--eos/--no-eos", "end", default=None, show_default="if all models learned lines",
                help="Score the end of each text.")  # fmt: skip
@options.records
@options.threads
def command(
    inputs: Inputs, encoding: str | None, errors: str | None,
    model_paths: tuple[Path, ...], priors: tuple[float, ...], end: bool | None, form: str | None,
    threads: int | None,
) -> None:  # fmt: skip
    """Print the probability that each TEXT is from each model, by Bayes' rule.

    A model divides the probability of its UNK among the characters that it does not know, so that models with
    different vocabularies are comparable. Results come in the order of the input.

    Examples:
      charlm classify -m english.safetensors -m german.safetensors "guten Tag"
      charlm classify -m en.safetensors -m de.safetensors --file mails.txt --lines
      charlm classify -m a.safetensors -m b.safetensors --prior 0.8 --prior 0.2 x
    """
    from charlm.cli.records import classified_record

    if not model_paths:
        raise click.UsageError("no model is given; name two or more, each with -m")
    models = [options.open_model(path, threads, encoding=encoding, errors=errors) for path in model_paths]
    names = model_names(model_paths)
    as_written = replace(models[0].text, normalize="none")  # each model normalizes for itself
    classify = partial(charlm.classify, models, priors=priors or None, end=end, threads=threads)
    found = each_with(inputs.texts(as_written), classify)
    if form == "json":
        show_json(classified_record(one, names, text, models[0].text.unit) for text, one in found)
    elif form == "tsv":
        show_tsv(["best", *names, "text"], ([names[one.best], *one.posterior, one.text] for _, one in found))
    else:
        rows = ([names[one.best], *(f"{p:.2%}" for p in one.posterior), one.text] for _, one in found)
        show(aligned([["best", *names, "text"], *rows]))
