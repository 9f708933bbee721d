"""The interface of filters that depend on the text so far."""

from __future__ import annotations

from typing import Protocol, TypeVar

from charlm.arrays import Array

Own = TypeVar("Own")


class TextFilter(Protocol):
    """A filter of one stream that depends on the text so far."""

    def read(self, token: int) -> None:
        """Read the next id of the text."""

    def copy(self: Own) -> Own:
        """Return an independent filter that has read the same text."""

    def apply(self, logits: Array) -> None:
        """Change the logits (V,) of the next id in place."""
