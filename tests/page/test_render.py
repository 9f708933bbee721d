"""The HTML file: its data, its policy, and texts that try to be HTML."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from charlm.page.facts import Inspection, collect
from charlm.page.render import to_html, to_json
from tests.page.conftest import HOSTILE


class Elements(HTMLParser):
    """Collects the elements of a page, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.contents: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] in ("script", "style", "title") and data.strip():
            self.contents.append((self.names[-1], data))

    def content(self, name: str) -> list[str]:
        """Return the texts of the elements of a name."""
        return [text for tag, text in self.contents if tag == name]


@pytest.fixture(scope="session")
def pages(inspections: dict[str, Inspection]) -> dict[str, str]:
    return {name: to_html(collect(inspection, threads=1)) for name, inspection in inspections.items()}


def data_of(page: str) -> dict[str, object]:
    """Return the facts in a page."""
    found: dict[str, object] = json.loads(Elements(page).content("script")[0])
    return found


def test_every_page_has_the_same_elements(pages: dict[str, str]) -> None:
    names = {name: Elements(page).names for name, page in pages.items()}
    assert names["hostile"] == names["text"] == names["lines"] == names["words"]
    assert names["text"].count("script") == 2


def test_hostile_texts_are_data(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    head, _, rest = page.partition('id="data">')
    data = rest.partition("</script>")[0]
    assert not set("<>&\u2028\u202e\x00\x1b") & set(data)
    assert data.isascii()
    assert json.loads(data)["text"]["tokens"] == list(HOSTILE * 3)[:120]
    title = Elements(head).content("title")
    assert "&lt;/script&gt;" in head
    assert "</script><script>" in title[0]  # shown as text
    assert "\u202e" not in head
    assert "\x1b" not in head


def test_policy_allows_the_own_script_and_style_alone(pages: dict[str, str]) -> None:
    for page in pages.values():
        elements = Elements(page)
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
        hashes = {
            name: "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
            for name, text in (("style", elements.content("style")[0]), ("script", elements.content("script")[1]))
        }
        assert policy.split("; ") == [
            "default-src 'none'", f"style-src {hashes['style']}", f"script-src {hashes['script']}",
            "base-uri 'none'", "form-action 'none'",
        ]  # fmt: skip


def test_page_names_no_address(pages: dict[str, str]) -> None:
    found = re.findall(r"\w+://[\w.]+", pages["text"])
    assert set(found) <= {"http://www.w3.org"}  # the name of SVG, which is not loaded
    assert not {"src", "href"} & {name for name, _ in Elements(pages["text"]).attributes}


def test_numbers_are_rounded_and_activations_are_bytes(
    inspections: dict[str, Inspection], pages: dict[str, str]
) -> None:
    facts = collect(inspections["text"], threads=1)
    found = json.loads(Elements(pages["text"]).content("script")[0])
    assert found["scores"]["log_prob"] == pytest.approx(facts["scores"]["log_prob"], rel=5e-4)
    for packed, cell in zip(found["cells"]["shown"], facts["cells"]["shown"], strict=True):
        values = np.frombuffer(base64.b64decode(packed["values"]["int8"]), np.int8) * packed["values"]["scale"]
        np.testing.assert_allclose(values, cell["values"], atol=0.5 / 127 + 1e-6)
    assert found["properties"]["ranked"][0]["property"] == facts["properties"]["ranked"][0]["property"]


def test_keys_of_the_json_are_documented(inspections: dict[str, Inspection]) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/output.md").read_text(encoding="utf-8")
    section = page.partition("\n## inspect\n")[2].partition("\n## ")[0]
    keys = set()
    for name, value in collect(inspections["text"], threads=1).items():
        is_open = isinstance(value, dict) and name != "saturation"  # its keys are the gates
        keys |= {f"{name}.{key}" for key in value} if is_open else {name}
    assert set(re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)) == keys


def test_json_has_all_digits_and_no_arrays(inspections: dict[str, Inspection]) -> None:
    facts = collect(inspections["text"], threads=1)
    found = json.loads(to_json(facts))
    assert found["scores"]["log_prob"] == facts["scores"]["log_prob"]
    assert found["cells"]["shown"][0]["values"] == facts["cells"]["shown"][0]["values"].tolist()
    assert found["saturation"]["forget"] == facts["saturation"]["forget"].tolist()
    assert "NaN" not in to_json(facts)
