"""Settings that are not given, derived from the length of the text, the budget and the speed of the machine.

`docs/explanation/quality.md` has the measurements that the tables are from. A small network learns faster; a large one
reaches a lower loss. A short text is memorised in the end, so that it gets few updates, a small network and dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

from charlm.checks import COUNT, POSITIVE, check_choice, check_value
from charlm.config import SIZES, NetworkConfig, TrainConfig
from charlm.settings import refuse_unknown
from charlm.training import gpu_recipes
from charlm.training.cost import stack_weights, step_cost
from charlm.training.ensemble_size import MAX_CHOSEN_MEMBERS, Speed, members_for_long_text, members_for_short_text
from charlm.training.label_recipes import label_recipe

HIDDEN_OF_SIZE = dict(zip(SIZES, (64, 160, 256, 512), strict=True))
"""Value of `size` -> units of one layer."""
NETWORK_SETTINGS = [field.name for field in fields(NetworkConfig)]
TRAIN_SETTINGS = [field.name for field in fields(TrainConfig)]
BUDGETS = ("epochs", "steps", "minutes")
"""Settings that end a run."""
REFERENCE_SPEED = Speed(110_000, 180_000, 2)
"""Speed of the reference network (an LSTM 256x1) on the machine of the measurements."""
BOOK_CHARACTERS, BOOK_VOCABULARY = 1_000_000, 65
"""Length of the text on which the recipes for books were measured, and the size of its vocabulary."""
MIN_BIDIRECTIONAL_STEPS = 128
"""Steps of a bidirectional window, which carries its context with it."""
BIDIRECTIONAL_COST = 2.5
"""Time of a bidirectional network per character, relative to one direction: two stacks, and the margins of windows."""
SMALL_BATCH_COST, STREAMS_OF_SMALL_BATCH = 1.5, 24
"""Time of a step of the recipes for short texts, relative to `step_cost`: a small batch takes that of 24 streams."""
MIN_STEPS = 100
"""Steps that fit into a budget of minutes, if a smaller network can achieve that."""
MIN_HIDDEN = 32
"""Units of a layer that a large vocabulary leaves."""
TIED_VOCABULARY = 1000
"""Tokens from which a network is tied: it has the same test loss with a fraction of the weights."""

Recipe = Mapping[str, Any]

BOOK_SETTINGS = ("hidden", "layers", "learning_rate", "warmup", "average", "bptt", "dropout", "recurrent_dropout")
BOOK_RECIPES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.3, (192, 1, 0.016, 0.1, 0.98, 48, 0.0, 0.0)),
    (1.0, (256, 1, 0.016, 0.1, 0.98, 48, 0.0, 0.0)),
    (6.0, (384, 1, 0.01, 0.1, 0.99, 64, 0.2, 0.0)),
    (15.0, (512, 1, 0.007, 0.02, 0.997, 96, 0.4, 0.0)),
    (float("inf"), (512, 2, 0.005, 0.02, 0.998, 96, 0.4, 0.2)),
)
"""Maximum minutes at the reference speed -> values of BOOK_SETTINGS for long texts."""
ALL_BOOKS: Recipe = {"batch": 16}
"""Further settings for long texts."""

SMALL_SETTINGS = ("hidden", "learning_rate", "average", "batch", "dropout", "recurrent_dropout")
SMALL_RECIPES: tuple[tuple[int, int, tuple[float, ...]], ...] = (
    (30_000, 5000, (128, 0.008, 0.99, 8, 0.55, 0.35)),
    (100_000, 8000, (256, 0.01, 0.99, 16, 0.5, 0.3)),
    (400_000, 9600, (256, 0.016, 0.99, 16, 0.3, 0.1)),
)
"""Maximum characters of the training text, updates, and values of SMALL_SETTINGS for short texts."""
LARGE_VOCABULARY: Recipe = {"learning_rate": 0.005, "dropout": 0.6, "recurrent_dropout": 0.5}
"""Changes to the first two for a large vocabulary, from TIED_VOCABULARY, which also gets half of the updates."""
MAX_PASSES, MIN_UPDATES, MAX_EPOCHS = 150, 1000, 1000
"""Passes that are enough, unless they have fewer updates than MIN_UPDATES; and the most that a very short text gets."""
TWO_LAYERS: Recipe = {"layers": 2, "learning_rate": 0.008, "dropout": 0.4, "recurrent_dropout": 0.3}
"""Changes to the last of these recipes for a longer budget."""
MIN_PASSES_OF_TWO_LAYERS = 50
"""Passes of the reference network from which two layers pay."""
MAX_SHORT = SMALL_RECIPES[-1][0]
"""Characters of a short text, at most."""
DROPOUT_PER_PASS, DROPOUT_PER_PASS_OF_WORDS = 0.05, 0.1
"""Dropout for each pass over a long text, at most, if the network has a weight for each token, or more.

