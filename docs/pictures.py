"""Train a model on a text and draw the pictures of README and docs with it: `python docs/pictures.py TEXT`.

The pictures depend on the text, the seed, the number of steps, the versions of the libraries and the machine. A model
that exists already in the folder is used. The picture of the page needs Chromium, ChromeDriver and Selenium.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import charlm

IMAGES = Path(__file__).parent / "images"
TOP = Path(__file__).parents[1]
HEAT, DIAGRAMS = Path(__file__).parent / "heat.py", Path(__file__).parent / "diagrams.py"
NAMES = TOP / "corpora/dinosaurs.txt"
SLIP = "My lord, the king hath lost his corwn to-night."
"""The sentence of the picture in README."""
EXCERPT = 300
"""Characters of the pictures of cells, at least; they end with a paragraph."""
PLAY_CELLS = {"position in the line": "line", "in a speaker's name": "speaker"}
"""Properties of a play whose best cells are drawn, and the names of their pictures."""
CODE_CELLS = {"in a docstring": "docstring"}
"""Properties of code whose best cells are drawn."""
CODE_CHARACTERS = 900_000
"""Characters of the sources of charlm that a model is trained on."""
SIZE = 1200, 1000
"""Width and height of the picture of the page, in pixels."""


def run(*words: object) -> None:
    """Run Python on words; stop at an error."""
    subprocess.run([sys.executable, *map(str, words)], check=True)


def train(text: Path, model: Path, steps: int) -> None:
    """Train a model on all but the last tenth of a text, unless it exists."""
    if not model.exists():
        flags = (
            "--held-out",
            "end",
            "--valid",
            0.1,
            "--ensemble",
            1,
            "--hidden",
            256,
            "--layers",
            1,
            "--seed",
            0,
            "--threads",
            1,
        )
        run("-m", "charlm", "train", text, "--steps", steps, *flags, "-m", model)


def paragraphs(text: str, length: int) -> str:
    """Return whole paragraphs from the start of a text, at least `length` characters."""
    end = text.find("\n\n", length)
    return text[: end if end >= 0 else len(text)]


def write_code(path: Path) -> None:
    """Write the sources of charlm and of its tests into one file, unless it exists."""
    if not path.exists():
        sources = [source for folder in ("charlm", "tests") for source in sorted((TOP / folder).rglob("*.py"))]
        code = "".join(source.read_text(encoding="utf-8") for source in sources)
        path.write_text(code[:CODE_CHARACTERS], encoding="utf-8")


def write_held_out(text: Path, held_out: Path) -> None:
    """Write the end of a text, from a paragraph in the held-out tenth on."""
    whole = text.read_text(encoding="utf-8")
    held_out.write_text(whole[whole.index("\n\n", int(0.91 * len(whole))) + 2 :], encoding="utf-8")


def draw_cells(model: Path, held_out: Path, cells: Mapping[str, str], start: str = "") -> None:
    """Draw the best cell of each property over the held-out text, from the first occurrence of `start` on."""
    text = held_out.read_text(encoding="utf-8")
    excerpt = paragraphs(text[text.index(start) :], EXCERPT)
    best = {score.name: score for score in charlm.load(model).cells(text[:40_000], best=1)}
    for name, picture in cells.items():
        cell = f"{best[name].layer}.{best[name].cell}"
        run(HEAT, "-m", model, "--cell", cell, "--columns", 60, excerpt, IMAGES / f"cell-{picture}.svg")


def photograph(page: Path, picture: Path) -> None:
    """Write a picture of a page with the colours of its best cell; do nothing where there is no browser."""
    driver = shutil.which("chromedriver")
    if driver is None:
        click.echo(f"{picture.name} is not drawn: there is no chromedriver", err=True)
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        metrics = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(page.resolve().as_uri())
        browser.find_element("css selector", "#properties button").click()
        browser.execute_script("window.scrollTo(0, 0);")
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        picture.write_bytes(base64.b64decode(shot))
    finally:
        browser.quit()


@click.command()
@click.argument("text", type=click.Path(exists=True, path_type=Path))
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/pictures"), show_default=True)
@click.option("--steps", default=2500, show_default=True)
def main(text: Path, folder: Path, steps: int) -> None:
    """Draw the pictures of README and docs with a model of TEXT, such as tinyshakespeare.txt, and one of code."""
    folder.mkdir(parents=True, exist_ok=True)
    model, held_out, page = folder / "play.safetensors", folder / "held-out.txt", folder / "play.html"
    train(text, model, steps)
    write_held_out(text, held_out)
    run(HEAT, "-m", model, SLIP, IMAGES / "heat.svg")
    draw_cells(model, held_out, PLAY_CELLS)
    run("-m", "charlm", "plot", "-m", model, "-o", IMAGES / "loss.svg")
    run("-m", "charlm", "inspect", "-m", model, "--file", held_out, "-o", page)
    photograph(page, IMAGES / "inspect.png")
    code, code_model, code_held_out = folder / "code.txt", folder / "code.safetensors", folder / "code-held-out.txt"
    write_code(code)
    train(code, code_model, steps)
    write_held_out(code, code_held_out)
    draw_cells(code_model, code_held_out, CODE_CELLS, "def ")
    names = folder / "dinos.safetensors"
    run("-m", "charlm", "train", NAMES, "--lines", "--steps", 300, "--threads", 1, "-m", names, "--overwrite")
    run(DIAGRAMS, "-m", names)


if __name__ == "__main__":
    main()
