"""Hashes of lines: what was packed is known again, and damage knows nothing."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.text.novelty import hash_of, lines_in, pack_hashes, unpack_hashes
from charlm.text.vocabulary import Vocabulary


@given(st.lists(st.text(st.characters())))
def test_packed_lines_are_known_again(lines: list[str]) -> None:
    assert unpack_hashes(pack_hashes(lines)) == {hash_of(line) for line in lines}


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
@example("")
@example("AAAA")
@example(base64.b64encode(b"not compressed").decode())
@example(pack_hashes(["a"])[1:])
@example(pack_hashes(["a"]) + "!")
@example("\ud800")
def test_whatever_is_no_pack_has_no_lines(packed: object) -> None:
    assert unpack_hashes(packed) == frozenset()


def test_no_more_hashes_are_unpacked_than_a_file_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.text.novelty.MOST_LINES", 3)
    hashes = unpack_hashes(pack_hashes("abcdefgh"))
    assert len(hashes) == 3
    assert hashes < {hash_of(line) for line in "abcdefgh"}


def test_lines_are_cut_at_eos() -> None:
    vocabulary = Vocabulary.build({"a": 1, "b": 1})
    assert list(lines_in(np.array([0, 2, 3, 0, 3, 0]), vocabulary)) == ["ab", "b"]
