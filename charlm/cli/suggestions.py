"""Messages about words that charlm does not know: commands, options and values, with the most similar known one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

import click

from charlm.checks import most_similar


def unknown_command(word: str, commands: Sequence[str]) -> str:
    """Return a message about a word that is not a command."""
    if os.path.isfile(word):
        return f"{word} is a file, not a command; to train a model on it: charlm train {shlex.quote(word)}"
    similar = most_similar(word, commands)
    hint = f"did you mean {similar}?" if similar else f"the commands are {', '.join(commands)}"
    return f"no such command {word!r}; {hint}"


def unknown_option(flag: str, context: click.Context) -> str:
    """Return a message about an option that a command does not have.

    It names the option of this setting in Python, else the commands that have the option, else a similar option.
    """
    options = [option for option in context.command.params if isinstance(option, click.Option)]
    flags = {longest(option): option for option in options}
    in_python = flag.lstrip("-").replace("-", "_")
    similar = next((name for name, option in flags.items() if option.name == in_python), None)
    others = [] if similar else commands_with(flag, context)
    if others:
        hint = f"it is an option of {' and '.join(others)}"
    else:
        similar = similar or most_similar(flag, list(flags))
        hint = f"did you mean {similar}?" if similar else f"to list them: charlm {context.info_name} --help"
    return f"no such option {flag}; {hint}"


def commands_with(flag: str, context: click.Context) -> list[str]:
    """Return the names of the other commands that have an option."""
    group = context.parent.command if context.parent else None
    if not isinstance(group, click.Group):
        return []
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return [name for name, one in commands.items() if one and any(flag in option.opts for option in one.params)]


def longest(option: click.Option) -> str:
    """Return the long flag of an option."""
    return max(option.opts, key=len)


def similar_choice(value: object, choice: click.Choice[str]) -> str:
    """Return a clause that names the choice that a wrong value probably means; empty if there is none."""
    similar = most_similar(str(value), list(choice.choices))
    return f"; did you mean {similar}?" if similar else ""
