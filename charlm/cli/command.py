"""The classes of commands and options: help in groups, with examples, and errors that name flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from charlm.cli.arguments import spread_files, take_models
from charlm.cli.flags import with_flags
from charlm.cli.terminal import QUIET
from charlm.errors import CharlmError, ResourceError

Function = TypeVar("Function", bound=Callable[..., Any])
COLUMN = 34
"""Width of the column of flags in a help text."""


class Option(click.Option):
    """An option in a group of the help text.

    Parameters
    ----------
    group : title of the group
    """

    def __init__(self, *args: Any, group: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group


def option_group(title: str, **defaults: Any) -> Callable[..., Callable[[Function], Function]]:
    """Return a function like `click.option` for the options under a title, with default settings of options."""
    return partial(click.option, cls=Option, group=title, **defaults)


def be_quiet(context: click.Context, option: click.Parameter, is_set: bool) -> None:
    """Silence the messages of a command with -q."""
    if is_set:
        context.meta[QUIET] = True


class Command(click.Command):
    """A command whose help shows groups of options and ends with examples, and whose errors name its flags.

    The examples are the last section of the function's docstring, under the line "Examples:".
    """

    def __init__(self, name: str | None, *, help: str = "", **settings: Any) -> None:
        text, _, examples = inspect.cleandoc(help).partition("\n\nExamples:\n")
        super().__init__(name, help=text, epilog=examples, **settings)
        quiet: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": be_quiet}
        self.params.append(Option(["-q", "--quiet"], group="Output", help="Print results and errors only.", **quiet))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; understand files that follow --file, and models without -m."""
        ctx.allow_extra_args = True  # `take_models` refuses them
        super().parse_args(ctx, spread_files(args))
        if not ctx.resilient_parsing:
            take_models(ctx)
        return ctx.args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group under its title."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                title = getattr(parameter, "group", "Help")
                groups.setdefault(title, []).append((record[0].ljust(COLUMN), record[1]))
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=COLUMN)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        with formatter.section("Examples"):
            formatter.write(f"{self.epilog}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; replace Python parameters in its errors by flags."""
        try:
            return super().invoke(ctx)
        except CharlmError as error:
            error.args = (with_flags(str(error)),)
            raise
        except MemoryError as error:
            message = with_flags("out of memory; a smaller `hidden`, `batch` or `bptt` needs less")
            raise ResourceError(message) from error
