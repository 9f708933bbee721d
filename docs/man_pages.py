"""Write the man pages from the help texts: `python docs/man_pages.py FOLDER`, or `make man`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from charlm.cli import COMMANDS, charlm
from charlm.version import __version__

FACTS = (Path(__file__).parent / "reference/command-line.md").read_text(encoding="utf-8")
"""The page with the exit codes and the environment variables."""


def table(title: str) -> dict[str, str]:
    """Return the rows of the table below a title of FACTS, without the marks of code."""
    section = FACTS.partition(f"## {title}\n")[2].partition("\n## ")[0].replace("`", "")
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", section.partition("|---|---|\n")[2], re.MULTILINE))


def roff(text: str) -> str:
    """Escape a text; a line must not start with a control character of roff."""
    return re.sub(r"^(?=[.'])", r"\\&", text.replace("\\", "\\e").replace("-", "\\-"), flags=re.MULTILINE)


def definitions(entries: dict[str, str]) -> str:
    """Return a list of terms and their descriptions."""
    return "".join(f".TP\n\\fB{roff(term)}\\fR\n{roff(text)}\n" for term, text in entries.items())


def paragraphs(text: str) -> str:
    """Return the paragraphs of a help text, without the marks of click."""
    parts = [" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")]
    return ".PP\n".join(f"{roff(part)}\n" for part in parts)


def head(name: str, summary: str, synopsis: str) -> str:
    """Return the title, the name and the synopsis."""
    return (
        f'.TH {name.upper()} 1 "" "charlm {__version__}" "charlm"\n'
        f".SH NAME\n{roff(name)} \\- {roff(summary.rstrip('.'))}\n"
        f".SH SYNOPSIS\n\\fB{roff(name.replace('-', ' ', 1))}\\fR {roff(synopsis)}\n"
    )


def command_page(name: str, command: click.Command, root: click.Context) -> str:
    """Return the page charlm-NAME of a command."""
    context = click.Context(command, root, info_name=name)
    groups: dict[str, dict[str, str]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            groups.setdefault(getattr(parameter, "group", "Help"), {})[record[0]] = " ".join(record[1].split())
    options = "".join(f".SS {roff(title)}\n{definitions(entries)}" for title, entries in groups.items())
    synopsis = " ".join(command.collect_usage_pieces(context))
    examples = roff("\n".join(line.strip() for line in (command.epilog or "").splitlines()))
    return (
        f"{head(f'charlm-{name}', COMMANDS[name], synopsis)}.SH DESCRIPTION\n{paragraphs(command.help or '')}"
        f".SH OPTIONS\n{options}.SH EXAMPLES\n.nf\n{examples}\n.fi\n.SH SEE ALSO\n\\fBcharlm\\fR(1)\n"
    )


def main_page() -> str:
    """Return the page charlm."""
    return (
        f"{head('charlm', 'Character-level language models for the command line', 'COMMAND [ARGS]...')}"
        f".SH DESCRIPTION\n{paragraphs(charlm.help or '')}"
        f".SH COMMANDS\n{definitions({f'charlm-{name}(1)': summary for name, summary in COMMANDS.items()})}"
        f".SH EXIT STATUS\n{definitions(table('Exit codes'))}"
        f".SH ENVIRONMENT\n{definitions(table('Environment variables'))}"
    )


def write(folder: Path) -> None:
    """Write all pages into FOLDER/man1."""
    pages = folder / "man1"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "charlm.1").write_text(main_page(), encoding="utf-8")
    root = charlm.make_context("charlm", [], resilient_parsing=True)
    for name in COMMANDS:
        command = charlm.get_command(root, name)
        if command is not None:
            (pages / f"charlm-{name}.1").write_text(command_page(name, command, root), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
