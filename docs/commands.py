"""Write the pages of docs/reference that are generated: `python docs/commands.py [FOLDER]`, or `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import python_api

from charlm.cli import COMMANDS, charlm

INTRODUCTION = """\
# Commands

All commands take `-m MODEL` (default: `charlm.safetensors` in the current folder, or the environment variable
`CHARLM_MODEL`). Results go to standard output, everything else to standard error, and `-q` prints errors alone.
[Exit codes and environment variables](command-line.md) has the variables that set defaults.

An argument TEXT is a text. `--file` names files, several after one `--file` or repeated. `-` is standard input. A
command that is given nothing reads standard input, unless that is a terminal. `-n` is a number of texts, `-k` a number
of alternatives. `--json` and `--tsv` print records; see [Output for programs](output.md).

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
    reference = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference"
    (reference / "commands.md").write_text(page(), encoding="utf-8")
    (reference / "python.md").write_text(python_api.page(), encoding="utf-8")
