"""Settings that nobody gave: chosen by the corpus, the minutes there are, and the speed of the machine.

What stands here are the outcomes of the measurements in `docs/quality.md`. Two things decide: how much computing
the minutes buy (small networks learn faster, large ones further), and how much text there is (a little text is
soon known by heart, so it is read less often, by a smaller network, with more dropout).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from charlm.config import SIZES, NetworkConfig, TrainConfig, check, is_real
from charlm.errors import ConfigError

HIDDEN_OF_SIZE = dict(zip(SIZES, (64, 160, 256, 512), strict=True))
"""--size: units of one layer."""
BUDGETS = ("epochs", "steps", "minutes")
"""Settings that say when a run ends."""
REFERENCE_SPEED = 180_000
"""Characters per second of an LSTM 256x1 on the machine that the recipes were found on (`probe.py`)."""
BOOK = 1_000_000
"""Characters of the text that the recipes for books were found on."""

BOTH_SIDES = 128
"""Steps of a window that is read from both sides, at least: it carries its context with it."""
TWO_STACKS = 2.5
"""Times slower a character is learned from both sides: two stacks, and the margins of a window."""

MIN_STEPS = 100
"""Steps that fit into a budget of minutes, where a smaller network can achieve that."""
MIN_HIDDEN = 32
"""Units of a layer below which a large vocabulary makes no network smaller."""

Recipe = Mapping[str, Any]

BOOK_RECIPES: tuple[tuple[float, Recipe], ...] = (
    (0.3, {"hidden": 192, "learning_rate": 0.016, "warmup": 0.1, "average": 0.98, "bptt": 48, "dropout": 0.0}),
    (1.0, {"hidden": 256, "learning_rate": 0.016, "warmup": 0.1, "average": 0.98, "bptt": 48, "dropout": 0.0}),
    (3.0, {"hidden": 384, "learning_rate": 0.01, "warmup": 0.1, "average": 0.99, "bptt": 64, "dropout": 0.2}),
    (7.0, {"hidden": 512, "learning_rate": 0.007, "average": 0.997, "bptt": 96, "dropout": 0.3}),
    (15.0, {"hidden": 512, "learning_rate": 0.007, "average": 0.997, "bptt": 96, "dropout": 0.4}),
    (
        float("inf"),
        {"hidden": 512, "layers": 2, "learning_rate": 0.005, "average": 0.998, "bptt": 96, "dropout": 0.4}
        | {"recurrent_dropout": 0.2},
    ),
)
"""Up to so many minutes at the reference speed -> settings."""
EVERY_BOOK: Recipe = {"batch": 16}
"""Settings beside those, whatever the minutes."""

SMALL_RECIPES: tuple[tuple[int, Recipe], ...] = (
    (
        30_000,
        {"hidden": 128, "learning_rate": 0.008, "average": 0.99, "batch": 8, "dropout": 0.5, "epochs": 60.0}
        | {"recurrent_dropout": 0.3},
    ),
    (
        100_000,
        {"hidden": 256, "learning_rate": 0.005, "average": 0.99, "batch": 16, "dropout": 0.6, "epochs": 26.0}
        | {"recurrent_dropout": 0.5},
    ),
    (
        400_000,
        {"hidden": 256, "learning_rate": 0.01, "average": 0.99, "batch": 16, "dropout": 0.4, "epochs": 20.0}
        | {"recurrent_dropout": 0.3},
    ),
)
"""Up to so many characters of training text -> settings; `epochs` is how often it bears to be read."""
TWO_LAYERS: Recipe = {"layers": 2, "learning_rate": 0.008, "epochs": 24.0}
"""What the last of these becomes where there is time for it."""
TIME_FOR_TWO = 1.0
"""Minutes at the reference speed."""


class Choice(NamedTuple):
    """Complete settings, and a line that says what was chosen and why."""

    network: NetworkConfig
    train: TrainConfig
    reason: str


def default_minutes(characters: int) -> float:
    """Return the budget for a training text of that many characters when none is given."""
    return min(10.0, max(1.0, round(characters / BOOK * 5, 1)))


def choose(given: Mapping[str, Any], characters: int, speed: float = REFERENCE_SPEED, *, vocabulary: int = 0) -> Choice:
    """Complete the settings that are given (field name -> value, None for not given).

    Parameters
    ----------
    given : mapping
        Fields of NetworkConfig and TrainConfig, and `size`.
    characters : int
        Length of the training text in tokens.
    speed : float
        Characters per second of the reference network on this machine, see `probe.characters_per_second`.
    vocabulary : int
        Number of distinct tokens, V. A large vocabulary gets a smaller network when minutes are the budget.

    Returns
    -------
    Choice

    Raises
    ------
    ConfigError
        If a given setting is unknown or out of its range.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    size = wanted.pop("size", None)
    refuse_unknown(wanted)
    has_budget = any(name in wanted for name in BUDGETS)
    chosen: dict[str, Any] = {} if has_budget else {"minutes": default_minutes(characters)}
    minutes = wanted.get("minutes", chosen.get("minutes", 2.0))
    check(is_real(minutes) and minutes > 0, "minutes", minutes, "more than 0")
    both = bool(wanted.get("bidirectional"))
    chosen |= {"patience": 4} | recipe_for(minutes * speed / REFERENCE_SPEED / (TWO_STACKS if both else 1), characters)
    if both:
        chosen["bptt"] = max(chosen.get("bptt", 64), BOTH_SIDES)
    if "epochs" in wanted or "steps" in wanted:
        chosen.pop("epochs", None)
    if "dropout" in wanted:  # whoever sets one kind means all of it
        chosen.pop("recurrent_dropout", None)
    if size is not None:
        check(size in SIZES, "size", size, "one of " + ", ".join(SIZES))
        chosen["hidden"] = HIDDEN_OF_SIZE[size]
    settings = chosen | wanted
    network = NetworkConfig(**{name: settings[name] for name in names(NetworkConfig) if name in settings})
    train = TrainConfig(**{name: settings[name] for name in names(TrainConfig) if name in settings})
    why = reason(network, train, bool(set(chosen) - set(wanted)), characters)
    if size is None and "hidden" not in wanted and not ("epochs" in wanted or "steps" in wanted):
        smaller = fit_to_vocabulary(network, train, vocabulary, 60 * minutes * speed)
        if smaller is not network:
            network = smaller
            why = reason(network, train, True, characters)
            why += f"; a smaller network because the vocabulary is large ({vocabulary:,} tokens)"
    return Choice(network, train, why)


