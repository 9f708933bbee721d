"""charlm train, through the installed command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charlm as package
from tests.cli.command import charlm, files_in
from tests.cli.conftest import TINY, VERSE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "verse.txt").write_text(VERSE * 30)
    return tmp_path


def test_progress_goes_to_stderr_and_files_to_the_folder(folder: Path) -> None:
    done = charlm("train", "verse.txt", "--steps", 40, *TINY, cwd=folder)
    assert (done.code, done.out) == (0, "")
    assert "characters" in done.err
    assert "nats/char" in done.err
    assert "bits/char" in done.err
    assert "chars/s" in done.err
    assert "held-out" in done.err
    assert "\r" not in done.err  # no bar outside a terminal
    assert set(files_in(folder)) == {"verse.txt", "charlm.log.jsonl", "charlm.safetensors"}


def test_no_progress_leaves_settings_and_result(folder: Path) -> None:
    done = charlm("train", "verse.txt", "--steps", 40, "--no-progress", *TINY, cwd=folder)
    characters, settings, wrote, following = done.err.splitlines()
    assert "characters" in characters
    assert "40 steps" in settings
    assert wrote.startswith("charlm: wrote charlm.safetensors: held-out ")
    assert following.startswith("charlm: next: ")


def test_model_is_written_to_the_given_path(folder: Path) -> None:
    assert charlm("train", "verse.txt", "-m", "a.safetensors", "--steps", 2, *TINY, cwd=folder).code == 0
    assert charlm("train", "verse.txt", "--steps", 2, *TINY, cwd=folder, CHARLM_MODEL="b.safetensors").code == 0
    assert {"a.safetensors", "b.safetensors"} <= set(files_in(folder))


def test_standard_input_is_a_text(folder: Path) -> None:
    done = charlm("train", "-", "--steps", 2, *TINY, cwd=folder, stdin=(VERSE * 9).encode())
    assert done.code == 0, done.err


def test_short_text_shrinks_the_window_with_a_notice(folder: Path) -> None:
    (folder / "short.txt").write_text("abcabc")
    done = charlm("train", "short.txt", "--steps", 2, "--threads", 1, "--hidden", 8, cwd=folder)
    assert done.code == 0, done.err
    assert "windows shrunk" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.txt"], 1, "nowhere.txt: no such file"),
        (["."], 1, ".: is a folder; name the files in it"),
        (["empty.txt"], 1, "no text in it"),
        (["latin.txt"], 1, "byte 3 (0xe9) is not valid utf-8"),
        ([], 2, "no text is given"),
        (["verse.txt", "--hidden", "0"], 2, "--hidden is 0; expected 1 to 65536"),
        (["verse.txt", "--lr", "-1"], 2, "--lr is -1.0; expected more than 0"),
        (["verse.txt", "--valid", "1.5"], 2, "valid is 1.5"),
        (["verse.txt", "--cell", "brain"], 2, "'brain' is not one of"),
        (["verse.txt", "--steps", "many"], 2, "not a valid integer"),
        (["verse.txt", "--valid", "nan"], 2, "--valid is nan; expected a finite number, in [0, 1)"),
        (["verse.txt", "--minutes", "inf"], 2, "--minutes is inf; expected a finite number, more than 0"),
        (["verse.txt", "--resume"], 1, "no run to resume"),
        (["verse.txt", "-m", "verse.txt", "--overwrite"], 2, "verse.txt: a text that this run would write over"),
        (["verse.txt", "-m", "."], 1, ".: it is a folder"),
        (["latin.txt", "--encoding", "klingon"], 1, "klingon: no such encoding"),
        (["verse.txt", "-m", "no/such/folder/m.safetensors"], 1, "no/such/folder"),
    ],
)
def test_bad_input_is_reported_in_one_line_and_changes_no_file(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    (folder / "empty.txt").touch()
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    before = files_in(folder)
    done = charlm("train", *arguments, cwd=folder)
    assert done.code == code, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1 or code == 2
    assert files_in(folder) == before


def test_other_encodings_are_read(folder: Path) -> None:
    (folder / "latin.txt").write_bytes("été à la forêt\n".encode("latin-1") * 20)
    run = ("train", "latin.txt", "--steps", 2, *TINY)
    assert charlm(*run, "--encoding", "latin-1", "-m", "a.safetensors", cwd=folder).code == 0
    assert package.load(folder / "a.safetensors").score("forêt").unknown == 0
    assert charlm(*run, "--errors", "ignore", "-m", "b.safetensors", cwd=folder).code == 0
    assert package.load(folder / "b.safetensors").score("forêt").unknown == 1


@pytest.mark.parametrize("text", ["a", "ab", "a\n", "\n\n"])
def test_the_shortest_texts_train(folder: Path, text: str) -> None:
    (folder / "short.txt").write_text(text)
    done = charlm("train", "short.txt", "--steps", 2, "--hidden", 4, "--threads", 1, cwd=folder)
    assert done.code == 0, done.err
    assert charlm("sample", "--length", 2, cwd=folder).code == 0


def test_rows_of_the_log_have_the_keys_of_the_contract(folder: Path) -> None:
    assert charlm("train", "verse.txt", "--steps", 20, *TINY, cwd=folder).code == 0
    rows = [json.loads(row) for row in (folder / "charlm.log.jsonl").read_text().splitlines()]
    keys = ["step", "epoch", "seconds", "train_loss", "valid_loss", "learning_rate", "grad_norm", "chars_per_second"]
    assert all(list(row) == keys for row in rows)
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert rows[-1]["step"] == 20
    assert 0 < rows[-1]["train_loss"] < 5
    assert all(row["valid_loss"] is None or 0 < row["valid_loss"] < 5 for row in rows)


def test_progress_without_held_out_text_shows_the_training_loss(folder: Path) -> None:
    done = charlm("train", "verse.txt", "--valid", 0, "--recurrent-dropout", 0.3, "--steps", 20, *TINY, cwd=folder)
    assert "(recurrent 0.3)" in done.err
    assert done.code == 0
    assert " 50%  step 10" in done.err
    assert "held-out" not in done.err
    assert done.err.endswith("charlm: wrote charlm.safetensors\ncharlm: next: charlm sample -m charlm.safetensors\n")


def test_run_that_gets_worse_stops_early_with_a_notice(folder: Path) -> None:
    letters = random.Random(0)
    (folder / "noise.txt").write_text("".join(letters.choice("abcdefgh") for _ in range(500)))
    done = charlm("train", "noise.txt", "--steps", 1000, *TINY, "--patience", 1, "--keep-state", cwd=folder)
    assert done.code == 0, done.err
    assert "stopped early: the held-out loss rises; the best model is kept" in done.err
    assert json.loads((folder / "charlm.log.jsonl").read_text().splitlines()[-1])["step"] < 1000
    again = charlm("train", "noise.txt", "--resume", cwd=folder)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "--patience 0 continues it" in again.err


def test_model_is_overwritten_only_on_request(folder: Path) -> None:
    (folder / "charlm.safetensors").write_text("precious")
    done = charlm("train", "verse.txt", "--steps", 2, *TINY, cwd=folder)
    assert done.code == 1
    assert "--overwrite" in done.err
    assert (folder / "charlm.safetensors").read_text() == "precious"
    assert charlm("train", "verse.txt", "--steps", 2, "--overwrite", *TINY, cwd=folder).code == 0
    assert charlm("sample", "--length", 3, cwd=folder).code == 0


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_saves_the_run_and_resume_continues_it(folder: Path, threads: int) -> None:
    arguments = ["train", "verse.txt", "--steps", "100000", *map(str, TINY), "--threads", str(threads)]
    process = subprocess.Popen([sys.executable, "-m", "charlm", *arguments], cwd=folder, stderr=subprocess.PIPE)
    log = folder / "charlm.log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"--resume" in err
    assert b"Traceback" not in err
    assert charlm("sample", "--length", 3, cwd=folder).code == 0
    step = json.loads(log.read_text().splitlines()[-1])["step"]
    resumed = charlm("train", "verse.txt", "--resume", *TINY, "--threads", threads, "--steps", step + 50, cwd=folder)
    assert resumed.code == 0, resumed.err
    assert json.loads(log.read_text().splitlines()[-1])["step"] == step + 50
