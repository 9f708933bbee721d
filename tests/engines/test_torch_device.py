"""What stays on the device of the PyTorch engine: update, evaluation and snapshots, without a wait at each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.engines.create import free_gpu_memory
from charlm.engines.process_group import ProcessGroup
from charlm.errors import ResourceError
from charlm.inference.prepare import prepare_network
from charlm.nn.base import BaseNetwork
from charlm.nn.network import Network
from charlm.nn.networks import make_network
from charlm.optim import OPTIMIZERS, find_optimizer
from charlm.optim.averaging import new_fraction
from charlm.optim.clipping import clip_by_global_norm
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training import probe
from charlm.training.ensemble_size import Speed
from charlm.training.report import Event
from charlm.training.tuning import TrainingTuning

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from charlm.engines.torch_engine import TorchEngine  # noqa: E402
from charlm.engines.torch_group import as_resource_errors  # noqa: E402
from charlm.engines.torch_model import Model  # noqa: E402
from charlm.engines.torch_update import TorchUpdate  # noqa: E402
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning  # noqa: E402

VOCABULARY, STEPS, STREAMS = 7, 9, 3
TEXT = (Path(__file__).parents[2] / "corpora/lighthouse.txt").read_text()
TINY: dict[str, Any] = {
    "hidden": 8, "layers": 2, "batch": 4, "bptt": 20, "threads": 1, "dropout": 0.0, "patience": 0, "valid": 0.1,
}  # fmt: skip
ONE_THREAD = TrainConfig(threads=1)
ROUNDS = TrainingTuning(round_seconds=60.0)
"""Rounds that only snapshots and evaluations end."""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def asynchronous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU be read in batches, as a GPU is."""
    monkeypatch.setattr(TorchEngine, "is_asynchronous", True)


@contextmanager
def engine(
    network: BaseNetwork, train: TrainConfig = ONE_THREAD, tuning: EngineTuning = DEFAULT_TUNING
) -> Iterator[TorchEngine]:
    """Yield an engine of random weights on the CPU."""
    params = network.initial(np.random.default_rng(0))
    with TorchEngine(network, params, STREAMS, EngineConfig("torch", "cpu"), train, ProcessGroup(), tuning) as own:
        yield own


