"""Check the wheel and the sdist in a folder: `python -m tests.package FOLDER`, or `make package`.

The wheel is small. Installed alone into an empty environment it trains, samples and scores from another folder, and
a type checker knows its types. The sdist holds all files of the repository and builds a wheel without a network.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TOP = Path(__file__).parents[1]
MAX_WHEEL_BYTES = 550_000
"""Source alone takes less; a wheel above this contains files by mistake."""
CLIENT = """\
import charlm

model = charlm.load("m.safetensors")
text: str = model.sample(n=2, temperature=0.5)[0].text
bits: float = model.score(text).bits_per_char
loss: float | None = model.training.valid_loss
"""
LEFT_OUT = (".ci/", ".git", ".farm")
"""Beginnings of the names of files that the sdist need not have."""


def run(*command: object, cwd: Path) -> str:
    """Run a command and return its output; end the check if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def check_wheel(wheel: Path, folder: Path) -> None:
    """Install a wheel into an empty environment, and use it from another folder."""
    size = wheel.stat().st_size
    if size > MAX_WHEEL_BYTES:
        sys.exit(f"{wheel.name} has {size:,} bytes, more than {MAX_WHEEL_BYTES:,}")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
    charlm = programs / "charlm"
    print(run(charlm, "--version", cwd=folder), end="")
    corpus = TOP / "corpora/dinosaurs.txt"
    run(charlm, "train", corpus, "--lines", "--steps", 20, "--hidden", 16, "-q", "-m", "m.safetensors", cwd=folder)
    if len(run(charlm, "sample", "-m", "m.safetensors", "-n", 3, cwd=folder).splitlines()) != 3:
        sys.exit("charlm sample -n 3 did not print three lines")
    if "Velocisaurus" not in run(charlm, "score", "-m", "m.safetensors", "Velocisaurus", cwd=folder):
        sys.exit("charlm score did not print its text")
    (folder / "client.py").write_text(CLIENT, encoding="utf-8")
    run(programs / "python", "client.py", cwd=folder)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", programs / "python")
    print(run(*mypy, "client.py", cwd=folder), end="")


def check_sdist(sdist: Path, folder: Path) -> None:
    """Compare an sdist with the repository, and build a wheel from it without a network."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = run("git", "ls-files", cwd=TOP).splitlines()
    missing = [name for name in files if name not in names and not name.startswith(LEFT_OUT)]
    if missing:
        sys.exit(f"{sdist.name} lacks {', '.join(missing)}; see MANIFEST.in")
    alone = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *alone, "--wheel-dir", folder / "again", sdist, cwd=folder)
    print(f"{sdist.name}: {len(names)} files, builds without a network")


if __name__ == "__main__":
    built = Path(sys.argv[1]).resolve()
    (one_wheel,), (one_sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as temporary:
        check_wheel(one_wheel, Path(temporary))
        check_sdist(one_sdist, Path(temporary))
    print(f"{one_wheel.name}: {one_wheel.stat().st_size:,} bytes, works in an empty environment")
