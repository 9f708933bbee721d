"""Which formats this charlm reads."""

from __future__ import annotations

from typing import Any

from charlm.checkpoint.storage import printable
from charlm.version import __version__


def check_version(content: dict[str, Any], known: int) -> None:
    """Raise ValueError unless `format_version` in `content` is one that this charlm reads: 1 to `known`."""
    version = content.get("format_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"its format_version is {printable(version, 20)}, but must be 1 to {known}")
    if version > known:
        writer = content.get("charlm_version")
        needed = f"charlm {printable(writer, 20)} or newer" if isinstance(writer, str) else "a newer charlm"
        raise ValueError(
            f"its format is {version}, and this charlm {__version__} reads 1 to {known}: {needed} is needed"
        )
