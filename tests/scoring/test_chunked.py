"""A long text read by several columns at once gives what a plain reading gives, whether a network forgets or not."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.scoring import chunked

VOCABULARY = 9


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    """Make relays of short texts, several in each."""
    for name, value in (("COLUMNS", 5), ("SHORTEST", 40), ("LONGEST", 90), ("LONG", 160), ("SEGMENT", 16)):
        monkeypatch.setattr(chunked, name, value)


def runner_of(cell, layers=2, hidden=12):
    network = Network(NetworkConfig(cell, hidden, layers), VOCABULARY)
    return PreparedNetwork(network, network.initial(np.random.default_rng(1)))


def text_of(length, starts=()):
    """Return inputs and ids (N,), with EOS at some places."""
    ids = np.random.default_rng(2).integers(2, VOCABULARY, length + 1)
    ids[0] = 0
    ids[list(starts)] = 0
    return ids[:-1], ids[1:]


def compare(networks, inputs, ids):
    plain, last = networks[0].score(inputs[:, None], ids[:, None], networks[0].zero_state(1))
    log_probs, state = chunked.score_long(networks, inputs, ids, networks[0].zero_state(1))
    np.testing.assert_allclose(log_probs, plain[:, 0], rtol=0, atol=1e-5)
    for a, b in zip(state, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [159, 160, 203, 1013])
def test_equals_a_plain_reading(cell, length):
    compare([runner_of(cell)], *text_of(length))


@pytest.mark.parametrize("starts", [(70,), (41, 80, 120, 121, 500)])
def test_documents_inside_the_text(starts):
    compare([runner_of("lstm"), runner_of("lstm")], *text_of(700, starts))


def test_a_network_that_never_forgets():
    runner = runner_of("lstm", 1)
    hidden = 12
    runner.params["rnn.bias_ih_l0"][hidden : 2 * hidden] = 50  # forget gates that stay open
    counting = PreparedNetwork(runner.network, runner.params)
    spy = Spy(counting)
    compare([spy], *text_of(450))
    assert spy.places > 3 * 450  # the columns had to be read again, to their ends


def test_a_network_that_forgets_is_read_twice_at_most():
    spy = Spy(runner_of("gru", 1))
    inputs, ids = text_of(450)
    chunked.score_long([spy], inputs, ids, spy.zero_state(1))
    assert spy.places <= 2 * 450


def test_what_is_remembered_without_consequence_needs_no_further_reading():
    """A c that grows forever: it tells how long ago the text began, and tanh(c) is 1 whatever it is."""
    runner = runner_of("lstm", 1)
    hidden = 12
    bias = runner.params["rnn.bias_ih_l0"].reshape(4, hidden)
    bias[1] = -1  # the others forget soon
    bias[:3, 0] = 50  # i, f and g of one unit are 1
    spy = Spy(PreparedNetwork(runner.network, runner.params))
    inputs, ids = text_of(450)
    plain, _ = spy.runner.score(inputs[:, None], ids[:, None], spy.zero_state(1))
    log_probs, _ = chunked.score_long([spy], inputs, ids, spy.zero_state(1))
    np.testing.assert_allclose(log_probs, plain[:, 0], rtol=0, atol=1e-5)
    assert spy.places <= 2 * 450


class Spy:
    """A runner that counts the characters it reads."""

    def __init__(self, runner):
        self.runner, self.places = runner, 0

    def __getattr__(self, name):
        return getattr(self.runner, name)

    def score(self, inputs, targets, state):
        self.places += inputs.size
        return self.runner.score(inputs, targets, state)
