"""Properties of NumPy's BLAS that decide how products are laid out: see the package's docstring."""

from __future__ import annotations

from functools import lru_cache

from charlm.kernels.threads import libraries
from charlm.kernels.tuning import TUNING

AVX512_KERNELS = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
"""OpenBLAS kernels that do not pack the operands of small products."""


@lru_cache
def kernels() -> frozenset[str]:
    """Return the processor names of the BLAS kernels in use, such as {"Haswell"}."""
    return frozenset(str(library.get("architecture")) for library in libraries().select(user_api="blas").info())


def max_small_product() -> int:
    """Return the number of multiplications up to which the BLAS packs no operand; 0 if it always packs them."""
    return TUNING.max_small_product if kernels() and kernels() <= AVX512_KERNELS else 0