def fit_to_vocabulary(network: NetworkConfig, train: TrainConfig, vocabulary: int, budget: float) -> NetworkConfig:
    """Halve `hidden`, not below MIN_HIDDEN, until MIN_STEPS training steps fit into the budget.

    budget: characters that the reference network could learn in the given minutes.
    """
    while MIN_STEPS * step_cost(network, train, vocabulary) > budget and network.hidden > MIN_HIDDEN:
        network = replace(network, hidden=max(MIN_HIDDEN, network.hidden // 2))
    return network


def step_cost(network: NetworkConfig, train: TrainConfig, vocabulary: int) -> float:
    """Estimate the time of a training step, in characters of the reference network (an LSTM 256x1).

    Both terms consist of a recurrent and an output part. The first term is the forward and backward pass of
    each character; the second is the update of each parameter.
    """
    hidden = network.hidden
    recurrent = network.layers * 8 * hidden**2  # weights of the stack, about
    character = recurrent / (8 * 256**2) + vocabulary * (0.6e-6 * hidden + 0.06e-3)
    return train.batch * train.bptt * character + 70e-6 * (recurrent + 5 * hidden * vocabulary)


def refuse_unknown(wanted: Mapping[str, Any]) -> None:
    """Raise ConfigError for a name that no setting has, with the one that was meant."""
    known = [*names(NetworkConfig), *names(TrainConfig), "size"]
    for name in wanted:
        if name not in known:
            meant = get_close_matches(name, known, 1)
            raise ConfigError(f"{name}: no such setting; " + (f"{meant[0]} is one" if meant else ", ".join(known)))


def recipe_for(minutes: float, characters: int) -> dict[str, Any]:
    """Return the settings for so many minutes at the reference speed, and so many characters."""
    for most, recipe in SMALL_RECIPES:
        if characters <= most:
            has_time = most == SMALL_RECIPES[-1][0] and minutes >= TIME_FOR_TWO
            return {**recipe, **(TWO_LAYERS if has_time else {})}
    return {**EVERY_BOOK, **next(recipe for most, recipe in BOOK_RECIPES if minutes <= most)}


def names(kind: type[NetworkConfig] | type[TrainConfig]) -> list[str]:
    """Return the names of a configuration's fields."""
    return [field.name for field in fields(kind)]


def reason(network: NetworkConfig, train: TrainConfig, is_chosen: bool, characters: int) -> str:
    """Say in one line what was chosen, and from what."""
    both = "bidirectional " if network.bidirectional else ""
    recurrent = f" (recurrent {network.recurrent_dropout:g})" if network.recurrent_dropout else ""
    return (
        f"{both}{network.cell} {network.hidden}x{network.layers}, batch {train.batch}, bptt {train.bptt}, "
        f"dropout {network.dropout:g}{recurrent}, {train.optimizer} at {train.learning_rate:g}, "
        f"{'chosen for' if is_chosen else 'as given for'} {characters:,} characters and at most {budget_of(train)}"
    )


def budget_of(train: TrainConfig) -> str:
    """Write a run's budget, such as "2 minutes" or "1,000 steps or 1 epoch"."""
    given = ((name, getattr(train, name)) for name in BUDGETS)
    amounts = ((f"{value:,}".removesuffix(".0"), name) for name, value in given if value is not None)
    return " or ".join(f"{amount} {name.removesuffix('s') if amount == '1' else name}" for amount, name in amounts)