A text that is read once, or that is far longer than the network is large, is not memorised. A large vocabulary, from
TIED_VOCABULARY, is one of words.
"""


class Choice(NamedTuple):
    """Complete settings of a run, and a line that explains them."""

    network: NetworkConfig
    train: TrainConfig
    reason: str


def default_minutes(characters: int) -> float:
    """Return the default budget, in minutes, for a training text of this many characters."""
    return min(10.0, max(1.0, round(characters / BOOK_CHARACTERS * 5, 1)))


def choose(
    settings: Mapping[str, Any],
    characters: int,
    speed: Speed = REFERENCE_SPEED,
    *,
    vocabulary: int = 0,
    max_members: int = MAX_CHOSEN_MEMBERS,
) -> Choice:
    """Complete the given settings.

    Parameters
    ----------
    settings : mapping
        Fields of NetworkConfig and TrainConfig, and `size`; None for not given.
    characters : int
        Length of the training text in tokens.
    speed : Speed
        Of this machine.
    vocabulary : int
        Number of distinct tokens, V. A large vocabulary gets a smaller network when minutes are the budget.
    max_members : int
        Most members of an ensemble that is not given.

    Raises
    ------
    ConfigError
        If a given setting is unknown or out of its range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    size, reason = given.pop("size", None), ""
    refuse_unknown(given, [*NETWORK_SETTINGS, *TRAIN_SETTINGS, "size"])
    default = {} if any(name in given for name in BUDGETS) else {"minutes": default_minutes(characters)}
    minutes = given.get("minutes", default.get("minutes", 2.0))
    check_value("minutes", minutes, POSITIVE)
    is_by_time = not given.keys() & {"epochs", "steps"}
    reference_minutes = minutes / (BIDIRECTIONAL_COST if given.get("bidirectional") else 1)
    members = given.get("ensemble", 1)
    check_value("ensemble", members, COUNT)
    if is_by_time and "ensemble" not in given:
        members = choose_members(reference_minutes, characters, speed, vocabulary, {"size": size, **given})
        members = min(members, max_members)
        passes = reading_passes(reference_minutes, characters, speed)
        if members > 1:
            reason = f"; {members} networks because the time is enough to read the text {passes:,.0f} times"
    at_reference_speed = reference_minutes * speed.of_member(members) / REFERENCE_SPEED.all_cores
    recipe = adapt_recipe(recipe_for(at_reference_speed, characters, given, vocabulary), given, size)
    if characters > MAX_SHORT:
        per_minute = 60 * speed.of_member(members) * reference_minutes / minutes
        recipe = adapt_to_long_text(recipe, {**default, **given}, characters, per_minute, vocabulary, speed.gpus)
        has_large_batch = speed.is_gpu and "batch" not in given and recipe["batch"] > ALL_BOOKS["batch"]
        reason += gpu_recipes.REASON if has_large_batch else ""
    chosen = {**default, "patience": 4, "ensemble": members, "tied": is_tied(given, vocabulary), **recipe}
    network, train = configs_of(chosen | given)
    if is_by_time and size is None and "hidden" not in given:
        fitting = fit_to_vocabulary(network, train, vocabulary, 60 * minutes * speed.of_member(members))
        if fitting != network:
            network = fitting
            reason += f"; a smaller network because the {why_smaller(vocabulary)}"
    is_chosen = not chosen.keys() <= given.keys()
    return Choice(network, train, describe(network, train, is_chosen, characters) + reason)


