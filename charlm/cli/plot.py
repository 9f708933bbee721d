"""charlm plot: draw the losses of training runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.curves import Curve, draw_lines, find_matplotlib
from charlm.cli.terminal import escape, shows_colors
from charlm.diagnostics.training_log import TrainingLog, read_log
from charlm.errors import ConfigError, MissingExtraError

QUANTITIES = {
    "loss": ("loss in nats", {"train_loss": "train", "valid_loss": "held-out"}),
    "learning-rate": ("learning rate", {"learning_rate": ""}),
    "grad-norm": ("norm of the gradient before clipping", {"grad_norm": ""}),
    "speed": ("characters per second", {"chars_per_second": ""}),
}
"""Choice of --show -> the label of the axis, and the keys of the log with their names."""
COLOURS = ("blue", "red", "green", "magenta", "cyan", "yellow")
HEIGHT = 16
"""Lines of a plot on a terminal."""
MARGIN = 28
"""Columns of a plot on a terminal that its axes take."""

plot_option = option_group("Plot")


@click.command("plot", cls=Command)
@click.argument("logs", nargs=-1, metavar="[LOG]...", type=options.PATH)
@options.models
@plot_option("--show", "quantity", type=click.Choice(list(QUANTITIES)), default="loss", help="Draw this quantity.")
@plot_option(
    "--by", type=click.Choice(["step", "epoch", "seconds"]), default="step", help="Use this as the horizontal axis."
)
@options.output("-o", "--output", type=options.PATH, metavar="PATH",
                help="Draw into this file, such as loss.svg; needs matplotlib.")  # fmt: skip
def command(logs: tuple[Path, ...], model_paths: tuple[Path, ...], quantity: str, by: str, output: Path | None) -> None:
    """Draw the training and held-out losses of one or several runs, from their logs.

    LOG is NAME.log.jsonl, which training writes next to the model; -m names the model instead. Without either, the
    log of the default model is drawn.

    Examples:
      charlm plot
      charlm plot a.log.jsonl b.log.jsonl --by seconds
      charlm plot -m play.safetensors -o loss.svg
    """
    from charlm.runs.files import Files

    if output is not None:
        find_matplotlib(output, "--output")
    models = model_paths or (() if logs else (options.default_model(),))
    paths = [*logs, *(Files(path).log for path in models)]
    label, keys = QUANTITIES[quantity]
    curves = curves_of({name: read_log(path) for name, path in zip(names_of(paths), paths, strict=True)}, keys, by)
    if not curves:
        raise ConfigError(f"the logs have no {label}; `quantity` names another")
    if output is None:
        click.echo(terminal_plot(curves, by, label), color=True)
    else:
        draw_lines(curves, output, xlabel=by, ylabel=label)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for each log: that of its model, or its path if another log has the same."""
    names = [path.name.removesuffix(".jsonl").removesuffix(".log") for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def curves_of(logs: Mapping[str, TrainingLog], keys: Mapping[str, str], by: str) -> dict[str, Curve]:
    """Return each curve by its name: of one run "held-out", of several "a held-out"."""
    curves = {}
    for run, log in logs.items():
        for key, name in keys.items():
            words = [run] * (len(logs) > 1 or not name) + [name] * bool(name)
            curves[" ".join(words)] = log.series(key, by)
    return {name: curve for name, curve in curves.items() if curve}


def terminal_plot(curves: Mapping[str, Curve], xlabel: str, ylabel: str) -> str:
    """Return the curves as text, in the width of the terminal.

    Raises
    ------
    MissingExtraError : plotille is not installed
    """
    try:
        from plotille import Figure
    except ImportError:
        raise MissingExtraError(
            "a plot on the terminal needs plotille, which is not installed; run: pip install plotille; "
            "with matplotlib, `output` draws into a file"
        ) from None

    def number(value: float, chars: int, delta: object, left: bool = False) -> str:
        return f"{value:,.4g}".ljust(chars) if left else f"{value:,.4g}".rjust(chars)

    figure = Figure()
    figure.width, figure.height = max(20, shutil.get_terminal_size().columns - MARGIN), HEIGHT
    figure.color_mode, figure.with_colors = "names", shows_colors()
    figure.register_label_formatter(float, number)
    figure.register_label_formatter(int, number)
    figure.x_label, figure.y_label = xlabel, ""
    last = max(x for curve in curves.values() for x, _ in curve)
    figure.set_x_limits(min_=0, max_=last or 1)
    for (name, curve), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
        marker = "o" if name.endswith("held-out") else None
        figure.plot([x for x, _ in curve], [y for _, y in curve], lc=colour, label=escape(name), marker=marker)
    text: str = figure.show(legend=True)
    lines = [line.rstrip(" \u2800") for line in text.splitlines()]
    return "\n".join([f"{ylabel} by {xlabel}", *lines[1:]])
