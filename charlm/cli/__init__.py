"""The command line. Each command has its own file, which parses, calls and prints.

No module here imports NumPy before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

from charlm.cli import import_path  # noqa: F401

# isort: split

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from charlm.cli.arguments import is_model
from charlm.cli.command import write_definitions
from charlm.cli.exit_codes import CLOSED_PIPE, DONE, FAILED, INTERRUPTED, USAGE
from charlm.cli.streams import flush_output, prepare_streams
from charlm.cli.suggestions import unknown_command
from charlm.cli.terminal import escape, warn
from charlm.errors import CharlmError, ConfigError
from charlm.version import __version__

COMMANDS = {
    "train": "Train a model on a text.",
    "sample": "Generate text.",
    "next": "Print what may come next, with probabilities.",
    "write": "Write a text together with a model.",
    "score": "Print how probable texts are.",
    "classify": "Find the label of a text, or the model it is from.",
    "copies": "Find what of a text is copied from the training text.",
    "odd": "Find the most surprising lines or characters of a text.",
    "fill": "Restore missing characters.",
    "proof": "Mark words that do not fit, and propose others.",
    "inspect": "Write a page that shows what a model does on a text.",
    "cells": "Find what single cells of a network represent.",
    "plot": "Draw the losses of training runs.",
    "restore": "Restore marks, capitals, spaces or punctuation.",
    "tag": "Label the tokens of sentences, such as names.",
    "translate": "Predict targets of sources, such as pronunciations.",
    "gradients": "Measure whether gradients vanish, last or explode.",
    "info": "Describe a model.",
    "help": "Print the help of a command.",
}
"""Summaries of the commands; each command is the `command` of the module with its name."""

FIRST = {
    "charlm train corpus.txt": "Train a model on any text.",
    "charlm sample": "Generate text.",
    'charlm score "a sentence"': "Print how probable a text is.",
}
"""The first commands to try."""
MORE = """\
charlm help COMMAND shows the options of a command, with examples. README.md
and docs/ in the source hold a tutorial, guides for tasks and the reference.
"""


class Commands(click.Group):
    """A group that imports a command on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if the name is unknown."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"charlm.cli.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first commands, all commands without importing them, and the options."""
        with formatter.section("First commands"):
            write_definitions(list(FIRST.items()), formatter)
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        click.Command.format_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names; explain a model file in its place."""
        if args[0] not in COMMANDS and is_model(args[0]):
            ctx.fail(f"{args[0]} is a model, not a command; to describe it: charlm info -m {shlex.quote(args[0])}")
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(unknown_command(args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A closed pipe is not a failure here, as it is for click."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return CLOSED_PIPE


@click.group(
    cls=Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    epilog=MORE,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="charlm")
@click.pass_context
def charlm(ctx: click.Context) -> None:
    """Train character-level language models; generate, score and repair text with them.

    The model file is charlm.safetensors in the current folder, or the path in -m or in the environment variable
    CHARLM_MODEL. Results go to standard output, all else to standard error. Exit codes: 0 done, 1 failed, 2 wrong
    command line, 3 found (odd --fail-over, proof --fail).
    """
    if ctx.invoked_subcommand is None:
        click.echo(first_commands(ctx), err=True)
        ctx.exit(USAGE)


def first_commands(context: click.Context) -> str:
    """Return what `charlm` alone prints: the first commands to try."""
    formatter = context.make_formatter()
    with formatter.section("First commands"):
        write_definitions(list(FIRST.items()), formatter)
    formatter.write_paragraph()
    formatter.write_text("charlm help lists all commands, and charlm help COMMAND the options of one.")
    return formatter.getvalue().rstrip("\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a code of `exit_codes`."""
    prepare_streams()
    code = run(arguments)
    sys.exit(code if flush_output() else code or FAILED)


def run(arguments: Sequence[str] | None) -> int:
    """Run a command; print an error as one line on stderr, and return the exit code."""
    try:
        code = charlm.main(arguments, prog_name="charlm", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.ClickException as error:
        # names of files and arguments may contain control characters
        click.UsageError(escape(error.format_message(), keep="\n"), getattr(error, "ctx", None)).show()
        return error.exit_code
    except CharlmError as error:
        warn(str(error))
        return USAGE if isinstance(error, ConfigError) else FAILED
    except BrokenPipeError:  # from the flush
        return CLOSED_PIPE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        warn("cannot start a thread; raise the limit of processes (ulimit -u)")
    except OSError as error:
        # an error without a file name is from a descriptor, which is standard output
        name = error.filename or ("standard output" if error.errno else "file")
        warn(f"{name}: {error.strerror or error}")
    return FAILED
