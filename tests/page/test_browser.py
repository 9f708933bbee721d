"""The pages of three models and of a hostile text in headless Chromium; skipped where there is no browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.page.facts import Facts, Inspection, collect
from charlm.page.render import to_html
from tests.page.browser import Browser, open_browser

NAMES = ("text", "lines", "words", "hostile")
PHONE = 390
"""Width of a phone in pixels."""
ARROW_RIGHT, ARROW_LEFT, ARROW_DOWN, HOME, END, ENTER, ESCAPE, TAB = (
    "\ue014", "\ue012", "\ue015", "\ue011", "\ue010", "\ue007", "\ue00c", "\ue004",
)  # fmt: skip

SPANS = "[...document.querySelectorAll('#text span')]"

every_page = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def facts(inspections: dict[str, Inspection]) -> dict[str, Facts]:
    return {name: collect(inspections[name], threads=1) for name in NAMES}


@pytest.fixture(scope="session")
def files(facts: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name in NAMES:
        (folder / f"{name}.html").write_text(to_html(facts[name]), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in NAMES}


def shown(facts: Facts) -> str:
    """Return the text of a page as the page shows it: invisible characters escaped, a mark before a newline."""

    def visible(character: str) -> str:
        return (
            "\u21b5\n" if character == "\n" else character if character.isprintable() else f"\\u{{{ord(character):x}}}"
        )

    return "".join(map(visible, "".join(facts["text"]["tokens"])))


def token(browser: Browser, index: int) -> Any:
    """Return the element of a token."""
    return browser.find(f'#text [data-index="{index}"]')


def current(browser: Browser) -> int:
    """Return the index of the current token."""
    return int(browser.run("return document.querySelector('#text .current').dataset.index;"))


@every_page
def test_page_loads_without_errors_and_requests(browser: Browser, files: dict[str, Path], name: str) -> None:
    browser.open(files[name])
    browser.run("document.querySelectorAll('button').forEach((button) => button.click());")
    assert browser.messages() == []
    assert browser.requests() == [files[name].as_uri()]


@every_page
def test_text_is_shown_as_text(browser: Browser, files: dict[str, Path], facts: dict[str, Facts], name: str) -> None:
    browser.open(files[name])
    assert browser.text("#text") == shown(facts[name])
    assert browser.run("return document.querySelectorAll('script').length;") == 2
    if name == "hostile":
        assert browser.driver.title.startswith("</script><script>document.title='run'</script></style>&amp;")
        assert "\u202e" not in browser.text("body")


@every_page
def test_hover_shows_the_numbers_of_a_token(
    browser: Browser, files: dict[str, Path], facts: dict[str, Facts], name: str
) -> None:
    browser.open(files[name])
    scores = facts[name]["scores"]
    for index in (3, 8):
        browser.hover(token(browser, index))
        assert current(browser) == index
        words = browser.text("#probability").replace(",", "").split()
        probability, bits, rank = float(words[1]), float(words[2]), int(words[5])
        assert probability == pytest.approx(math.exp(scores["log_prob"][index]), rel=2e-3)
        assert bits == pytest.approx(-scores["log_prob"][index] / math.log(2), rel=2e-3, abs=1e-3)
        assert rank == scores["rank"][index]
        rows = browser.run("return [...document.querySelectorAll('#details tbody tr')].map((row) => row.textContent);")
        assert float(rows[0].rpartition("\u201d")[2]) == pytest.approx(scores["alternatives"][index][0][1], rel=1e-3)
    assert facts[name]["expected"]["texts"][8].split("\n")[0] in browser.text("#details") or name == "hostile"


def test_chosen_cell_colours_the_text(browser: Browser, files: dict[str, Path], facts: dict[str, Facts]) -> None:
    browser.open(files["text"])
    best = facts["text"]["properties"]["ranked"][0]
    assert browser.run("return document.querySelector('#cell').value;") == str(best["cell"])
    browser.run("document.querySelector('#properties button').click();")
    (values,) = (
        one["values"]
        for one in facts["text"]["cells"]["shown"]
        if (one["layer"], one["cell"]) == (best["layer"], best["cell"])
    )
    levels = browser.run(
        "return [...document.querySelectorAll('#text span')].map((span) => Number(span.className[1]));"
    )
    assert np.abs(np.array(levels) - np.floor((values + 1) / 2 * 9)).max() <= 1  # values are rounded to bytes
    assert (np.array(levels) == np.floor((values + 1) / 2 * 9)).mean() > 0.95
    assert len(set(levels)) > 3
    assert browser.find('input[value="cell"]').is_selected()
    browser.find('#layer option[value="1"]').click()
    assert "of cell 1." in browser.text("#legend")
    browser.find('input[value="surprisal"]').click()
    assert browser.text("#legend").startswith("surprisal in bits")


def test_gates_and_saliency_of_the_current_token_are_shown(
    browser: Browser, files: dict[str, Path], facts: dict[str, Facts]
) -> None:
    browser.open(files["text"])
    browser.find("#next").click()
    index = current(browser)
    assert index == 1
    browser.find("#next").click()
    details = browser.text("#details")
    first = facts["text"]["cells"]["shown"][0]
    for gate, values in first["gates"].items():
        assert f"{gate} gate" in details
        row = browser.run(
            "return [...document.querySelectorAll('#gates tr')]"
            ".find((row) => row.firstChild.textContent === arguments[0]).querySelector('.current').textContent;",
            gate,
        )
        assert float(row) == pytest.approx(values[2], abs=0.011)
    largest = max(facts["text"]["saliency"]["values"][2], key=abs)
    assert f"{largest:.3g}"[:5] in details
    coloured = browser.run(
        "return [...document.querySelectorAll('#text span')].filter((span) => span.style.borderBottomColor).length;"
    )
    assert 1 <= coloured <= 2


def test_keyboard_moves_holds_and_releases(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["text"])
    browser.run("document.querySelector('#text').focus();")
    browser.press(ARROW_RIGHT, ARROW_RIGHT, ARROW_RIGHT, ARROW_LEFT)
    assert current(browser) == 2
    assert browser.text("#said").startswith("\u201ce\u201d, probability 0.")  # for a screen reader
    browser.press(ARROW_DOWN)
    below = current(browser)
    assert 20 < below < 26  # the text has a line of 20 characters
    browser.press(END)
    assert current(browser) == 119
    browser.press(HOME, ENTER)
    assert "held" in token(browser, 0).get_attribute("class")
    browser.hover(token(browser, 9))
    assert current(browser) == 0
    browser.press(ESCAPE)
    browser.hover(token(browser, 5))
    assert current(browser) == 5


def test_all_controls_are_reached_by_tab_and_have_names(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["text"])
    reached = []
    for _ in range(12):
        browser.press(TAB)
        reached.append(
            browser.run(
                "return document.activeElement.id || document.activeElement.name || document.activeElement.tagName;"
            )
        )
    assert [one for one in reached if one in ("mode", "layer", "cell", "next", "text")] == [
        "mode", "layer", "cell", "next", "text",
    ]  # fmt: skip
    unnamed = browser.run(
        "return [...document.querySelectorAll('select, input, button, [tabindex], svg')]"
        ".filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label'))).length;"
    )
    assert unnamed == 0


@every_page
@pytest.mark.parametrize("width", [1200, PHONE])
def test_no_page_is_wider_than_its_window(browser: Browser, files: dict[str, Path], name: str, width: int) -> None:
    browser.open(files[name], width=width)
    assert browser.run("return document.documentElement.scrollWidth;") <= width


@every_page
def test_dark_and_light_pages_have_the_contrast_to_be_read(browser: Browser, files: dict[str, Path], name: str) -> None:
    """Compare the pictures coarsely: their brightness, their colours, and the contrast of each heat map colour."""
    pictures = {}
    for dark in (False, True):
        browser.open(files[name], dark=dark)
        pictures[dark] = browser.picture()
        ratios = browser.run(CONTRASTS)
        assert min(ratios) >= 4.5, ratios
    assert pictures[False].mean() > 0.8
    assert pictures[True].mean() < 0.25
    for picture in pictures.values():
        colourful = np.ptp(picture, axis=2) > 0.2
        assert 0.001 < colourful.mean() < 0.5


CONTRASTS = """
  const light = (channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/\\d+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return ["s0", "s1", "s2", "s3", "s4", "s5", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8"].map((name) => {
    const probe = document.body.appendChild(Object.assign(document.createElement("span"), { className: name }));
    const style = getComputedStyle(probe), pair = [luminance(style.color), luminance(style.backgroundColor)].sort();
    probe.remove();
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
"""
"""Returns the WCAG contrast of the ink and the background of each colour of the heat maps."""


def test_training_and_gradient_flow_have_charts_with_numbers(
    browser: Browser, files: dict[str, Path], facts: dict[str, Facts]
) -> None:
    browser.open(files["text"])
    assert browser.run("return document.querySelectorAll('#training svg').length;") == 3
    assert "10 % of the text was held out, its end." in browser.text("#training-note")
    rows = browser.run(
        "return [...document.querySelector('#training tbody').rows]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent));"
    )
    expected = [row["valid_loss"] for row in facts["text"]["training"]["log"] if "valid_loss" in row]
    assert [float(row[2]) for row in rows if row[0] == "held-out"] == pytest.approx(expected, rel=1e-3)
    assert browser.run("return document.querySelectorAll('#flow svg path.line').length;") == 2
    browser.open(files["words"])
    assert "no training log" in browser.text("#training-note")
    assert "no gates" in browser.text("#gates-note")
