"""Write docs/commands.md from the help texts: `python docs/commands.py`, or `make docs`."""

from __future__ import annotations

from pathlib import Path

import click

from charlm.cli import COMMANDS, Commands, charlm

INTRODUCTION = """\
# Commands

All commands take `-m MODEL` (default: `charlm.safetensors` in the current folder, or the environment variable
`CHARLM_MODEL`). Results go to standard output, everything else to standard error, and `-q` prints errors alone. Exit
codes: 0 done, 1 failed, 2 usage, 130 Ctrl-C, 143 SIGTERM.

An argument TEXT is a text. `--file` names files, several after one `--file` or repeated. `-` is standard input. A
command that is given nothing reads standard input, unless that is a terminal. `-n` is a number of texts, `-k` a number
of alternatives. `--json` and `--tsv` print records; see [output.md](output.md).

This page is generated from the help texts by `make docs`.
"""


def page() -> str:
    """Return the page: one section per command, with its help text 100 columns wide."""
    sections = [INTRODUCTION]
    for name in COMMANDS:
        command = Commands.get_command(charlm, click.Context(charlm), name)
        if command is not None:
            context = click.Context(command, info_name=f"charlm {name}", terminal_width=100, max_content_width=100)
            help_text = "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines())
            sections.append(f"## {name}\n\n{help_text}\n")
    return "\n".join(sections)


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(page(), encoding="utf-8")
