"""Write docs/commands.md from the help texts: `python docs/commands.py`, or `make docs`."""

from __future__ import annotations

from pathlib import Path

import click

from charlm.cli import COMMANDS, charlm

INTRODUCTION = """\
# Commands

All commands take `-m MODEL` (default: `charlm.safetensors` in the current folder, or the environment variable
`CHARLM_MODEL`). Results go to standard output, everything else to standard error, and `-q` prints errors alone.
[scripts.md](scripts.md) lists the exit codes, and the environment variables that set defaults.

An argument TEXT is a text. `--file` names files, several after one `--file` or repeated. `-` is standard input. A
command that is given nothing reads standard input, unless that is a terminal. `-n` is a number of texts, `-k` a number
of alternatives. `--json` and `--tsv` print records; see [output.md](output.md).

This page is generated from the help texts by `make docs`.
"""


def page() -> str:
    """Return the page: one section per command, with its help text 100 columns wide."""
    sections = [INTRODUCTION]
    root = charlm.make_context("charlm", [], resilient_parsing=True, terminal_width=100)
    for name in COMMANDS:
        command = charlm.get_command(root, name)
        if command is not None:
            context = click.Context(command, root, info_name=name)
            help_text = "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines())
            sections.append(f"## {name}\n\n{help_text}\n")
    return "\n".join(sections)


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(page(), encoding="utf-8")
