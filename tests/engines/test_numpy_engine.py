"""NumpyEngine: the gradient of a window, whoever computes which part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.engines import shared_memory
from charlm.engines.numpy_engine import NumpyEngine
from charlm.errors import ResourceError
from charlm.nn.network import Network


class TestShards:
    network = Network(NetworkConfig("lstm", 6, 2, 0.0), 9)

    def gradients(self, count: int, weights: np.ndarray | None = None) -> tuple[float, np.ndarray, Any]:
        rng = np.random.default_rng(0)
        params = self.network.initial(rng)
        inputs, targets = rng.integers(0, 9, (2, 2, 7, 5))
        with NumpyEngine(self.network, params, 7, 5, count) as shards:
            shards.loss_and_grads(inputs[0], targets[0], weights)
            loss = shards.loss_and_grads(inputs[1], targets[1], weights)
            return loss, shards.grads[0].copy(), shards.state

    @pytest.mark.parametrize("weighted", [False, True])
    def test_any_number_of_shards_gives_the_same_gradient(self, weighted: bool) -> None:
        weights = np.random.default_rng(1).random((7, 5)).astype(np.float32) if weighted else None
        loss, grads, state = self.gradients(1, weights)
        for count in (2, 3, 9):
            other_loss, other, other_state = self.gradients(count, weights)
            assert other_loss == pytest.approx(loss, rel=1e-5)
            np.testing.assert_allclose(other, grads, rtol=0, atol=1e-6)
            np.testing.assert_allclose(other_state[1][0], state[1][0], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_streams_that_are_read_in_turns_give_the_same_gradient(
        self, weighted: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weights = np.random.default_rng(1).random((7, 5)).astype(np.float32) if weighted else None
        loss, grads, state = self.gradients(1, weights)
        monkeypatch.setattr(shared_memory, "WINDOW_VALUES", self.network.window_size(7, 2))
        monkeypatch.setattr(shared_memory, "FEWEST_STREAMS", 1)
        assert shared_memory.micro_batches_of(self.network, 7, 5) == 2
        other_loss, other, other_state = self.gradients(1, weights)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(other, grads, rtol=0, atol=1e-6)
        for layer, expected in zip(other_state, state, strict=True):
            np.testing.assert_allclose(layer, expected, rtol=0, atol=1e-6)

    def test_the_same_number_gives_the_same_bits(self) -> None:
        one, other = self.gradients(2), self.gradients(2)
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])

    def test_buffers_that_are_given_back_are_made_anew(self) -> None:
        """By the workers as well; what they are told meanwhile changes nothing."""
        rng = np.random.default_rng(0)
        inputs, targets = rng.integers(0, 9, (2, 7, 5))
        with NumpyEngine(self.network, self.network.initial(rng), 7, 5, 3) as shards:
            loss = shards.loss_and_grads(inputs, targets, None)
            grads = shards.grads[0].copy()
            shards.state = self.network.zero_state(5)
            shards.release()
            shards.release()
            assert shards.loss_and_grads(inputs, targets, None) == loss
            np.testing.assert_array_equal(shards.grads[0], grads)

    def test_state_is_set_and_read(self) -> None:
        rng = np.random.default_rng(0)
        state = [tuple(rng.standard_normal((2, 5, 6)).astype(np.float32)) for _ in range(2)]
        with NumpyEngine(self.network, self.network.initial(rng), 7, 5, 2) as shards:
            shards.state = state
            for layer, expected in zip(shards.state, state, strict=True):
                np.testing.assert_array_equal(layer, expected)

    def test_without_memfd_a_file_is_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = self.gradients(2)[1]
        monkeypatch.delattr("os.memfd_create", raising=False)
        np.testing.assert_array_equal(self.gradients(2)[1], expected)

    def test_a_worker_that_dies_is_an_error(self) -> None:
        rng = np.random.default_rng(0)
        inputs = rng.integers(0, 9, (7, 5))
        with NumpyEngine(self.network, self.network.initial(rng), 7, 5, 2) as shards:
            shards._workers[0].kill()
            shards._workers[0].wait()
            with pytest.raises(ResourceError, match="worker process ended"):
                shards.loss_and_grads(inputs, inputs, None)

    def test_a_system_that_gives_no_memory_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(name: str) -> int:
            raise OSError("Too many open files")

        monkeypatch.setattr("os.memfd_create", refuse, raising=False)
        with pytest.raises(ResourceError, match=r"cannot share [\d,]+ bytes between 2 processes: Too many open files"):
            self.gradients(2)

    def test_work_on_parts_covers_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charlm.engines.engine.WORTH_SHARING", 10)
        with NumpyEngine(self.network, self.network.initial(np.random.default_rng(0)), 7, 5, 2) as shards:
            parts = shards.parameter_parts()
            assert [parts[0].start, parts[-1].stop] == [0, self.network.size]
            assert shards.parallel_map(lambda part: part.stop - part.start, parts) == [p.stop - p.start for p in parts]
