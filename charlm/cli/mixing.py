"""The options of commands that read one model or a mixture of several."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import charlm
from charlm.cli.command import option_group
from charlm.cli.completion import model_files
from charlm.cli.inputs import STDIN, read_document, require_files
from charlm.cli.options import INPUT, MODEL, MODEL_VARIABLE, open_model
from charlm.cli.tables import model_names
from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.text_model import TextModel

model_option = option_group("Model")


class ModelPath(click.Path):
    """The path of a model file. An environment variable holds one path, which may contain the separator of paths."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the value as one path."""
        return [rv]


class Chosen(NamedTuple):
    """The models of a command line.

    Attributes
    ----------
    paths : one or more model files; a pattern of a shell names all files that match it
    weights : the weight of each model; none for equal weights
    sample : the text on which the weights are fitted, or None
    label : the label of the texts, for models with labels, or None
    """

    paths: tuple[Path, ...]
    weights: tuple[float, ...]
    sample: Path | None
    label: str | None


def models(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add -m, --label, --weight and --fit; the command gets the models as `chosen`."""

    @wraps(function)
    def command(
        model_paths: tuple[Path, ...], label: str | None, weights: tuple[float, ...], fit: Path | None, **settings: Any
    ) -> Any:
        return function(chosen=Chosen(model_paths, weights, fit, label), **settings)

    paths = model_option(
        "-m", "--model", "model_paths", type=ModelPath(path_type=Path), multiple=True, default=(MODEL,),
        show_default=MODEL, envvar=MODEL_VARIABLE, show_envvar=True, metavar="PATH...", shell_complete=model_files,
        help="Read this model file. Repeatable: the probabilities of several models are averaged.",
    )  # fmt: skip
    label = model_option("--label", metavar="LABEL", show_default=False,
                         help="Read or write texts with this label; needs a model of train --labels.")  # fmt: skip
    weight = model_option("--weight", "weights", type=float, multiple=True, metavar="W", show_default="equal",
                          help="Weight of each model, in their order. Repeatable.")  # fmt: skip
    fit = model_option("--fit", type=INPUT, metavar="FILE",
                       help="Fit the weights of several models to the text of this file.")  # fmt: skip
    return paths(label(weight(fit(command))))


def open_models(
    chosen: Chosen, threads: int | None = None, *, encoding: str | None = None, errors: str | None = None,
    texts: Iterable[str | Path | None] = (),
) -> TextModel:  # fmt: skip
    """Load the models of a command line: one model, or the mixture of several; see `open_model`.

    Parameters
    ----------
    texts : what else the command reads; "-" is standard input

    Raises
    ------
    UsageError : --weight or --fit is given without several models, both are given, or --fit and a text are "-"
    ConfigError : the models have no labels, or not this one
    """
    paths = [path for pattern in chosen.paths for path in matches(pattern)]
    for value, flag in ((chosen.weights, "--weight"), (chosen.sample, "--fit")):
        if value and len(paths) == 1:
            raise click.UsageError(f"{flag} is for several models; name each with -m")
    if chosen.weights and chosen.sample:
        raise click.UsageError("--weight and --fit exclude each other; pass one of them")
    if chosen.sample == STDIN and STDIN in [Path(text) for text in texts if text]:
        raise click.UsageError("--fit and the command would both read standard input; name a file for --fit")
    loaded = [open_model(path, threads, encoding=encoding, errors=errors) for path in paths]
    if len(loaded) == 1:
        return loaded[0].given(chosen.label)
    mixture = charlm.Mixture(loaded, chosen.weights or None).given(chosen.label)
    if chosen.sample is None:
        return mixture
    require_files([chosen.sample])
    mixture = mixture.fitted(read_document(chosen.sample, mixture.text), threads=threads)
    weights = zip(model_names(paths), mixture.weights, strict=True)
    warn("fitted weights: " + ", ".join(f"{name} {weight:.3f}" for name, weight in weights))
    return mixture


def matches(path: Path) -> list[Path]:
    """Return the files that a path names: itself, or in order all that it matches as a pattern, such as `*`."""
    if path.exists():
        return [path]
    return [Path(name) for name in sorted(glob.glob(str(path)))] or [path]


def require_one(model: TextModel, flags: str) -> charlm.LanguageModel:
    """Return a model; raise UsageError if it is a mixture, for options that need the weights of one model."""
    if not isinstance(model, charlm.LanguageModel):
        if not isinstance(model, charlm.Mixture):
            raise click.UsageError(f"{flags} needs the --label of the texts with this model")
        raise click.UsageError(f"{flags} takes one model; pass one -m")
    return model