def windows(rng: np.random.Generator, reset_rate: float) -> np.ndarray:
    """Return random inputs and targets, (2, T, B); a fraction of the inputs is EOS."""
    ids = rng.integers(1, VOCABULARY, (2, STEPS, STREAMS))
    ids[0][rng.random((STEPS, STREAMS)) < reset_rate] = 0
    return ids


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("clip", "average"), [(0.5, 0.9), (0.0, 0.0)])
def test_update_equals_that_of_numpy(name: str, clip: float, average: float) -> None:
    rng = np.random.default_rng(0)
    train = TrainConfig(optimizer=name, clip=clip, average=average)
    expected = rng.normal(size=20).astype(np.float32)
    tensors = [torch.nn.Parameter(torch.tensor(part)) for part in (expected[:6].reshape(2, 3), expected[6:])]
    averaged = [torch.nn.Parameter(tensor.detach().clone()) for tensor in tensors] if average else tensors
    update, optimizer, mean = (
        TorchUpdate(tensors, averaged, train),
        find_optimizer(name, 20, np.float32),
        expected.copy(),
    )
    for step in range(1, 7):
        grads = (0.3 * rng.normal(size=20)).astype(np.float32)
        tensors[0].grad, tensors[1].grad = torch.tensor(grads[:6].reshape(2, 3)), torch.tensor(grads[6:])
        norm = update.apply(0.01 * step)
        assert float(norm) == pytest.approx(clip_by_global_norm(grads, clip), rel=1e-6)
        optimizer.begin_step()
        optimizer.update(expected, grads, 0.01 * step)
        mean += new_fraction(average, step) * (expected - mean)
    found = {key: np.concatenate([own.numpy().ravel() for own in value]) for key, value in update.tensors().items()}
    np.testing.assert_allclose(found["params"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.get("average", found["params"]), mean, rtol=0, atol=1e-6)
    for moment, values in optimizer.moments.items():
        np.testing.assert_allclose(found[f"moment.{moment}"], values, rtol=1e-5, atol=1e-7)
    assert update.steps == optimizer.steps


class CountReads(TorchDispatchMode):
    """Counts the operations that would wait for a GPU: their results go to the host, or have its sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(part in name for part in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default")):
            self.reads.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(("dropout", "optimizer"), [(0.0, "adam"), (0.3, "rmsprop")])
def test_steps_read_nothing_from_the_device(dropout: float, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of four steps are read in one copy."""
    network = Network(NetworkConfig("lstm", 5, 2, dropout), VOCABULARY)
    rng, copies = np.random.default_rng(1), []
    with engine(network, TrainConfig(threads=1, optimizer=optimizer)) as own, CountReads() as counted:
        for name in ("cpu", "numpy", "tolist", "item"):
            method = getattr(torch.Tensor, name)
            monkeypatch.setattr(
                torch.Tensor, name, lambda *args, _name=name, _method=method: (copies.append(_name), _method(*args))[1]
            )
        for window, rate in enumerate((0.0, 0.1, 0.5, 0.0)):
            inputs, targets = windows(rng, rate)
            weights = None if rate else np.ones(inputs.shape, np.float32)
            own.step(inputs, targets, weights, window, 0.01)
        assert (counted.reads, copies) == ([], [])
        values = own.read_steps()
        assert copies == ["tolist"]
        assert own.read_steps() == []
    assert len(values) == 4
    assert all(one.characters == STEPS * STREAMS and 1 < one.loss < 3 and one.norm > 0 for one in values)


@pytest.mark.parametrize(("layers", "dropout", "modules"), [(2, 0.0, 1), (3, 0.2, 3), (1, 0.2, 1)])
def test_layers_without_dropout_between_are_one_module(layers: int, dropout: float, modules: int) -> None:
    network = Network(NetworkConfig("gru", 5, layers, dropout), VOCABULARY)
    model = Model(network)
    assert len(model.stack) == modules
    assert {name: tuple(tensor.shape) for name, tensor in model.named_tensors().items()} == network.layout


@pytest.mark.parametrize("reset_rate", [0.0, 0.06, 0.5])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1)])
def test_evaluator_measures_the_losses_of_numpy(cell: str, layers: int, reset_rate: float) -> None:
    """The averaged weights read the text in pieces of time, in chunks and in segments."""
    network = Network(NetworkConfig(cell, 5, layers, 0.4), VOCABULARY)
    inputs, targets = windows(np.random.default_rng(2), reset_rate)
    with engine(network, tuning=EngineTuning(max_held_out_values_on_cpu=4 * 20 * STREAMS)) as own:
        own.step(inputs, targets, None, 0, 0.1)
        found = own.evaluated.measure(inputs, targets, 1.5)
        params = own.average
    for name in ("head.weight", "head.bias"):
        params[name][...] *= 1.5
    expected = prepare_network(network, params).measure(inputs, targets)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outputs", [0, 3])
@pytest.mark.parametrize("reset_rate", [0.0, 0.06, 0.5])
def test_evaluator_measures_the_losses_of_a_bidirectional_network(outputs: int, reset_rate: float) -> None:
    """The streams are read one after another."""
    network = make_network(NetworkConfig("lstm", 5, 2, bidirectional=True, outputs=outputs), VOCABULARY)
    inputs, targets = windows(np.random.default_rng(2), reset_rate)
    targets = targets % 3 if outputs else np.concatenate([inputs[1:], targets[-1:]])
    with engine(network, tuning=EngineTuning(max_held_out_values_on_cpu=1)) as own:
        own.step(inputs, targets, np.ones(inputs.shape, np.float32), 0, 0.1)
        found = own.evaluated.measure(inputs, targets, 1.5)
        params = own.average
    for name in ("head.weight", "head.bias"):
        params[name][...] *= 1.5
    expected = prepare_network(network, params).measure(inputs, targets)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("average", [0.99, 0.0])
def test_state_of_the_engine_returns_from_a_snapshot_and_from_arrays(average: float) -> None:
    network = Network(NetworkConfig("lstm", 5, 2), VOCABULARY)
    inputs, targets = windows(np.random.default_rng(3), 0.1)
    with engine(network, TrainConfig(threads=1, average=average)) as own:

        def train(steps: range) -> list[float]:
            for window in steps:
                own.step(inputs, targets, None, window, 0.05)
            return [one.loss for one in own.read_steps()]

        train(range(3))
        snapshot, arrays = own.snapshot(), own.state_dict()
        after, weights = train(range(3, 6)), own.params.flat
        for state in (snapshot, arrays, snapshot):
            own.load_state_dict(state)
            assert train(range(3, 6)) == after
            np.testing.assert_array_equal(own.params.flat, weights)
            assert np.array_equal(own.average.flat, weights) == (average == 0)


