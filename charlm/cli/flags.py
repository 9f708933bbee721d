"""Names of Python parameters in messages, translated into flags of the current command."""

from __future__ import annotations

import re

import click

NAME = re.compile(r"`([A-Za-z_]\w*)(?:=([^`]*))?`")
"""A parameter in a message: `name` or `name=value`, in backticks."""
ALIASES = {
    "path": ("model_path", "model_paths"),
    "model": ("model_path", "model_paths"),
    "models": ("model_paths",),
    "prior": ("priors",),
    "weight": ("weights",),
    "limit": ("max_copy",),
    "pseudo_score": ("pseudo",),
}
"""Python parameters whose click parameter has another name."""


def with_flags(message: str) -> str:
    """Replace each Python parameter in a message, as the packages below `cli/` write it, by the command's flag.

    `temperature` becomes --temp, `min_count=1` becomes --min-count 1, `errors="replace"` becomes --errors replace.
    A name that the command lacks loses its backticks. A hint (a clause after ";") that names only such parameters is
    dropped: the user could not follow it.
    """
    context = click.get_current_context(silent=True)
    parameters = context.command.params if context else []
    options = {option.name: option for option in parameters if isinstance(option, click.Option)}

    def option_of(name: str) -> click.Option | None:
        return next((options[one] for one in (name, *ALIASES.get(name, ())) if one in options), None)

    def flag(match: re.Match[str]) -> str:
        option = option_of(match[1])
        return flag_of(option, match[2]) if option else match[0].strip("`")

    def is_usable(clause: str) -> bool:
        names = [match[1] for match in NAME.finditer(clause)]
        return not names or any(map(option_of, names))

    fact, *hints = message.split("; ")
    return NAME.sub(flag, "; ".join([fact, *filter(is_usable, hints)]))


def flag_of(option: click.Option, value: str | None) -> str:
    """Return how a user sets an option to a value as Python writes it, or the flag alone for None."""
    flag = max(option.opts, key=len)
    if value is None or value == "True":
        return flag
    if value in ("False", "None"):
        return option.secondary_opts[0] if option.secondary_opts else f"no {flag}"
    return f"{flag} {value.strip(chr(34) + chr(39))}"
