"""charlm help: print the help of a command."""

from __future__ import annotations

import click

from charlm.cli.command import Command


@click.command("help", cls=Command)
@click.argument("name", required=False, metavar="[COMMAND]")
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
        raise click.UsageError(f"no such command {name!r}; the commands are {', '.join(group.list_commands(parent))}")
    return click.echo(found.get_help(click.Context(found, parent, info_name=name)))
