"""A model path that cannot be written is refused before training, and no file is left."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

import charlm
from charlm.checkpoint import check_writable, storage
from charlm.errors import CheckpointError
from charlm.training.learner import Learner
from tests.cli.command import charlm as command
from tests.reliability.running import FLAGS, SETTINGS, write_text

LONGEST = 255 - len(".resume") - len("..0123456789abcdef.tmp")
"""Characters of a model's name without its suffix, on file systems that allow 255 bytes."""


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text that is never learned."""

    def train_window(learner: Learner, rate: float) -> None:
        raise AssertionError("training has begun")

    monkeypatch.setattr(Learner, "train_window", train_window)
    return write_text(tmp_path)


def refuse(text: Path, model: Path, reason: str, **more: Any) -> None:
    """Assert that a run is refused for a reason, and leaves the folder as it was."""
    before = sorted(os.listdir(model.parent))
    with pytest.raises(CheckpointError, match=reason):
        charlm.train(text, model, steps=2, **SETTINGS, **more)
    assert sorted(os.listdir(model.parent)) == before


@pytest.mark.parametrize("length", [LONGEST + 1, 237, 255, 256, 1000, 5000])
def test_a_name_that_is_too_long_is_refused_before_training(text: Path, tmp_path: Path, length: int) -> None:
    refuse(text, tmp_path / ("m" * length), "File name too long; name another `model`")


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    text, path = write_text(tmp_path), tmp_path / ("m" * LONGEST)
    charlm.train(text, path, steps=2, **SETTINGS)
    assert charlm.load(path).training.steps == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("more", [{}, {"overwrite": True}])
@pytest.mark.parametrize("name", ["m.safetensors", "m.resume"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_path_that_is_not_a_file_is_refused_before_training(
    text: Path, tmp_path: Path, kind: str, name: str, more: dict[str, Any]
) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(os.devnull)
    else:
        path.mkdir()
    refuse(text, tmp_path / "m.safetensors", "is a folder|is not a regular file", **more)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null here")
def test_no_file_is_left_next_to_a_device(tmp_path: Path) -> None:
    write_text(tmp_path)
    before = set(os.listdir("/dev"))
    done = command("train", "text.txt", "-m", "/dev/null", "--overwrite", *FLAGS, "--steps", 2, cwd=tmp_path)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert not {name for name in set(os.listdir("/dev")) - before if "null" in name}


@pytest.mark.parametrize("name", ["m.safetensors", "m.resume"])
def test_a_read_only_model_is_refused_before_training(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in ("m.safetensors", "m.resume"):
        (tmp_path / each).write_text("old")
    (tmp_path / name).chmod(0o444)
    really_open = os.open

    def open_as_user(path: Any, flags: int, *rest: Any) -> int:
        """Open a file as a user who is not root, whom permissions do not bind."""
        if flags & os.O_WRONLY and os.path.exists(path) and not os.stat(path).st_mode & stat.S_IWUSR:
            raise PermissionError(13, "Permission denied")
        return really_open(path, flags, *rest)

    monkeypatch.setattr(storage.os, "open", open_as_user)
    refuse(text, tmp_path / "m.safetensors", f"{name}: Permission denied; name another `model`", overwrite=True)
    assert (tmp_path / name).read_text() == "old"


def test_a_link_into_a_folder_that_is_missing_is_refused_before_training(text: Path, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").symlink_to(tmp_path / "nowhere" / "m.safetensors")
    refuse(text, tmp_path / "m.safetensors", "there is no such file or folder", overwrite=True)


def test_the_file_of_another_user_in_a_sticky_folder_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as /tmp: others may write into the file, but not replace it."""
    path = tmp_path / "m.safetensors"
    path.write_text("old")
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(storage.os, "geteuid", lambda: os.getuid() + 4711)
    with pytest.raises(CheckpointError, match="it belongs to another user, and its folder is sticky"):
        check_writable(path)
    tmp_path.chmod(0o777)
    check_writable(path)
    assert os.listdir(tmp_path) == ["m.safetensors"]