def configs_of(settings: Mapping[str, Any]) -> tuple[NetworkConfig, TrainConfig]:
    """Return complete settings as the shape of a network and how it is trained."""
    network = NetworkConfig(**{name: value for name, value in settings.items() if name in NETWORK_SETTINGS})
    return network, TrainConfig(**{name: value for name, value in settings.items() if name in TRAIN_SETTINGS})


def adapt_recipe(recipe: Recipe, given: Mapping[str, Any], size: str | None) -> dict[str, Any]:
    """Return a recipe without the settings that given ones replace, with those that follow from `size`."""
    adapted = dict(recipe)
    if given.get("bidirectional"):
        adapted["bptt"] = max(adapted.get("bptt", 64), MIN_BIDIRECTIONAL_STEPS)
    if "epochs" in given or "steps" in given:
        adapted.pop("epochs", None)
    if "dropout" in given:  # a given dropout replaces both kinds
        adapted.pop("recurrent_dropout", None)
    if size is not None:
        check_choice("size", size, SIZES)
        adapted["hidden"] = HIDDEN_OF_SIZE[size]
    return adapted


def adapt_to_long_text(
    recipe: Recipe, given: Recipe, characters: int, per_minute: float, vocabulary: int, gpus: int
) -> dict[str, Any]:
    """Return a recipe with the windows of GPUs, and with no more dropout than the passes over the text need.

    given: settings, and the default budget.  per_minute: characters that the reference network reads in a minute.
    gpus: number of GPUs that train together, 0 for a CPU.
    """
    settings = {**recipe, **(gpu_recipes.WINDOWS if gpus else {}), **given}
    if gpus:
        cost = gpu_recipes.character_cost(settings["hidden"], settings["layers"], vocabulary)
    else:
        cost = character_cost(settings, vocabulary)
    per_unit = {
        "epochs": characters,
        "steps": settings["batch"] * settings.get("bptt", 64),
        "minutes": per_minute / cost,
    }
    read = min(settings[budget] * amount for budget, amount in per_unit.items() if settings.get(budget))
    adapted = dict(recipe)
    if gpus:
        batch = gpu_recipes.largest_batch(characters, gpus)
        adapted = gpu_recipes.adapt_to_gpu(recipe, read, vocabulary, batch, gpus)
    if not given.get("outputs"):
        weights = stack_weights(settings["hidden"], settings["layers"]) + settings["hidden"] * vocabulary
        per_pass = DROPOUT_PER_PASS_OF_WORDS if vocabulary >= TIED_VOCABULARY else DROPOUT_PER_PASS
        limit = round(20 * per_pass * read / characters * min(1.0, weights / characters)) / 20
        adapted |= {name: min(adapted[name], limit) for name in ("dropout", "recurrent_dropout") if name in adapted}
    return adapted


def choose_members(minutes: float, characters: int, speed: Speed, vocabulary: int, given: Mapping[str, Any]) -> int:
    """Return the number of networks to train in a number of minutes; given: settings of the network, and `size`."""
    passes = reading_passes(minutes, characters, speed)
    speed_factor = speed.all_cores / REFERENCE_SPEED.all_cores
    recipe = recipe_for(minutes * speed_factor, characters, given, vocabulary)
    settings = {**adapt_recipe(recipe, given, given["size"]), **given}
    cost = character_cost(settings, vocabulary)
    if speed.is_gpu and "epochs" not in recipe:
        cost = gpu_recipes.character_cost(settings["hidden"], settings["layers"], vocabulary)
        return gpu_recipes.members_on_gpu(60 * minutes * speed.all_cores / cost, characters)
    if "epochs" in recipe:
        cost *= max(SMALL_BATCH_COST, STREAMS_OF_SMALL_BATCH / settings["batch"])
        return members_for_short_text(passes, recipe["epochs"] * cost, has_labels=bool(given.get("outputs")))
    return members_for_long_text(passes * character_cost(recipe, BOOK_VOCABULARY) / cost, passes / cost)


def is_tied(given: Mapping[str, Any], vocabulary: int) -> bool:
    """Return whether a network is tied, by the given settings or by the size of the vocabulary."""
    if given.get("tied") is not None:
        return bool(given["tied"])
    return vocabulary >= TIED_VOCABULARY and not (given.get("bidirectional") or given.get("outputs"))


