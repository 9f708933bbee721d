"""What PyTorch raises, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from charlm.errors import ResourceError


@contextmanager
def as_resource_errors() -> Iterator[None]:
    """Turn what PyTorch raises, for lack of memory or of a rank, into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(f"PyTorch cannot go on, or another rank has ended: {why}") from error
