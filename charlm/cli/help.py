"""charlm help: print the help of a command."""

from __future__ import annotations

import click

from charlm.cli.command import Command
from charlm.cli.suggestions import unknown_command


def names_of_commands(context: click.Context, argument: click.Parameter, incomplete: str) -> list[str]:
    """Return the commands that start with an incomplete word."""
    group = context.find_root().command
    names = group.list_commands(context) if isinstance(group, click.Group) else []
    return [name for name in names if name.startswith(incomplete)]


@click.command("help", cls=Command)
@click.argument("name", required=False, metavar="[COMMAND]", shell_complete=names_of_commands)
@click.pass_context
def command(context: click.Context, name: str | None) -> None:
    """Print the help of COMMAND, as COMMAND --help does, or the list of all commands.

    Examples:
      charlm help
      charlm help score
    """
    parent = context.find_root()
    group = parent.command
    if name is None or not isinstance(group, click.Group):
        return click.echo(parent.get_help())
    found = group.get_command(parent, name)
    if found is None:
        raise click.UsageError(unknown_command(name, group.list_commands(parent)))
    return click.echo(found.get_help(click.Context(found, parent, info_name=name)))
