"""Chunked scoring of a long text equals sequential scoring, whether the network forgets or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charlm.arrays import Ids
from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.scoring.chunked import score_chunked
from charlm.scoring.tuning import ScoringTuning

VOCABULARY, HIDDEN = 9, 12
TUNING = ScoringTuning(
    max_chunks=5, min_chunk_characters=40, max_chunk_characters=90, min_chunked_characters=160, checkpoint_interval=16
)


class Spy:
    """A prepared network that counts the ids it scores."""

    def __init__(self, network: PreparedNetwork) -> None:
        self.prepared, self.ids_read = network, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prepared, name)

    def score(self, inputs: Ids, targets: Ids, state: Any) -> Any:
        self.ids_read += inputs.size
        return self.prepared.score(inputs, targets, state)


def prepared(cell: str, layers: int = 2, dtype: type = np.float32) -> PreparedNetwork:
    network = Network(NetworkConfig(cell, HIDDEN, layers), VOCABULARY)
    return PreparedNetwork(network, network.initial(np.random.default_rng(1), dtype))


def with_open_forget_gates(dtype: type = np.float32) -> PreparedNetwork:
    """Return an LSTM that never forgets."""
    network = prepared("lstm", 1, dtype)
    network.params["rnn.bias_ih_l0"][HIDDEN : 2 * HIDDEN] = 50
    return PreparedNetwork(network.network, network.params)


def text_of(length: int, resets: Sequence[int] = ()) -> tuple[Ids, Ids]:
    """Return inputs and targets (N,), with EOS as the inputs at `resets`."""
    ids = np.random.default_rng(2).integers(2, VOCABULARY, length + 1)
    ids[0] = 0
    ids[list(resets)] = 0
    return ids[:-1], ids[1:]


def assert_equals_sequential(
    network: Any, inputs: Ids, targets: Ids, tuning: ScoringTuning = TUNING, threads: int = 1, state: Any = None
) -> None:
    state = state or network.zero_state(1)
    sequential, last = network.prepared.score(inputs[:, None], targets[:, None], state)
    log_probs, after = score_chunked(network, inputs, targets, state, threads, tuning)
    np.testing.assert_allclose(log_probs, sequential[:, 0], rtol=0, atol=1e-5)
    for one, other in zip(after, last, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [159, 160, 203, 1013])
def test_chunked_scoring_equals_sequential_scoring(cell: str, length: int) -> None:
    assert_equals_sequential(Spy(prepared(cell)), *text_of(length))


@pytest.mark.parametrize("resets", [(70,), (41, 80, 120, 121, 500)])
def test_chunks_with_resets_on_threads(resets: Sequence[int]) -> None:
    assert_equals_sequential(Spy(prepared("lstm")), *text_of(700, resets), threads=2)


def test_chunks_start_from_the_given_state() -> None:
    """The state after another text, in a network that never forgets it; no EOS resets it."""
    network = Spy(with_open_forget_gates(np.float64))
    inputs, targets = text_of(450)
    state = network.advance(inputs[:100, None], network.zero_state(1))
    tuning = replace(TUNING, state_tolerance=1e-12, log_prob_tolerance=1e-12)
    assert_equals_sequential(network, inputs[1:], targets[1:], tuning=tuning, state=state)


@pytest.mark.parametrize(
    ("length", "min_chunk_characters", "min_ids_read"),
    [(160, 80, 240), (450, 40, 1000), (1013, 40, 2100)],
    ids=["two chunks", "one block of five", "two blocks and a rest"],
)
def test_chunks_of_a_network_that_never_forgets_are_read_again(
    length: int, min_chunk_characters: int, min_ids_read: int
) -> None:
    network = Spy(with_open_forget_gates())
    tuning = replace(TUNING, min_chunk_characters=min_chunk_characters)
    assert_equals_sequential(network, *text_of(length), tuning=tuning)
    assert network.ids_read >= min_ids_read


def test_stale_chunks_stay_stale_until_they_are_read() -> None:
    """After two resets two chains of chunks are stale; from the third sweep on, one chunk per sweep is read again."""
    network = Spy(with_open_forget_gates())
    tuning = ScoringTuning(
        max_chunks=12, min_chunk_characters=40, max_chunk_characters=40, min_chunked_characters=480,
        checkpoint_interval=16, max_parallel_sweeps=2,
    )  # fmt: skip
    assert_equals_sequential(network, *text_of(480, resets=(265,)), tuning=tuning)


def test_a_chunk_that_meets_the_earlier_reading_is_left() -> None:
    """A network that forgets is read twice at most."""
    network = Spy(prepared("gru", 1))
    inputs, targets = text_of(450)
    score_chunked(network, inputs, targets, network.zero_state(1), 1, TUNING)  # type: ignore[arg-type]
    assert network.ids_read <= 2 * 450


def test_a_state_that_no_output_depends_on_needs_no_further_sweep() -> None:
    """A cell state that grows without limit: it depends on the position, and tanh(c) is 1."""
    network = prepared("lstm", 1)
    bias = network.params["rnn.bias_ih_l0"].reshape(4, HIDDEN)
    bias[1] = -1  # the other units forget soon
    bias[:3, 0] = 50  # i, f and g of one unit are 1
    spy = Spy(PreparedNetwork(network.network, network.params))
    inputs, targets = text_of(450)
    sequential, _ = spy.prepared.score(inputs[:, None], targets[:, None], spy.zero_state(1))
    log_probs, _ = score_chunked(spy, inputs, targets, spy.zero_state(1), 1, TUNING)  # type: ignore[arg-type]
    np.testing.assert_allclose(log_probs, sequential[:, 0], rtol=0, atol=1e-5)
    assert spy.ids_read <= 2 * 450
