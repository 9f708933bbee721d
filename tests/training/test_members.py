"""Ensembles: each member is trained as a network alone is, and all of them are evaluated, saved and resumed as one."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.engines.process_group import ProcessGroup
from charlm.errors import ConfigError, DivergedError, ResourceError, ResumeError
from charlm.nn.functional import mix_log_probs
from charlm.nn.network import Network
from charlm.nn.networks import make_network
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions, choose_settings
from charlm.text.batches import StreamBatches
from charlm.text.corpus import Corpus
from charlm.training.ensemble_size import Speed
from charlm.training.evaluation import mix_terms
from charlm.training.learner import StepResult
from charlm.training.member import Job, Member, Progress
from charlm.training.members import SEED_STRIDE, Members, member_configs
from charlm.training.recipes import choose
from charlm.training.report import Event
from charlm.training.tuning import TrainingTuning

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away from all of them at once\n"
TINY: dict[str, Any] = {
    "hidden": 8, "batch": 4, "bptt": 12, "threads": 1, "dropout": 0.3, "held_out": "end", "valid": 0.05,
}  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 60)
    return path


def log_probs_of(logits: np.ndarray, targets: np.ndarray, scale: float) -> np.ndarray:
    """Return log softmax(scale * logits)[target], (K, N), of logits (K, N, V)."""
    z = scale * logits
    return np.take_along_axis(z, targets[None, :, None], 2)[:, :, 0] - np.log(np.exp(z).sum(axis=2))


def test_sums_of_a_mixture_equal_numeric_derivatives() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 2, (3, 50, 5)), rng.integers(0, 5, 50)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    mean = (p * logits).sum(axis=2)
    at_target = np.take_along_axis(logits, targets[None, :, None], 2)[:, :, 0]
    terms = np.stack(
        [-log_probs_of(logits, targets, 1), mean - at_target, (p * logits**2).sum(axis=2) - mean**2], axis=1
    )

    def loss(scale: float) -> float:
        return -float(mix_log_probs(log_probs_of(logits, targets, scale)).sum())

    sums, d = mix_terms(terms), 1e-4
    assert sums.size == 50
    assert sums.loss == pytest.approx(loss(1))
    assert sums.slope == pytest.approx((loss(1 + d) - loss(1 - d)) / (2 * d), rel=1e-6)
    assert sums.curvature == pytest.approx((loss(1 + d) - 2 * loss(1) + loss(1 - d)) / d**2, rel=1e-4)


def test_members_have_own_seeds_and_fractions_of_the_cores() -> None:
    first, second = member_configs(TrainConfig(seed=5, threads=5, ensemble=2))
    assert (first.seed, second.seed) == (5, 5 + SEED_STRIDE)
    assert first.threads + second.threads == 5
    assert [config.threads for config in member_configs(TrainConfig(threads=2, ensemble=3))] == [1, 1, 1]


def test_settings_that_are_printed_name_the_number_of_networks() -> None:
    assert choose({"ensemble": 3, "steps": 5}, 1000).reason.startswith("3 networks, each lstm 128x1, batch")
    assert choose({"steps": 5}, 1000).reason.startswith("lstm 128x1, batch")


def test_each_member_equals_a_network_trained_alone(text: Path, tmp_path: Path) -> None:
    """Member 0 has the seed of the run; member 1 of this run is member 0 of a run with its seed."""
    with Run([text], tmp_path / "m", TINY | {"steps": 25, "ensemble": 2, "seed": 3}) as run:
        assert isinstance(run.trainer.learner, Members)
        reports = list(run.reports())
        members = run.trainer.learner.weights(1.0)
    assert reports[-1].step == 25
    assert len(reports[-1].member_losses) == 2
    for seed, member in zip((3, 3 + SEED_STRIDE), members, strict=True):
        with Run([text], tmp_path / f"{seed}", TINY | {"steps": 25, "seed": seed}) as alone:
            list(alone.reports())
            np.testing.assert_array_equal(member.flat, alone.trainer.learner.weights(1.0)[0].flat)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_held_out_loss_is_that_of_the_mixture(text: Path, tmp_path: Path, *, bidirectional: bool) -> None:
    settings = TINY | {"steps": 30, "ensemble": 3, "learning_rate": 0.05, "bidirectional": bidirectional}
    model = charlm.train(text, tmp_path / "m", **settings)
    assert len(model.members) == 3
    held_out = text.read_text()[-int(0.05 * len(text.read_text())) :]
    reloaded = charlm.load(tmp_path / "m")
    score = reloaded.pseudo_score(held_out) if bidirectional else reloaded.score(held_out)
    assert model.training.valid_loss == pytest.approx(score.nats_per_char, abs=2e-3)
    rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
    assert all(len(row["member_losses"]) == 3 for row in rows)


def test_resumed_ensemble_continues_to_the_bit(text: Path, tmp_path: Path) -> None:
    settings = TINY | {"ensemble": 2, "seed": 1}
    whole = charlm.train(text, tmp_path / "whole", **settings, steps=40)
    with Run([text], tmp_path / "half", settings | {"steps": 40}, RunOptions(save_minutes=0)) as run:
        for report in run.reports():
            if report.step >= 8:
                run.stop()
        assert 8 <= run.trainer.step < 40
    with pytest.raises(ResumeError, match="`ensemble` 2, not 3"):
        charlm.train(text, tmp_path / "half", resume=True, ensemble=3)
    resumed = charlm.train(text, tmp_path / "half", resume=True)
    for own, other in zip(whole.members, resumed.members, strict=True):
        np.testing.assert_array_equal(own.flat, other.flat)
    assert whole.training.valid_loss == resumed.training.valid_loss


def test_member_that_dies_ends_the_run_which_resumes(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m", TINY | {"steps": 10**6, "ensemble": 2}, RunOptions(save_minutes=0)) as run:
        reports = run.reports()
        next(reports)
        assert isinstance(run.trainer.learner, Members)
        os.kill(run.trainer.learner._processes[1].pid, signal.SIGKILL)
        with pytest.raises(ResourceError, match=r"process of member 1 exited with code -9"):
            list(reports)
    with Run([text], tmp_path / "m", {}, RunOptions(resume=True)) as run:
        assert run.trainer.step > 0


def test_divergence_of_members_is_reported_and_ends_the_run(text: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    settings = TINY | {"steps": 300, "ensemble": 2, "learning_rate": 1e12, "clip": 0.0, "optimizer": "sgd"}
    with (
        pytest.raises(DivergedError, match="did not help"),
        Run([text], tmp_path / "m", settings, on_event=events.append) as run,
    ):
        list(run.reports())
    assert any(event.message.startswith("member 1: diverged at step") for event in events)


def test_members_of_a_large_text_share_its_ids(tmp_path: Path) -> None:
    """Other integer types than those of bytes are passed on, too."""
    path = tmp_path / "text.txt"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 10)
    model = charlm.train(path, tmp_path / "m", **TINY, steps=2, ensemble=2)
    assert len(model.vocabulary) == 402


def test_member_that_has_reached_a_fraction_of_the_budget_waits(text: Path, tmp_path: Path) -> None:
    """So that members that another one has overtaken do not change the step at which all are evaluated."""
    corpus = Corpus.read([text])
    (tmp_path / "ids").write_bytes(corpus.ids.tobytes())
    network = make_network(NetworkConfig("gru", 8), len(corpus.vocabulary))
    params = network.initial(np.random.default_rng(0)).flat
    train = TrainConfig(steps=20, threads=1, batch=4, bptt=12)
    ids = (str(tmp_path / "ids"), corpus.ids.size, str(corpus.ids.dtype))
    job = Job(network, params, replace(corpus, ids=corpus.ids[:0]), *ids, train, EngineConfig(), TrainingTuning())
    with ExitStack() as stack:
        member = Member(job, stack)
        assert member.advance(0.0, 0.3).step == 6
        assert member.advance(0.0, 0.3) == (6, pytest.approx(member.advance(0.0, 0.3).epoch), None)
        assert member.advance(0.0, 0.4).step == 8


def test_losses_of_members_keep_their_columns() -> None:
    """A member that took no step has None in its column."""
    corpus = Corpus.read(["corpora/dinosaurs.txt"])
    train = TrainConfig(steps=5, ensemble=2, batch=4, bptt=12)
    members = Members(Network(NetworkConfig("gru", 8), 30), [], StreamBatches(corpus, train), train, EngineConfig())
    answers = [Progress(5, 0.1, None), Progress(4, 0.1, StepResult(2.5, 1.0, 0.01, 300.0))]
    members._ask = lambda method, *arguments: answers  # type: ignore[method-assign]
    assert members.advance(0.5, 1.0, 0.6) == StepResult(2.5, 1.0, 0.01, 300.0, (None, 2.5))
    assert members.step == 4


def test_as_many_members_work_at_a_time_as_there_are_cores() -> None:
    corpus = Corpus.read(["corpora/dinosaurs.txt"])
    train = TrainConfig(steps=5, ensemble=5, threads=2, batch=4, bptt=12)
    members = Members(Network(NetworkConfig("gru", 8), 30), [], StreamBatches(corpus, train), train, EngineConfig())
    members._processes = list(range(5))  # type: ignore[arg-type]
    calls: list[str] = []
    members._send = lambda process, message: calls.append(f"send {process}")  # type: ignore[method-assign]
    members._receive = lambda k: calls.append(f"receive {k}")  # type: ignore[method-assign,func-returns-value]
    members.free_buffers()
    pairs = [("send 0", "send 1"), ("receive 0", "receive 1"), ("send 2", "send 3"), ("receive 2", "receive 3")]
    assert calls == [call for pair in pairs for call in pair] + ["send 4", "receive 4"]


def test_members_start_from_those_of_a_mixture_in_turn(text: Path, tmp_path: Path) -> None:
    parent = charlm.train(text, tmp_path / "parent", **TINY, steps=3, ensemble=2)
    with Run(
        [text], tmp_path / "m", TINY | {"steps": 3, "ensemble": 3}, RunOptions(init_from=tmp_path / "parent")
    ) as run:
        started = run.trainer.learner.weights(1.0)
    for own, other in zip(started, [*parent.members, parent.members[0]], strict=True):
        np.testing.assert_array_equal(own.flat, other.flat)


def test_members_are_as_many_as_those_of_the_model_to_start_with(text: Path, tmp_path: Path) -> None:
    charlm.train(text, tmp_path / "parent", **TINY, steps=3, ensemble=2)
    model = charlm.train(text, tmp_path / "m", **TINY, steps=3, init_from=tmp_path / "parent")
    assert len(model.members) == 2


@pytest.mark.parametrize(("free", "members"), [(1e12, 4), (None, 4), (240e6, 2), (1e6, 1)])
def test_number_of_members_that_is_chosen_fits_the_memory(
    text: Path, monkeypatch: pytest.MonkeyPatch, free: float | None, members: int
) -> None:
    """A process of a member of this small network takes about 80 MB."""
    monkeypatch.setattr("charlm.runs.setup.free_memory", lambda: free)
    settings = TINY | {"minutes": 10}
    choice = choose_settings(settings, Corpus.read([text]), EngineConfig(), ProcessGroup())
    assert choice.train.ensemble == members
    assert (f"; {members} networks because" in choice.reason) == (members > 1)
    given = choose_settings(settings | {"ensemble": 5}, Corpus.read([text]), EngineConfig(), ProcessGroup())
    assert given.train.ensemble == 5


@pytest.mark.parametrize("given", [{"steps": 5}, {"epochs": 1.0}, {"minutes": 1.0, "ensemble": 1}])
def test_speed_is_measured_only_where_a_choice_depends_on_it(
    text: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setattr("charlm.runs.setup.measure_speed", lambda *_, **__: pytest.fail("measured"))
    choice = choose_settings(TINY | given, Corpus.read([text]), EngineConfig(), ProcessGroup())
    assert choice.train.ensemble == 1


@pytest.mark.parametrize(
    ("ranks", "on_gpu", "members"), [(1, 1e12, 4), (1, 2.9e9, 4), (1, 2e9, 3), (1, 1e6, 1), (1, None, 1), (2, 1e12, 1)]
)
def test_pytorch_trains_several_networks_on_one_gpu_with_enough_memory(
    text: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, on_gpu: float | None, members: int
) -> None:
    """A member takes about 0.6 GB; a CPU and several ranks train one network."""
    measured = []

    def measure_speed(*arguments: object, is_short: bool) -> Speed:
        measured.append((arguments[2], is_short))
        return Speed(1e6, 1e6, 1, is_gpu=on_gpu is not None)

    monkeypatch.setattr("charlm.runs.setup.free_memory", lambda: None)
    monkeypatch.setattr("charlm.runs.setup.free_gpu_memory", lambda *_: on_gpu)
    monkeypatch.setattr("charlm.runs.setup.uses_gpu", lambda *_: on_gpu is not None)
    monkeypatch.setattr("charlm.runs.setup.measure_speed", measure_speed)
    group = ProcessGroup(0, ranks)
    choice = choose_settings({"minutes": 10}, Corpus.read([text]), EngineConfig("torch"), group)
    assert choice.train.ensemble == members
    assert measured == [(group, True)]


@pytest.mark.parametrize(("is_gpu", "order"), [(False, "srsrsr"), (True, "sssrrr")])
def test_members_on_a_gpu_do_not_wait_for_each_other(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_gpu: bool, order: str
) -> None:
    """On a CPU of one core, a member starts when the one before has ended."""
    calls: list[str] = []
    monkeypatch.setattr("charlm.training.members.uses_gpu", lambda *_: is_gpu)
    with Run([text], tmp_path / "m", TINY | {"steps": 5, "ensemble": 3}) as run:
        members = run.trainer.learner
        assert isinstance(members, Members)
        send, receive = members._send, members._receive
        monkeypatch.setattr(members, "_send", lambda *arguments: (calls.append("s"), send(*arguments)))
        monkeypatch.setattr(members, "_receive", lambda k: (calls.append("r"), receive(k))[1])
        members.snapshot()
    assert "".join(calls) == order


def test_ensemble_under_several_ranks_is_refused(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.runs.run.create_process_group", lambda *_: ProcessGroup(world_size=2))
    with pytest.raises(ConfigError, match="`ensemble` starts its own processes; leave torchrun or `ensemble` out"):
        charlm.train(text, tmp_path / "m", **TINY, steps=3, ensemble=2)


def test_member_that_cannot_start_is_reported(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ResourceError, match=r"no Python interpreter at '/nowhere/python'.*; a smaller `ensemble`"):
        charlm.train(text, tmp_path / "m", **TINY, steps=3, ensemble=2)


PROGRAM_OF_A_MEMBER = """
from charlm.training import member

class Answering:
    events = []
    def __init__(self, job, stack): pass

member.Member = Answering
try:
    member.answer_requests()
except BrokenPipeError:
    print("broken")
"""


def test_member_whose_main_process_was_killed_prints_no_traceback() -> None:
    command = [
        sys.executable,
        "-X",
        "dev",
        "-c",
        PROGRAM_OF_A_MEMBER,
    ]  # Python 3.13 reports failed closes without -X, too
    member = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    member.stdout.close()
    member.stdin.buffer.write(pickle.dumps(None))
    member.stdin.close()
    assert member.wait(60) == 0
    assert member.stderr.read() == "broken\n"
    member.stderr.close()
