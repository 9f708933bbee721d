"""safetensors files with one JSON object in their metadata; the files may come from strangers.

A file is 8 bytes, N as little-endian uint64; N bytes of JSON, name -> {dtype, shape, data_offsets} and `__metadata__`,
text -> text; then the data. The header is bounded and checked here before the data is read. The library then checks
that the tensors cover the data exactly once.
Source: the specification of the format, https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from charlm.checkpoint.storage import Path, atomic_write, open_regular, printable, reason_of
from charlm.checkpoint.strict_json import MAX_LENGTH, as_object, dump_json, parse_json
from charlm.errors import CharlmError, CheckpointError
from charlm.version import __version__

Tensors = dict[str, npt.NDArray[Any]]

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
    "U16": np.dtype(np.uint16),
    "U32": np.dtype(np.uint32),
    "U64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
}
"""The dtypes that charlm uses, by their names in the format."""
FORMAT_VERSION = 1
"""Version of the JSON objects that this charlm writes; it reads versions from 1 to this one."""
MAX_DIMENSIONS = 8
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Container:
    """An open safetensors file with a valid header.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        The shape of each tensor.
    metadata : dict of str to str
        The metadata.
    """

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    _file: BinaryIO
    _head: bytes  # the length and the JSON, as in the file
    _size: int

    def content(self, key: str) -> dict[str, Any]:
        """Return the JSON object under a key of the metadata; ValueError if its version is newer than this charlm."""
        content = as_object(parse_json(self.metadata[key]), f"its metadata `{key}`")
        version = content.get("format_version")
        if type(version) is not int or version < 1:
            raise ValueError(f"its format_version is {printable(version, 20)}; expected 1 to {FORMAT_VERSION}")
        if version > FORMAT_VERSION:
            writer = content.get("charlm_version")
            needed = f"charlm {printable(writer, 20)} or newer" if isinstance(writer, str) else "a newer charlm"
            raise ValueError(
                f"its format is {version}, and this charlm {__version__} reads 1 to {FORMAT_VERSION}: "
                f"{needed} is needed"
            )
        return content

    def tensors(self) -> Tensors:
        """Return copies of all tensors; ValueError or SafetensorError if they do not cover the data exactly once."""
        check_memory(2 * self._size)  # the file and the copies
        self._file.seek(0)
        content = self._file.read(self._size)
        if len(content) != self._size or not content.startswith(self._head):
            raise ValueError("it changed while it was read")
        return safetensors.numpy.load(content)


@contextmanager
def open_container(path: Path, dtypes: Collection[str], advice: str) -> Iterator[Container]:
    """Open a safetensors file whose tensors are all of `dtypes`.

    Raises
    ------
    CheckpointError
        The file is invalid, or the block raised an error about its content: the path, the reason, and `advice`.
    """
    try:
        with open_regular(path) as file:
            yield read_header(file, dtypes)
    except (OSError, ValueError, OverflowError, MemoryError, RecursionError, SafetensorError, CharlmError) as error:
        reason = reason_of(error)
        if isinstance(error, MemoryError):
            reason = "it does not fit into memory"
        elif isinstance(error, RecursionError):
            reason = "its JSON is nested too deeply"
        raise CheckpointError(f"{printable(path)}: {reason}; {advice}") from error


@contextmanager
def errors_of_writing(path: Path) -> Iterator[None]:
    """Raise CheckpointError, with the reason, for an error about the content that is to be written to `path`."""
    try:
        yield
    except (ValueError, TypeError, RecursionError, MemoryError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}; nothing was changed") from error


def write_container(path: Path, tensors: Mapping[str, npt.NDArray[Any]], key: str, content: Mapping[str, Any]) -> None:
    """Write tensors, and a JSON object under a key of the metadata, atomically.

    Raises
    ------
    CheckpointError
        The file cannot be written, or could not be read back. An old file is unchanged.
    """
    versions = {"format_version": FORMAT_VERSION, "charlm_version": __version__}
    with errors_of_writing(path):
        for name, tensor in tensors.items():
            if tensor.dtype not in DTYPES.values() or tensor.ndim > MAX_DIMENSIONS:
                raise ValueError(f"array {name} is {tensor.dtype} in {tensor.ndim} dimensions, which is not supported")
        contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        data = memoryview(safetensors.numpy.save(contiguous, {key: dump_json({**versions, **content})}))
        if int.from_bytes(data[:8], "little") > MAX_LENGTH:
            raise ValueError(f"vocabulary and training record take more than {MAX_LENGTH} bytes")
    atomic_write(path, (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)))


def read_header(file: BinaryIO, dtypes: Collection[str]) -> Container:
    """Return the container of an open file; ValueError if its header is invalid."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= size - 8:
        raise ValueError("it is no safetensors file, or it was cut short")
    if length > MAX_LENGTH:
        raise ValueError(f"its header has {length} bytes; {MAX_LENGTH} are allowed")
    text = file.read(length)
    try:
        header = as_object(parse_json(text.decode("utf-8")), "its header")
    except UnicodeDecodeError:
        raise ValueError("it is no safetensors file: its header is not UTF-8") from None
    metadata = as_object(header.pop("__metadata__", {}), "its metadata")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata holds something that is not text")
    shapes = {name: shape_of(name, entry, dtypes) for name, entry in header.items()}
    return Container(shapes, metadata, file, prefix + text, size)


def shape_of(name: str, entry: Any, dtypes: Collection[str]) -> tuple[int, ...]:
    """Return the shape in the header's entry of a tensor; ValueError if shape or dtype are invalid."""
    tensor = f"tensor {printable(name, 60)}"
    entry = as_object(entry, f"{tensor}: its entry")
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{tensor}: its entry needs dtype, shape and data_offsets, and nothing else")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise ValueError(f"{tensor}: its dtype is {printable(dtype, 20)}; expected {' or '.join(sorted(dtypes))}")
    is_list = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
    if not is_list or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{tensor}: its shape is no list of at most {MAX_DIMENSIONS} whole numbers")
    return tuple(shape)


def check_memory(needed: int) -> None:
    """Raise ValueError if this machine has less than `needed` bytes of memory; not if that is unknown."""
    try:
        present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if 0 < present < needed:
        raise ValueError(f"it takes {needed / 1e9:.1f} GB of memory, this machine has {present / 1e9:.1f} GB")
