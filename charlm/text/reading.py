"""Read text files: bytes to characters, newlines to LF, Unicode to one normal form, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import stat
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import IO, Any

from charlm.checks import STRING, check_value
from charlm.config import TextConfig
from charlm.errors import CorpusError, EncodingError
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

HEAD_BYTES = 512
"""Bytes at the start of a file that show its type: a block of a tar archive."""
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SIGNATURES = {
    b"\x1f\x8b\x08": "is compressed by gzip; unpack it, or give it a name that ends in .gz",
    b"BZh": "is compressed by bzip2; unpack it, or give it a name that ends in .bz2",
    b"\xfd7zXZ\0": "is compressed by xz; unpack it, or give it a name that ends in .xz",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard; unpack it",
    b"PK\x03\x04": "is a ZIP archive; unpack it, and name the texts in it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it, and name the texts in it",
}
"""First bytes of files that are not text, and what to do with such a file."""
TO_LAST_STARTER = re.compile(".*(?=[\0-\u02ff\u3400-\u9fff])", re.DOTALL)
"""Matches a text up to its last character that no normal form joins with the character before."""


def name_of(path: str | PathLike[str]) -> str:
    """Return the name of a path in messages."""
    return "standard input" if str(path) == "-" else str(path)


def read_text(path: str | PathLike[str], config: TextConfig | None = None) -> str:
    """Return the text of a file, normalised.

    Parameters
    ----------
    path : path
        The file; "-" is standard input.
    config : TextConfig, optional
        Encoding, handling of invalid bytes, normal form.

    Raises
    ------
    CorpusError
        The file cannot be read.
    EncodingError
        The bytes are not valid in the encoding.
    """
    return "".join(read_chunks(path, config or TextConfig()))


def read_chunks(path: str | PathLike[str], config: TextConfig, tuning: TextTuning = DEFAULT_TUNING) -> Iterator[str]:
    """Yield the text of a file in chunks: without byte order mark, newlines as LF, in the normal form.

    The cuts between chunks depend on how the bytes arrive; the joined text does not.

    Parameters
    ----------
    path : path
        The file; "-" is standard input. A name in .gz, .bz2 or .xz is unpacked.
    config : TextConfig
        Encoding, handling of invalid bytes, normal form.
    tuning : TextTuning
        Bytes per read.

    Raises
    ------
    CorpusError
        The file cannot be read.
    EncodingError
        The bytes are not valid in the encoding, or are not text.
    """
    with open_bytes(path) as file:
        yield from normalize_chunks(decode_chunks(byte_chunks(file, path, tuning), name_of(path), config), config)


def read_as_written(
    path: str | PathLike[str], config: TextConfig, tuning: TextTuning = DEFAULT_TUNING
) -> Iterator[str]:
    """Yield the text of a file in chunks, with its newlines and in its normal form; see `read_chunks`."""
    with open_bytes(path) as file:
        yield from decode_chunks(byte_chunks(file, path, tuning), name_of(path), config)


def normalize_text(text: str, config: TextConfig) -> str:
    """Return a text with newlines as LF and in the normal form of `config`: the text that training learns.

    >>> normalize_text("one\\r\\ntwo\\r", TextConfig())
    'one\\ntwo\\n'
    """
    check_value("text", text, STRING)
    if "\r" not in text and (config.normalize == "none" or text.isascii()):
        return text
    return "".join(normalize_chunks([text], config))


def normalize_chunks(chunks: Iterable[str], config: TextConfig) -> Iterator[str]:
    """Yield a text in chunks with newlines (CR LF, CR) as LF and in the Unicode normal form of `config`."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    texts = (newlines.decode(chunk, final=not chunk) for chunk in chain(filter(None, chunks), [""]))
    if config.normalize == "none":
        yield from filter(None, texts)
    else:
        for piece in regroup(texts, TO_LAST_STARTER):
            yield unicodedata.normalize(config.normalize, piece)  # type: ignore[arg-type]


def regroup(chunks: Iterable[str], to_last_border: re.Pattern[str]) -> Iterator[str]:
    """Move the cuts between the chunks of a text to borders.

    The work is linear in the length of the text, however far apart two borders are.

    Parameters
    ----------
    chunks : iterable of str
        The text.
    to_last_border : Pattern
        Matches the start of a chunk up to the last position where a cut is allowed.
    """
    held: list[str] = []
    for chunk in chunks:
        found = to_last_border.match(chunk)
        if found is None:
            held.append(chunk)
            continue
        if piece := "".join(held) + found[0]:
            yield piece
        held = [chunk[found.end() :]]
    if piece := "".join(held):
        yield piece


