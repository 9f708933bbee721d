"""The class of all commands."""

from __future__ import annotations

from typing import Any

import click

from charlm.cli.flags import with_flags
from charlm.errors import CharlmError


class Command(click.Command):
    """A command whose errors name flags, not the parameters of Python functions."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CharlmError as error:
            error.args = (with_flags(str(error), self),)
            raise
