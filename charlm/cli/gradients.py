"""charlm gradients: measure whether gradients vanish, last or explode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import charlm
from charlm.checks import is_real
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.curves import draw_curves, find_matplotlib
from charlm.cli.inputs import Inputs, read_prefix
from charlm.cli.tables import aligned, model_names, show, show_json, show_tsv
from charlm.cli.terminal import escape, warn
from charlm.diagnostics.clipping_log import Clipping, read_clipping

if TYPE_CHECKING:
    from charlm.diagnostics.gradient_flow import GradientFlow

MAX_CHARACTERS = 2_000_000
"""Characters of a text that are read at most."""

NORM_KEYS = ("model", "layer", "steps_back", "norm", "positions", "unit")
"""Columns of --tsv, which has a row for each model, layer and distance."""

measurement_option = option_group("Measurement")


@dataclass(frozen=True)
class Measurement:
    """The measurements of one model.

    Attributes
    ----------
    path : the model file
    unit : unit of its vocabulary, "char" or "word"
    flow : norms of the gradient by layer and distance
    limit : the model's `clip`, None if its file does not hold it
    clipping : how often clipping acted, None without a log
    """

    path: Path
    unit: str
    flow: GradientFlow
    limit: float | None
    clipping: Clipping | None


@click.command("gradients", cls=Command)
@options.documents
@options.decoding
@options.models
@measurement_option("--back", default=64, metavar="K", help="Follow gradients K steps back.")
@measurement_option("--places", default=100, metavar="N", help="Average over N positions, spread evenly over the text.")
@measurement_option("--member", default=0, metavar="K", help="Measure member K of a mixture; the first is 0.")
@options.output("--plot", type=options.PATH, metavar="PATH",
               help="Draw the norms into this file, such as gradients.svg; needs matplotlib.")  # fmt: skip
@options.records
def command(
    inputs: Inputs, encoding: str | None, errors: str | None, model_paths: tuple[Path, ...],
    back: int, places: int, member: int, plot: Path | None, form: str | None,
) -> None:  # fmt: skip
    """Measure how the loss at step t depends on the state k steps earlier, on a text.

    Prints the norm of d loss_t / d h_(t-k), loss in nats, averaged over positions t; and how often gradient clipping
    acted in training, from the log next to the model file. Several models are compared. Several files are one text.

    Examples:
      charlm gradients --file corpus.txt
      charlm gradients --file corpus.txt --back 100 --plot gradients.svg
      charlm gradients -m lstm.safetensors -m rnn.safetensors --file corpus.txt
    """
    if plot is not None:
        find_matplotlib(plot)
    paths = model_paths or (options.default_model(),)
    opened = [options.open_model(path, encoding=encoding, errors=errors) for path in paths]
    as_written = replace(opened[0].text, normalize="none")  # each model normalizes for itself
    text = read_prefix(inputs.chunks(as_written), MAX_CHARACTERS)
    flows = [model.gradients(text, back=back, places=places, member=member) for model in opened]
    measured = [measure(*one) for one in zip(paths, opened, flows, strict=True)]
    warn_of_short_texts(measured)
    curves = curves_of(measured)
    if plot is not None:
        draw_curves(dict(curves), plot)
    if form == "json":
        show_json(map(fields_of, measured))
    elif form == "tsv":
        show_tsv(list(NORM_KEYS), norms_of(measured))
    else:
        show(report_lines(measured, curves))


def measure(path: Path, model: charlm.LanguageModel, flow: GradientFlow) -> Measurement:
    """Read how often clipping acted from the training log of a model with measured gradients."""
    from charlm.runs.files import Files

    clip: Any = model.training.settings.get("clip")
    limit = float(clip) if is_real(clip) and clip >= 0 else None
    clipping = None if limit is None else read_clipping(Files(path).log, limit)
    return Measurement(path, model.text.unit, flow, limit, clipping)


def fields_of(measured: Measurement) -> dict[str, Any]:
    """Return the fields of a model in JSON; `places` is the old name of `positions`."""
    flow = measured.flow.as_json()
    clipping = None if measured.clipping is None else asdict(measured.clipping)
    more = {"clip": measured.limit, "clipping": clipping, "positions": flow["places"], "unit": measured.unit}
    return {"model": str(measured.path), **flow, **more}


def norms_of(measured: Iterable[Measurement]) -> Iterator[list[object]]:
    """Yield a row of TSV for each model, layer and distance; its columns are NORM_KEYS."""
    for one in measured:
        flow = one.flow.as_json()
        for layer, norms in enumerate(flow["norms"], 1):
            for steps_back, (norm, positions) in enumerate(zip(norms, flow["places"], strict=True)):
                yield [str(one.path), layer, steps_back, norm, positions, one.unit]


def warn_of_short_texts(measured: Iterable[Measurement]) -> None:
    """Warn if no position has as many steps before it in its text as were asked for."""
    for one in measured:
        reach, back = one.flow.reach, len(one.flow.counts) - 1
        if reach < back:
            warn(f"{one.path}: measured up to k = {reach} instead of {back}, because the text or its lines are shorter")


def curves_of(measured: Sequence[Measurement]) -> list[tuple[str, list[float]]]:
    """Return a name and the norms, k = 0 first, for each layer of each model."""
    curves = []
    for name, one in zip(model_names([one.path for one in measured]), measured, strict=True):
        for layer, norms in enumerate(one.flow.norms, 1):
            models = [name] * (len(measured) > 1)
            layers = [f"layer {layer}"] * (len(one.flow.norms) > 1 or not models)
            curves.append((" ".join(models + layers), norms.tolist()))
    return curves


def report_lines(measured: Sequence[Measurement], curves: Sequence[tuple[str, list[float]]]) -> Iterator[str]:
    """Yield a table of the norms, and a line about each layer and about clipping."""
    positions = max(int(one.flow.counts[0]) for one in measured)
    yield f"norm of d loss_t / d h_(t-k), loss in nats, mean over {positions:,} position{'s' * (positions > 1)} t"
    back = max(one.flow.reach for one in measured)
    distances = sorted({0, *(2**n for n in range(back.bit_length()) if 2**n < back), back})
    rows = [
        [str(k), *("-" if norms[k] != norms[k] else f"{norms[k]:.3g}" for _, norms in curves), ""] for k in distances
    ]
    names = [name for name, _ in curves]
    yield from (line.rstrip() for line in aligned([["k (steps back)", *names, ""], *rows]))
    layers = iter(names)
    for one in measured:
        for layer in range(len(one.flow.norms)):
            yield f"{escape(next(layers))}: {decay_of(one.flow, layer)}"
        yield f"{escape(str(one.path))}: " * (len(measured) > 1) + clipping_of(one)


def decay_of(flow: GradientFlow, layer: int) -> str:
    """Describe how the gradient of a layer changes with the distance."""
    factor = flow.factor(layer)
    if factor != factor:
        return "the text is too short to measure the decay"
    vanished = flow.steps_until_vanished(layer)
    lasting = "never below 1 % of k = 1" if vanished is None else f"below 1 % of k = 1 from k = {vanished} on"
    return f"times {factor:.3g} per step back, {lasting}"


def clipping_of(measured: Measurement) -> str:
    """Describe how often clipping acted."""
    found = measured.clipping
    if measured.limit is None:
        return "clipping: not known, the model file does not hold the settings of its training"
    if found is None:
        return f"clipping: not known, there is no training log next to {escape(str(measured.path))}"
    fraction = f"{found.clipped:,} of {found.steps:,} logged steps ({found.clipped / found.steps:.1%})"
    acted = f"acted at {fraction}, above a norm of {found.limit:g}" if found.limit else "was off (--clip 0)"
    return f"clipping: {acted}; gradient norm: median {found.median_norm:.3g}, largest {found.largest_norm:.3g}"
