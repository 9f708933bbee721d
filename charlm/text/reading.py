"""Files of text as streams of characters: decoded, newlines made one, normalised, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

from charlm.config import TextConfig
from charlm.errors import CorpusError, EncodingError

CHUNK = 1 << 20
"""Bytes read at a time."""
HEAD = 512
"""Bytes at the start of a file that tell what it is: a block of a tar archive."""
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)
SIGNATURES = {
    b"\x1f\x8b\x08": "is compressed by gzip; unpack it, or give it a name that ends in .gz",
    b"BZh": "is compressed by bzip2; unpack it, or give it a name that ends in .bz2",
    b"\xfd7zXZ\0": "is compressed by xz; unpack it, or give it a name that ends in .xz",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard; unpack it",
    b"PK\x03\x04": "is a ZIP archive; unpack it, and name the texts in it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it, and name the texts in it",
}
"""How files begin that are not text, and what to do with them."""


def name_of(path: str | PathLike[str]) -> str:
    """Return what a path is called in messages."""
    return "standard input" if str(path) == "-" else str(path)


def read_text(path: str | PathLike[str], config: TextConfig | None = None) -> str:
    """Return the whole text of a file, "-" for standard input.

    Raises CorpusError if it cannot be read, EncodingError if its bytes are not valid.
    """
    return "".join(read_chunks(path, config or TextConfig()))


def read_chunks(path: str | PathLike[str], config: TextConfig) -> Iterator[str]:
    """Yield the text of a file piece by piece: BOM dropped, CR LF and CR made LF, normalised.

    The pieces depend on how the bytes arrive; joined, they do not.
    Raises CorpusError if it cannot be read, EncodingError if its bytes are not valid.
    """
    with opened(path) as file:
        chunks = decoded(pieces(file, path), name_of(path), config)
        yield from chunks if config.normalize == "none" else normalized(chunks, config.normalize)


@contextmanager
def opened(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacked if its name says so.

    Raises CorpusError if it cannot be opened.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        if Path(path).is_dir():
            raise CorpusError(f"{path}: is a folder; name the files in it, such as {path}/*.txt")
        file: IO[bytes] = OPENERS.get(Path(path).suffix.lower(), open)(path, "rb")
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path!s}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    with file:
        yield file


def pieces(file: IO[bytes], path: str | PathLike[str]) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises CorpusError if it cannot be read to its end.
    """
    read = getattr(file, "read1", file.read)  # what is there already, rather than wait for a whole chunk
    while True:
        try:
            piece = read(CHUNK)
        except (OSError, *DAMAGE) as error:
            raise CorpusError(f"{name_of(path)}: cannot be read: {error}") from None
        if not piece:
            return
        yield piece


def decoded(chunks: Iterable[bytes], name: str, config: TextConfig) -> Iterator[str]:
    """Decode bytes, drop a BOM, and make every newline LF.

    Raises EncodingError that says which byte is not valid.
    """
    decoder = decoder_for(config)
    head = b""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    taken = 0  # bytes that the decoder has been given
    at_start = True
    for chunk in chunks:
        if len(head) < HEAD:
            head += chunk[: HEAD - len(head)]
            refuse_foreign(head, name, config)
        text = decode(decoder, chunk, False, taken, name, config)
        taken += len(chunk)
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        text = newlines.decode(text)
        if text:
            yield text
    text = decode(decoder, b"", True, taken, name, config)
    if at_start:
        text = text.removeprefix("\ufeff")
    text = newlines.decode(text, final=True)
    if text:
        yield text


def refuse_foreign(head: bytes, name: str, config: TextConfig) -> None:
    """Raise EncodingError if the first bytes of a file, up to HEAD, are those of an archive or of UTF-16."""
    encoding = codecs.lookup(config.encoding).name
    if encoding.startswith(("utf-16", "utf-32")):
        return  # any bytes may begin such a text
    for signature, advice in SIGNATURES.items():
        if head.startswith(signature) and (signature != b"BZh" or head[4:10] == b"1AY&SY"):
            raise EncodingError(f"{name}: {advice}")
    if head[257:262] == b"ustar" and b"\0" in head[:257]:
        raise EncodingError(f"{name}: is a tar archive; unpack it, and name the texts in it")
    if encoding.startswith("utf-8") and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        kind = "UTF-32" if head.startswith(codecs.BOM_UTF32_LE) else "UTF-16"
        raise EncodingError(
            f"{name}: byte 0 (0x{head[0]:02x}) is not valid {config.encoding}: the byte order mark is that of {kind}; "
            f"pass --encoding {kind.lower()}"
        )


def decoder_for(config: TextConfig) -> codecs.IncrementalDecoder:
    """Return a decoder.

    Raises EncodingError if there is no such encoding of text.
    """
    try:
        if not codecs.lookup(config.encoding)._is_text_encoding:
            raise LookupError
        return codecs.getincrementaldecoder(config.encoding)(config.errors)
    except LookupError:
        raise EncodingError(f"{config.encoding}: no such encoding; utf-8, latin-1 and cp1252 are some") from None


def decode(
    decoder: codecs.IncrementalDecoder, chunk: bytes, final: bool, taken: int, name: str, config: TextConfig
) -> str:
    """Decode a chunk; `taken` bytes went before it."""
    waiting = len(decoder.getstate()[0])
    try:
        return decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        place = taken - waiting + error.start
        raise EncodingError(
            f"{name}: byte {place:,} (0x{error.object[error.start]:02x}) is not valid {config.encoding}: "
            f"{error.reason}; --encoding names another encoding, --errors replace reads on"
        ) from None
    except UnicodeError as error:  # of the text as a whole, such as a byte order mark that is missing
        raise EncodingError(
            f"{name}: is not valid {config.encoding}: {error}; --encoding names another encoding"
        ) from None


def normalized(chunks: Iterable[str], form: str) -> Iterator[str]:
    """Bring a text into a Unicode normal form, whatever the pieces it comes in."""
    held: list[str] = []  # pieces since the last border
    for chunk in chunks:
        cut = next((k for k in range(len(chunk) - 1, -1, -1) if is_border(chunk[k])), 0)
        if cut or (held and is_border(chunk[0])):
            yield unicodedata.normalize(form, "".join(held) + chunk[:cut])  # type: ignore[arg-type]
            held = []
        held.append(chunk[cut:])
    if held:
        yield unicodedata.normalize(form, "".join(held))  # type: ignore[arg-type]


def cleaned(text: str, config: TextConfig) -> str:
    """Return a text as `read_chunks` returns that of a file: CR LF and CR made LF, normalised."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    form = config.normalize
    return text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]


def is_border(character: str) -> bool:
    """Whether no normal form joins the character with what stands before it."""
    return character < "\u0300" or "\u3400" <= character <= "\u9fff"
