"""Training on PyTorch, in one process and under torchrun, against training on NumPy."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.checkpoint import read_state
from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.errors import ConfigError, ResourceError
from charlm.nn.networks import make_network
from charlm.training.members import SEED_STRIDE
from tests.engines.driver import losses

torch = pytest.importorskip("torch")

from charlm.engines import torch_engine  # noqa: E402
from charlm.engines.process_group import ProcessGroup  # noqa: E402

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "corpora/lighthouse.txt").read_text() * 3
TINY: dict[str, Any] = {
    "hidden": 12, "layers": 2, "batch": 7, "bptt": 20, "steps": 100, "threads": 1, "dropout": 0.0, "patience": 0,
}  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@contextmanager
def torchrun(*arguments: str, ranks: int = 2, restarts: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Start a module on several ranks of this machine."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}",
        f"--max-restarts={restarts}", "--monitor-interval=0.1", "-m", *arguments,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()  # torchrun ends its ranks


def losses_on_ranks(
    text: Path, model: Path, settings: dict[str, Any], function: str = "losses", **options: Any
) -> list[Any]:
    """Train on two ranks by a function of the driver; return what it writes, such as the loss of each step."""
    arguments = {"text": str(text), "model": str(model), "engine": "torch", "settings": settings} | options
    with torchrun("tests.engines.driver", function, json.dumps(arguments)) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found: list[Any] = json.loads(model.with_suffix(".losses").read_text())
    return found


def assert_close(found: list[float], expected: list[float], *, first: float, all_: float) -> None:
    differences = np.abs(np.subtract(found, expected))
    assert len(found) == len(expected)
    assert differences[:10].max() < first
    assert differences.max() < all_


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "rnn-relu"])
def test_losses_are_those_of_numpy(text: Path, cell: str) -> None:
    runs = [losses(text, text.with_name("m"), engine, TINY | {"cell": cell}) for engine in ("numpy", "torch")]
    assert_close(runs[1], runs[0], first=1e-5, all_=1e-3)


@pytest.mark.parametrize("task", ["classify", "conditional"])
def test_losses_of_labels_are_those_of_numpy(text: Path, task: str) -> None:
    rows = (f"{len(line) % 2}\t{line}\n" for line in TEXT.splitlines() if line)
    text.write_text("".join(rows))
    runs = [losses(text, text.with_name("m"), engine, TINY, task=task) for engine in ("numpy", "torch")]
    assert_close(runs[1], runs[0], first=1e-5, all_=1e-3)


@pytest.mark.parametrize(
    ("cell", "settings", "options"),
    [
        ("lstm", {"dropout": 0.2, "recurrent_dropout": 0.3}, {"lines": True}),
        ("gru", {}, {}),
        ("lstm", {"dropout": 0.2}, {"task": "restore", "remove": "case"}),
        ("lstm", {"recurrent_dropout": 0.2}, {"task": "tag"}),
    ],
)
def test_losses_of_bidirectional_networks_are_those_of_numpy(
    text: Path, cell: str, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    """A run that starts on PyTorch continues on NumPy. Both predict the held-out text with the same loss."""
    if options.get("task") == "tag":
        text.write_text((ROOT / "corpora/names.conll").read_text()[:9000].rpartition("\n\n")[0] + "\n")
    given = TINY | {"cell": cell, "steps": 40, "bidirectional": True} | settings
    expected = losses(text, text.with_name("n"), "numpy", given, **options)
    begun = losses(text, text.with_name("m"), "torch", given, **options, stop_at=30)
    rest = losses(text, text.with_name("m"), "numpy", {"threads": 1}, **options, resume=True)
    assert_close(begun + rest, expected, first=1e-5, all_=1e-3)
    whole = losses(text, text.with_name("t"), "torch", given, **options)
    assert whole[: len(begun)] == begun
    found, other = (charlm.load(text.with_name(name)).training.valid_loss for name in ("t", "n"))
    assert found == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("dropout", [{"dropout": 0.3}, {"dropout": 0.2, "recurrent_dropout": 0.3}])
def test_losses_in_lines_with_dropout_are_those_of_numpy_on_one_thread(text: Path, dropout: dict[str, float]) -> None:
    settings = TINY | dropout | {"steps": 40}
    runs = [losses(text, text.with_name("m"), engine, settings, lines=True) for engine in ("numpy", "torch")]
    assert_close(runs[1], runs[0], first=1e-5, all_=1e-3)


@pytest.mark.parametrize("settings", [{"layers": 2, "steps": 40}, {"steps": 40, "recurrent_dropout": 0.3}])
def test_losses_of_a_tied_network_are_those_of_numpy(text: Path, settings: dict[str, Any]) -> None:
    settings = TINY | {"tied": True} | settings
    runs = [losses(text, text.with_name("m"), engine, settings) for engine in ("numpy", "torch")]
    assert_close(runs[1], runs[0], first=1e-5, all_=1e-3)


@pytest.mark.parametrize(("first", "second"), [("numpy", "torch"), ("torch", "numpy")])
def test_run_resumed_on_the_other_engine_continues(text: Path, first: str, second: str) -> None:
    uninterrupted = losses(text, text.with_name("whole"), "numpy", TINY | {"steps": 60})
    model = text.with_name("m")
    begun = losses(text, model, first, TINY | {"steps": 60}, stop_at=25)
    rest = losses(text, model, second, {"threads": 1}, resume=True)
    assert_close(begun + rest, uninterrupted, first=1e-5, all_=1e-4)


def test_run_resumed_on_pytorch_continues_to_the_bit(text: Path) -> None:
    settings = TINY | {"steps": 40, "dropout": 0.2, "cell": "gru"}
    uninterrupted = losses(text, text.with_name("whole"), "torch", settings)
    begun = losses(text, text.with_name("m"), "torch", settings, stop_at=15)
    assert begun + losses(text, text.with_name("m"), "torch", {}, resume=True) == uninterrupted


@pytest.mark.parametrize("lines", [False, True])
def test_two_ranks_train_as_one(text: Path, lines: bool) -> None:
    settings = TINY | {"dropout": 0.2, "cell": "gru" if lines else "lstm"}
    if lines:
        settings |= {"optimizer": "sgd", "learning_rate": 0.1}  # Adam's steps do not depend on the gradient's scale
    alone = losses(text, text.with_name("alone"), "torch", settings, lines=lines)
    assert_close(losses_on_ranks(text, text.with_name("m"), settings, lines=lines), alone, first=1e-5, all_=1e-4)


def test_two_ranks_on_devices_take_their_steps_in_rounds(text: Path) -> None:
    """The CPU is read in rounds, as a GPU is: the ranks exchange host values for each round, not for each step."""
    settings = TINY | {"dropout": 0.2}
    alone = losses(text, text.with_name("alone"), "torch", settings)
    rounds = losses_on_ranks(text, text.with_name("m"), settings, "rounds")
    steps, means, exchanges = zip(*rounds, strict=True)
    assert steps == (1, *range(10, 101, 10))
    expected = [np.mean(alone[first:last]) for first, last in pairwise([0, *steps])]
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-4)
    assert exchanges[-1] < 100


def test_number_of_ranks_may_change_at_a_resume(text: Path) -> None:
    model, settings = text.with_name("m"), TINY | {"steps": 60}
    uninterrupted = losses(text, text.with_name("whole"), "torch", settings)
    begun = losses(text, model, "torch", settings, stop_at=20)
    middle = losses_on_ranks(text, model, {"threads": 1}, resume=True, stop_at=40)
    rest = losses(text, model, "torch", {"threads": 1}, resume=True)
    assert_close(begun + middle + rest, uninterrupted, first=1e-5, all_=1e-4)


def rank_of(parent: int, rank: int) -> int | None:
    """Return the id of the process of a rank among the children of torchrun, None before it starts."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    return None


