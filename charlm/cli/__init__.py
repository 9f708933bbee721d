"""The command line. One file a command; each parses, calls and prints.

Nothing here imports NumPy before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

from charlm.cli import import_path  # noqa: F401

# isort: split

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from charlm.cli.flags import with_flags
from charlm.cli.streams import flush_output, prepare_streams
from charlm.cli.terminal import escape
from charlm.errors import CharlmError, ConfigError
from charlm.version import __version__

COMMANDS = {
    "train": "Learn a text and write a model file.",
    "sample": "Write more of the text that was learned.",
    "score": "Say how probable a text is.",
    "classify": "Say which of several models a text is from.",
    "odd": "Find the most surprising lines or spots of a text.",
    "fill": "Restore missing characters.",
    "proof": "Mark characters that do not fit, and propose others.",
    "gradients": "See whether gradients vanish, last or explode.",
    "info": "Say what a model is and what it was trained on.",
}
"""Each is a module here, with a `command`; what `charlm --help` says of it."""

FAILED, USAGE, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


class Commands(click.Group):
    """A group that loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"charlm.cli.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A reader that has left is no failure, which click would make of it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return CLOSED_PIPE


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="charlm")
def charlm() -> None:
    """Learn a text, write more of it, say how probable a text is.

    \b
    charlm train corpus.txt          learn any text
    charlm sample --temp 0.8         write more of it, one character at a time
    charlm score "a sentence"        say how probable a text is

    The model is kept in charlm.safetensors in the current folder, or where -m or the environment's
    CHARLM_MODEL says. Results go to standard output, everything else to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit: 0 done, 1 failed, 2 usage, 130 interrupted."""
    prepare_streams()
    code = run(arguments)
    sys.exit(code if flush_output() else code or FAILED)


def run(arguments: Sequence[str] | None) -> int:
    """Run a command; the one place where an error becomes a line on stderr and an exit code."""
    try:
        code = charlm.main(arguments, prog_name="charlm", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE
    except click.ClickException as error:
        # a file may be called anything, and so may an argument
        click.UsageError(escape(error.format_message(), keep="\n"), getattr(error, "ctx", None)).show()
        return error.exit_code
    except ConfigError as error:
        return complain(error, USAGE)
    except CharlmError as error:
        return complain(error, FAILED)
    except BrokenPipeError:  # from the flush: the reader of our output has seen enough
        flush_output()
        return CLOSED_PIPE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except MemoryError:
        return complain(CharlmError("out of memory; a smaller --hidden, --batch or --bptt needs less"), FAILED)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        return complain(CharlmError("the system starts no more threads; raise its limit (ulimit -u)"), FAILED)
    except OSError as error:
        # what we write by a descriptor is standard output; other files have names
        name = error.filename or ("standard output" if error.errno else "file")
        return complain(CharlmError(f"{name}: {error.strerror or error}"), FAILED)


def complain(error: CharlmError, code: int) -> int:
    """Print an error as one line."""
    click.echo(f"charlm: {escape(with_flags(str(error)))}", err=True)
    return code
