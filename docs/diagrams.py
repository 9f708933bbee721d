"""Draw the diagrams of the course: `python docs/diagrams.py` writes docs/images/course-*.svg.

With `-m dinos.safetensors`, a model of names that the course trains, two more are drawn.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from cell_diagrams import gru, lstm, simple_gru
from drawing import LINE, RED, Box, Drawing, chain

import charlm
from charlm.text.vocabulary import Vocabulary

FOLDER = Path(__file__).parent
NAMES = "Allosaurus", "Allosuarus"
"""A name and the same name with a slip."""


def why() -> Drawing:
    """Draw a feedforward network of four characters and a recurrent network of any number."""
    drawing = Drawing()
    drawing.label(8, 14, "feedforward: fixed size, weights per position", anchor="start")
    hidden = drawing.box(151, 56, "h", "state", 280)
    drawing.arrow(hidden, drawing.box(346, 56, "c", "output"))
    for t, character in enumerate("Velo"):
        x = drawing.box(34 + 78 * t, 128, character, "input")
        drawing.arrow(x, Box(x.x, hidden.y, 46, 28))
        drawing.label(x.x + 17, 92, f"W{t + 1}")
    drawing.label(8, 180, "recurrent: any length, the same weights", anchor="start")
    inputs, states, _ = chain(drawing, (34, 346), [("input", "Veloc"), ("state", ["a"] * 5), ("output", "eloci")])
    for x, a in zip(inputs, states, strict=True):
        drawing.label(x.x + 13, (x.y + a.y) / 2, "W")
        if a is not states[-1]:
            drawing.label(a.x + 40, a.y - 14, "U")
    drawing.label(states[-1].x + 42, states[-1].y, "...")
    return drawing


def notation() -> Drawing:
    """Draw two windows of a text in three streams: inputs, targets and the state between them."""
    drawing, text, steps = Drawing(), "the lamp burns all night. ".replace(" ", "\u2423"), 4
    for window in range(2):
        left = 96 + window * 176
        drawing.label(left + 42, 14, f"window {window + 1}")
        for row, (name, offset, kind) in enumerate((("inputs", 0, "input"), ("targets", 1, "output"))):
            top = 48 + 126 * row
            if not window:
                drawing.label(4, top + 28, name, anchor="start")
            for stream in range(3):
                for t in range(steps):
                    character = text[8 * stream + window * steps + t + offset]
                    drawing.box(left + 28 * t, top + 28 * stream, character, kind, 26, 26)
                if row == 0 and not window:
                    drawing.line((left + 101, top + 28 * stream), (left + 159, top + 28 * stream), head=True)
    drawing.label(226, 32, "state")
    drawing.line((82, 272), (194, 272), head=True)
    drawing.label(138, 288, "T = 4 steps")
    drawing.line((390, 36), (390, 116), head=True)
    drawing.label(398, 76, "B = 3", anchor="start")
    return drawing


def one_hot() -> Drawing:
    """Draw the one-hot vectors of a word, and the column of W that the vector of a character selects."""
    drawing, word, chosen = Drawing(), "banana", 2
    vocabulary = Vocabulary.build(Counter(word))
    ids = [vocabulary.eos, *vocabulary.encode(word)]
    hot = vocabulary.one_hot(np.array(ids))
    for row, token in enumerate(vocabulary.tokens):
        name, y = token.strip("<>"), 46 + 28 * row
        drawing.label(44, y, name, anchor="end")
        for t, value in enumerate(hot[row]):
            drawing.box(68 + 28 * t, y, f"{value:.0f}", "dark" if value else "input", 26, 26)
        for unit in range(3):
            kind = "dark" if row == ids[chosen] else "plain"
            drawing.box(312 + 32 * row, 46 + 28 * unit, "", kind, 30, 26)
        drawing.label(312 + 32 * row, 18, name)
    for t, character in enumerate(["EOS", *word]):
        drawing.label(68 + 28 * t, 18, character, RED if t == chosen else LINE)
    drawing.label(152, 192, "one-hot: x<t> is column t")
    drawing.label(376, 136, "W, (H, V)")
    drawing.label(376, 160, 'W x<t> for "a"', RED)
    return drawing


def recurrent() -> Drawing:
    """Draw three steps of a recurrent network that reads a name, with the names of its weights."""
    drawing = Drawing()
    drawing.label(30, 96, "a<0>")
    inputs, states, outputs = chain(
        drawing, (118, 178), [("input", "Rap"), ("state", ["a<1>", "a<2>", "a<3>"]), ("output", "apt")], 128, 82
    )
    start = Box(30, 96, 46, 28)
    for before, x, a in zip([start, *states], inputs, states, strict=False):
        drawing.label(x.x + 24, 137, "Wax")
        drawing.label(a.x + 24, 55, "Wya")
        drawing.label((before.x + a.x) / 2, 82, "Waa")
    drawing.arrow(start, states[0])
    drawing.label(states[-1].x + 52, 96, "...")
    drawing.label(inputs[-1].x + 30, 178, "x<t>", anchor="start")
    drawing.label(outputs[-1].x + 30, 14, "y^<t>", anchor="start")
    return drawing


def through_time() -> Drawing:
    """Draw the losses of two windows and the gradients, which stay in their window."""
    drawing = Drawing()
    rows = [("input", ["x<1>", "x<2>", "x<3>", "x<4>"]), ("state", ["a<1>", "a<2>", "a<3>", "a<4>"])]
    _, states, losses = chain(drawing, (34, 206), [*rows, ("loss", ["loss1", "loss2", "loss3", "loss4"])], 104, 82)
    for t, (state, loss) in enumerate(zip(states, losses, strict=True)):
        drawing.arrow(loss, state, colour=RED, shift=(12, 0))
        if t in (1, 3):
            drawing.arrow(state, states[t - 1], colour=RED, shift=(0, 9))
    drawing.label(86, 152, "da<1>", RED)
    drawing.line((190, 20), (190, 222), dashed=True)
    drawing.label(86, 14, "window 1, T = 2")
    drawing.label(294, 14, "window 2")
    drawing.label(8, 248, "forward: the state crosses into window 2", anchor="start")
    drawing.label(8, 270, "backward: the gradient stops at the line", RED, "start")
    return drawing


def kinds() -> Drawing:
    """Draw the kinds of recurrent networks, by the inputs and outputs that they have."""
    drawing = Drawing()
    shapes = (
        ("one to many", "x...", "yyyy"),
        ("many to one", "xxxx", "...y"),
        ("T_x = T_y", "xxxx", "yyyy"),
        ("both sides", "xxxx", "yyyy"),
        ("T_x, T_y differ", "xxx..", "...yy"),
    )
    for index, (name, inputs, outputs) in enumerate(shapes):
        left, top = 22 + 160 * (index % 3), 20 + 164 * (index // 3)
        states = [drawing.box(left + 31 * t, top + 42, "", "state", 22, 22) for t in range(len(inputs))]
        for start, end in pairwise(states):
            drawing.arrow(start, end, shift=(0, -4 if name == "both sides" else 0))
            if name == "both sides":
                drawing.arrow(end, start, shift=(0, 4))
        for state, has_input, has_output in zip(states, inputs, outputs, strict=True):
            if has_input == "x":
                drawing.arrow(drawing.box(state.x, top + 84, "", "input", 22, 22), state)
            if has_output == "y":
                drawing.arrow(state, drawing.box(state.x, top, "", "output", 22, 22))
        if name == "one to many":
            for before, after in pairwise(states):
                drawing.line((before.x + 11, top + 4), (before.x + 15, top + 4), (after.x - 5, top + 29), head=True)
        drawing.label(left - 11, top + 114, name, anchor="start")
    return drawing


def six_cells() -> Drawing:
    """Draw the test losses of the table in the course."""
    page = (FOLDER / "tutorial/course.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| \S+ \| [\d,]+ \| ([\d.]+) \|", page, re.MULTILINE)
    drawing, left, right = Drawing(), 1.7, 2.2
    drawing.label(8, 14, "test loss, nats per character", anchor="start")
    for row, (cell, loss) in enumerate(sorted(rows, key=lambda pair: float(pair[1]))):
        y, x = 46 + 28 * row, 120 + 250 * (float(loss) - left) / (right - left)
        drawing.label(104, y, cell, anchor="end")
        drawing.line((120, y), (370, y), dashed=True)
        drawing.box(x, y, "", "dark", 14, 14)
        drawing.label(382, y, loss, anchor="start")
    for value, x in ((left, 120), (right, 370)):
        drawing.label(x, 46 + 28 * len(rows), f"{value}")
    return drawing


def bidirectional() -> Drawing:
    """Draw the two stacks of a bidirectional network that predicts the third character of "lamp"."""
    drawing = Drawing()
    places = [38 + 78 * t for t in range(6)]
    texts = ("EOS", "l", "a", "?", "p", "EOS")
    inputs = [
        drawing.box(x, 236, text, "plain" if text == "?" else "input") for x, text in zip(places, texts, strict=True)
    ]
    forward = [drawing.box(x, 166, f"h_{t + 1}", "state") for t, x in enumerate(places[:3])]
    backward = [drawing.box(x, 96, f"g_{t - 1}", "gate") for t, x in list(enumerate(places))[4:]]
    head = drawing.box(places[3], 22, "m", "output")
    for x, state in (*zip(inputs, forward, strict=False), *zip(inputs[4:], backward, strict=True)):
        drawing.arrow(x, state)
    for before, after in (*pairwise(forward), (backward[1], backward[0])):
        drawing.arrow(before, after)
    drawing.arrow(forward[-1], head)
    drawing.arrow(backward[0], head)
    drawing.label(places[0] - 30, 130, "left to right", anchor="start")
    drawing.label(places[5] + 26, 62, "right to left", anchor="end")
    drawing.label(places[3] + 32, 22, "p(x<3> | all others)", anchor="start")
    return drawing


def deep() -> Drawing:
    """Draw three layers over four steps."""
    drawing = Drawing()
    layers = [("state", [f"a[{k}]"] * 4) for k in range(1, 4)]
    _, *states, _ = chain(drawing, (96, 270), [("input", "lamp"), *layers, ("output", "amp ")], 92, 62)
    for layer, row in enumerate(states, 1):
        drawing.label(68, row[0].y, f"layer {layer}", anchor="end")
        drawing.label(row[-1].x + 40, row[-1].y, "...")
    return drawing


def products(model: charlm.LanguageModel) -> Drawing:
    """Draw the probabilities of the characters of a name and of the same name with a slip, and their products."""
    drawing = Drawing()
    for row, name in enumerate(NAMES):
        top, total = 20 + 118 * row, 0.0
        for t, score in enumerate(model.score_characters(name, end=True)):
            total += score.log_prob
            p = math.exp(score.log_prob)
            kind = "output" if score.character in ("<EOS>", NAMES[0][t : t + 1]) else "loss"
            drawing.box(26 + 46 * t, top, score.character.strip("<>"), kind, 42)
            drawing.label(26 + 46 * t, top + 30, f"{p:.2f}" if p >= 0.005 else f"{p:.0e}".replace("e-0", "e-"))
        drawing.label(4, top + 58, f"product = {math.exp(total):.1e}, log p = {total:.2f} nats", anchor="start")
    return drawing


def sampling(model: charlm.LanguageModel) -> Drawing:
    """Draw the first characters of a name: the most probable ones, the one that is drawn, and the next input."""
    drawing, name = Drawing(), model.sample(seed=1, temperature=1)[0].text[:4]
    for t, drawn in enumerate(name):
        x = 34 + 116 * t
        source = drawing.box(x, 248, name[t - 1] if t else "EOS", "input")
        state = drawing.box(x, 186, f"a<{t + 1}>", "state")
        drawing.arrow(source, state)
        if t:
            drawing.arrow(Box(x - 116, 186, 46, 28), state)
        found = {found.text: found.probability for found in model.next(name[:t], words=1).characters}
        best = list(found)[:4]
        for row, character in enumerate(best if drawn in best else [*best[:3], drawn]):
            kind, y = ("dark" if character == drawn else "output"), 24 + 30 * row
            drawing.box(x - 18, y, character, kind, 24, 24)
            width = max(2, 60 * found[character])
            drawing.box(x + width / 2, y, "", kind, width, 16)
            drawing.label(x + 4 + width, y, f"{found[character]:.0%}", anchor="start")
            if character == drawn and t < len(name) - 1:
                drawing.line((x + 50, y), (x + 62, y), (x + 62, 248), (x + 92, 248), colour=RED, head=True)
        drawing.arrow(state, Box(x, 114, 60, 30))
    drawing.label(8, 284, "the drawn character is the next input", RED, "start")
    return drawing


DIAGRAMS: dict[str, Callable[[], Drawing]] = {
    "why": why,
    "notation": notation,
    "one-hot": one_hot,
    "recurrent": recurrent,
    "through-time": through_time,
    "kinds": kinds,
    "simple-gru": simple_gru,
    "gru": gru,
    "lstm": lstm,
    "six-cells": six_cells,
    "bidirectional": bidirectional,
    "deep": deep,
}
"""The diagrams that need no model, by the names of their files."""


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), help="Draw the two diagrams of this model, too.")
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER / "images", show_default=True)
def main(model: Path | None, folder: Path) -> None:
    """Write the diagrams of the course."""
    drawings = {name: draw() for name, draw in DIAGRAMS.items()}
    if model is not None:
        loaded = charlm.load(model)
        drawings |= {"products": products(loaded), "sampling": sampling(loaded)}
    for name, drawing in drawings.items():
        (folder / f"course-{name}.svg").write_text(drawing.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
