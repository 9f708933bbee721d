"""Real files of real runs, damaged: refused in one line, or they work; and nothing is written elsewhere."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.cli.info import facts_of, readable
from charlm.errors import CheckpointError, ConfigError, CorpusError, ResourceError, ResumeError
from charlm.runs.log import LOG_KEYS, Log
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training.report import Event
from tests.cli.command import charlm as command
from tests.cli.command import files_in
from tests.reliability.mutations import cut_everywhere, damaged
from tests.reliability.running import SETTINGS, write_text

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped in the middle."""
    folder = tmp_path_factory.mktemp("run")
    text = write_text(folder)
    with Run([text], folder / "m.safetensors", SETTINGS | {"steps": 12, "dropout": 0.1}) as run:
        for report in run.reports():
            if report.step == 5:
                run.stop()
    return folder


def use(path: Path) -> None:
    """Do with a model what the commands do."""
    model = charlm.load(path)
    assert np.isfinite(model.score("quick brown").log_prob)
    model.sample("a", n=2, length=4, seed=1)
    for name, value in readable(facts_of(model, path)):
        assert isinstance(name + value, str)


@pytest.mark.parametrize("members", [1, 3])
def test_damaged_models_are_refused_or_work(run: Path, tmp_path: Path, members: int) -> None:
    model = charlm.load(run / "m.safetensors")
    model.members *= members
    model.save(tmp_path / "m.safetensors")
    good = (tmp_path / "m.safetensors").read_bytes()
    path = tmp_path / "m.safetensors"
    rng = random.Random(3)
    used = 0
    for content in (*damaged(good, rng, 1200), *cut_everywhere(good)):
        path.write_bytes(content)
        refusal = None
        try:
            use(path)
            used += 1
        except CheckpointError as error:
            refusal = str(error)
        assert refusal is None or refusal.isprintable(), repr(refusal)
    assert used > 20  # a bit of a weight makes another model
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_damaged_states_are_refused_or_resume(run: Path, tmp_path: Path) -> None:
    good = (run / "m.resume").read_bytes()
    text = write_text(tmp_path)
    (tmp_path / "m.safetensors").write_bytes((run / "m.safetensors").read_bytes())
    state = tmp_path / "m.resume"
    rng = random.Random(3)
    gone_on = 0
    for content in (*damaged(good, rng, 500), *cut_everywhere(good)):
        state.write_bytes(content)
        try:
            options = RunOptions(resume=True, save_minutes=9)
            with Run([text], tmp_path / "m.safetensors", {"steps": 100}, options) as run:
                for report in run.reports():
                    if report.step >= 7:
                        run.stop()
            gone_on += 1
        except (CheckpointError, ResumeError, ConfigError, CorpusError, ResourceError):
            continue
    assert gone_on > 20
    names = {file.name for file in tmp_path.iterdir()}
    assert names <= {"text.txt", "m.safetensors", "m.resume", "m.log.jsonl", "m.lock"}


LOGS = [b"", b"\xff\xfe", b'{"step": 1}\n{"step"', b'{"step": "1"}\n', b"[" * 10**5 + b"\n", b"[]\n"]


@pytest.mark.parametrize("log", LOGS)
def test_damaged_log_is_cut_at_the_first_invalid_row(tmp_path: Path, log: bytes) -> None:
    path = tmp_path / "m.log.jsonl"
    row = json.dumps({"step": 2}).encode() + b"\n"
    path.write_bytes(row + log)
    with Log(path, 3) as opened:
        opened.write(dict.fromkeys(LOG_KEYS, 3.0))
    kept = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert kept == ([2, 1, 3.0] if log.startswith(b'{"step": 1}') else [2, 3.0])


def test_the_log_is_cut_at_the_step_that_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "m.log.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(1, 9)))
    with Log(path, 5):
        pass
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4, 5]


def test_log_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    events: list[Event] = []
    with Log(tmp_path / "none" / "m.log.jsonl", 0, events.append) as log:
        log.write(dict.fromkeys(LOG_KEYS, 1.0))
        log.write(dict.fromkeys(LOG_KEYS, 1.0))
    assert len(events) == 1
    assert "no log is written" in events[0].message


def evil_model(run: Path, path: Path) -> None:
    """Write a model whose every name wants to steer the terminal, and write elsewhere."""
    content = (run / "m.safetensors").read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    inner = json.loads(header["__metadata__"]["charlm"])
    inner["training"]["sources"] = [EVIL, "/etc/passwd", "../../up"]
    inner["training"]["digest"] = EVIL
    for index, token in enumerate(EVIL[:6]):
        if token not in inner["vocabulary"]["tokens"]:
            inner["vocabulary"]["tokens"][4 + index] = token
    header["__metadata__"]["charlm"] = json.dumps(inner)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])


def is_clean(shown: str) -> bool:
    """Whether nothing in it steers a terminal."""
    return not set(shown) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize(
    "arguments",
    [
        ["info"], ["sample", "--length", 200, "--seed", 1], ["sample", "-n", 3, "--length", 50, "--prompt", EVIL],
        ["score", "--file", "evil.txt"], ["score", "--file", "evil.txt", "--json"],
        ["score", "--file", "evil.txt", "--tsv", "--lines"], ["score", "--per-char", EVIL],
        ["score", "--per-char", "--no-color", EVIL], ["score", "--rank", "--file", "evil.txt"], ["odd", "evil.txt"],
        ["odd", "evil.txt", "--spots"], ["classify", EVIL], ["classify", EVIL, "--json"], ["classify", EVIL, "--tsv"],
        ["train", f"{EVIL}.txt", "--steps", 3, "--overwrite", "--hidden", 8, "--threads", 1],
        ["train", f"{EVIL}.missing"], ["train", "evil.txt", f"--{EVIL}"], ["sample", EVIL], [EVIL],
    ],
)  # fmt: skip
def test_names_in_hostile_files_do_not_control_the_terminal(run: Path, tmp_path: Path, arguments: list[object]) -> None:
    pytest.importorskip("termios", reason="no terminals of this kind here")
    from tests.cli.screen import Screen

    name = f"{EVIL}.safetensors"
    evil_model(run, tmp_path / name)
    evil_model(run, tmp_path / "charlm.safetensors")
    (tmp_path / "evil.txt").write_text(f"a{EVIL}b\tc\nquick\n{EVIL}\n")
    (tmp_path / f"{EVIL}.txt").write_text("quick brown foxes\n" * 9)
    more = ["-m", "charlm.safetensors", "-m", name] if arguments[0] == "classify" else []
    with Screen(*arguments, *more, cwd=tmp_path, columns=200) as screen:
        screen.end()
    shown = screen.shown
    for ours in ("A", *(f"{n}m" for n in (0, 1, 22, 31, 32, 33, 35, 36))):  # of the bar and the heat map
        shown = shown.replace(f"\x1b[{ours}", "")
    assert is_clean(shown), repr(shown)
    assert "Traceback" not in shown
    assert not (tmp_path.parent / "up").exists()


def test_a_model_that_names_other_files_writes_none(run: Path, tmp_path: Path) -> None:
    evil_model(run, tmp_path / "charlm.safetensors")
    before = files_in(tmp_path)
    for arguments in (["info"], ["sample", "--length", 5], ["score", "x"]):
        assert command(*arguments, cwd=tmp_path).code == 0
    assert files_in(tmp_path) == before
