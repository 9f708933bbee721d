"""Fine-tuning: the weights that a run begins with, and whose they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.runs.run import Run
from charlm.training.warm_start import SHAPE, grow, inherit, inherited

CONFIG = NetworkConfig("gru", 3, 2)
OLD, NEW = Network(CONFIG, 5), Network(CONFIG, 7)
TINY: dict[str, Any] = {"hidden": 8, "layers": 1, "batch": 4, "bptt": 10, "threads": 1}


def drawn(network: Network, seed: int) -> Parameters:
    """Draw every parameter, so that none is like another."""
    return network.parameters(np.random.default_rng(seed).standard_normal(network.size))


def test_characters_keep_their_weights_and_new_ones_get_the_mean() -> None:
    parent = drawn(OLD, 0)
    params = grow(drawn(NEW, 1), parent)
    for name, new in params.items():
        old = parent[name]
        if name == "rnn.weight_ih_l0":  # (G*H, V)
            np.testing.assert_array_equal(new[:, :5], old)
            np.testing.assert_allclose(new[:, 5:], np.tile(old.mean(axis=1)[:, None], 2))
        elif name == "head.weight":  # (V, H)
            np.testing.assert_array_equal(new[:5], old)
            np.testing.assert_allclose(new[5:], np.tile(old.mean(axis=0), (2, 1)))
        elif name == "head.bias":
            np.testing.assert_array_equal(new, [*old, old.min(), old.min()])
        else:
            np.testing.assert_array_equal(new, old)


def test_end_of_text_is_as_probable_as_the_newline_was() -> None:
    parent, eos, newline = drawn(OLD, 0), 0, 3
    plain, swapped = (grow(drawn(NEW, 1), parent, 1.0, line_end) for line_end in (None, (newline, eos)))
    order = [3, 1, 2, 0, 4, 5, 6]
    for name, new in swapped.items():
        expected = plain[name][order] if name.startswith("head.") else plain[name]
        np.testing.assert_array_equal(new, expected)


def test_a_fraction_of_all_weights_but_those_of_inputs_is_kept() -> None:
    parent, fresh = drawn(OLD, 0), drawn(NEW, 1)
    whole, half = grow(fresh, parent), grow(fresh, parent, 0.25)
    for name, new in half.items():
        expected = whole[name] if name == "rnn.weight_ih_l0" else 0.25 * whole[name] + 0.75 * fresh[name]
        np.testing.assert_allclose(new, expected, rtol=1e-12)


@pytest.mark.parametrize(("character", "kept"), [(2, 1.0), (3, 0.5)])
def test_the_start_that_predicts_the_new_text_better_is_taken(character: int, kept: float) -> None:
    """The parent expects 2 after everything, and the less of it is left the less it loses on another text."""
    parent, fresh = (OLD.parameters(np.zeros(OLD.size, np.float32)) for _ in range(2))
    parent["head.bias"][2] = 4.0
    params, share = inherit(OLD, fresh, parent, np.full(200, character), None)
    assert share == kept
    np.testing.assert_array_equal(params.flat, grow(fresh, parent, kept).flat)


@pytest.mark.parametrize("name", SHAPE)
def test_another_shape_is_refused(name: str) -> None:
    other = {"cell": "lstm", "hidden": 4, "layers": 1, "bidirectional": True}[name]
    same: dict[str, Any] = {name: getattr(CONFIG, name) for name in SHAPE}
    assert inherited({"dropout": 0.1, **same}, CONFIG) == {"dropout": 0.1, **same}
    assert inherited({name: None}, CONFIG) == same
    with pytest.raises(ConfigError, match=f"{name} is {other!r}, but the model to begin with has {same[name]!r}"):
        inherited({name: other}, CONFIG)


def test_a_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="size cannot be set"):
        inherited({"size": "tiny"}, CONFIG)


def test_lines_begin_with_a_model_of_running_text(tmp_path: Path) -> None:
    """Its characters keep their ids; where its newline was, lines end now."""
    text, more = tmp_path / "text.txt", tmp_path / "more.txt"
    text.write_text("the quick brown fox\njumps over the lazy dog\n" * 10)
    more.write_text("the lazy dog!\nthe quick fox?\n" * 10)
    parent = charlm.train(text, tmp_path / "parent.safetensors", steps=5, **TINY)
    session = Run(
        [more], tmp_path / "m.safetensors", TINY, TextConfig(lines=True), init_from=tmp_path / "parent.safetensors"
    )
    with session:
        vocabulary, params = session.vocabulary, session.trainer.params
        assert vocabulary.tokens[: len(parent.vocabulary)] == parent.vocabulary.tokens
        assert set(vocabulary.tokens[len(parent.vocabulary) :]) == {"!", "?"}
        assert asdict(session.network.config)["hidden"] == 8
        assert "begun with a model of 5 steps" in session.notes
        newline = int(parent.vocabulary.encode("\n")[0])
        for name in ("head.weight", "head.bias"):
            np.testing.assert_array_equal(params[name][vocabulary.eos], parent.params[name][newline])
            np.testing.assert_array_equal(params[name][newline], parent.params[name][parent.vocabulary.eos])
