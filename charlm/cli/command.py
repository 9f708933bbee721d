"""The classes of commands and options: help in groups, defaults from the environment, errors that name flags."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from charlm.cli.arguments import spread_files, take_models
from charlm.cli.flags import with_flags
from charlm.cli.suggestions import longest, similar_choice, unknown_option
from charlm.cli.terminal import QUIET
from charlm.errors import CharlmError, ResourceError

Function = TypeVar("Function", bound=Callable[..., Any])
COLUMN = 26
"""Width of the column of flags in a help text."""
NARROW = 70
"""Width of a help text, in columns, below which descriptions are below their flags."""
OWN_DEFAULT = re.compile(r"default: \((.*)\)(?=[];])")
"""A default in words, which click writes in parentheses."""
MINIMUM = re.compile(r"; x>=\d+(?=])")
"""The range of a number, which click writes after its default."""
SHELL_WORD = re.compile(r"(?:\"[^\"]*\"|\S)+")
"""A word of a command line, with the quotes in it."""


class Option(click.Option):
    """An option in a group of the help text.

    The environment variable CHARLM_COMMAND_FLAG, such as CHARLM_TRAIN_MINUTES, sets its default.

    Parameters
    ----------
    group : title of the group
    """

    def __init__(self, *args: Any, group: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group

    def variable(self, context: click.Context) -> str:
        """Return the name of the environment variable."""
        return f"CHARLM_{context.command.name}_{longest(self).lstrip('-')}".replace("-", "_").upper()

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable of the command, else of a variable of all commands."""
        return os.environ.get(self.variable(ctx)) or super().resolve_envvar_value(ctx)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert a value; suggest a choice in place of a wrong one, and name the variable that it is from."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            message = error.message.rstrip(".")
            if isinstance(self.type, click.Choice):
                message += similar_choice(value, self.type)
            if ctx.get_parameter_source(self.name or "") is ParameterSource.ENVIRONMENT:
                message += f" (from the environment variable {self.variable(ctx)})"
            raise click.BadParameter(message, ctx, self) from None

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the flags and the description, with a short form of the default in brackets."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        return record[0], MINIMUM.sub("", OWN_DEFAULT.sub(r"default: \1", record[1]))


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
        try:
            takes_models = any(option.name == "model_paths" for option in self.params)
            super().parse_args(ctx, spread_files(args, takes_models=takes_models))
        except click.NoSuchOption as error:
            raise click.UsageError(unknown_option(error.option_name, ctx), ctx) from None
        if not ctx.resilient_parsing:
            take_models(ctx)
        return ctx.args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group under its title."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                groups.setdefault(getattr(parameter, "group", "Help"), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                write_definitions(records, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        with formatter.section("Examples"):
            for example in (self.epilog or "").splitlines():
                formatter.write("".join(f"{line}\n" for line in wrapped(example, formatter.width)))

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


def write_definitions(records: list[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    """Write terms and their descriptions side by side, or one below the other where there is little width."""
    if formatter.width < NARROW:
        formatter.write_dl(records, col_max=2)  # each term is longer, so its description is on the next line
    else:
        formatter.write_dl([(term.ljust(COLUMN), description) for term, description in records], col_max=COLUMN)


def wrapped(example: str, width: int) -> Iterator[str]:
    """Yield the lines of an example; a long one is broken between words of the shell, so that it can be pasted."""
    line, *rest = SHELL_WORD.findall(example)
    line = f"  {line}"
    for count, word in enumerate(rest, 1):
        mark = "" if count == len(rest) else " \\"
        if len(f"{line} {word}{mark}") > width:
            yield f"{line} \\"
            line = f"     {word}"
        else:
            line = f"{line} {word}"
    yield line
