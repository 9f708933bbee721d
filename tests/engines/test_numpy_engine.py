"""The NumPy engine: the gradient of a window does not depend on the processes that compute it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.engines.engine import state_to_dict
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.shared_memory import micro_batches_of
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.engines.worker import RUN
from charlm.errors import ResourceError
from charlm.nn.network import Network

NETWORK = Network(NetworkConfig("lstm", 6, 2, 0.0), 9)
STEPS, STREAMS = 7, 5
WINDOWS = np.random.default_rng(0).integers(0, 9, (2, 2, STEPS, STREAMS))
WEIGHTS = np.random.default_rng(1).random((STEPS, STREAMS)).astype(np.float32)


def engine(threads: int, tuning: EngineTuning = DEFAULT_TUNING) -> NumpyEngine:
    """Return an engine whose parameters are always the same."""
    params = NETWORK.initial(np.random.default_rng(0))
    return NumpyEngine(NETWORK, params, STEPS, STREAMS, threads, tuning=tuning)


def train(
    threads: int, weights: np.ndarray | None = None, tuning: EngineTuning = DEFAULT_TUNING
) -> tuple[float, np.ndarray, dict[str, np.ndarray]]:
    """Return the loss and the gradient of the second of two windows, and the state that follows it."""
    with engine(threads, tuning) as running:
        for inputs, targets in WINDOWS:
            loss = running.loss_and_grads(inputs, targets, weights)
        return loss, running.grads.copy(), running.state_dict()


def assert_states_close(state: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert state.keys() == expected.keys()
    for name, array in state.items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_gradient_with_any_number_of_shards_is_the_same(weights: np.ndarray | None) -> None:
    loss, grads, state = train(1, weights)
    for threads in (2, 3, 9):
        other_loss, other_grads, other_state = train(threads, weights)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(other_grads, grads, rtol=0, atol=1e-6)
        assert_states_close(other_state, state)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("count", [2, 5])
def test_gradient_in_micro_batches_is_the_same(weights: np.ndarray | None, count: int) -> None:
    tuning = EngineTuning(NETWORK.window_size(STEPS, STREAMS) // count, min_micro_batch_streams=1)
    assert micro_batches_of(NETWORK, STEPS, STREAMS, tuning) == count
    loss, grads, state = train(1, weights)
    other_loss, other_grads, other_state = train(1, weights, tuning)
    assert other_loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(other_grads, grads, rtol=0, atol=1e-6)
    assert_states_close(other_state, state)


def test_same_number_of_shards_gives_the_same_bits() -> None:
    (loss, grads, _), (other_loss, other_grads, _) = train(2), train(2)
    assert other_loss == loss
    np.testing.assert_array_equal(other_grads, grads)


def test_workers_split_into_micro_batches_as_the_main_process_does() -> None:
    tuning = EngineTuning(max_micro_batch_values=1, min_micro_batch_streams=1)
    np.testing.assert_allclose(train(2, None, tuning)[1], train(2)[1], rtol=0, atol=1e-6)


def test_freed_buffers_are_allocated_again_in_all_processes() -> None:
    inputs, targets = WINDOWS[0]
    with engine(3) as running:
        loss = running.loss_and_grads(inputs, targets, None)
        grads = running.grads.copy()
        running.load_state_dict(state_to_dict(NETWORK.zero_state(STREAMS)))
        running.free_buffers()
        running.free_buffers()
        assert running.loss_and_grads(inputs, targets, None) == loss
        np.testing.assert_array_equal(running.grads, grads)


def test_loaded_state_is_returned() -> None:
    rng = np.random.default_rng(0)
    state = {f"state.{layer}.{k}": rng.random((6, STREAMS), dtype=np.float32) for layer in (0, 1) for k in (0, 1)}
    with engine(2) as running:
        running.load_state_dict(state | {"params": np.zeros(3, np.float32)})
        found = running.state_dict()
    assert found.keys() == state.keys()
    for name, expected in state.items():
        np.testing.assert_array_equal(found[name], expected)


def test_without_memfd_a_file_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(2)[1]
    monkeypatch.delattr("os.memfd_create", raising=False)
    np.testing.assert_array_equal(train(2)[1], expected)


def test_killed_worker_is_an_error() -> None:
    inputs, targets = WINDOWS[0]
    with engine(2) as running:
        running._workers[0]._process.kill()
        running._workers[0]._process.wait()
        with pytest.raises(ResourceError, match="worker process exited with code -9"):
            running.loss_and_grads(inputs, targets, None)


def test_refused_shared_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise OSError("Too many open files")

    monkeypatch.setattr("os.memfd_create", refuse, raising=False)
    with pytest.raises(ResourceError, match=r"cannot share [\d,]+ bytes between 2 processes: Too many open files"):
        train(2)


def test_worker_whose_main_process_was_killed_prints_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with engine(2) as running:
        process = running._workers[0]._process
        assert process.stdout is not None
        process.stdout.close()  # as if the main process had ended; the worker answers a window
        running._workers[0].send(RUN)
        assert process.wait(60) == 0
    assert capfd.readouterr().err == ""


def test_engine_outside_its_context_holds_no_process_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("acquired in the constructor")

    for name in ("subprocess.Popen", "mmap.mmap", "os.memfd_create"):
        monkeypatch.setattr(name, refuse, raising=False)
    engine(3)