def test_probe_measures_the_device_that_will_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, with its own network and windows; the CPU is the device here."""
    engine, measured = EngineConfig("torch", "cpu"), []
    on_cpu = probe.Windows(NetworkConfig("lstm", 16, 1), 4, 8)
    on_gpu = probe.Windows(NetworkConfig("gru", 32, 2), 2, 8)
    own = probe.device_speed

    def device_speed(engine: EngineConfig, threads: int, windows: probe.Windows, group: ProcessGroup) -> float:
        measured.append(own(engine, threads, windows, group, max_seconds=0.01))
        return 1000.0 if windows == on_cpu else 500.0

    monkeypatch.setattr(probe, "device_speed", device_speed)
    assert probe.measure_speed(1, engine, on_cpu=on_cpu, on_gpu=on_gpu) == Speed(1000 / 256, 1000 / 256, 1)
    monkeypatch.setattr(probe, "uses_gpu", lambda *_: True)
    assert probe.measure_speed(1, engine, on_cpu=on_cpu, on_gpu=on_gpu) == Speed(500 / 32, 500 / 32, 1, is_gpu=True)
    short = probe.measure_speed(1, engine, is_short=True, on_cpu=on_cpu, on_gpu=on_gpu)
    assert short == Speed(1000 / 256, 1000 / 256, 1, is_gpu=True)
    assert min(measured) > 1


def test_ranks_are_as_fast_as_the_slowest_with_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Ranks(ProcessGroup):
        def _all_reduce(self, values: Sequence[float], operation: str) -> list[float]:
            return [max(value, -40.0) for value in values] if operation == "MAX" else []

    def device_speed(*arguments: Any) -> float:
        assert arguments[3] == ProcessGroup(local_rank=1)
        return float("inf")

    monkeypatch.setattr(probe, "device_speed", device_speed)
    monkeypatch.setattr(probe, "uses_gpu", lambda *_: True)
    speed = probe.measure_speed(1, EngineConfig("torch", "cpu"), Ranks(rank=3, world_size=4, local_rank=1))
    assert speed == Speed(40, 160, 4, is_gpu=True)


def test_free_memory_is_that_of_the_gpu_of_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_gpu_memory(EngineConfig("torch", "cpu"), ProcessGroup()) is None
    assert free_gpu_memory(EngineConfig(), ProcessGroup()) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 + device.index, 1000))
    assert free_gpu_memory(EngineConfig("torch"), ProcessGroup(local_rank=3)) == 103


def test_lack_of_gpu_memory_says_what_needs_less() -> None:
    with pytest.raises(ResourceError, match="the GPU has too little memory; a smaller `hidden`"), as_resource_errors():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.mark.usefixtures("asynchronous")
def test_steps_in_rounds_are_those_of_single_steps(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TINY | {"steps": 130}
    options = RunOptions(engine=EngineConfig("torch", "cpu"))
    with Run([text], text.with_name("m"), settings, options, tuning=ROUNDS) as run:
        reports = [report.step for report in run.reports()]
    monkeypatch.setattr(TorchEngine, "is_asynchronous", False)
    alone = charlm.train(text, text.with_name("alone"), engine=options.engine, **settings)
    assert reports == [1, *range(13, 100, 13), 100, *range(104, 131, 13)]
    np.testing.assert_array_equal(run.model.params.flat, alone.params.flat)
    assert run.model.training.valid_loss == alone.training.valid_loss


@pytest.mark.usefixtures("asynchronous")
def test_divergence_within_a_round_returns_to_the_snapshot(text: Path) -> None:
    events: list[Event] = []
    settings = TINY | {"steps": 60, "optimizer": "sgd", "learning_rate": 50.0, "clip": 0.0}
    options = RunOptions(engine=EngineConfig("torch", "cpu"))
    with Run([text], text.with_name("m"), settings, options, events.append, ROUNDS) as run:
        reports = list(run.reports())
    said = [event.message for event in events if "diverged" in event.message]
    assert said
    assert all("back to step 0" in message for message in said)
    assert reports[-1].step == 60
    assert np.isfinite(run.model.params.flat).all()
