"""The training loop compared with a naive one, the held-out loss with that of one stream, and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from charlm.config import NetworkConfig, TrainConfig
from charlm.engines.host_engine import HostEngine
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.process_group import ProcessGroup
from charlm.errors import DivergedError
from charlm.nn.network import Network
from charlm.training.evaluation import HeldOut, calibrate
from charlm.training.learner import Learner
from charlm.training.schedule import learning_rate
from charlm.training.trainer import Trainer
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning
from tests.nn import reference
from tests.training import naive

STEPS, STREAMS, VOCABULARY, WINDOWS = 4, 3, 5, 5
CONFIG = TrainConfig(
    batch=STREAMS, bptt=STEPS, steps=WINDOWS, learning_rate=0.02, warmup=0.3, clip=0.2, average=0.3, seed=7
)
NETWORK = Network(NetworkConfig("rnn", 3, 2, 0.4), VOCABULARY)


@contextmanager
def trainer(
    config: TrainConfig = CONFIG, threads: int = 1, tuning: TrainingTuning = DEFAULT_TUNING
) -> Iterator[Trainer]:
    """Yield a trainer of a tiny network on random windows, in float64."""
    windows = naive.random_windows(np.random.default_rng(1), WINDOWS, STEPS, STREAMS, VOCABULARY)
    params = NETWORK.initial(np.random.default_rng(2), np.float64)
    batches = naive.Windows(windows)
    gradients = NumpyEngine(NETWORK, params, STEPS, STREAMS, threads, config.seed)
    with HostEngine(gradients, config) as engine:
        learner = Learner(engine, batches, config, tuning=tuning)
        with closing(learner.guard):
            yield Trainer(learner, ProcessGroup(), None, config, tuning=tuning)


@contextmanager
def learner(tuning: TrainingTuning = DEFAULT_TUNING) -> Iterator[Learner]:
    """Yield the learner of such a trainer."""
    with trainer(tuning=tuning) as own:
        assert isinstance(own.learner, Learner)
        yield own.learner


@pytest.mark.parametrize(
    ("optimizer", "clip", "threads"), [("adam", 0.2, 1), ("adam", 0.2, 2), ("rmsprop", 0.0, 1), ("sgd", 0.2, 1)]
)
def test_training_equals_naive_loop(optimizer: str, clip: float, threads: int) -> None:
    """Compare losses, norms, weights and their average, with carried state, dropout, masked targets and resets."""
    config = replace(CONFIG, optimizer=optimizer, clip=clip)
    with trainer(config, threads) as own:
        start = own.learner.params.flat.copy()
        reports = list(own.reports())
        weights, average = own.learner.params.flat.copy(), own.weights()[0].flat
        windows = own.learner.batches.windows  # type: ignore[attr-defined]
    expected, expected_average, losses, norms = naive.train(NETWORK, start, windows, config, threads)
    assert min(norms) > 0.2  # the limit of the gradient's norm is always exceeded
    np.testing.assert_allclose([report.train_loss for report in reports], losses, rtol=1e-6)
    np.testing.assert_allclose([report.grad_norm for report in reports], norms, rtol=1e-5)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(average, expected_average, rtol=0, atol=1e-6)
    assert np.abs(weights - average).max() > 1e-4


def test_rounds_of_steps_are_those_of_single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asynchronous engine takes several steps between two reads, up to the next snapshot or evaluation."""
    with trainer() as own:
        losses = [report.train_loss for report in own.reports()]
        weights = own.learner.params.flat.copy()
    monkeypatch.setattr(HostEngine, "is_asynchronous", True)
    with trainer(tuning=TrainingTuning(round_seconds=60.0, snapshot_steps=3, max_evaluations=1)) as own:
        reports = list(own.reports())
        np.testing.assert_array_equal(own.learner.params.flat, weights)
    assert [report.step for report in reports] == [1, 3, 5]
    assert [report.train_loss for report in reports] == pytest.approx(
        [losses[0], sum(losses[1:3]) / 2, sum(losses[3:]) / 2]
    )
    assert [report.learning_rate for report in reports] == [learning_rate(CONFIG, step / WINDOWS) for step in (0, 2, 4)]


@pytest.mark.parametrize(("threads", "tied"), [(1, False), (3, False), (1, True)])
def test_held_out_loss_equals_that_of_one_stream(threads: int, tied: bool) -> None:
    """The loss is that of the whole text at the returned scale of the logits."""
    rng = np.random.default_rng(0)
    network = Network(NetworkConfig("rnn", 4, 1, tied=tied), VOCABULARY)
    params = network.initial(rng, np.float64)
    params["rnn.weight_hh_l0"][...] *= 0.3  # what is before the warm-up leaves no trace
    params["head.weight"][...] *= 3.0  # too sure
    before = params.flat.copy()
    ids = rng.integers(1, VOCABULARY, 1700)
    ids[0] = network.start
    loss, logit_scale = calibrate(
        lambda held_out, scale: held_out.sums(params, scale), HeldOut(ids, network, ProcessGroup(), threads), 1.0
    )
    np.testing.assert_array_equal(params.flat, before)
    assert logit_scale < 0.9

    tensors = dict(params.items())
    tops, _ = reference.read("rnn", tensors, ids[:-1, None], [(np.zeros((1, 4)),)], start=network.start, tied=tied)
    tensors |= {name: tensors[name] * logit_scale for name in ("head.weight", "head.bias")}
    log_probs = reference.at(reference.log_softmax(tensors, tops), ids[1:, None])
    assert loss == pytest.approx(-log_probs.mean(), rel=1e-9)


def test_rollback_keeps_best_loss_and_its_step() -> None:
    with trainer() as own:
        assert isinstance(own.learner, Learner)
        own.learner.snapshot()
        for _ in range(3):
            own.learner.train_window(0.01)
        own.best_loss, own.model_step = 1.25, 2
        own.learner.roll_back("the loss is nan")
        assert own.step == 0
        assert (own.best_loss, own.model_step) == (1.25, 2)


def test_rollbacks_count_only_at_the_same_step() -> None:
    """A run may diverge more often than `max_rollbacks`, if each time at a later step."""
    with learner(tuning=TrainingTuning(snapshot_steps=4)) as own:
        for _ in range(DEFAULT_TUNING.max_rollbacks + 2):
            while own.step <= own.guard.furthest + 5:
                own.snapshot()
                own.train_window(0.01)
                own.read_steps()
            own.roll_back("the loss is nan")
            assert own.guard.rollbacks == 1
        for _ in range(DEFAULT_TUNING.max_rollbacks - 1):
            own.roll_back("the loss is nan")
        with pytest.raises(DivergedError, match=f"{DEFAULT_TUNING.max_rollbacks} returns"):
            own.roll_back("the loss is nan")


def test_snapshot_of_non_finite_weights_is_refused() -> None:
    with learner(tuning=TrainingTuning(snapshot_steps=2)) as own:
        own.snapshot()
        good = own.params.flat.copy()
        for _ in range(2):
            own.train_window(0.01)
        own.params.flat[3] = np.nan
        with pytest.raises(DivergedError, match="the weights are not finite"):
            own.snapshot()
        own.roll_back("the weights are not finite")
        np.testing.assert_array_equal(own.params.flat, good)
