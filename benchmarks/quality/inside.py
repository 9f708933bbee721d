"""What single cells of trained and untrained networks represent, and how saturated their gates are.

The best cell of each property is chosen on the first half of held-out text and measured on the second half, as in
`charlm cells`. An untrained network of the same shape and the current character alone are the controls.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.texts import held_out_text
from charlm.diagnostics.activations import Activations
from charlm.diagnostics.cell_ranking import CellScore
from charlm.model import LanguageModel
from charlm.nn.network import Network

MEASURES = {"auc": "AUC", "correlation": "r"}


def untrained(model: LanguageModel, seed: int) -> LanguageModel:
    """Return a model of the same shape and vocabulary with initial weights."""
    network = model.network
    assert isinstance(network, Network)
    return LanguageModel(network, network.initial(np.random.default_rng(seed)), model.vocabulary, model.text)


def best_cells(model: LanguageModel, text: str) -> dict[str, CellScore]:
    """Return the best cell of each property."""
    return {score.name: score for score in model.cells(text, best=1)}


def print_cells(
    names: Sequence[str], found: Sequence[dict[str, CellScore]], controls: Sequence[dict[str, CellScore]]
) -> None:
    """Print a row for each property: the controls, then the held-out measure and the cell of each model."""
    print(f"| property | measure | character alone | untrained | {' | '.join(names)} |")
    print("|---|---|" + "---:|" * (2 + len(names)))
    for name, first in found[0].items():
        by_chance = np.mean([control[name].held_out for control in controls])
        cells = [f"{one[name].held_out:.3f} (cell {one[name].layer}.{one[name].cell})" for one in found]
        print(f"| {name} | {MEASURES[first.measure]} | {first.baseline:.3f} | {by_chance:.3f} | {' | '.join(cells)} |")


def print_saturation(names: Sequence[str], activations: Sequence[Activations]) -> None:
    """Print a row for each gate and layer: mean fractions of characters at which it is saturated."""
    print("\n| gate | layer | " + " | ".join(f"{name}: left | right" for name in names) + " |")
    print("|---|---|" + "---:|---:|" * len(names))
    for gate in activations[0].sigmoid_gates:
        means = [found.saturation(gate).mean(axis=2) for found in activations]
        for layer in range(means[0].shape[1]):
            cells = " | ".join(f"{mean[0, layer]:.3f} | {mean[1, layer]:.3f}" for mean in means)
            print(f"| {gate} | {layer} | {cells} |")


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="The training text.")
@click.option("-m", "--model", "paths", type=click.Path(exists=True, path_type=Path), multiple=True, required=True,
              help="A model that was trained on the text. Repeatable.")  # fmt: skip
@click.option("--characters", default=20_000, show_default=True, help="Held-out characters.")
@click.option("--controls", default=3, show_default=True, help="Untrained networks.")
def main(text: Path, paths: tuple[Path, ...], characters: int, controls: int) -> None:
    """Rank the cells of trained and untrained networks by the properties of held-out text that they predict."""
    models = [charlm.load(path) for path in paths]
    held_out = held_out_text(models[0], text)[:characters]
    names = [path.stem for path in paths]
    print(f"{text.name}: {len(held_out):,} held-out characters; untrained: mean of {controls}\n")
    random = [best_cells(untrained(models[0], seed), held_out) for seed in range(controls)]
    print_cells(names, [best_cells(model, held_out) for model in models], random)
    short = held_out[: characters // 4]
    print_saturation(["untrained", *names], [model.activations(short) for model in (untrained(models[0], 0), *models)])
