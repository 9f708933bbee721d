"""Corpus: documents and lines, the held-out part, counts, temporary files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import EmptyCorpusError
from charlm.text import numbering
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut, held_out_fraction, split_text
from charlm.text.numbering import DocumentReader
from charlm.text.store import GrowingIds, release_pages, store_ids
from charlm.text.tuning import TextTuning

LINES = TextConfig(lines=True)


def write(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{k}.txt" for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return paths


def lines_of(corpus: Corpus, ids: np.ndarray) -> list[str]:
    """Cut ids at EOS."""
    text = "".join("\n" if i == 0 else corpus.vocabulary.decode([i]) for i in ids)
    return text.strip("\n").split("\n")


def test_running_text_holds_out_its_end_by_default(tmp_path: Path) -> None:
    corpus = Corpus.read(write(tmp_path, "abcdefghij" * 7), hold_out=HoldOut(0.1))
    assert corpus.source.n_characters == 70
    assert corpus.vocabulary.decode(corpus.train_ids) == ("abcdefghij" * 7)[:63]
    assert corpus.vocabulary.decode(corpus.valid_ids) == "defghij"
    assert corpus.train_ids[0] == corpus.valid_ids[0] == corpus.vocabulary.eos
    assert np.count_nonzero(corpus.valid_ids == 0) == 1  # the text was cut, and its end is not scored


def test_each_file_is_a_document(tmp_path: Path) -> None:
    corpus = Corpus.read(write(tmp_path, "ab", "", "ba"), hold_out=HoldOut(0))
    assert corpus.train_ids.tolist() == [0, 2, 3, 0, 3, 2, 0]
    assert len(corpus.valid_ids) == 0
    assert corpus.source.names == tuple(str(tmp_path / f"{k}.txt") for k in range(3))


def test_vocabulary_is_of_the_training_part(tmp_path: Path) -> None:
    corpus = Corpus.read(write(tmp_path, "a" * 90 + "b" * 10), hold_out=HoldOut(0.1))
    assert corpus.vocabulary.tokens[2:] == ("a",)
    assert (corpus.valid_ids[1:] == corpus.vocabulary.unk).all()
    assert corpus.unknown_rate == 0


def test_characters_seen_once_become_unk_in_a_large_text(tmp_path: Path) -> None:
    paths = write(tmp_path, "ab" * 10_000 + "?" + "ab" * 5_000)
    corpus = Corpus.read(paths, hold_out=HoldOut(0.1))
    assert "?" not in corpus.vocabulary
    assert corpus.unknown_rate == 1 / 27_000
    assert "?" in Corpus.read(paths, TextConfig(min_count=1), hold_out=HoldOut(0.1)).vocabulary
    small = Corpus.read(write(tmp_path, "ab" * 100 + "?" + "ab" * 100), hold_out=HoldOut(0))
    assert "?" in small.vocabulary


def test_unseen_rate_is_the_fraction_of_characters_seen_once(tmp_path: Path) -> None:
    corpus = Corpus.read(write(tmp_path, "a" * 98 + "bc"), hold_out=HoldOut(0))
    assert corpus.unseen_rate == pytest.approx(2 / 100)
    assert Corpus.read(write(tmp_path, "a" * 100), hold_out=HoldOut(0)).unseen_rate == pytest.approx(1 / 101)


def test_given_vocabulary_is_used_unchanged(tmp_path: Path) -> None:
    first = Corpus.read(write(tmp_path, "abc"), hold_out=HoldOut(0))
    second = Corpus.read(write(tmp_path, "cxb"), vocabulary=first.vocabulary, hold_out=HoldOut(0))
    assert second.vocabulary is first.vocabulary
    assert second.train_ids.tolist() == [0, 4, 1, 3, 0]


def test_lines_are_documents_and_empty_ones_are_dropped(tmp_path: Path) -> None:
    corpus = Corpus.read(write(tmp_path, "one\n\n\ntwo\n", "\nthree"), LINES, hold_out=HoldOut(0))
    assert lines_of(corpus, corpus.train_ids) == ["one", "two", "three"]
    assert corpus.source.n_characters == 11
    assert corpus.train_ids[0] == corpus.train_ids[-1] == 0


@given(st.lists(st.text("abcd", min_size=1, max_size=5), min_size=30, max_size=60), st.integers(0, 5))
def test_copies_of_a_line_are_in_one_part(lines: list[str], seed: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        paths = write(Path(folder), "\n".join(lines))
        corpus = Corpus.read(paths, LINES, hold_out=HoldOut(0.3, seed=seed))
        again = Corpus.read(paths, LINES, hold_out=HoldOut(0.3, seed=seed))
    train, held_out = lines_of(corpus, corpus.train_ids), lines_of(corpus, corpus.valid_ids)
    held_out = held_out if len(corpus.valid_ids) > 1 else []
    unknown = [line.translate({ord(c): "\ufffd" for c in "abcd" if c not in corpus.vocabulary}) for line in lines]
    assert Counter(train + held_out) == Counter(unknown)
    if not any("\ufffd" in line for line in held_out):
        assert not set(train) & set(held_out)
    np.testing.assert_array_equal(again.valid_ids, corpus.valid_ids)


def test_lines_held_out_are_a_tenth_and_depend_on_the_seed(tmp_path: Path) -> None:
    paths = write(tmp_path, "\n".join(f"line {k}" for k in range(5000)))
    corpora = [Corpus.read(paths, LINES, hold_out=HoldOut(seed=seed)) for seed in (0, 1)]
    parts = [set(lines_of(corpus, corpus.valid_ids)) for corpus in corpora]
    assert all(420 <= len(part) <= 580 for part in parts)
    assert len(parts[0] & parts[1]) < 100


@pytest.mark.parametrize("unit", ["char", "word"])
def test_text_of_only_unknown_tokens_is_refused(tmp_path: Path, unit: str) -> None:
    """12,000 characters that occur once each: a model of them would know EOS and UNK alone."""
    text = "".join(chr(0x20000 + k) for k in range(12_000))
    if unit == "word":
        text = "b".join(text)  # one long word
    for content, min_count in ((text, None), (text[:9], 2), ("ab" * 99, 500)):
        if unit == "char" or min_count:
            config = TextConfig(unit=unit, min_count=min_count)
            with pytest.raises(EmptyCorpusError) as caught:
                Corpus.read(write(tmp_path, content), config)
            assert "0.txt: 100% of the training text would become UNK" in str(caught.value)
            assert "a lower `min_count` (1 keeps all)" in str(caught.value)
    corpus = Corpus.read(write(tmp_path, text), TextConfig(unit=unit, min_count=1), hold_out=HoldOut(0))
    assert corpus.unknown_rate == 0
    assert corpus.vocabulary.decode(corpus.train_ids) == text


def test_lines_longer_than_a_chunk_are_kept(tmp_path: Path) -> None:
    texts = ["abcde" * 7, "x", "fghij" * 3, *("k" * n for n in range(1, 12))]
    paths = write(tmp_path, "\n".join(texts))
    at_once = [Corpus.read(paths, LINES, hold_out=HoldOut(valid)) for valid in (0.0, 0.5)]
    for size in (1, 4, 7):
        for valid, expected in zip((0.0, 0.5), at_once, strict=True):
            corpus = Corpus.read(paths, LINES, hold_out=HoldOut(valid), tuning=TextTuning(ids_per_chunk=size))
            np.testing.assert_array_equal(corpus.train_ids, expected.train_ids)
            np.testing.assert_array_equal(corpus.valid_ids, expected.valid_ids)
    assert lines_of(at_once[0], at_once[0].train_ids) == texts


def test_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpusError, match="no text in it"):
        Corpus.read(write(tmp_path, ""))
    with pytest.raises(EmptyCorpusError):
        Corpus.read(write(tmp_path, "\n\n\n"), LINES)


def test_one_line_is_trained_on_rather_than_held_out(tmp_path: Path) -> None:
    for seed in range(20):
        corpus = Corpus.read(write(tmp_path, "only"), LINES, hold_out=HoldOut(0.5, seed=seed))
        assert lines_of(corpus, corpus.train_ids) == ["only"]


@pytest.mark.parametrize(("text", "valid"), [("a", 0.1), ("ab", 0.9), ("abc", 0.99)])
def test_one_character_at_least_is_learned_from(tmp_path: Path, text: str, valid: float) -> None:
    corpus = Corpus.read(write(tmp_path, text), hold_out=HoldOut(valid))
    assert corpus.vocabulary.decode(corpus.train_ids) == "a"
    assert len(corpus.valid_ids) == len(text)


def test_words_across_chunks_are_joined(tmp_path: Path) -> None:
    for size in range(1, 6):
        tuning = TextTuning(bytes_per_read=size)
        text = "the cat isn't the dog's"
        corpus = Corpus.read(write(tmp_path, text), TextConfig(unit="word"), hold_out=HoldOut(0), tuning=tuning)
        assert corpus.vocabulary.tokens[2:] == (" cat", " dog's", " isn't", " the", "the")
        assert corpus.vocabulary.decode(corpus.train_ids) == text
    lines = Corpus.read(write(tmp_path, "a b\n\nc"), TextConfig(unit="word", lines=True), hold_out=HoldOut(0))
    assert lines_of(lines, lines.train_ids) == ["a b", "c"]


def test_every_code_point_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\x00\x1b\u0301\u05d0\U0001f600" * 3
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    corpus = Corpus.read(["-"], hold_out=HoldOut(0))
    assert corpus.vocabulary.decode(corpus.train_ids) == text
    assert corpus.source.names == ("standard input",)


def test_digest_depends_on_text_and_documents(tmp_path: Path) -> None:
    texts = [["ab", "c"], ["a", "bc"], ["abc"], ["ab\r\n", "c"], ["ab\n", "c"]]
    digests = [Corpus.read(write(tmp_path, *parts), hold_out=HoldOut(0)).source.digest for parts in texts]
    assert len(set(digests)) == 4
    assert digests[3] == digests[4]


def test_large_ids_are_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    text = "".join(chr(97 + k % 26) for k in range(3000))
    tuning = TextTuning(max_bytes_in_memory=100, ids_per_chunk=7)
    corpus = Corpus.read(write(tmp_path, text), hold_out=HoldOut(0.1), tuning=tuning)
    assert isinstance(corpus.train_ids, np.memmap)
    assert corpus.train_ids.dtype == np.uint8
    assert corpus.vocabulary.decode(corpus.train_ids) == text[:2700]
    release_pages(corpus.ids)
    assert corpus.vocabulary.decode(corpus.valid_ids) == text[2700:]
    assert not list((tmp_path / "temp").iterdir())


def test_held_out_blocks_are_spread_over_the_text(tmp_path: Path) -> None:
    tuning = TextTuning(min_block_tokens=3, ids_per_chunk=11)
    text = "".join(chr(0x4E00 + k) for k in range(1000))
    corpus = Corpus.read(write(tmp_path, text), TextConfig(min_count=1), hold_out=HoldOut(0.1, "spread"), tuning=tuning)
    held = [k for k, c in enumerate(text) if corpus.vocabulary.encode(c)[0] == corpus.vocabulary.unk]
    assert len(held) == len(corpus.valid_ids) - 1 == 99  # 33 blocks of 3
    assert corpus.valid_ids[0] == corpus.vocabulary.eos
    assert [held[k + 1] - held[k] for k in (0, 1, 2, 3)] == [1, 1, 28, 1]
    assert corpus.vocabulary.decode(corpus.train_ids) == "".join(c for k, c in enumerate(text) if k not in held)
    assert corpus.train_ids[-1] == corpus.vocabulary.eos
    assert max(np.diff([-1, *held, 1000])) < 40


def test_held_out_blocks_are_in_the_middle_of_equal_periods() -> None:
    """1,499 tokens make 49 blocks of 3 in periods of 30; the remaining 29 tokens are training text."""
    with closing(GrowingIds()) as ids:
        ids.append(np.concatenate([[0], np.arange(2, 1501), [0]]))
        parts = split_text(ids, 0.1, "spread", TextTuning(min_block_tokens=3))
    train, held_out = (np.concatenate(list(part.chunks())) for part in parts)
    for part in parts:
        part.close()
    held = [2 + period * 30 + 13 + k for period in range(49) for k in range(3)]
    assert held_out.tolist() == [0, *held]
    assert train.tolist() == [0, *sorted(set(range(2, 1501)) - set(held)), 0]


def test_a_short_text_holds_out_its_end(tmp_path: Path) -> None:
    spread, end = (
        Corpus.read(write(tmp_path, "ab" * 400), hold_out=HoldOut(0.1, where)) for where in ("spread", "end")
    )
    np.testing.assert_array_equal(spread.train_ids, end.train_ids)


def test_default_fraction_falls_with_the_length_of_the_text(tmp_path: Path) -> None:
    fractions = [held_out_fraction(n) for n in (1, 50_000, 200_000, 500_000, 10**9)]
    assert fractions == [0.1, 0.1, 0.05, 0.02, 0.02]
    corpus = Corpus.read(write(tmp_path, "abcd" * 50_000))
    assert corpus.valid == 0.05
    assert len(corpus.valid_ids) == 1 + 10_000


def test_growing_ids_widen_for_larger_ids() -> None:
    ids = GrowingIds()
    for piece in ([1, 2], [300], [], [5], [70_000]):
        ids.append(np.array(piece, np.int64))
    assert len(ids) == 5
    assert np.concatenate(list(ids.chunks())).tolist() == [1, 2, 300, 5, 70_000]
    ids.close()


def test_ids_in_memory_allow_release() -> None:
    ids = store_ids([np.arange(295, 301), np.arange(4)], 10, 300)
    release_pages(ids)
    assert ids.dtype == np.uint16


def test_long_word_in_small_pieces_is_split_in_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The characters that are split into words are those of the text, once; the word comes in 1,000 pieces."""
    n_split = 0
    split_text = numbering.split_text

    def count(text: str, unit: str, *, spaces_apart: bool) -> Sequence[str]:
        nonlocal n_split
        n_split += len(text)
        return split_text(text, unit, spaces_apart=spaces_apart)

    monkeypatch.setattr(numbering, "split_text", count)
    text = "x" * 10_000 + " end"
    reader = DocumentReader(TextConfig(unit="word"), TextTuning(bytes_per_read=10))
    with closing(reader.ids):
        reader.read(write(tmp_path, text)[0])
        assert reader.tokens[2:] == ["x" * 10_000, " end"]
    assert n_split == len(text)
