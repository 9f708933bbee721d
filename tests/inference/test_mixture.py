"""Mixtures equal the mean of their members' probabilities, computed by the equations of `reference.py` in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.inference.interface import CausalModel
from charlm.inference.mixture_stepper import StackedMembers, StackedStepper
from charlm.inference.prepare import prepare_bidirectional, prepare_causal
from charlm.inference.prepared_network import PreparedNetwork
from charlm.inference.tuning import InferenceTuning
from charlm.nn.base import NetworkState
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.cells import CELLS
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.scoring.chunked import score_chunked
from charlm.scoring.tuning import ScoringTuning
from tests.nn import reference

V, LAYERS = 7, 2
COUNTS = pytest.mark.parametrize("count", [2, 3])
EACH_CELL = pytest.mark.parametrize("cell", CELLS)


class Case(NamedTuple):
    """A mixture in float64, ids (T, B), and log p of each next character by the equations, (T, B, V)."""

    network: Network
    members: list[Parameters]
    mixture: CausalModel
    ids: Ids
    answers: Array

    @property
    def targets(self) -> Ids:
        """The ids that follow."""
        return np.roll(self.ids, -1, axis=0)

    @property
    def scores(self) -> Array:
        """The log-probability of each target, (T, B)."""
        return reference.at(self.answers, self.targets)


def draw(network: Network | BidirectionalNetwork, count: int, dtype: type = np.float64) -> list[Parameters]:
    """Return the weights of `count` members."""
    members = [network.initial(np.random.default_rng(seed), dtype) for seed in range(count)]
    for seed, params in enumerate(members):
        params.flat += np.random.default_rng(seed).normal(0, 0.5, params.flat.size)
    return members


def draw_ids(steps: int = 9, streams: int = 3) -> Ids:
    """Return ids with EOS, 0, in the middle of a stream."""
    ids = np.random.default_rng(0).integers(1, V, (steps, streams))
    ids[0], ids[4, 1] = 0, 0
    return ids


def naive_mean(log_probs: list[Array]) -> Array:
    mixed: Array = np.log(sum(np.exp(each) for each in log_probs) / len(log_probs))
    return mixed


def make(cell: str, count: int) -> Case:
    network = Network(NetworkConfig(cell, 5, LAYERS), V)
    members, ids = draw(network, count), draw_ids()
    answers = []
    for params in members:
        tensors = dict(params.items())
        tops, _ = reference.read(cell, tensors, ids, network.zero_state(ids.shape[1], np.float64), start=0)
        answers.append(reference.log_softmax(tensors, tops))
    return Case(network, members, prepare_causal(network, members), ids, naive_mean(answers))


@EACH_CELL
@COUNTS
def test_predict_and_score_equal_the_reference(cell: str, count: int) -> None:
    case = make(cell, count)
    first = case.mixture.zero_state(3)
    log_probs, state = case.mixture.predict(case.ids, first)
    np.testing.assert_allclose(log_probs.swapaxes(1, 2), case.answers, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=0, atol=1e-12)
    scores, same = case.mixture.score(case.ids, case.targets, first)
    np.testing.assert_allclose(scores, case.scores, rtol=0, atol=1e-12)
    assert_same_state(state, same)
    assert_same_state(state, case.mixture.advance(case.ids, first))


@EACH_CELL
@COUNTS
@pytest.mark.parametrize("streams", [1, 3])
def test_steppers_equal_the_reference(cell: str, count: int, streams: int) -> None:
    case = make(cell, count)
    ids, answers = case.ids[:, :streams], case.answers[:, :streams]
    stepper = case.mixture.stepper(case.mixture.zero_state(streams))
    state = case.mixture.zero_state(streams)
    for given, answer in zip(ids, answers, strict=True):
        np.testing.assert_allclose(stepper.read(given), answer, rtol=0, atol=1e-12)
        logits, state = case.mixture.step(given, state)
        np.testing.assert_allclose(logits, answer, rtol=0, atol=1e-12)
        assert_same_state(stepper.state, state)
    scores = case.mixture.stepper(case.mixture.zero_state(streams)).score(ids, case.targets[:, :streams])
    np.testing.assert_allclose(scores, case.scores[:, :streams], rtol=0, atol=1e-12)


@EACH_CELL
@COUNTS
def test_read_one_equals_the_reference(cell: str, count: int) -> None:
    case = make(cell, count)
    stepper = case.mixture.stepper(case.mixture.zero_state(1))
    for token, answer in zip(case.ids[:, 1].tolist(), case.answers[:, 1], strict=True):
        np.testing.assert_allclose(stepper.read_one(token)[0], answer, rtol=0, atol=1e-12)


@pytest.mark.parametrize("limit", [0, 1 << 22])
def test_tables_of_any_size_give_the_same_probabilities(limit: int) -> None:
    """Large tables are not copied into one."""
    case = make("lstm", 3)
    prepared = [PreparedNetwork(case.network, params) for params in case.members]
    tuning = InferenceTuning(max_stacked_values=limit)
    stacked = StackedMembers([one.stack for one in prepared], [one.head for one in prepared], tuning)
    stepper = StackedStepper(stacked, case.mixture.zero_state(1))
    for token, answer in zip(case.ids[:, 0].tolist(), case.answers[:, 0], strict=True):
        np.testing.assert_allclose(stepper.read_one(token)[0], answer, rtol=0, atol=1e-12)


@EACH_CELL
@pytest.mark.parametrize("streams", [1, 3])
def test_stepper_continues_from_a_moved_state(cell: str, streams: int) -> None:
    case = make(cell, 2)
    after = case.mixture.advance(case.ids[:3], case.mixture.zero_state(3))
    indices = np.array([2, 0, 1])[:streams]
    stepper = case.mixture.stepper(case.mixture.zero_state(streams))
    stepper.move_to(after, indices)
    assert_same_state(stepper.state, case.mixture.select(after, indices))
    np.testing.assert_allclose(stepper.read(case.ids[3, indices]), case.answers[3, indices], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(after[0][0], case.mixture.advance(case.ids[:3], case.mixture.zero_state(3))[0][0])


def test_stepper_does_not_change_the_given_state() -> None:
    case = make("lstm", 2)
    state = case.mixture.advance(case.ids[:3], case.mixture.zero_state(3))
    before = [[array.copy() for array in layer] for layer in state]
    case.mixture.stepper(state).read(case.ids[3])
    for layer, expected in zip(state, before, strict=True):
        np.testing.assert_array_equal(layer, expected)


@EACH_CELL
def test_chunked_scoring_equals_the_reference(cell: str) -> None:
    case = make(cell, 2)
    text = np.concatenate([case.ids[:, 1]] * 9)
    tuning = ScoringTuning(min_chunked_characters=8, min_chunk_characters=8, checkpoint_interval=3, state_tolerance=0)
    first = case.mixture.zero_state(1)
    expected, last = case.mixture.score(text[:-1, None], text[1:, None], first)
    for threads in (1, 2):
        scores, state = score_chunked(case.mixture, text[:-1], text[1:], first, threads, tuning)
        np.testing.assert_allclose(scores, expected[:, 0], rtol=0, atol=1e-12)
        assert_same_state(state, last)


@COUNTS
def test_bidirectional_mixture_equals_the_reference(count: int) -> None:
    network = BidirectionalNetwork(NetworkConfig("lstm", 5, LAYERS, bidirectional=True), V)
    members, text = draw(network, count), draw_ids()
    text[4, 1] = 3  # EOS occurs at the ends only
    text[-1] = 0
    mixture = prepare_bidirectional(network, members)
    answers = naive_mean(
        [reference.predict_from_both_sides("lstm", dict(p.items()), text, LAYERS, 2, start=0) for p in members]
    )
    log_probs = mixture.predict(text[:-1], text[1:])
    np.testing.assert_allclose(log_probs.swapaxes(1, 2), answers, rtol=0, atol=1e-12)
    scores, _ = mixture.score(text[:-1], text[1:], [])
    np.testing.assert_allclose(scores[:-1], reference.at(answers, text[1:-1]), rtol=0, atol=1e-12)
    assert not scores[-1].any()


def test_properties_are_those_of_all_members() -> None:
    case = make("gru", 3)
    single = PreparedNetwork(case.network, case.members[0])
    assert case.mixture.size == 3 * single.size
    assert case.mixture.vocabulary == V
    assert case.mixture.streams_per_step == single.streams_per_step
    assert case.mixture.dtype == np.float64
    assert len(case.mixture.zero_state(2)) == 3 * LAYERS


def test_one_member_is_a_prepared_network() -> None:
    case = make("gru", 2)
    assert type(prepare_causal(case.network, case.members[:1])) is PreparedNetwork


@pytest.mark.parametrize("streams", [1, 2, 40])
def test_extreme_logits_in_float32_are_mixed_without_overflow(streams: int) -> None:
    """One member is certain of one character, the other of another one: p = 1/2 each, and the rest is finite."""
    network = Network(NetworkConfig("lstm", 4, 1), V)
    members = draw(network, 2, np.float32)
    for params, token in zip(members, (2, 3), strict=True):
        params["head.bias"][token] += 1e4
    mixture = prepare_causal(network, members)
    ids = np.ones(streams, np.intp)
    stepped = mixture.stepper(mixture.zero_state(streams)).read(ids)
    log_probs, _ = mixture.predict(ids[None], mixture.zero_state(streams))
    for found in (stepped, log_probs[0].T):
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:, 2:4], np.log(0.5), rtol=1e-6)
        assert (found[:, 4] < -9e3).all()


def assert_same_state(found: NetworkState, expected: NetworkState) -> None:
    for layer, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(layer), np.array(other), rtol=0, atol=1e-12)
