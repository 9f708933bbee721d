"""charlm gradients: see whether gradients vanish, last or explode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from charlm.cli.command import Command
from charlm.cli.curves import draw_curves, find_matplotlib
from charlm.cli.options import decoding_options, open_model
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import escape
from charlm.config import TextConfig, is_real

if TYPE_CHECKING:
    from charlm.diagnostics.clipping_log import Clipping
    from charlm.diagnostics.gradient_flow import GradientFlow
    from charlm.model import LanguageModel

MOST_CHARACTERS = 2_000_000
"""Of a longer text the beginning is taken."""


class Measured(NamedTuple):
    """A model file and what was found."""

    path: Path
    flow: GradientFlow
    clipping: Clipping | None
    limit: float | None


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL...")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option("--back", default=64, show_default=True, metavar="K", help="How many steps back to look.")
@click.option("--places", default=100, show_default=True, metavar="N",
              help="Characters of FILE whose loss is followed back, spread evenly.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), metavar="PATH",
              help="Draw the norms into this file, such as gradients.svg or .png (needs matplotlib).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a model, with every step.")
@decoding_options
def command(
    models: tuple[Path, ...],
    file: Path,
    back: int,
    places: int,
    plot: Path | None,
    as_json: bool,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Measure how the loss at step t depends on the state k steps back, on the text in FILE ("-" is standard input).

    Prints the norm of d loss_t / d h_(t-k), loss in nats, averaged over places t; and how often clipping acted while
    the model was trained, by the log that its run left beside it. Several models are compared.
    """
    if plot is not None:
        find_matplotlib(plot)
    opened = [open_model(path, encoding=encoding, errors=errors) for path in models]
    text = beginning_of(file, replace(opened[0].text, normalize="none"))  # each model normalises for itself
    found: list[Measured] = []
    for path, model in zip(models, opened, strict=True):
        flow = model.gradients(text, back=back, places=places)
        limit = limit_of(model)
        found.append(Measured(path, flow, clipping_of(path, limit), limit))
    if plot is not None:
        draw_curves(dict(curves(found)), plot)
    show(map(in_json, found) if as_json else readable(found))


def beginning_of(file: Path, config: TextConfig) -> str:
    """Return the text of a file, of a long one about its first MOST_CHARACTERS."""
    from charlm.text.reading import read_chunks

    text = ""
    for chunk in read_chunks(file, config):
        text += chunk
        if len(text) >= MOST_CHARACTERS:
            break
    return text


def limit_of(model: LanguageModel) -> float | None:
    """Return the --clip that a model was trained with; None if its file does not tell."""
    settings = model.training.get("settings")
    clip = settings.get("clip") if isinstance(settings, dict) else None
    return float(clip) if clip is not None and is_real(clip) and clip >= 0 else None


def clipping_of(path: Path, limit: float | None) -> Clipping | None:
    """Return what the log of the run tells, if there is one."""
    from charlm.diagnostics.clipping_log import read_clipping
    from charlm.runs.files import Files

    return None if limit is None else read_clipping(Files(path).log, limit)


def in_json(measured: Measured) -> str:
    """Write all figures of a model as a JSON object."""
    facts = {"model": str(measured.path)} | measured.flow.as_json()
    facts["clip"] = measured.limit
    facts["clipping"] = None if measured.clipping is None else asdict(measured.clipping)
    return json.dumps(facts, ensure_ascii=False)


def curves(found: list[Measured]) -> Iterator[tuple[str, list[float]]]:
    """Yield a name and the norms, k = 0 first, of each layer of each model."""
    for measured in found:
        for layer, norms in enumerate(measured.flow.norms):
            yield name_of(measured, layer, found), norms.tolist()


def name_of(measured: Measured, layer: int, found: list[Measured]) -> str:
    """Return what a layer of one of the models is called in tables and plots."""
    name = f"layer {layer + 1}"
    if len(found) == 1:
        return name
    stems = [other.path.name.removesuffix(".safetensors") for other in found]
    model = stems[found.index(measured)] if len(set(stems)) == len(stems) else str(measured.path)
    return model if len(measured.flow.norms) == 1 else f"{model} {name}"


def readable(found: list[Measured]) -> Iterator[str]:
    """Yield the table, and what there is to say of each layer and of clipping."""
    columns = dict(curves(found))
    places = max(int(measured.flow.places[0]) for measured in found)
    yield f"norm of d loss_t / d h_(t-k), loss in nats, mean over {places:,} places t"
    back = len(found[0].flow.places) - 1
    rows = [["k (steps back)", *map(escape, columns), ""]]
    for k in [0, *(2**n for n in range(back.bit_length()) if 2**n < back), back]:
        rows.append([str(k), *("-" if norms[k] != norms[k] else f"{norms[k]:.3g}" for norms in columns.values()), ""])
    yield from (line.rstrip() for line in aligned(rows))
    for measured in found:
        for layer in range(len(measured.flow.norms)):
            yield f"{escape(name_of(measured, layer, found))}: {verdict(measured.flow, layer)}"
        whose = f"{escape(str(measured.path))}: " if len(found) > 1 else ""
        yield whose + on_clipping(measured)


def verdict(flow: GradientFlow, layer: int) -> str:
    """Say how the gradient of a layer goes back."""
    factor = flow.factor(layer)
    if factor != factor:
        return "no text reaches far enough back to say"
    until = flow.steps_until_little(layer)
    lasting = "never below 1 % of that at k = 1" if until is None else f"below 1 % of that at k = 1 from k = {until} on"
    return f"times {factor:.3g} a step back, {lasting}"


def on_clipping(measured: Measured) -> str:
    """Say how often clipping acted."""
    if measured.limit is None:
        return "clipping: the model file does not tell the settings of its training"
    found = measured.clipping
    if found is None:
        return f"clipping: no log of its run beside {escape(str(measured.path))}, so how often it acted is not known"
    share = f"{found.clipped:,} of {found.steps:,} logged steps ({found.clipped / found.steps:.1%})"
    acted = f"acted at {share}, above a norm of {found.limit:g}" if found.limit else "was off (--clip 0)"
    return (
        f"clipping: {acted}; norm of the whole gradient: median {found.median_norm:.3g}, "
        f"largest {found.largest_norm:.3g}"
    )
