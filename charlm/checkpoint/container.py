"""Read and write safetensors files with a JSON object in their metadata; the files to read are untrusted.

A file has three parts: 8 bytes, the length N of the header as little-endian uint64; N bytes of JSON, which maps each
tensor's name to {dtype, shape, data_offsets} and `__metadata__` to an object of strings; the data. This module bounds
and checks the header before the data is read. The library then checks that the tensors cover the data exactly once.
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

DTYPES = ("F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
"""The dtypes of NumPy, by their names in the format."""
FORMAT_VERSION = 1
"""Version of the JSON objects that this charlm writes; it reads versions from 1 to this one."""


@dataclass(frozen=True)
class Container:
    """An open safetensors file with a valid header; `open_container` creates it.

    Attributes
    ----------
    shapes : dict of str to JSON value
        The shape of each tensor, a list of int in a valid file; `tensors` checks that.
    metadata : dict of str to str
        The strings of `__metadata__`.
    """

    shapes: dict[str, Any]
    metadata: dict[str, str]
    _file: BinaryIO
    _header: bytes  # the length and the JSON, as in the file
    _size: int

    def content(self, key: str) -> dict[str, Any]:
        """Return the JSON object under a key of the metadata; ValueError if this charlm does not read its version."""
        content = as_object(parse_json(self.metadata[key]), f"its metadata `{key}`")
        version = content.get("format_version")
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            writer = printable(content.get("charlm_version", "unknown"), 20)
            raise ValueError(
                f"its format_version is {printable(version, 20)}, written by charlm {writer}; "
                f"this charlm {__version__} reads 1 to {FORMAT_VERSION}"
            )
        return content

    def tensors(self) -> Tensors:
        """Return copies of all tensors; ValueError or SafetensorError if they do not cover the data exactly once."""
        check_memory(2 * self._size)  # the file and the copies
        self._file.seek(0)
        content = self._file.read(self._size)
        if len(content) != self._size or not content.startswith(self._header):
            raise ValueError("it changed while it was read")
        return safetensors.numpy.load(content)


@contextmanager
def open_container(path: Path, dtypes: Collection[str], advice: str) -> Iterator[Container]:
    """Open a safetensors file for the block of a `with` statement.

    Parameters
    ----------
    path : path
        The file.
    dtypes : collection of str
        The dtypes that tensors may have, as named in the format.
    advice : str
        What the user can do about an invalid file; the end of the error's message.

    Raises
    ------
    CheckpointError
        The file is invalid, or the block raised an error about its content.
    """
    try:
        with open_regular(path) as file:
            yield read_header(file, dtypes)
    except (OSError, ValueError, OverflowError, MemoryError, RecursionError, SafetensorError, CharlmError) as error:
        raise CheckpointError(f"{printable(path)}: {reason_of(error)}; {advice}") from error


@contextmanager
def convert_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the block about the content for `path`, such as ValueError, into CheckpointError."""
    try:
        yield
    except (ValueError, TypeError, RecursionError, MemoryError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}; nothing was changed") from error


def write_container(path: Path, tensors: Mapping[str, npt.NDArray[Any]], key: str, content: Mapping[str, Any]) -> None:
    """Write tensors, and a JSON object under a key of the metadata, atomically; versions are added to the object.

    Raises
    ------
    CheckpointError
        The file cannot be written, or `open_container` would refuse it. An old file is unchanged.
    """
    versions = {"format_version": FORMAT_VERSION, "charlm_version": __version__}
    with convert_write_errors(path):
        contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        data = safetensors.numpy.save(contiguous, {key: dump_json({**versions, **content})})
        if int.from_bytes(data[:8], "little") > MAX_LENGTH:
            raise ValueError(f"vocabulary and training record take more than {MAX_LENGTH} bytes")
    atomic_write(path, [data])


def read_header(file: BinaryIO, dtypes: Collection[str]) -> Container:
    """Read and check the header of an open file; ValueError if it is invalid."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= size - 8:
        raise ValueError("it is not a safetensors file, or it was cut short")
    if length > MAX_LENGTH:
        raise ValueError(f"its header has {length} bytes; {MAX_LENGTH} are allowed")
    text = file.read(length)
    try:
        header = as_object(parse_json(text.decode("utf-8")), "its header")
    except UnicodeDecodeError:
        raise ValueError("it is not a safetensors file: its header is not UTF-8") from None
    metadata = as_object(header.pop("__metadata__", {}), "its metadata")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata holds something that is not text")
    shapes = {name: shape_of(name, entry, dtypes) for name, entry in header.items()}
    return Container(shapes, metadata, file, prefix + text, size)


def shape_of(name: str, entry: Any, dtypes: Collection[str]) -> Any:
    """Return the shape in the header's entry of a tensor; ValueError if its keys or its dtype are wrong."""
    tensor = f"tensor {printable(name, 60)}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{tensor}: its entry needs dtype, shape and data_offsets, and nothing else")
    if entry["dtype"] not in list(dtypes):
        dtype = printable(entry["dtype"], 20)
        raise ValueError(f"{tensor}: its dtype is {dtype}; expected {' or '.join(sorted(dtypes))}")
    return entry["shape"]


def check_memory(needed: int) -> None:
    """Raise ValueError if this machine has less than `needed` bytes of memory; do nothing if its size is unknown."""
    try:
        present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if 0 < present < needed:
        raise ValueError(f"it takes {needed / 1e9:.1f} GB of memory, this machine has {present / 1e9:.1f} GB")
