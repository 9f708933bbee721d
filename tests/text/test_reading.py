"""Reading: newlines, BOM, normal forms and encodings do not depend on the chunks; errors name the position."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import CorpusError, EncodingError
from charlm.text.reading import (
    SIGNATURES,
    TO_LAST_STARTER,
    decode_chunks,
    normalize_chunks,
    normalize_text,
    read_chunks,
    read_text,
    regroup,
)
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import TO_LAST_WORD_BORDER, split_words

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[k : k + size] for k in range(0, len(data), size)]


def newlines_as_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_pieces(pieces: list[bytes], config: TextConfig) -> str:
    return "".join(normalize_chunks(decode_chunks(pieces, "x", config), config))


@given(UNICODE, st.integers(1, 7))
def test_text_does_not_depend_on_the_pieces(text: str, size: int) -> None:
    read = read_pieces(in_pieces(text.encode(), size), TextConfig())
    assert read == newlines_as_lf(text.removeprefix("\ufeff"))


@given(UNICODE, st.integers(1, 5), st.sampled_from(["NFC", "NFKC"]))
def test_normal_forms_do_not_depend_on_the_pieces(text: str, size: int, form: str) -> None:
    chunks = [text[k : k + size] for k in range(0, len(text), size)]
    assert "".join(normalize_chunks(chunks, TextConfig(normalize=form))) == unicodedata.normalize(
        form, newlines_as_lf(text)
    )


def test_combining_marks_meet_their_letter_across_pieces() -> None:
    assert "".join(normalize_chunks(["e", "\u0301", "a"], TextConfig(normalize="NFC"))) == "\u00e9a"


class CountingPattern:
    """A regular expression that counts the characters it inspects. Its match tries each at most twice."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.inspected = 0

    def match(self, text: str) -> re.Match[str] | None:
        self.inspected += len(text)
        return self.pattern.match(text)


@pytest.mark.parametrize(
    ("pattern", "text"), [(TO_LAST_STARTER, "наука\u0301" * 1000), (TO_LAST_WORD_BORDER, "x'" * 3000 + ".")]
)
def test_regrouping_of_a_long_line_in_small_pieces_is_linear(pattern: re.Pattern[str], text: str) -> None:
    counting = CountingPattern(pattern)
    assert "".join(regroup([text[k : k + 10] for k in range(0, len(text), 10)], counting)) == text  # type: ignore[arg-type]
    assert counting.inspected == len(text)


@given(st.text(st.sampled_from("ab1_'\u2019 .\u0301文\n")), st.integers(1, 5))
def test_words_do_not_depend_on_the_pieces(text: str, size: int) -> None:
    pieces = regroup([text[k : k + size] for k in range(0, len(text), size)], TO_LAST_WORD_BORDER)
    assert [word for piece in pieces for word in split_words(piece)] == split_words(text)


@given(UNICODE, st.integers(1, 5))
def test_newlines_do_not_depend_on_the_pieces(text: str, size: int) -> None:
    text = text.replace("a", "\r").replace("b", "\n")
    chunks = [text[k : k + size] for k in range(0, len(text), size)]
    assert "".join(normalize_chunks(chunks, TextConfig())) == newlines_as_lf(text)


@given(UNICODE, st.sampled_from(["none", "NFC", "NFKC"]))
def test_strings_are_normalised_as_files_are(text: str, form: str) -> None:
    config = TextConfig(normalize=form)
    read = read_pieces([text.encode()], config)
    assert normalize_text(text.removeprefix("\ufeff"), config) == read
    assert normalize_text(read, config) == read


@given(st.binary(max_size=60), st.integers(1, 7))
def test_first_invalid_byte_is_named(data: bytes, size: int) -> None:
    assume(not data.startswith(tuple(SIGNATURES)))
    try:
        data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(EncodingError, match=rf"x: byte {error.start:,} \(0x{data[error.start]:02x}\)"):
            list(decode_chunks(in_pieces(data, size), "x", TextConfig()))
    else:
        list(decode_chunks(in_pieces(data, size), "x", TextConfig()))


@pytest.mark.parametrize("suffix", ["txt", "gz", "bz2", "xz"])
def test_compressed_files_are_unpacked(tmp_path: Path, suffix: str) -> None:
    pack = {"txt": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    path = tmp_path / f"text.{suffix}"
    path.write_bytes(pack("\ufeffone\r\ntwo\r".encode()))
    assert read_text(path) == "one\ntwo\n"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("наука".encode())))
    assert read_text("-") == "наука"


