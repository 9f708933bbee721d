"""Reading: newlines, BOM, normal forms and encodings, whatever the chunks; what goes wrong says where."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import CorpusError, EncodingError
from charlm.text import reading
from charlm.text.reading import decoded, normalized, read_text

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[k : k + size] for k in range(0, len(data), size)]


@given(UNICODE, st.integers(1, 7))
def test_pieces_do_not_matter(text: str, size: int) -> None:
    read = "".join(decoded(in_pieces(text.encode(), size), "x", TextConfig()))
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert read == expected


@given(UNICODE, st.integers(1, 5), st.sampled_from(["NFC", "NFKC"]))
def test_normal_forms_do_not_depend_on_the_pieces(text: str, size: int, form: str) -> None:
    chunks = [text[k : k + size] for k in range(0, len(text), size)]
    assert "".join(normalized(chunks, form)) == unicodedata.normalize(form, text)


def test_combining_marks_meet_their_letter_across_pieces() -> None:
    assert "".join(normalized(["e", "\u0301", "a"], "NFC")) == "\u00e9a"


@given(st.binary(max_size=60), st.integers(1, 7))
def test_the_first_bad_byte_is_named(data: bytes, size: int) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(EncodingError, match=rf"x: byte {error.start:,} \(0x{data[error.start]:02x}\)"):
            list(decoded(in_pieces(data, size), "x", TextConfig()))
    else:
        list(decoded(in_pieces(data, size), "x", TextConfig()))


@pytest.mark.parametrize("suffix", ["txt", "gz", "bz2", "xz"])
def test_packed_files_are_unpacked(tmp_path: Path, suffix: str) -> None:
    pack = {"txt": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    path = tmp_path / f"text.{suffix}"
    path.write_bytes(pack("\ufeffone\r\ntwo\r".encode()))
    assert read_text(path) == "one\ntwo\n"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("наука".encode())))
    assert read_text("-") == "наука"


def test_other_encodings_and_lenient_decoding(tmp_path: Path) -> None:
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
def test_a_byte_order_mark_that_is_missing_is_no_traceback(tmp_path: Path, errors: str) -> None:
    """Python's decoder raises a bare UnicodeError there; found by fuzz/fuzz_text.py."""
    path = tmp_path / "t.txt"
    path.write_bytes("quick".encode("utf-16-be"))
    with pytest.raises(EncodingError, match=r"t\.txt: is not valid utf-16: .* BOM; --encoding names another"):
        read_text(path, TextConfig(encoding="utf-16", errors=errors))


def test_what_cannot_be_read(tmp_path: Path) -> None:
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


def test_large_files_come_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK", 10)
    path = tmp_path / "long.txt"
    path.write_text("abc\n" * 100)
    chunks = list(reading.read_chunks(path, TextConfig()))
    assert len(chunks) == 40
    assert "".join(chunks) == "abc\n" * 100