@contextmanager
def open_bytes(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacked according to its name; CorpusError if that fails."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    require_file(path)
    with naming(path):
        file: IO[bytes] = OPENERS.get(Path(path).suffix.lower(), open)(path, "rb")
    with file:
        yield file


def require_file(path: str | PathLike[str]) -> None:
    """Raise CorpusError if there is no such file, or if it is a folder; "-" is standard input."""
    if str(path) == "-":
        return
    with naming(path):
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    if is_folder:
        raise CorpusError(f"{path}: is a folder; name the files in it, such as {path}/*.txt")


@contextmanager
def naming(path: str | PathLike[str]) -> Iterator[None]:
    """Raise CorpusError with the name of a file for an error of the system."""
    try:
        yield
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path!s}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def byte_chunks(file: IO[bytes], path: str | PathLike[str], tuning: TextTuning) -> Iterator[bytes]:
    """Yield the bytes of a file; CorpusError if it cannot be read to its end."""
    read = getattr(file, "read1", file.read)  # returns available bytes, does not wait for a full chunk
    try:
        while chunk := read(tuning.bytes_per_read):
            yield chunk
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise CorpusError(f"{name_of(path)}: cannot be read: {error}") from None


def decode_chunks(chunks: Iterable[bytes], name: str, config: TextConfig) -> Iterator[str]:
    """Decode bytes and drop a byte order mark; EncodingError names the first invalid byte."""
    decoder = decoder_for(config)
    head = b""
    n_bytes, at_start = 0, True
    for chunk in chain(chunks, [b""]):
        if len(head) < HEAD_BYTES and chunk:
            head += chunk[: HEAD_BYTES - len(head)]
            refuse_other_formats(head, name, config)
        n_bytes += len(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise EncodingError(f"{name}: {describe_invalid(error, n_bytes, config)}") from None
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield text


def describe_invalid(error: UnicodeError, n_bytes: int, config: TextConfig) -> str:
    """Say which of the first n_bytes bytes is invalid, or why the text as a whole is."""
    if isinstance(error, UnicodeDecodeError) and "BOM" not in error.reason:
        position = n_bytes - len(error.object) + error.start  # the object ends with the chunk
        return (
            f"byte {position:,} (0x{error.object[error.start]:02x}) is not valid {config.encoding}: "
            f'{error.reason}; `encoding` names another encoding, `errors="replace"` reads on'
        )
    # A missing byte order mark is a UnicodeDecodeError since Python 3.13, and no error handler can replace it.
    reason = error.reason if isinstance(error, UnicodeDecodeError) else error
    return f"is not valid {config.encoding}: {reason}; `encoding` names another encoding"


def refuse_other_formats(head: bytes, name: str, config: TextConfig) -> None:
    """Raise EncodingError if the first bytes of a file are those of an archive or of UTF-16."""
    encoding = codecs.lookup(config.encoding).name
    if encoding.startswith(("utf-16", "utf-32")):
        return  # in such an encoding, a text may start with any bytes
    for signature, advice in SIGNATURES.items():
        if head.startswith(signature) and (signature != b"BZh" or head[4:10] == b"1AY&SY"):
            raise EncodingError(f"{name}: {advice}")
    if head[257:262] == b"ustar" and b"\0" in head[:257]:
        raise EncodingError(f"{name}: is a tar archive; unpack it, and name the texts in it")
    if encoding.startswith("utf-8") and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        kind = "UTF-32" if head.startswith(codecs.BOM_UTF32_LE) else "UTF-16"
        raise EncodingError(
            f"{name}: byte 0 (0x{head[0]:02x}) is not valid {config.encoding}: the byte order mark is that of {kind}; "
            f'pass `encoding="{kind.lower()}"`'
        )


def decoder_for(config: TextConfig) -> codecs.IncrementalDecoder:
    """Return a decoder; EncodingError if there is no such encoding of text."""
    try:
        if not codecs.lookup(config.encoding)._is_text_encoding:
            raise LookupError
        return codecs.getincrementaldecoder(config.encoding)(config.errors)
    except LookupError:
        raise EncodingError(f"{config.encoding}: no such encoding; utf-8, latin-1 and cp1252 are some") from None
