"""The screen of `charlm write`: the text, the continuations and a line for typing. It uses no colours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.widgets import TextArea

from charlm.cli.tables import percent
from charlm.cli.terminal import escape

if TYPE_CHECKING:
    from charlm.cli.draft import Draft
    from charlm.writing import WritingSession

KEYS = """\
1-9 pick   Tab others   Enter add what you typed
Left/Right shorter/longer   Up/Down warmer/cooler
Ctrl-Z undo   Ctrl-Y redo   Ctrl-S save and leave"""
SHOWN = 4000
"""Characters of the end of the text that are laid out."""


def write_on_screen(session: WritingSession, draft: Draft) -> None:
    """Let a user write until the screen is left; KeyboardInterrupt for Ctrl-C, after what was typed was added."""
    screen = Screen(session, draft)
    application: Application[None] = Application(
        layout=Layout(screen.layout(), focused_element=screen.typed),
        key_bindings=screen.bindings(),
        full_screen=True,
        color_depth=ColorDepth.DEPTH_1_BIT,
    )
    application.run()


class Screen:
    """The parts of the screen, and what each key does.

    session : the text and its continuations.  draft : saves the text after each step.
    """

    def __init__(self, session: WritingSession, draft: Draft) -> None:
        self.session, self.draft = session, draft
        self.typed = TextArea(height=1, multiline=False, prompt="> ", wrap_lines=False)

    def layout(self) -> HSplit:
        """Return the text above, the continuations and the line for typing below it."""
        text = FormattedTextControl(self.end_of_text, get_cursor_position=self.cursor, show_cursor=False)
        return HSplit(
            [
                Window(text, wrap_lines=True),
                Window(char="-", height=1),
                Window(FormattedTextControl(self.continuations), dont_extend_height=True),
                self.typed,
                Window(FormattedTextControl(self.status), height=1),
                Window(FormattedTextControl(KEYS), height=3),
            ]
        )

    def end_of_text(self) -> str:
        """Return the end of the text, with control characters escaped."""
        return escape(self.session.text[-SHOWN:], keep="\n\t")

    def cursor(self) -> Point:
        """Return the position of the end of the text, to which its window scrolls."""
        shown = self.end_of_text()
        return Point(x=len(shown) - shown.rfind("\n") - 1, y=shown.count("\n"))

    def continuations(self) -> str:
        """Return a line for each continuation, with its number and its probability."""
        lines = (
            f"{k} {percent(one.probability):>6} {escape(one.text)}" for k, one in enumerate(self.session.phrases, 1)
        )
        return "\n".join(lines)

    def status(self) -> str:
        """Return the settings, and where the text is."""
        session, problem = self.session, self.draft.problem
        saved = f"NOT SAVED: {problem}" if problem else f"in {self.draft.path}"
        words = f"{session.words} word{'s' * (session.words != 1)}"
        return f"{words}, temperature {session.temperature:g}, {len(session.text):,} characters {saved}"

    def bindings(self) -> KeyBindings:
        """Return what each key does."""
        keys, session = KeyBindings(), self.session
        is_empty = Condition(lambda: not self.typed.text)
        for number in range(1, 10):
            keys.add(str(number), filter=is_empty)(self._step(partial(self._pick, number)))
        changes = {"tab": session.more, "up": session.warmer, "down": session.cooler,
                   "c-z": session.undo, "c-y": session.redo, "enter": self._add_typed}  # fmt: skip
        for key, change in changes.items():
            keys.add(key)(self._step(change))
        keys.add("right", filter=is_empty)(self._step(session.longer))
        keys.add("left", filter=is_empty)(self._step(session.shorter))
        for key in ("c-s", "c-d", "c-c", "<sigint>"):
            keys.add(key)(self._leave)
        return keys

    def _step(self, change: Callable[[], object]) -> Callable[[KeyPressEvent], None]:
        """Return what a key does: a change, after which the text is saved."""

        def handle(event: KeyPressEvent) -> None:
            change()
            self.draft.save(self.session.text)

        return handle

    def _pick(self, number: int) -> None:
        if number <= len(self.session.phrases):
            self.session.pick(number)

    def _add_typed(self) -> None:
        """Add what was typed; a newline if that is nothing."""
        self.session.add(self.typed.text or "\n")
        self.typed.text = ""

    def _leave(self, event: KeyPressEvent) -> None:
        """Leave the screen, after what was typed was added."""
        self.session.add(self.typed.text)
        is_interrupted = event.key_sequence[0].key in ("c-c", "<sigint>")
        event.app.exit(exception=KeyboardInterrupt() if is_interrupted else None)
