"""All commands of the tutorial and the how-to guides run, and print what the pages show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.pages.page import (
    PREPARATION,
    SMALL_TRAIN,
    TOP,
    Result,
    Step,
    differences,
    prepare,
    python,
    run,
    run_python,
    steps,
)

PAGES = [page for kind in ("tutorial", "how-to") for page in sorted((TOP / "docs" / kind).glob("*.md"))]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_a_page_run_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if shutil.which("jq") is None and "jq" in text:
        pytest.skip("needs jq")
    environment = prepare(tmp_path)
    commands = [Step(PREPARATION.get(page.stem, "true"), []), *steps(text)]
    results = run(commands, tmp_path, environment)
    for step, result, after in zip(commands, results, [*commands[1:], Step("", [])], strict=True):
        expected = int(after.shown[0]) if after.command == "echo $?" else 0
        assert result.code == expected, (step.command, result.lines)
        assert differences(step, result) == [], (step.command, result.lines)
    if (code := python(text)) and "import torch" not in code:
        done = run_python(f"{SMALL_TRAIN}{code}", tmp_path, environment)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_page_are_in_blocks_that_run(page: Path) -> None:
    assert not re.findall(r"^ {4}(?:\$ )?charlm .*", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_wrong_output_is_found() -> None:
    shown = Step("charlm score a b", ["log p  text", "-1.5  a", "..."])
    assert differences(shown, Result(0, ["log p  text", "-2.75  a", "-3  b"])) == []
    assert differences(shown, Result(0, ["log p  text", "-2.75  b"])) == ["# a"]
    drawn = Step("charlm sample -n 2", ["Abc", "Def"])
    assert differences(drawn, Result(0, ["Xyz", "Uvw"])) == []
    assert differences(drawn, Result(0, ["Xyz"])) == ["1 lines"]
    assert differences(Step("charlm sample --length 9", ["one line"]), Result(0, ["a line", "two"])) == []
    assert differences(Step("charlm train t", ["charlm: 3 characters", "charlm: 2 networks"]), Result(0, [])) == [
        "charlm: # characters"
    ]


def test_commands_of_a_page_are_found() -> None:
    page = "```console\n$ a \\\n  b\nout\n$ c\n```\n```bash\nd\ne\n```\n```python\nf\n```\n"
    assert steps(page) == [Step("a \\\n  b", ["out"]), Step("c", []), Step("d\ne", [])]
    assert python(page) == "f\n"