def step_of(state: Path) -> int:
    """Return the step of a saved state, 0 if there is none yet."""
    return int(read_state(state)[1]["trainer"]["step"]) if state.exists() else 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds its ranks in /proc")
def test_killed_rank_is_restarted_and_the_run_ends_as_planned(text: Path) -> None:
    model = text.with_name("m.safetensors")
    state = text.with_name("m.resume")
    options = ["--hidden=12", "--layers=1", "--batch=7", "--bptt=20", "--steps=600", "--dropout=0", "--threads=1"]
    with torchrun(
        "charlm", "train", str(text), "-m", str(model), "--engine=torch", "--device=cpu", "--save-every=0",
        "--patience=0", *options, restarts=2,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        for rank in (1, 0):
            begun = step_of(state)
            while step_of(state) < begun + 5:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.01)
            victim = rank_of(process.pid, rank)
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            time.sleep(0.3)  # no rank writes until torchrun has restarted all of them
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("resumed after step") == 2
    assert read_state(state)[1]["trainer"]["step"] == 600
    rows = [json.loads(line)["step"] for line in text.with_name("m.log.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))
    assert rows[-1] == 600
    alone = losses(text, text.with_name("alone"), "torch", TINY | {"layers": 1, "steps": 600})
    assert len(alone) == 600
    ended, expected = (read_state(text.with_name(f"{n}.resume"))[0]["params"] for n in ("m", "alone"))
    assert np.abs(ended - expected).max() < 1e-2  # two ranks round sums differently
    assert charlm.load(model).score("the lamp").bits_per_char < 8


def test_bfloat16_reaches_the_loss_of_float32(text: Path) -> None:
    model = charlm.train(
        text, text.with_name("m"), engine=EngineConfig("torch", "cpu", "bfloat16"), **TINY | {"steps": 60}
    )
    full = charlm.train(text, text.with_name("w"), engine=EngineConfig("torch", "cpu"), **TINY | {"steps": 60})
    assert model.training.valid_loss == pytest.approx(full.training.valid_loss, abs=0.05)
    assert model.training.valid_loss != full.training.valid_loss


def test_networks_and_devices_that_pytorch_lacks_are_refused(text: Path) -> None:
    for cell in ("gru-simple", "gru-before"):
        with pytest.raises(ConfigError, match="PyTorch does not have"):
            losses(text, text.with_name("m"), "torch", TINY | {"cell": cell})
    missing = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ResourceError, match="no such device"):
        charlm.train(text, text.with_name("m"), engine=EngineConfig("torch", missing), **TINY)


def test_several_ranks_for_a_bidirectional_network_are_refused() -> None:
    network = make_network(NetworkConfig(bidirectional=True), 7)
    with pytest.raises(ConfigError, match="several ranks cannot train a `bidirectional` network; start one process"):
        torch_engine.TorchEngine(
            network, network.initial(np.random.default_rng(0)), 4, EngineConfig("torch"), TrainConfig(),
            ProcessGroup(0, 2),
        )  # fmt: skip


def test_more_ranks_than_streams_are_refused(text: Path) -> None:
    with torchrun(
        "charlm", "train", str(text), "--engine=torch", "--batch=1", "--hidden=8", "-m", str(text.parent / "m")
    ) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "cannot be split over 2 ranks" in err
    assert "charlm/engines" not in err  # no traceback of ours


WAITING = """
import charlm.engines.tuning as tuning
tuning.DEFAULT_TUNING = tuning.EngineTuning(silent_wait_seconds=0)
from charlm.cli import main
main()
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_waits_for_another_responds_to_a_signal(text: Path, rank: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", WAITING, "train", str(text), "--engine=torch", "--device=cpu", "--threads=1"]
    with subprocess.Popen(command, cwd=text.parent, stderr=subprocess.PIPE, env=os.environ | environment) as process:
        try:
            assert process.stderr is not None
            assert select.select([process.stderr], [], [], 60)[0], "no message"
            assert b"charlm: waiting for" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()


def test_each_rank_takes_the_gpu_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_engine.find_device("auto", ProcessGroup(3, 4, 1, 2)) == torch.device("cuda", 1)


@pytest.mark.parametrize(("count", "device"), [(1, "mps"), (2, "cpu")])
def test_several_ranks_take_the_cpu_rather_than_the_gpu_of_apple(
    count: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert torch_engine.find_device("auto", ProcessGroup(0, count)).type == device


def test_members_of_an_ensemble_are_trained_on_pytorch(text: Path, tmp_path: Path) -> None:
    """Each member has the weights of a network that PyTorch trains alone with its seed."""
    settings = TINY | {"steps": 10, "engine": EngineConfig("torch", "cpu")}
    ensemble = charlm.train(text, tmp_path / "ensemble", **settings, ensemble=2)
    assert len(ensemble.members) == 2
    for seed, member in zip((0, SEED_STRIDE), ensemble.members, strict=True):
        alone = charlm.train(text, tmp_path / f"{seed}", **settings, seed=seed)
        expected = alone.params["rnn.weight_hh_l0"]
        np.testing.assert_allclose(member["rnn.weight_hh_l0"], expected, rtol=0, atol=1e-6)
