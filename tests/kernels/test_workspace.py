"""Buffers keep their memory and grow with the largest shape; scopes share scratch memory alone."""

from __future__ import annotations

import numpy as np

from charlm.kernels.workspace import Workspace


def test_array_of_one_shape_keeps_its_contents() -> None:
    work = Workspace()
    work.array("a", 3, 4)[...] = 7
    assert (work.array("a", 3, 4) == 7).all()
    assert work.array("a", 3, 4) is work.array("a", 3, 4)


def test_array_of_a_smaller_shape_uses_the_same_memory() -> None:
    work = Workspace()
    large = work.array("a", 300, 40)
    small = work.array("a", 200, 50)
    assert small.shape == (200, 50)
    assert small.flags.c_contiguous
    assert np.shares_memory(large, small)
    assert np.shares_memory(large, work.array("a", 300, 40))
    assert not np.shares_memory(large, work.array("a", 301, 40))


def test_scopes_share_scratch_memory_alone() -> None:
    work = Workspace()
    one, two = work.scope("one"), work.scope("two")
    assert not np.shares_memory(one.array("a", 5), two.array("a", 5))
    assert np.shares_memory(one.scratch("a", 5), two.scratch("a", 3))