def test_other_encodings_and_error_handlers_are_used(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9")
    assert read_text(path, TextConfig(encoding="latin-1")) == "café"
    assert read_text(path, TextConfig(errors="replace")) == "caf\ufffd"
    assert read_text(path, TextConfig(errors="ignore")) == "caf"
    with pytest.raises(EncodingError, match="no such encoding"):
        read_text(path, TextConfig(encoding="klingon"))
    with pytest.raises(EncodingError, match="no such encoding"):
        read_text(path, TextConfig(encoding="hex"))


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
def test_missing_byte_order_mark_is_an_encoding_error(tmp_path: Path, errors: str) -> None:
    """Before Python 3.13 the decoder raises a bare UnicodeError there; found by fuzz/fuzz_text.py."""
    path = tmp_path / "t.txt"
    path.write_bytes("quick".encode("utf-16-be"))
    with pytest.raises(EncodingError, match=r"t\.txt: is not valid utf-16: .* BOM; `encoding` names another"):
        read_text(path, TextConfig(encoding="utf-16", errors=errors))


def tar_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("poem.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("poem.txt", content)
    return buffer.getvalue()


FOREIGN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (gzip.compress, "is compressed by gzip; unpack it, or give it a name that ends in .gz"),
    "bzip2": (bz2.compress, "is compressed by bzip2; unpack it, or give it a name that ends in .bz2"),
    "xz": (lzma.compress, "is compressed by xz; unpack it, or give it a name that ends in .xz"),
    "zip": (zip_of, "is a ZIP archive; unpack it, and name the texts in it"),
    "tar": (tar_of, "is a tar archive; unpack it, and name the texts in it"),
}


@pytest.mark.parametrize("config", [TextConfig(), TextConfig(encoding="latin-1"), TextConfig(errors="replace")])
@pytest.mark.parametrize("kind", FOREIGN)
def test_archives_are_refused_by_name(tmp_path: Path, kind: str, config: TextConfig) -> None:
    pack, says = FOREIGN[kind]
    path = tmp_path / "text"
    path.write_bytes(pack(b"a line of text\n" * 99))
    with pytest.raises(EncodingError) as caught:
        read_text(path, config)
    assert str(caught.value) == f"{path}: {says}"


def test_tar_archive_in_gzip_or_small_pieces_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.tar.gz"
    path.write_bytes(gzip.compress(tar_of(b"text")))
    with pytest.raises(EncodingError, match="is a tar archive"):
        read_text(path)
    with pytest.raises(EncodingError, match="is a tar archive"):
        list(decode_chunks(in_pieces(tar_of(b"text"), 100), "x", TextConfig()))


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_16_is_refused_as_utf_8_by_name(tmp_path: Path, encoding: str, errors: str) -> None:
    path = tmp_path / "t"
    path.write_bytes("наука\n".encode(encoding))
    says = rf"byte 0 \(0xff\) is not valid utf-8: .* is that of {encoding.upper()}; pass `encoding=\"{encoding}\"`$"
    with pytest.raises(EncodingError, match=says):
        read_text(path, TextConfig(errors=errors))
    assert read_text(path, TextConfig(encoding=encoding)) == "наука\n"
    path.write_bytes("юя".encode("cp1251"))
    assert read_text(path, TextConfig(encoding="cp1251")) == "юя"


def test_text_with_part_of_a_signature_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for text in ("BZh9 is how bzip2 begins", "x" * 257 + "ustar", "PK"):
        path.write_text(text)
        assert read_text(path) == text
    path.write_bytes("謟ࠀ".encode("utf-16-le"))  # 1f 8b 00 08
    assert read_text(path, TextConfig(encoding="utf-16-le")) == "謟ࠀ"


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file"):
        read_text(tmp_path / "nowhere.txt")
    with pytest.raises(CorpusError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(CorpusError, match="cannot be opened"):
        read_text("a\0b")
    for suffix in ("gz", "bz2", "xz"):
        broken = tmp_path / f"broken.{suffix}"
        broken.write_bytes(b"this was never packed")
        with pytest.raises(CorpusError, match="cannot be read"):
            read_text(broken)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"a" * 10_000)[:-12])
    with pytest.raises(CorpusError, match="cannot be read"):
        read_text(cut)


def test_large_files_come_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("abc\n" * 100)
    chunks = list(read_chunks(path, TextConfig(), TextTuning(bytes_per_read=10)))
    assert len(chunks) == 40
    assert "".join(chunks) == "abc\n" * 100
