"""The hint that PyTorch would train on the GPU of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charlm.cli
from charlm.config import EngineConfig, NetworkConfig
from charlm.runs.setup import gpu_hint

HINT = "charlm: this machine has a GPU, and PyTorch is installed; --engine torch trains on it\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the machine has: a GPU and PyTorch, unless a test removes one of them."""
    has: dict[str, Any] = {"gpu": True, "torch": object()}
    monkeypatch.setattr("charlm.runs.setup.has_nvidia_gpu", lambda: has["gpu"])
    monkeypatch.setattr("charlm.runs.setup.find_spec", lambda name: has[name])
    return has


def test_new_run_tells_once_of_the_gpu(
    tmp_path: Path, machine: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox\n" * 30)
    model, sizes = str(tmp_path / "m.safetensors"), ["--hidden", "4", "--batch", "2", "--bptt", "8", "--ensemble", "1"]
    run = ["train", str(tmp_path / "text.txt"), "-m", model, "--keep-state", *sizes, "--threads", "1"]
    assert charlm.cli.run([*run, "--steps", "2"]) == 0
    assert capsys.readouterr().err.count(HINT) == 1
    assert charlm.cli.run(["train", str(tmp_path / "text.txt"), "-m", model, "--resume", "--steps", "3"]) == 0
    assert HINT not in capsys.readouterr().err
    machine["gpu"] = False
    assert charlm.cli.run([*run, "--steps", "2", "--overwrite"]) == 0
    assert HINT not in capsys.readouterr().err


@pytest.mark.usefixtures("machine")
def test_networks_that_numpy_alone_trains_get_no_hint() -> None:
    assert gpu_hint(NetworkConfig("gru"), EngineConfig())
    for network in (NetworkConfig("gru-simple"), NetworkConfig(encoder_decoder=True, outputs=3)):
        assert gpu_hint(network, EngineConfig()) == ""
    assert gpu_hint(NetworkConfig("gru"), EngineConfig("torch")) == ""


def test_without_pytorch_there_is_no_hint(machine: dict[str, Any]) -> None:
    machine["torch"] = None
    assert gpu_hint(NetworkConfig(), EngineConfig()) == ""
