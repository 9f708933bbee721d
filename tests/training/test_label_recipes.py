"""The recipes for networks of labels: smaller than those of language models, and ensembles where time is left."""

from __future__ import annotations

import pytest

from charlm.training.ensemble_size import Speed
from charlm.training.label_recipes import label_recipe
from charlm.training.recipes import choose

SPEED = Speed(50_000, 90_000, 2)


@pytest.mark.parametrize("characters", [10_000, 80_000, 300_000, 1_000_000])
@pytest.mark.parametrize("minutes", [0.2, 1.0, 5.0, 60.0])
def test_network_of_labels_is_smaller_than_a_language_model(characters: int, minutes: float) -> None:
    settings = {"minutes": minutes, "ensemble": 1}
    language = choose(settings, characters, SPEED, vocabulary=60).network
    labels = choose(settings | {"outputs": 5}, characters, SPEED, vocabulary=5).network
    assert labels.hidden * labels.layers < language.hidden * language.layers
    assert labels.dropout <= 0.4
    assert labels.recurrent_dropout <= 0.3


def test_longer_text_and_more_passes_get_larger_networks() -> None:
    by_length = [label_recipe(10.0, characters)["hidden"] for characters in (10_000, 80_000, 300_000)]
    recipes = [label_recipe(passes, 10**6) for passes in (1.0, 5.0, 12.0, 30.0, 100.0)]
    assert by_length == sorted(set(by_length))
    assert [recipe["hidden"] for recipe in recipes] == sorted({recipe["hidden"] for recipe in recipes})
    assert [recipe["dropout"] for recipe in recipes] == sorted(recipe["dropout"] for recipe in recipes)


def test_short_text_gets_several_networks_where_time_is_left() -> None:
    settings = {"minutes": 2.0, "outputs": 7}
    assert choose(settings, 270_000, SPEED, vocabulary=7).train.ensemble > 1
    assert choose(settings, 5_000_000, SPEED, vocabulary=7).train.ensemble == 1


def test_given_settings_override_the_recipe() -> None:
    choice = choose({"outputs": 7, "hidden": 33, "dropout": 0.5, "bidirectional": True}, 50_000)
    assert (choice.network.hidden, choice.network.dropout, choice.train.bptt) == (33, 0.5, 128)


def test_pairs_get_many_streams_and_larger_networks_for_more_passes() -> None:
    settings = {"minutes": 15.0, "outputs": 40, "encoder_decoder": True, "ensemble": 1}
    choice = choose(settings, 1_900_000, SPEED, vocabulary=40)
    assert choice.network.encoder_decoder
    assert choice.train.batch >= 64
    assert "bptt" not in choice.reason
    hidden = [
        choose(settings | {"minutes": m}, 1_900_000, SPEED, vocabulary=40).network.hidden for m in (0.5, 3, 8, 99)
    ]
    assert hidden == sorted(set(hidden))
    assert choose({"outputs": 12, "encoder_decoder": True}, 14_000, SPEED, vocabulary=12).train.epochs
