"""Hashes of lines: packed lines are recognised, and damaged packs are empty."""

from __future__ import annotations

import base64

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.text.novelty import hash_of, lines_in, pack_hashes, unpack_hashes
from charlm.text.vocabulary import Vocabulary


@given(st.lists(st.text(st.characters())))
def test_packed_lines_are_recognised(lines: list[str]) -> None:
    assert unpack_hashes(pack_hashes(lines)) == {hash_of(line) for line in lines}


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
@example("")
@example("AAAA")
@example(base64.b64encode(b"not compressed").decode())
@example(pack_hashes(["a"])[1:])
@example(pack_hashes(["a"]) + "!")
@example("\ud800")
def test_damaged_pack_has_no_lines(packed: object) -> None:
    assert unpack_hashes(packed) == frozenset()


def test_at_most_max_lines_are_unpacked() -> None:
    hashes = unpack_hashes(pack_hashes("abcdefgh"), max_lines=3)
    assert len(hashes) == 3
    assert hashes < {hash_of(line) for line in "abcdefgh"}


def test_lines_end_at_eos() -> None:
    vocabulary = Vocabulary.build({"a": 1, "b": 1})
    assert list(lines_in(np.array([0, 2, 3, 0, 3, 0]), vocabulary)) == ["ab", "b"]
