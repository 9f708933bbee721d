"""safetensors files from strangers: the header is checked in full before anything it announces is believed.

Layout of a file: 8 bytes, N as little-endian uint64; N bytes of JSON, name -> {dtype, shape, data_offsets}
and `__metadata__`, text -> text; then the data, which the tensors cover without gap or overlap.
Source: the format's specification, https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from charlm.checkpoint.storage import Path, atomic_write, open_regular, printable, reason_of
from charlm.checkpoint.strict_json import MAX_LENGTH, as_object, parse_json
from charlm.errors import CharlmError, CheckpointError

Tensors = dict[str, npt.NDArray[Any]]

FORMAT_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float64): "F64",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.uint8): "U8",
    np.dtype(np.uint16): "U16",
    np.dtype(np.uint32): "U32",
    np.dtype(np.uint64): "U64",
    np.dtype(np.bool_): "BOOL",
}
"""The dtypes that charlm has a use for, with the format's names for them."""

ITEM_SIZES = {name: dtype.itemsize for dtype, name in FORMAT_NAMES.items()}
MAX_DIMENSIONS = 8
_CHUNK = 2**20


@dataclass(frozen=True)
class Container:
    """An open safetensors file whose header is in order. shapes: name -> shape of each tensor."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    _file: BinaryIO
    _head: bytes  # the length and the JSON, as they stand in the file
    _size: int

    def tensors(self) -> Tensors:
        """Return all tensors, each in memory of its own."""
        _check_memory(2 * self._size)  # the file and the tensors made of it
        self._file.seek(0)
        content = self._file.read(self._size)
        if len(content) != self._size or not content.startswith(self._head):
            raise ValueError("it changed while it was read")
        return safetensors.numpy.load(content)


@contextmanager
def open_container(path: Path, dtypes: Collection[str], advice: str) -> Iterator[Container]:
    """Open a safetensors file whose tensors are all of `dtypes`, names of the format.

    Whatever is wrong with it, here or inside the block, is raised as CheckpointError: path, reason, `advice`.
    """
    try:
        with open_regular(path) as file:
            yield _read_header(file, dtypes)
    except FileNotFoundError as error:
        raise CheckpointError(f"{printable(path)}: there is no such file; {advice}") from error
    except MemoryError as error:
        raise CheckpointError(f"{printable(path)}: it does not fit into memory; {advice}") from error
    except RecursionError as error:
        raise CheckpointError(f"{printable(path)}: its JSON is nested too deeply; {advice}") from error
    except (OSError, ValueError, OverflowError, SafetensorError, CharlmError) as error:
        raise CheckpointError(f"{printable(path)}: {reason_of(error)}; {advice}") from error


def write_container(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically.

    Raises CheckpointError if that fails, or if it could not be read back; then the old file is as it was.
    """
    try:
        content = _serialized(tensors, metadata)
    except (ValueError, MemoryError, SafetensorError) as error:
        raise refusal_to_write(path, error) from error
    atomic_write(path, (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK)))


def refusal_to_write(path: Path, error: Exception) -> CheckpointError:
    """Return the error that says why nothing was written to `path`."""
    return CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}; nothing was changed")


def _serialized(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> memoryview:
    """Return the bytes of a file; ValueError if it is one that is refused when it is read."""
    for name, tensor in tensors.items():
        if tensor.dtype not in FORMAT_NAMES or tensor.ndim > MAX_DIMENSIONS:
            raise ValueError(
                f"array {name} is {tensor.dtype} in {tensor.ndim} dimensions, which is not supported"
            )
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    content = memoryview(safetensors.numpy.save(contiguous, dict(metadata)))
    if int.from_bytes(content[:8], "little") > MAX_LENGTH:
        raise ValueError(f"vocabulary and notes take more than {MAX_LENGTH} bytes")
    return content


def _read_header(file: BinaryIO, dtypes: Collection[str]) -> Container:
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= size - 8:
        raise ValueError("it is no safetensors file, or it was cut short")
    if length > MAX_LENGTH:
        raise ValueError(f"its header has {length} bytes, {MAX_LENGTH} are allowed")
    text = file.read(length)
    try:
        header = as_object(parse_json(text.decode("utf-8")), "its header")
    except UnicodeDecodeError:
        raise ValueError("it is no safetensors file: its header is not UTF-8") from None
    metadata = as_object(header.pop("__metadata__", {}), "its metadata")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata holds something that is not text")
    shapes = _check_layout(header, size - 8 - length, dtypes)
    return Container(shapes, metadata, file, prefix + text, size)


def _check_layout(header: dict[str, Any], size: int, dtypes: Collection[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes in `header`; ValueError unless they cover the `size` bytes of data exactly once."""
    spans = []
    shapes = {}
    for name, entry in header.items():
        try:
            shapes[name], span = _check_entry(as_object(entry, "its entry"), dtypes)
        except ValueError as error:
            raise ValueError(f"tensor {printable(name, 60)}: {error}") from None
        spans.append(span)
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise ValueError(f"its tensors overlap or leave a gap at byte {min(begin, place)} of the data")
        place = end
    if place != size:
        raise ValueError(f"it is damaged: {place} bytes of tensors are announced, {size} are there")
    return shapes


def _check_entry(entry: dict[str, Any], dtypes: Collection[str]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Return shape and place (begin, end) of one tensor; raises ValueError with what is wrong."""
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("its entry needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise ValueError(f"its dtype is {printable(dtype, 20)}, but must be {' or '.join(sorted(dtypes))}")
    if not _are_counts(shape):
        raise ValueError("its shape is no list of whole numbers, or too long")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError("its data_offsets are not two whole numbers")
    begin, end = offsets
    if end - begin != prod(shape) * ITEM_SIZES[dtype]:
        raise ValueError(f"its data_offsets {begin}, {end} do not fit its shape and dtype")
    return tuple(shape), (begin, end)


def _are_counts(values: Any) -> bool:
    """Whether `values` is a list of whole numbers of at least 0, no more of them than a shape may have."""
    if not isinstance(values, list) or len(values) > MAX_DIMENSIONS:
        return False
    return all(type(value) is int and value >= 0 for value in values)


def _check_memory(needed: int) -> None:
    """Raise ValueError if this machine has less than `needed` bytes of memory, as far as it says."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if 0 < there < needed:
        raise ValueError(f"it takes {needed / 1e9:.1f} GB of memory, this machine has {there / 1e9:.1f} GB")
