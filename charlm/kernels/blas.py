"""What the BLAS does, which NumPy multiplies matrices with, as far as the layout of products depends on it.

Its kernels are named after processors, so that they also tell what NumPy's own loops are good at.
"""

from __future__ import annotations

from functools import lru_cache

from charlm.kernels.threads import libraries

IN_PLACE = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
"""OpenBLAS's kernels that multiply small matrices where they lie; all others pack both operands first."""
SMALL_PRODUCT = 1_000_000
"""Multiplications of a matrix product up to which they do."""
AVX2 = frozenset({"Haswell", "Zen"})
"""Kernels for processors that have AVX2, and nothing wider."""


@lru_cache
def kernels() -> frozenset[str]:
    """Return the names of the kernels at work, by processor, as OpenBLAS and others call them."""
    return frozenset(str(library.get("architecture")) for library in libraries().select(user_api="blas").info())


def small_product() -> int:
    """Return up to how many multiplications a matrix product is done in place; 0 if it never is."""
    return SMALL_PRODUCT if kernels() and kernels() <= IN_PLACE else 0


def has_slow_tanh() -> bool:
    """Return whether NumPy's tanh takes twice as long as its exp: where it looks values up in a table, with AVX2."""
    return bool(kernels()) and kernels() <= AVX2
