"""Copies: the runs that a text shares with others, and the novelty of its substrings."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.config import TextConfig
from charlm.errors import ConfigError, CorpusError
from charlm.text.copies import Copies, CopySearch
from charlm.text.copy_index import CopyIndex
from charlm.text.ngrams import NgramSet, character_values, ngram_hashes
from charlm.text.tuning import TextTuning

SIZES = [
    TextTuning(),
    TextTuning(copy_block_characters=7, copy_chunk_characters=1, max_copy_pairs=1),
    TextTuning(copy_block_characters=60, copy_chunk_characters=90, max_copy_pairs=5),
]


def naive_runs(text: str, others: list[str], min_length: int) -> set[tuple[int, int]]:
    """Return start and length of each shared run that is inside no longer one."""
    runs = set()
    for other in others:
        for i in range(len(text)):
            for j in range(len(other)):
                length = 0
                while text[i + length : i + length + 1] and text[i + length :][:1] == other[j + length :][:1]:
                    length += 1
                if length >= min_length:
                    runs.add((i, length))
    return {(i, n) for i, n in runs if not any((k, m) != (i, n) and k <= i and k + m >= i + n for k, m in runs)}


def search(text: str, others: list[str], min_length: int, tuning: TextTuning) -> Copies:
    """Search in texts that arrive in pieces of 3 characters."""
    searched = CopySearch(text, min_length, tuning)
    for block in searched.blocks():
        for number, other in enumerate(others):
            searched.scan((other[k : k + 3] for k in range(0, len(other), 3)), number, block)
    return searched.result([str(number) for number in range(len(others))])


@pytest.mark.parametrize("tuning", SIZES)
@pytest.mark.parametrize("seed", range(8))
def test_runs_and_novelty_are_those_of_a_comparison_character_by_character(seed: int, tuning: TextTuning) -> None:
    """Texts of two letters, which share many runs; the last one is empty."""
    rng = np.random.default_rng(seed)
    others = ["".join(rng.choice(list("ab\n"), 70, p=[0.48, 0.48, 0.04])), "".join(rng.choice(list("ab"), 30)), ""]
    start = int(rng.integers(40))
    text = "".join(rng.choice(list("ab"), 30)) + others[0][start : start + 35] + "".join(rng.choice(list("bac"), 40))
    found = search(text, others, 10, tuning)
    expected = naive_runs(text, others, 10)
    assert {(run.index, len(run)) for run in found.runs} == expected
    assert found.copied == len({k for i, n in expected for k in range(i, i + n)})
    for run in found.runs:
        other = others[int(run.source)]
        assert other[run.source_index :][: len(run)] == run.text == text[run.index :][: len(run)]
        assert run.source_line == other.count("\n", 0, run.source_index) + 1
        maximal = [
            (number, k) for number, one in enumerate(others) for k in range(len(one)) if one.startswith(run.text, k)
        ]
        assert (int(run.source), run.source_index) in maximal
        assert run.places == len(maximal)
    for n, novel in enumerate(found.novel, 1):
        substrings = [text[k : k + n] for k in range(len(text) - n + 1)]
        assert novel == pytest.approx(np.mean([all(one not in other for other in others) for one in substrings]))
    parts = [text[k:stop] for stop in range(len(text) + 1) for k in range(stop)]
    assert found.longest == max(len(part) for part in parts if any(part in other for other in others))


def test_planted_copies_are_found_with_their_places_in_10_mb_in_bounded_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, 10_000_000, dtype=np.uint8)
    letters[79::80] = ord("\n")
    (tmp_path / "corpus.txt").write_bytes(letters.tobytes())
    text, planted = "", {}
    for length, at in ((20, 123), (50, 5_000_017), (200, 9_999_700)):
        text += "#" + "".join(rng.choice(list("abc"), 500)) + "#"
        planted[len(text)] = (length, at)
        text += letters[at : at + length].tobytes().decode()
    text += "#"
    tracemalloc.start()
    found = charlm.copies(text, tmp_path / "corpus.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {run.index: (len(run), run.source_index) for run in found.runs} == planted
    assert [run.source_line for run in found.runs] == [at // 80 + 1 for _, at in planted.values()]
    assert (found.copied, found.longest) == (270, 200)
    assert peak < 150e6


def test_a_text_is_normalised_like_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("caf\u00e9 au lait, s'il vous plait".encode("latin-1"))
    text = "cafe\u0301 au lait, s'il vous\r\nplait"
    found = charlm.copies(text, [tmp_path / "a.txt"], config=TextConfig(encoding="latin-1", normalize="NFC"))
    assert [run.text for run in found.runs] == ["caf\u00e9 au lait, s'il vous"]
    assert found.fraction == pytest.approx(23 / 29)


@pytest.mark.parametrize("text", ["", "ab"])
def test_a_short_text_has_no_runs(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text("abc")
    found = charlm.copies(text, tmp_path / "a.txt")
    assert (found.runs, found.copied, found.fraction, found.longest) == ((), 0, 0.0, len(text))
    assert found.novel == (0.0,) * len(text)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_length"):
        charlm.copies("text", [], min_length=9)
    with pytest.raises(ConfigError, match="limit"):
        CopyIndex.read([], 4)
    with pytest.raises(CorpusError, match="nowhere"):
        charlm.copies("text", tmp_path / "nowhere.txt")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 20])
def test_hash_of_an_ngram_is_the_sum_of_its_definition(n: int) -> None:
    values = character_values("the quick\n\U0001f600\udc80 fox")
    expected = []
    for start in range(len(values) - n + 1):
        total = 0
        for value in values[start : start + n].tolist():
            total = (total * 0xD1342543DE82EF95 + value) % 2**64
        expected.append(total)
    assert ngram_hashes(values, n).tolist() == expected


@pytest.mark.parametrize("spare_bits", [-8, 0, 3])
def test_a_set_finds_its_ngrams_alone(spare_bits: int) -> None:
    """With few bits, most places of the table are shared."""
    hashes = np.random.default_rng(0).integers(0, 2**64, 3000, dtype=np.uint64)
    ngrams = NgramSet(hashes[:2000], spare_bits)
    kept, numbers = ngrams.find(hashes[1000:])
    assert kept.tolist() == list(range(1000))
    assert (ngrams.unique[numbers] == hashes[1000:2000]).all()


def test_an_index_contains_the_substrings_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefgh\n")
    (tmp_path / "b.txt").write_text("12")
    index = CopyIndex.read([tmp_path / "a.txt", tmp_path / "b.txt"], 5)
    texts = ["abcdef", "cdefgh", "defgh\n", "abcdeg", "efgh\n1", "12"]
    assert [bool(index.contains(ngram_hashes(character_values(text), len(text)))[0]) for text in texts] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    (tmp_path / "empty.txt").write_text("")
    assert not CopyIndex.read(tmp_path / "empty.txt", 5).contains(character_values("abc")).any()
