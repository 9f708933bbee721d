"""The state of a training run: named arrays, and one JSON object under the metadata key `charlm_state`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from charlm.checkpoint.container import ITEM_SIZES, Tensors, open_container, refusal_to_write, write_container
from charlm.checkpoint.format_version import check_version
from charlm.checkpoint.storage import Path
from charlm.checkpoint.strict_json import as_object, dump_json, parse_json
from charlm.version import __version__

STATE_VERSION = 1


def write_state(path: Path, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write `arrays` and `meta`, which goes through JSON (no NaN, text as keys), to `path` atomically.

    arrays: float32, float64, int32, int64, uint8 to uint64 or bool; of any shape.
    Raises CheckpointError if that fails; then the old file is as it was.
    """
    content = {"format_version": STATE_VERSION, "charlm_version": __version__, "meta": dict(meta)}
    try:
        metadata = {"charlm_state": dump_json(content)}
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise refusal_to_write(path, error) from error
    write_container(path, arrays, metadata)


def read_state(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return the arrays and the `meta` that `write_state` wrote.

    Raises CheckpointError with the path, the reason and what to do. Whether they belong to the run at hand is
    for the caller to check.
    """
    with open_container(path, ITEM_SIZES, "start over without --resume") as container:
        if "charlm_state" not in container.metadata:
            raise ValueError("it is not the state of a training run of charlm")
        content = as_object(parse_json(container.metadata["charlm_state"]), "its metadata `charlm_state`")
        check_version(content, STATE_VERSION)
        meta = as_object(content.get("meta"), "its meta")
        return container.tensors(), meta
