"""Files are replaced completely or not at all, whatever error occurs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from charlm.checkpoint import atomic_write, check_writable, discard_leftovers, printable
from charlm.errors import CheckpointError

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions and signals")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_chunks_are_joined(tmp_path):
    atomic_write(tmp_path / "new", [b"ab", memoryview(b"cd"), b""])
    atomic_write(str(tmp_path / "empty"), [])
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {
        "empty": b"",
        "new": b"abcd",
    }


def test_path_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atomic_write("here", [b"x"])
    assert names(tmp_path) == ["here"]


@posix
def test_data_is_synced_before_the_rename_and_the_folder_after_it(old, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(source, target):
        calls.append("rename")
        assert Path(source).read_bytes() == b"new"
        assert Path(source).parent == Path(target).parent
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    atomic_write(old, [b"new"])
    assert calls == ["file", "rename", "folder"]


@posix
def test_mode_is_that_of_the_old_file_or_of_the_umask(old):
    old.chmod(0o604)
    mask = os.umask(0o027)
    try:
        atomic_write(old, [b"new"])
        atomic_write(old.with_name("fresh"), [b"new"])
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o604
    assert stat.S_IMODE(old.with_name("fresh").stat().st_mode) == 0o640


@posix
def test_symbolic_links_are_kept(old, tmp_path):
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "ahead").symlink_to("later")
    atomic_write(tmp_path / "link", [b"new"])
    atomic_write(tmp_path / "ahead", [b"first"])
    assert old.read_bytes() == b"new"
    assert (tmp_path / "later").read_bytes() == b"first"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "ahead").is_symlink()


@posix
def test_temporary_file_that_exists_is_not_written_to(old, tmp_path, monkeypatch):
    """Another user of the folder may have put a link there."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    temporary = tmp_path / ".file.0000000000000000.tmp"
    for prepare in (lambda: temporary.symlink_to("victim"), lambda: os.link(victim, temporary)):
        prepare()
        with pytest.raises(CheckpointError, match="File exists; the old file is unchanged"):
            atomic_write(old, [b"new"])
        with pytest.raises(CheckpointError, match="File exists"):
            check_writable(old)
        assert os.path.lexists(temporary)
        assert victim.read_bytes() == b"precious"
        assert old.read_bytes() == b"old"
        temporary.unlink()


@posix
@pytest.mark.timeout(20)  # opening a pipe without a reader must not wait
def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    before = names(tmp_path)
    for path, reason in [
        (tmp_path, "it is a folder"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "loop", "not a regular file"),
        (os.devnull, "not a regular file"),
        (tmp_path / "nowhere" / "file", "no such file or folder"),
        (tmp_path / ("x" * 300), "too long"),
        ("a\0b", "null"),
        ("", "folder"),
    ]:
        with pytest.raises(CheckpointError, match=reason) as caught:
            atomic_write(path, [b"x"])
        assert str(caught.value).isprintable()
    assert names(tmp_path) == before
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_failure_while_writing_leaves_the_old_file(failure, old):
    def chunks():
        yield b"half"
        raise failure

    with pytest.raises(CheckpointError if isinstance(failure, OSError) else type(failure)) as caught:
        atomic_write(old, chunks())
    if isinstance(failure, OSError):
        assert str(caught.value) == f"cannot write {old}: No space left on device; the old file is unchanged"
    assert names(old.parent) == ["file"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_at_the_end_leaves_the_old_file(step, old, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CheckpointError, match="Input/output error; the old file is unchanged"):
        atomic_write(old, [b"new"])
    with pytest.raises(CheckpointError, match="nothing was written"):
        atomic_write(old.with_name("fresh"), [b"new"])
    assert names(old.parent) == ["file"]
    assert old.read_bytes() == b"old"


@posix
def test_full_disk_leaves_the_old_file(old):
    done = run(
        """
import resource, sys
from charlm.checkpoint import atomic_write
from charlm.errors import CheckpointError
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
try:
    atomic_write(sys.argv[1], (bytes(30_000) for _ in range(10)))
except CheckpointError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
""",
        old,
    )
    assert done.stderr == ""
    assert done.stdout == f"cannot write {old}: File too large; the old file is unchanged\n"
    assert names(old.parent) == ["file"]
    assert old.read_bytes() == b"old"


@posix
def test_kill_leaves_the_old_file_and_its_temporary_file_is_deleted(old, tmp_path):
    done = run(
        """
import os, signal, sys
from charlm.checkpoint import atomic_write
def chunks():
    yield bytes(1_000_000)
    os.kill(os.getpid(), signal.SIGKILL)
atomic_write(sys.argv[1], chunks())
""",
        old,
    )
    assert done.returncode == -signal.SIGKILL
    assert old.read_bytes() == b"old"
    others = {".file.tmp", ".file.0123456789abcdef.tmp.bak", ".file2.0123456789abcdef.tmp"}
    for name in others:
        (tmp_path / name).touch()
    assert len(names(tmp_path)) == 5
    discard_leftovers(old)
    assert set(names(tmp_path)) == others | {"file"}
    discard_leftovers(tmp_path / "nowhere" / "file")
    discard_leftovers("a\0b")


@pytest.fixture
def own_folder():
    """A folder of a user who is not root: permissions do not apply to root."""
    with tempfile.TemporaryDirectory() as folder:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.chmod(folder, 0o700)
            if is_root:
                os.seteuid(0)


@posix
def test_read_only_files_and_folders_are_respected(own_folder):
    path = own_folder / "file"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(CheckpointError, match="Permission denied; the old file is unchanged"):
        atomic_write(path, [b"new"])
    path.chmod(0o644)
    own_folder.chmod(0o500)
    with pytest.raises(CheckpointError, match="Permission denied; the old file is unchanged"):
        atomic_write(path, [b"new"])
    assert path.read_bytes() == b"old"


@posix
def test_file_in_a_folder_that_cannot_be_listed_is_replaced(own_folder):
    own_folder.chmod(0o300)
    atomic_write(own_folder / "file", [b"new"])
    assert (own_folder / "file").read_bytes() == b"new"


def test_printable():
    assert printable("plain 文 text") == "plain 文 text"
    assert printable("\x1b[31m\n\u202e\udc80\x9b") == r"\x1b[31m\n\u202e\udc80\x9b"
    assert printable("x" * 50, 10) == "xxxxxxx..."
    assert printable(Path("a\tb")) == r"a\tb"
    assert printable(17) == "17"
