"""Every location, command, link and picture in docs/tutorial/course.md exists."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from benchmarks.__main__ import MODULES
from charlm.cli import COMMANDS, Commands, charlm

TOP = Path(__file__).parents[1]
DOC = (TOP / "docs/tutorial/course.md").read_text(encoding="utf-8")
LOCATIONS = re.findall(r"`((?:charlm|tests|benchmarks)/[\w/]+\.py)(?:::([\w.]+))?`", DOC)
LINES = re.findall(r"(?:^\$ |`|^(?=python ))(charlm [a-z][^`\n|]*|python -m [^`\n]*)", DOC, re.MULTILINE)
TOPICS = (
    "Why sequence models", "Notation", "Vocabulary, one-hot, EOS, UNK", "The recurrent network",
    "Backpropagation through time", "Kinds of recurrent networks", "Language models", "Sampling novel sequences",
    "Vanishing and exploding gradients", "The gated recurrent unit, simplified", "The gated recurrent unit",
    "Long short-term memory", "Six cells", "Bidirectional networks", "Deep networks",
)  # fmt: skip


def names_in(node: ast.AST, before: str = "") -> set[str]:
    """Return the dotted names of the classes and functions in a module, a class or a function."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            found |= {before + child.name} | names_in(child, f"{before}{child.name}.")
    return found


def test_topics_are_those_of_the_course_in_order() -> None:
    assert tuple(re.findall(r"^## (.+)$", DOC, re.MULTILINE)) == TOPICS


def test_every_location_exists() -> None:
    assert len(LOCATIONS) > 30
    for file, name in LOCATIONS:
        assert (TOP / file).is_file(), file
        if name:
            assert name in names_in(ast.parse((TOP / file).read_text(encoding="utf-8"))), f"{file}::{name}"


def test_every_double_colon_is_a_checked_location() -> None:
    assert len(re.findall(r"\w::\w", DOC)) == sum(bool(name) for _, name in LOCATIONS) + 1  # and `file::name` itself


def test_code_is_that_of_the_files_that_its_topic_names() -> None:
    shown = 0
    for section in DOC.split("\n## ")[1:]:
        files = {file for file, _ in LOCATIONS if file in section}
        sources = ["\n".join(map(str.strip, (TOP / file).read_text(encoding="utf-8").splitlines())) for file in files]
        for code in re.findall(r"^```py\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            shown += 1
            assert any("\n".join(map(str.strip, code.splitlines())) in source for source in sources), code
    assert shown > 10


@pytest.mark.parametrize("line", sorted({line for line in LINES if line.startswith("charlm ")}))
def test_every_command_accepts_its_options(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    assert name in COMMANDS
    command = Commands.get_command(charlm, click.Context(charlm), name)  # type: ignore[arg-type]
    assert command is not None
    command.make_context(name, words)  # exits on an unknown option
    for file in (word for word in words if word.startswith("corpora/")):
        assert (TOP / file).is_file(), file


def test_benchmark_of_every_command_exists() -> None:
    names = {line.split()[3] for line in LINES if line.startswith("python -m benchmarks ")}
    assert names
    assert names <= set(MODULES)


def test_texts_outside_the_repository_have_a_download_command() -> None:
    named = {word for line in LINES for word in shlex.split(line) if word.endswith(".txt")}
    absent = {name for name in named if not (TOP / name).is_file()}
    assert absent <= set(re.findall(r"^curl -o (\S+) http", DOC, re.MULTILINE))


def test_every_link_target_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)", DOC)
    assert "../images/gradients.svg" in links
    for link in links:
        assert (TOP / "docs/tutorial" / link).is_file(), link


def test_every_topic_has_a_picture_with_a_description() -> None:
    for section in DOC.split("\n## ")[1:]:
        assert re.search(r"^!\[[^\]]{30,}\]\(\.\./images/[\w-]+\.svg\)$", section, re.MULTILINE), section.partition(
            "\n"
        )[0]


def test_diagrams_are_those_of_the_program(tmp_path: Path) -> None:
    model = TOP / "tests/golden/lines.safetensors"
    subprocess.run([sys.executable, TOP / "docs/diagrams.py", "--folder", tmp_path], check=True, timeout=60)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert len(written) == 12
    for name, drawing in written.items():
        assert drawing == (TOP / "docs/images" / name).read_text(encoding="utf-8"), "run: python docs/diagrams.py"
    command = [sys.executable, TOP / "docs/diagrams.py", "--folder", tmp_path, "-m", model]
    subprocess.run(command, check=True, timeout=60)
    of_model = {path.name for path in tmp_path.iterdir()} - written.keys()
    assert of_model == {"course-products.svg", "course-sampling.svg"}
    for name in of_model:
        assert f"../images/{name}" in DOC
