"""charlm classify: find which of several models a text is from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import read_texts, require_texts
from charlm.cli.tables import aligned, model_names, show, show_json, show_tsv

models_option = option_group("Models")


@click.command("classify", cls=Command)
@options.texts
@options.decoding
@models_option("-m", "--model", "paths", type=options.PATH, multiple=True, required=True, metavar="PATH",
               help="Compare this model file; give two or more.")  # fmt: skip
@models_option("--prior", "priors", type=float, multiple=True, metavar="P", show_default="equal",
               help="Prior probability of each model, in their order.")  # fmt: skip
@models_option("--eos/--no-eos", "end", default=None, show_default="if all models learned lines",
               help="Score the end of each text.")  # fmt: skip
@options.output("--json", "form", flag_value="json", help="Print JSON Lines.")
@options.output("--tsv", "form", flag_value="tsv", help="Print tab-separated values.")
@options.threads
def command(
    texts: tuple[str, ...], files: tuple[Path, ...], by_line: bool, encoding: str | None, errors: str | None,
    paths: tuple[Path, ...], priors: tuple[float, ...], end: bool | None, form: str | None,
    threads: int | None,
) -> None:  # fmt: skip
    """Print the probability that each TEXT is from each model, by Bayes' rule.

    A model divides the probability of its UNK among the characters that it does not know, so that models with
    different vocabularies are comparable. Results come in the order of the input.

    Examples:
      charlm classify -m english.safetensors -m german.safetensors "guten Tag"
      charlm classify -m ham.safetensors -m spam.safetensors --prior 0.8 --prior 0.2 --file mail.txt --lines --tsv
    """
    from charlm.model import cores_for

    require_texts(texts, files)
    models = [options.open_model(path, threads, encoding=encoding, errors=errors) for path in paths]
    names = model_names(paths)
    as_written = replace(models[0].text, normalize="none")  # each model normalizes for itself
    given = read_texts(texts, files, by_line, as_written)
    found = charlm.classify(models, given, priors=priors or None, end=end, threads=cores_for(threads))
    if form == "json":
        show_json(
            {
                "text": one.text,
                "best": names[one.best],
                "posterior": dict(zip(names, one.posterior, strict=True)),
                "log_prob": dict(zip(names, one.log_probs, strict=True)),
            }
            for one in found
        )
    elif form == "tsv":
        show_tsv(["best", *names, "text"], ([names[one.best], *one.posterior, one.text] for one in found))
    else:
        rows = ([names[one.best], *(f"{p:.2%}" for p in one.posterior), one.text] for one in found)
        show(aligned([["best", *names, "text"], *rows]))