def reading_passes(minutes: float, characters: int, speed: Speed) -> float:
    """Return how often the reference network can read a text, on all cores by themselves."""
    return 60 * minutes * speed.cores * speed.one_core / characters


def character_cost(settings: Mapping[str, Any], vocabulary: int) -> float:
    """Estimate the time of training per character, relative to the reference network."""
    network = NetworkConfig(
        hidden=settings["hidden"], layers=settings.get("layers", 1), tied=is_tied(settings, vocabulary)
    )
    train = TrainConfig(batch=settings["batch"], bptt=settings.get("bptt", 64))
    return step_cost(network, train, vocabulary) / (train.batch * train.bptt)


def fit_to_vocabulary(network: NetworkConfig, train: TrainConfig, vocabulary: int, budget: float) -> NetworkConfig:
    """Halve `hidden`, not below MIN_HIDDEN, until MIN_STEPS training steps fit into the budget.

    budget: characters that the reference network could learn in the given minutes.
    """
    while MIN_STEPS * step_cost(network, train, vocabulary) > budget and network.hidden > MIN_HIDDEN:
        network = replace(network, hidden=max(MIN_HIDDEN, network.hidden // 2))
    return network


def why_smaller(vocabulary: int) -> str:
    """Return why few training steps fit into the budget."""
    return f"vocabulary is large ({vocabulary:,} tokens)" if vocabulary >= TIED_VOCABULARY else "time is short"


def recipe_for(minutes: float, characters: int, given: Mapping[str, Any], vocabulary: int) -> Recipe:
    """Return the settings for a budget, in minutes at the reference speed, and a text's length and vocabulary.

    given: settings that say whether the network predicts labels, or the targets of pairs.
    """
    passes = 60 * minutes * REFERENCE_SPEED.all_cores / characters
    if given.get("outputs"):
        return label_recipe(passes, characters, of_pairs=bool(given.get("encoder_decoder")))
    for max_characters, updates, values in SMALL_RECIPES:
        if characters <= max_characters:
            recipe = dict(zip(SMALL_SETTINGS, values, strict=True))
            if vocabulary >= TIED_VOCABULARY and max_characters < MAX_SHORT:
                recipe, updates = {**recipe, **LARGE_VOCABULARY}, updates // 2
            per_update = recipe["batch"] * 64 / characters  # passes
            epochs = max(min(updates * per_update, MAX_PASSES), min(MIN_UPDATES * per_update, MAX_EPOCHS))
            recipe["epochs"] = float(round(epochs))
            has_time = passes >= MIN_PASSES_OF_TWO_LAYERS or given.keys() & {"epochs", "steps"}
            return {**recipe, **TWO_LAYERS} if max_characters == MAX_SHORT and has_time else recipe
    values = next(values for max_minutes, values in BOOK_RECIPES if minutes <= max_minutes)
    return {**ALL_BOOKS, **dict(zip(BOOK_SETTINGS, values, strict=True))}


def describe(network: NetworkConfig, train: TrainConfig, is_chosen: bool, characters: int) -> str:
    """Describe the settings in one line."""
    recurrent = f" (recurrent {network.recurrent_dropout:g})" if network.recurrent_dropout else ""
    members = f"{train.ensemble} networks, each " if train.ensemble > 1 else ""
    return (
        f"{members}{network}, batch {train.batch}{'' if network.encoder_decoder else f', bptt {train.bptt}'}, "
        f"dropout {network.dropout:g}{recurrent}, {train.optimizer} at {train.learning_rate:g}, "
        f"{'chosen for' if is_chosen else 'as given for'} {characters:,} characters and at most {budget_of(train)}"
    )


def budget_of(train: TrainConfig) -> str:
    """Format the budget of a run, such as "2 minutes" or "1,000 steps or 1 epoch"."""
    given = ((name, getattr(train, name)) for name in BUDGETS)
    amounts = ((f"{value:,}".removesuffix(".0"), name) for name, value in given if value is not None)
    return " or ".join(f"{amount} {name.removesuffix('s') if amount == '1' else name}" for amount, name in amounts)
