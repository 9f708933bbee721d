"""Hashes of lines: what was packed is known again, and damage knows nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.novelty import hash_of, lines_in, pack_hashes, unpack_hashes
from charlm.text.vocabulary import Vocabulary


@given(st.lists(st.text(st.characters())))
def test_packed_lines_are_known_again(lines: list[str]) -> None:
    assert unpack_hashes(pack_hashes(lines)) == {hash_of(line) for line in lines}


@given(st.one_of(st.text(), st.none(), st.integers()))
def test_whatever_is_no_pack_has_no_lines(packed: object) -> None:
    assert isinstance(unpack_hashes(packed), frozenset)


def test_lines_are_cut_at_eos() -> None:
    vocabulary = Vocabulary.build({"a": 1, "b": 1})
    assert list(lines_in(np.array([0, 2, 3, 0, 3, 0]), vocabulary)) == ["ab", "b"]
