"""The line protocol of `charlm write`, for pipes, scripts, screen readers and plain terminals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from charlm.cli.tables import in_tsv, percent, show, show_json
from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.cli.draft import Draft
    from charlm.writing import WritingSession

CHANGES = ("more", "longer", "shorter", "warmer", "cooler", "undo", "redo")
"""Commands that are methods of the session."""
COMMANDS = (*CHANGES, "text", "quit", "help")
HELP = "a number picks a continuation; :" + " :".join(COMMANDS) + "; any other line is added to the text"
TAIL = 200
"""Characters of the end of the text that each step prints."""


def write_with_lines(session: WritingSession, draft: Draft, *, as_json: bool) -> None:
    """Read commands from standard input, a line each, and print the continuations after each of them."""
    show_step(session, as_json=as_json)
    for raw in lines():
        line = raw.removesuffix("\n").removesuffix("\r")
        if line.startswith(":"):
            name = command_of(line[1:].strip())
            if name == "quit":
                break
            if not perform(session, name, line):
                continue
        elif line.isdecimal():
            if not 1 <= int(line) <= len(session.phrases):
                warn(f"there is no continuation {line}; the last one is {len(session.phrases)}")
                continue
            session.pick(int(line))
        else:
            session.add(line or "\n")
        draft.save(session.text)
        show_step(session, as_json=as_json)


def lines() -> Iterator[str]:
    """Yield the lines of standard input as they arrive; on a terminal, after a prompt."""
    is_terminal = sys.stdin.isatty()
    while True:
        if is_terminal:
            click.echo("> ", nl=False)
        raw = sys.stdin.buffer.readline()
        if not raw:
            return
        yield raw.decode("utf-8", "replace")


def command_of(word: str) -> str | None:
    """Return the command that a word or its beginning names, None if none or several are meant."""
    found = [name for name in COMMANDS if name.startswith(word)] if word else []
    return word if word in COMMANDS else found[0] if len(found) == 1 else None


def perform(session: WritingSession, name: str | None, line: str) -> bool:
    """Perform a command; return whether the step is to be shown."""
    if name is None or name == "help":
        warn(HELP if name else f"{line}: no such command; {HELP}")
        return False
    if name == "text":
        click.echo(session.text)
        return False
    if getattr(session, name)() is False:
        warn(f"nothing to {name}")
        return False
    return True


def show_step(session: WritingSession, *, as_json: bool) -> None:
    """Print the end of the text and the continuations, then an empty line; or all of it as a JSON object."""
    if as_json:
        phrases = [
            {"number": number, "text": one.text, "probability": one.probability, "log_prob": one.log_prob}
            for number, one in enumerate(session.phrases, 1)
        ]
        show_json([{"text": session.text, "words": session.words, "temperature": session.temperature,
                    "continuations": phrases}])  # fmt: skip
    else:
        show(plain_lines(session))
    sys.stdout.flush()


def plain_lines(session: WritingSession) -> Iterator[str]:
    """Yield the lines of a step; tabs and newlines in a text are escaped."""
    yield f"text\t{in_tsv(session.text[-TAIL:])}"
    yield f"words\t{session.words}\ttemperature\t{session.temperature:g}"
    for number, one in enumerate(session.phrases, 1):
        yield f"{number}\t{percent(one.probability)}\t{in_tsv(one.text)}"
    yield ""
