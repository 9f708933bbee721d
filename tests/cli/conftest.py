"""Models that several tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import charlm

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY = ("--hidden", 16, "--dropout", 0, "--batch", 4, "--bptt", 16, "--threads", 1, "--lr", 0.02)


@pytest.fixture(scope="session")
def verse_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model of running text."""
    folder = tmp_path_factory.mktemp("verse")
    (folder / "verse.txt").write_text(VERSE * 30)
    done = charlm("train", "verse.txt", "--steps", 150, *TINY, cwd=folder)
    assert done.code == 0, done.err
    return folder / "charlm.safetensors"


@pytest.fixture(scope="session")
def names_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model of lines."""
    folder = tmp_path_factory.mktemp("names")
    names = [a + b for a in ("an", "be", "ca", "do", "el") for b in ("na", "ra", "rol", "ra", "la", "lin", "bert")]
    (folder / "names.txt").write_text("\n".join(names * 3))
    done = charlm("train", "names.txt", "--lines", "--steps", 150, *TINY, cwd=folder)
    assert done.code == 0, done.err
    return folder / "charlm.safetensors"
