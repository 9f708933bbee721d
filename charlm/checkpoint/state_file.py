"""The state of a training run: named arrays, and one JSON object under the metadata key `charlm_state`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy.typing as npt

from charlm.checkpoint.container import DTYPES, Tensors, open_container, write_container
from charlm.checkpoint.storage import Path
from charlm.checkpoint.strict_json import as_object
from charlm.errors import CheckpointError


def write_state(path: Path, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write the state of a run atomically.

    Parameters
    ----------
    path : path
        The file.
    arrays : mapping of str to ndarray
        float32, float64, int32, int64, uint8 to uint64 or bool; of any shape.
    meta : mapping
        An object that JSON can hold: no NaN, keys are text.

    Raises
    ------
    CheckpointError
        The file cannot be written. An old file is unchanged.
    """
    write_container(path, arrays, "charlm_state", {"meta": dict(meta)})


def is_state(path: Path) -> bool:
    """Return whether a file exists and has the header of a state."""
    with suppress(CheckpointError), open_container(path, DTYPES, "") as container:
        return "charlm_state" in container.metadata
    return False


def read_state(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return the arrays and the `meta` that `write_state` wrote; callers check that they belong to their run.

    Raises
    ------
    CheckpointError
        The file is invalid.
    """
    with open_container(path, DTYPES, "start over without `resume`") as container:
        if "charlm_state" not in container.metadata:
            raise ValueError("it is not the state of a training run of charlm")
        meta = as_object(container.content("charlm_state").get("meta"), "its meta")
        return container.tensors(), meta
