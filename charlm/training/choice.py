"""Settings that nobody gave: chosen by the corpus and the minutes there are.

What stands here are the outcomes of the ablations in `docs/quality.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from charlm.config import NetworkConfig, TrainConfig, check

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden": 64, "layers": 1},
    "small": {"hidden": 160, "layers": 1},
    "medium": {"hidden": 256, "layers": 1},
    "large": {"hidden": 512, "layers": 1},
}
"""--size: the network alone."""

RECIPES: list[tuple[float, dict[str, Any]]] = [
    (0.75, {"hidden": 160, "learning_rate": 0.016, "average": 0.97, "batch": 32, "bptt": 64, "dropout": 0.0}),
    (3.0, {"hidden": 256, "learning_rate": 0.016, "average": 0.99, "batch": 32, "bptt": 64, "dropout": 0.1}),
    (7.0, {"hidden": 384, "learning_rate": 0.008, "average": 0.995, "batch": 32, "bptt": 96, "dropout": 0.3}),
    (float("inf"), {"hidden": 512, "learning_rate": 0.012, "average": 0.997, "batch": 32, "bptt": 96, "dropout": 0.4}),
]
"""Up to so many minutes on two cores, for a book of a million characters -> settings."""

BOOK = 1_000_000
"""Characters of the text that the recipes were found on."""


class Choice(NamedTuple):
    """Complete settings, and a line that says what was chosen and why."""

    network: NetworkConfig
    train: TrainConfig
    reason: str


def default_minutes(characters: int) -> float:
    """Return the budget for a training text of that many characters when none is given."""
    return min(10.0, max(1.0, round(characters / BOOK * 5, 1)))


def choose(given: Mapping[str, Any], characters: int, lines: bool) -> Choice:
    """Complete the settings that are given (field name -> value, None for not given).

    characters: of the training text.  lines: whether each line is a document.
    Raises ConfigError if a given setting is out of its range.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    size = wanted.pop("size", None)
    chosen: dict[str, Any] = {}
    if not any(name in wanted for name in ("epochs", "steps", "minutes")):
        chosen["minutes"] = default_minutes(characters)
    minutes = wanted.get("minutes", chosen.get("minutes", 2.0))
    check(isinstance(minutes, (int, float)) and minutes > 0, "minutes", minutes, "more than 0")
    chosen |= next(recipe for most, recipe in RECIPES if minutes <= most)
    if characters < BOOK / 4:
        chosen |= {"hidden": min(chosen["hidden"], 128 if characters < BOOK / 16 else 192), "dropout": 0.3}
    if size is not None:
        check(size in SIZES, "size", size, "one of " + ", ".join(SIZES))
        chosen |= SIZES[size]
    settings = chosen | wanted
    network = NetworkConfig(**{name: settings[name] for name in names(NetworkConfig) if name in settings})
    train = TrainConfig(**{name: settings[name] for name in names(TrainConfig) if name in settings})
    return Choice(network, train, reason(network, train, chosen, wanted, characters))


def names(kind: type[NetworkConfig] | type[TrainConfig]) -> list[str]:
    """Return the names of a configuration's fields."""
    return [field.name for field in fields(kind)]


def reason(
    network: NetworkConfig, train: TrainConfig, chosen: Mapping[str, Any], wanted: Mapping[str, Any], characters: int
) -> str:
    """Say in one line what was chosen, and from what."""
    budgets = ((train.minutes, "minutes"), (train.epochs, "epochs"), (train.steps, "steps"))
    budget = " or ".join(f"{value:g} {unit}" for value, unit in budgets if value is not None)
    origin = "chosen for" if set(chosen) - set(wanted) else "as given for"
    return (
        f"{network.cell} {network.hidden}x{network.layers}, batch {train.batch}, bptt {train.bptt}, "
        f"dropout {network.dropout:g}, {train.optimizer} at {train.learning_rate:g}, "
        f"{origin} {characters:,} characters and {budget}"
    )
