"""The estimate of the memory of a run, and the refusal of a run that does not fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.errors import ResourceError
from charlm.nn.network import Network
from charlm.text.corpus import Corpus
from charlm.text.windows import batches_over
from charlm.training import memory
from charlm.training.memory import as_size, check_memory, free_memory, memory_needed
from tests.cli.command import charlm
from tests.reliability.running import start, write_text

MEASURE = """
import json, os, sys
from pathlib import Path
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions

def peak(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

with Run(["text.txt"], "m.safetensors", json.loads(sys.argv[1]), RunOptions(save_minutes=0)) as run:
    for report in run.reports():
        workers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    print(json.dumps([sum(map(peak, ["self", *workers])), run.memory]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": 8, "batch": 4, "bptt": 8, "threads": 1},
        {"hidden": 8, "batch": 4, "bptt": 8, "threads": 2},
        {"hidden": 8, "batch": 4, "bptt": 8, "threads": 1, "ensemble": 2},
        {"hidden": 200, "batch": 16, "bptt": 64, "layers": 2, "threads": 1, "ensemble": 3},
        {"hidden": 400, "batch": 4, "bptt": 8, "layers": 2, "threads": 1, "optimizer": "sgd"},
        {"hidden": 64, "batch": 64, "bptt": 384, "layers": 3, "threads": 1, "cell": "gru"},
    ],
)
def test_the_estimate_is_within_a_factor_of_two(tmp_path: Path, settings: dict[str, object]) -> None:
    text = write_text(tmp_path)
    text.write_text(text.read_text() * 12)
    run = [sys.executable, "-c", MEASURE, json.dumps(settings | {"steps": 3})]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, check=True, timeout=120)
    measured, estimated = json.loads(done.stdout)
    assert measured / 2 < estimated < measured * 2, f"{as_size(measured)} measured, {as_size(estimated)} estimated"


def test_run_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    write_text(tmp_path)
    flags = ("--hidden", 65536, "--layers", 8, "--steps", 1, "--threads", 1)
    done = charlm("train", "text.txt", *flags, cwd=tmp_path)
    assert done.code == 1
    assert done.out == ""
    assert re.fullmatch(
        r"charlm: training [\d,]+ parameters takes about [\d,.]+ GB of memory, and [\d,.]+ [GM]B are free here; "
        r"a smaller --hidden, --layers, --batch, --bptt, --threads or --ensemble needs less\n",
        done.err,
    ), done.err
    assert {path.name for path in tmp_path.iterdir()} <= {"text.txt", "charlm.lock"}


def test_memory_estimate_is_printed_before_training(tmp_path: Path) -> None:
    write_text(tmp_path)
    done = charlm("train", "text.txt", "--hidden", 8, "--steps", 1, "--threads", 1, cwd=tmp_path)
    assert re.search(r" parameters, about \d+ MB of memory\n", done.err)


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v binds on Linux alone")
def test_memory_limit_of_the_process_is_respected(tmp_path: Path) -> None:
    import resource

    write_text(tmp_path)
    limit = 2 * 2**30
    process = start(tmp_path, "text.txt", "--hidden", 4096, "--layers", 2, "--steps", 1, "--threads", 1,
                    preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))  # fmt: skip
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "are free here" in err
    assert "Traceback" not in err


def test_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_of_machine", 8e9), ("free_group_memory", 2e9), ("_of_process", None)):
        monkeypatch.setattr(memory, name, lambda value=value: value)
    assert free_memory() == 2e9
    check_memory(1.9e9, 5)
    with pytest.raises(ResourceError, match=r"training 5 parameters takes about 2\.1 GB of memory, and 2\.0 GB"):
        check_memory(2.1e9, 5)
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    check_memory(1e30, 5)


def test_larger_settings_need_more_memory() -> None:
    def needed(
        hidden: int = 64, layers: int = 1, steps: int = 32, streams: int = 16, shards: int = 1, parts: int = 1
    ) -> float:
        network = Network(NetworkConfig("lstm", hidden, layers), 50)
        return memory_needed(network, TrainConfig(), steps=steps, streams=streams, shards=shards, micro_batches=parts)

    least = needed()
    assert least < min(needed(hidden=128), needed(layers=2), needed(steps=64), needed(streams=32), needed(shards=2))
    assert needed(steps=512, streams=64, parts=2) < 0.9 * needed(steps=512, streams=64)


def test_windows_on_a_gpu_take_no_memory_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, train = Network(NetworkConfig("lstm", 64, 2), 50), TrainConfig(batch=16, bptt=64, ensemble=1, threads=1)
    batches = batches_over(Corpus.read([write_text(tmp_path)]), train)
    found = {}
    for has_gpu in (False, True):
        monkeypatch.setattr(memory, "uses_gpu", lambda *_, has_gpu=has_gpu: has_gpu)
        found[has_gpu] = memory.run_memory(EngineConfig("torch"), network, train, batches)
    windows = 4 * network.window_size(batches.steps, batches.streams)
    assert found[False] - found[True] > windows
    assert found[True] > 300e6


def test_memory_of_logits_is_bounded_with_large_vocabulary() -> None:
    """All logits of this window would take 13 GB; the head computes a part of them at a time."""
    network = Network(NetworkConfig("lstm", 8, 1), 50_000)
    assert memory_needed(network, TrainConfig(), steps=512, streams=64, shards=1) < 2e9
