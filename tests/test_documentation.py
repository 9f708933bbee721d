"""README and docs name the sources of the texts that their commands read, and all keys of the model file."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

import charlm
from charlm.checkpoint.container import open_container
from charlm.checkpoint.strict_json import parse_json
from charlm.cli import COMMANDS, Commands
from charlm.cli import charlm as charlm_group
from charlm.scoring.heat_map import COLOURS

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
OTHER_PAGES = [
    TOP / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md", "corpora/SOURCES.md")
]
PLACEHOLDERS = {
    f"{name}.txt"
    for name in (
        "corpus",
        "new",
        "a",
        "b",
        "c",
        "first90",
        "last10",
        "letter",
        "book",
        "few",
        "names",
        "story",
        "openings",
        "dates",
        "piece",
        "verse",
        "build/pictures/code",  # of make pictures
    )
}
"""Placeholders for texts of the reader."""
SOURCES = (TOP / "corpora/SOURCES.md").read_text(encoding="utf-8")


def texts_of(page: Path) -> set[str]:
    """Return the texts that the commands of a page read."""
    commands = re.findall(r"(?:charlm|python -m benchmarks)[^`\n]*", page.read_text(encoding="utf-8"))
    return {text for command in commands for text in re.findall(r"[\w/.-]+\.txt\b", command)}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "commands.md"], ids=lambda page: page.name)
def test_text_of_every_command_is_in_the_clone_or_has_a_source(page: Path) -> None:
    elsewhere = {text for text in texts_of(page) - PLACEHOLDERS if not (TOP / text).is_file()}
    for text in elsewhere:
        assert re.search(rf"^\| `{re.escape(text)}` \|.*\| \w+/[\w-]+, `", SOURCES, re.MULTILINE), text
    if elsewhere:
        assert "SOURCES.md" in page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.name)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def commands_of(page: Path) -> set[str]:
    """Return the charlm commands in the code blocks of a page that tests do not run, without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n.*?^```$|(?:^ {4}[^\n]*\n)+", text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^(?: {4})?(?:\$ |torchrun .*-m )?(charlm [a-z].*)$", "".join(blocks), re.MULTILINE)
    return {shlex.join(shlex.split(line, comments=True)) for line in lines}


@pytest.mark.parametrize(
    "command", sorted(set().union(*(commands_of(page) for page in PAGES if page.name != "commands.md")))
)
def test_command_of_every_page_accepts_its_options(command: str) -> None:
    name, *words = shlex.split(command)[1:]
    found = Commands.get_command(charlm_group, click.Context(charlm_group), name)  # type: ignore[arg-type]
    assert found is not None
    found.make_context(name, words)  # exits on an unknown option


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_of_a_command_has_all_its_flags(name: str) -> None:
    page = (TOP / "docs/reference/commands.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    command = Commands.get_command(charlm_group, click.Context(charlm_group), name)  # type: ignore[arg-type]
    assert command is not None
    flags = {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}
    assert flags <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", section))


def test_generated_pages_are_those_of_the_code(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOP / "docs/commands.py", tmp_path], check=True, timeout=60)
    pages = sorted(tmp_path.iterdir())
    assert [page.name for page in pages] == ["commands.md", "python.md"]
    for page in pages:
        text = (TOP / "docs/reference" / page.name).read_text(encoding="utf-8")
        assert text == page.read_text(encoding="utf-8"), "run: python docs/commands.py"


def test_man_pages_have_all_flags(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOP / "docs/man_pages.py", tmp_path], check=True, timeout=60)
    pages = {
        page.stem: page.read_text(encoding="utf-8").replace("\\fB", "").replace("\\-", "-")
        for page in tmp_path.glob("man1/*.1")
    }
    assert pages.keys() == {"charlm", *(f"charlm-{name}" for name in COMMANDS)}
    assert {"143", "CHARLM_MODEL"} <= set(re.findall(r"\w+", pages["charlm"]))
    for name in COMMANDS:
        command = Commands.get_command(charlm_group, click.Context(charlm_group), name)  # type: ignore[arg-type]
        assert command is not None
        flags = {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}
        assert flags <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", pages[f"charlm-{name}"]))
    if shutil.which("mandoc"):
        run = ["mandoc", "-T", "lint", "-W", "error", *tmp_path.glob("man1/*.1")]
        assert subprocess.run(run, capture_output=True, check=False).returncode == 0


def test_heat_map_has_a_box_per_character_and_per_level(tmp_path: Path) -> None:
    program, sentence = runpy.run_path(str(TOP / "docs/heat.py")), "the <lazy> dog & fox"
    model = TOP / "tests/golden/text.safetensors"
    program["main"](["-m", str(model), sentence, str(tmp_path / "heat.svg")], standalone_mode=False)
    boxes = ElementTree.parse(tmp_path / "heat.svg").findall("{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == len(sentence) + len(COLOURS)


def test_heat_map_of_a_cell_has_the_colours_of_its_activations(tmp_path: Path) -> None:
    program, model = runpy.run_path(str(TOP / "docs/heat.py")), TOP / "tests/golden/text.safetensors"
    words = ["-m", str(model), "--cell", "0.3", "--columns", "4", "the\ndogs", str(tmp_path / "heat.svg")]
    program["main"](words, standalone_mode=False)
    boxes = ElementTree.parse(tmp_path / "heat.svg").findall("{http://www.w3.org/2000/svg}rect")
    values = charlm.load(model).activations("the\ndogs").cells[0, :, 3]
    colours = [program["DIVERGING"][int((value + 1) / 2 * 9)] for value in values]
    assert [box.get("fill") for box in boxes[:8]] == colours
    assert [box.get("y") for box in boxes[:8]] == ["10"] * 4 + ["44"] * 4
    assert len(boxes) == 8 + 9


def test_paragraphs_of_the_pictures_are_whole() -> None:
    paragraphs = runpy.run_path(str(TOP / "docs/pictures.py"))["paragraphs"]
    assert paragraphs("ab\n\ncd\n\nef", 3) == "ab\n\ncd"
    assert paragraphs("ab\n\ncd", 3) == "ab\n\ncd"


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.name)
def test_code_files_named_on_a_page_exist(page: Path) -> None:
    for name in re.findall(r"`([\w/]+/\w+\.py)", page.read_text(encoding="utf-8")):
        if "NAME" not in name:
            assert (TOP / name).exists() or (TOP / "charlm" / name).exists(), name


def test_commands_that_read_texts_are_found() -> None:
    assert {"tinyshakespeare.txt", "names.txt", "corpora/dinosaurs.txt"} <= set().union(*map(texts_of, PAGES))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_keys_of_the_model_file_are_documented(bidirectional: bool, tmp_path: Path) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "m.safetensors"
    text.write_text("hello world\n" * 20)
    charlm.train(text, path, hidden=4, layers=1, steps=1, batch=2, bptt=8, threads=1, bidirectional=bidirectional)
    with open_container(path, {"F32"}, "") as container:
        content = parse_json(container.metadata["charlm"])
    assert isinstance(content, dict)
    page = (TOP / "docs/reference/files.md").read_text(encoding="utf-8")
    model = page[page.index("**Model**") : page.index("**State**")]
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", model))))
    keys = content.keys() | content["config"].keys() | content["vocabulary"].keys()
    assert {"format_version", "recurrent_dropout", "tokens"} <= keys
    assert ("bidirectional" in keys) is bidirectional
    assert not keys - words
