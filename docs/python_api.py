"""Write docs/reference/python.md from the docstrings of the public names; `docs/commands.py` calls this."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from types import ModuleType

import charlm

INTRODUCTION = """\
# Python API

The public names of `charlm`, generated from the docstrings by `make docs`. For examples, see
[Use charlm from Python](../how-to/python.md).
"""
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
"""The title of a section of a docstring in numpydoc form."""
PROSE = ("Notes", "References", "Examples")
"""Sections that are no lists of names."""


def page() -> str:
    """Return the page: a section for each public name."""
    names = [name for name in charlm.__all__ if not name.startswith("_")]
    return "\n".join([INTRODUCTION, *(section(name, getattr(charlm, name)) for name in sorted(names, key=by_kind))])


def by_kind(name: str) -> tuple[int, str]:
    """Sort functions before the model, other classes and modules."""
    value = getattr(charlm, name)
    order = [inspect.isfunction(value), name == "LanguageModel", inspect.isclass(value), True]
    return order.index(True), name


def section(name: str, value: object) -> str:
    """Return the section of a name, with the public methods and properties of a class."""
    call = f"charlm.{name}{signature(value) if inspect.isfunction(value) else ''}"
    parts = [f"## {name}", f"`{call}`", body(value)]
    if inspect.isclass(value):
        parts += [part for key, member in members(value) for part in (f"### {name}.{key}", member)]
    return "\n\n".join(part for part in parts if part) + "\n"


def members(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods and properties of a class with their texts, in alphabetical order."""
    for key, member in inspect.getmembers(cls):
        function = member.fget if isinstance(member, property) else member
        is_own = str(getattr(function, "__module__", "")).startswith("charlm")
        is_hidden = key.startswith("_") or isinstance(member, cached_property)  # prepared weights
        if is_hidden or not is_own or not inspect.getdoc(member):
            continue
        if isinstance(member, property):
            yield key, body(member)
        elif inspect.isroutine(member):
            yield key, f"`{key}{signature(member)}`\n\n{body(member)}"


def signature(function: object) -> str:
    """Return the parameters of a function without their types, which the text describes."""
    if not callable(function):
        return ""
    found = inspect.signature(function)
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values() if p.name != "self"]
    settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if len(settings) > 12:  # the sections of the docstring list them
        parameters = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        return str(inspect.Signature(parameters))[:-1] + ", **settings)"
    return str(inspect.Signature(parameters))


def body(value: object) -> str:
    """Return a docstring as Markdown: entries of sections as lists, examples as code."""
    if isinstance(value, ModuleType):
        return f"```text\n{inspect.getdoc(value)}\n```"
    text, *rest = SECTION.split(inspect.getdoc(value) or "")
    parts = [prose(text)]
    for title, content in zip(rest[::2], rest[1::2], strict=True):
        if title.removeprefix("Settings of ") in charlm.__all__:  # its own section lists them
            title, content = title.replace("of ", "of [") + f"](#{title.split()[-1].lower()})", ""
        parts += [f"**{title}**", prose(content) if title in PROSE or not content else entries(content)]
    return "\n\n".join(part for part in parts if part)


def entries(content: str) -> str:
    """Return the entries of a section as a list: `name : text`, or `name : type` with indented lines after it."""
    lines = []
    for item in re.split(r"\n(?=\S)", content.strip("\n")):
        first, is_typed, text = item.partition("\n    ")
        name, _, rest = first.partition(" : ")
        kind = f" ({rest})" if rest and is_typed and text[0].isupper() else ""
        lines.append(f"- `{name}`{kind}: {' '.join((text if kind or not rest else f'{rest} {text}').split())}")
    return "\n".join(lines)


def prose(text: str) -> str:
    """Return paragraphs, with examples as code."""
    paragraphs = [
        f"```python\n{re.sub('  # doctest: .*', '', part)}\n```" if part.startswith(">>>") else part
        for part in text.strip().split("\n\n")
    ]
    return "\n\n".join(paragraphs).replace("<", "\\<") if "```" not in text else "\n\n".join(paragraphs)
