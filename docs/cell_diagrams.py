"""Draw the gated cells of the course, one step each: the state from left to right, the inputs at the bottom."""

from __future__ import annotations

from drawing import Box, Drawing


def operation(drawing: Drawing, x: float, y: float, text: str) -> Box:
    """Draw an element-wise operation."""
    return drawing.box(x, y, text, "plain", 26, 26)


def simple_gru() -> Drawing:
    """Draw a step of the simplified GRU."""
    drawing = Drawing()
    start, end = drawing.box(40, 22, "c<t-1>", "state", 64), drawing.box(420, 22, "c<t>", "state", 64)
    keep, add = operation(drawing, 140, 22, "*"), operation(drawing, 300, 22, "+")
    write = operation(drawing, 300, 92, "*")
    rest = drawing.box(140, 92, "1 - G_u", "plain", 74)
    update, candidate = drawing.box(220, 162, "G_u", "gate"), drawing.box(340, 162, "c~", "state")
    inputs = drawing.box(280, 226, "c<t-1>, x<t>", "input", 166)
    for first, second in ((start, keep), (keep, add), (add, end), (rest, keep), (write, add)):
        drawing.arrow(first, second)
    for first, second in ((update, rest), (update, write), (candidate, write)):
        drawing.arrow(first, second)
    for gate in (update, candidate):
        drawing.arrow(Box(gate.x, inputs.y, 46, 28), gate)
    return drawing


def gru() -> Drawing:
    """Draw a step of the GRU of the course, whose relevance gate scales the state before the product."""
    drawing = Drawing()
    start, end = drawing.box(40, 22, "c<t-1>", "state", 64), drawing.box(460, 22, "c<t>", "state", 64)
    keep, add = operation(drawing, 140, 22, "*"), operation(drawing, 300, 22, "+")
    write, rest = operation(drawing, 300, 92, "*"), drawing.box(140, 92, "1 - G_u", "plain", 74)
    update, candidate = drawing.box(200, 162, "G_u", "gate"), drawing.box(320, 162, "c~", "state")
    scale, relevance = operation(drawing, 345, 232, "*"), drawing.box(430, 232, "G_r", "gate")
    inputs = drawing.box(310, 302, "c<t-1>, x<t>", "input", 286)
    for first, second in ((start, keep), (keep, add), (add, end), (rest, keep), (write, add)):
        drawing.arrow(first, second)
    for first, second in ((update, rest), (update, write), (candidate, write), (relevance, scale)):
        drawing.arrow(first, second)
    for x, target in ((200, update), (430, relevance)):
        drawing.arrow(Box(x, inputs.y, 46, 28), target)
    drawing.line((295, 288), (295, 176), head=True)
    drawing.label(285, 232, "x<t>", anchor="end")
    drawing.line((345, 288), (345, 245), head=True)
    drawing.label(352, 268, "c<t-1>", anchor="start")
    drawing.line((345, 219), (345, 176), head=True)
    return drawing


def lstm() -> Drawing:
    """Draw a step of the LSTM: the memory c at the top, the output a at the right."""
    drawing = Drawing()
    start, end = drawing.box(40, 22, "c<t-1>", "state", 64), drawing.box(490, 22, "c<t>", "state", 64)
    forget, add = operation(drawing, 120, 22, "*"), operation(drawing, 230, 22, "+")
    write = operation(drawing, 230, 92, "*")
    squash, show = drawing.box(390, 82, "tanh", "plain", 50), operation(drawing, 390, 162, "*")
    output = drawing.box(490, 162, "a<t>", "state", 64)
    names = (("G_f", 120, forget), ("G_u", 190, write), ("c~", 270, write), ("G_o", 340, show))
    inputs = drawing.box(230, 226, "a<t-1>, x<t>", "input", 266)
    for name, x, target in names:
        gate = drawing.box(x, 162, name, "state" if name == "c~" else "gate", 44)
        drawing.arrow(Box(x, inputs.y, 46, 28), gate)
        drawing.arrow(gate, target)
    for first, second in ((start, forget), (forget, add), (add, end), (write, add), (squash, show), (show, output)):
        drawing.arrow(first, second)
    drawing.line((390, 22), (390, 68), head=True)
    return drawing
