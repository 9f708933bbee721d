"""Fine-tuning: the initial weights of a run that starts from another model."""

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
from charlm.runs.setup import RunOptions
from charlm.training.report import Event
from charlm.training.warm_start import SHAPE, extend_parameters, inherit_shape

CONFIG = NetworkConfig("gru", 3, 2)
OLD, NEW = Network(CONFIG, 5), Network(CONFIG, 7)
TINY: dict[str, Any] = {"hidden": 8, "layers": 1, "batch": 4, "bptt": 10, "threads": 1}


def drawn(network: Network, seed: int) -> Parameters:
    """Draw every parameter, so that no two are equal."""
    return network.parameters(np.random.default_rng(seed).standard_normal(network.size))


def test_old_tokens_keep_weights_and_new_tokens_get_the_mean() -> None:
    parent = drawn(OLD, 0)
    params = extend_parameters(parent, drawn(NEW, 1))
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


def test_new_tokens_of_a_tied_network_get_the_mean_embedding() -> None:
    tied = NetworkConfig("gru", 3, 2, tied=True)
    parent = drawn(Network(tied, 5), 0)
    params = extend_parameters(parent, drawn(Network(tied, 7), 1))
    assert params.tied
    np.testing.assert_array_equal(params["rnn.weight_ih_l0"], parent["rnn.weight_ih_l0"])
    np.testing.assert_allclose(params["head.weight"][5:], np.tile(parent["head.weight"].mean(axis=0), (2, 1)))


def test_eos_takes_row_of_newline() -> None:
    parent, eos, newline = drawn(OLD, 0), 0, 3
    plain, swapped = (extend_parameters(parent, drawn(NEW, 1), line_end) for line_end in (None, (newline, eos)))
    order = [3, 1, 2, 0, 4, 5, 6]
    for name, new in swapped.items():
        expected = plain[name][order] if name.startswith("head.") else plain[name]
        np.testing.assert_array_equal(new, expected)


@pytest.mark.parametrize("name", SHAPE)
def test_inherit_shape_with_other_shape_is_refused(name: str) -> None:
    other = {"cell": "lstm", "hidden": 4, "layers": 1, "bidirectional": True, "tied": True}[name]
    same: dict[str, Any] = {name: getattr(CONFIG, name) for name in SHAPE}
    assert inherit_shape({"dropout": 0.1, **same}, CONFIG) == {"dropout": 0.1, **same}
    assert inherit_shape({name: None}, CONFIG) == same
    with pytest.raises(ConfigError, match=f"`{name}` is {other!r}, but the model to start with has {same[name]!r}"):
        inherit_shape({name: other}, CONFIG)


def test_inherit_shape_with_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="`size` cannot be combined"):
        inherit_shape({"size": "tiny"}, CONFIG)


def test_model_of_lines_starts_from_model_of_running_text(tmp_path: Path) -> None:
    """Old characters keep their ids, and EOS takes over the newline."""
    text, more = tmp_path / "text.txt", tmp_path / "more.txt"
    text.write_text("the quick brown fox\njumps over the lazy dog\n" * 10)
    more.write_text("the lazy dog!\nthe quick fox?\n" * 10)
    parent = charlm.train(text, tmp_path / "parent.safetensors", steps=5, **TINY)
    events: list[Event] = []
    options = RunOptions(TextConfig(lines=True), init_from=tmp_path / "parent.safetensors")
    with Run([more], tmp_path / "m.safetensors", TINY, options, events.append) as run:
        vocabulary, params = run.setup.corpus.vocabulary, run.trainer.learner.params
        assert vocabulary.tokens[: len(parent.vocabulary)] == parent.vocabulary.tokens
        assert set(vocabulary.tokens[len(parent.vocabulary) :]) == {"!", "?"}
        assert asdict(run.setup.network.config)["hidden"] == 8
        assert [event.message for event in events] == ["started with a model of 5 steps"]
        newline = int(parent.vocabulary.encode("\n")[0])
        for name in ("head.weight", "head.bias"):
            np.testing.assert_array_equal(params[name][vocabulary.eos], parent.params[name][newline])
            np.testing.assert_array_equal(params[name][newline], parent.params[name][parent.vocabulary.eos])
