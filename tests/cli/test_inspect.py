"""charlm inspect: the file it writes, its messages, and mistakes."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from tests.cli.tiny import Terminal
from tests.page.conftest import VERSE, folder, log  # noqa: F401


@pytest.fixture
def charlm(folder: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:  # noqa: F811
    """Run commands in the folder."""
    return Terminal(capsys)


def test_page_is_written_and_reported(charlm: Terminal, folder: Path) -> None:  # noqa: F811
    shown = charlm("inspect", "--file", "t.txt", "-o", "a.html", "--length", 100)
    assert shown.out == ""
    size = len((folder / "a.html").read_bytes()) / 1000
    assert shown.err == (
        "charlm: shows 100 characters from 0 on; --start and --length choose others\n"
        f"charlm: wrote a.html, {size:,.0f} kB\n"
    )
    assert charlm("inspect", "a fox").err.startswith("charlm: wrote charlm.html, ")


def test_page_is_printed_for_a_dash(charlm: Terminal, folder: Path) -> None:  # noqa: F811
    shown = charlm("inspect", "a fox", "-o", "-")
    charlm("inspect", "a fox", "-o", "a.html")
    assert shown.out == (folder / "a.html").read_text(encoding="utf-8")
    assert shown.err == ""
    assert not (folder / "-").exists()


def test_json_has_the_part_of_the_text_and_the_log(charlm: Terminal, folder: Path) -> None:  # noqa: F811
    out = charlm("inspect", "--file", "t.txt", "--json", "--start", 10, "--length", 30).out
    found = json.loads(out)
    assert "".join(found["text"]["tokens"]) == (VERSE * 20)[10:40]
    assert found["text"]["start"] == 10
    assert len(found["training"]["log"]) == 30
    assert found["model"]["name"] == "charlm.safetensors"
    assert not (folder / "charlm.html").exists()


def test_page_is_opened_in_the_browser(charlm: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) < 2)
    charlm("inspect", "a fox", "--open")
    assert opened == [(folder / "charlm.html").as_uri()]
    assert "charlm: no browser was found; open charlm.html in one\n" in charlm("inspect", "a fox", "--open").err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--file", "t.txt", "-o", "t.txt"), 2, "a file that it is made from; pass another --output"),
        (("a", "-o", "charlm.safetensors"), 2, "the page would replace a file that it is made from"),
        (("a", "-o", "none/a.html"), 1, "none/a.html: "),
        (("a", "--length", "20000"), 2, "--length is 20000; expected 1 to 10000"),
        (("a", "--start", "7"), 1, "the text has 1 characters, so none at 7; --start is the first one"),
        (("a", "--member", "1"), 2, "--member is 1; expected 0 to 0"),
    ],
)  # fmt: skip
def test_mistake_is_explained(charlm: Terminal, flags: tuple[str, ...], code: int, message: str) -> None:
    shown = charlm("inspect", *flags, code=code)
    assert message in shown.err
    assert "Traceback" not in shown.err
