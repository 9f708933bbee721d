"""Properties of NumPy's BLAS that decide how products are laid out: see the package's docstring.

OpenBLAS names its kernels after processors, so the names also tell which of NumPy's own loops are fast.
"""

from __future__ import annotations

import sys
from functools import lru_cache

from charlm.kernels.threads import libraries
from charlm.kernels.tuning import TUNING

AVX512_KERNELS = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
"""OpenBLAS kernels that do not pack the operands of small products."""
AVX2_KERNELS = frozenset({"Haswell", "Zen"})
"""Kernels for processors with AVX2 and no wider vectors."""


@lru_cache
def kernels() -> frozenset[str]:
    """Return the processor names of the BLAS kernels in use, such as {"Haswell"}."""
    return frozenset(str(library.get("architecture")) for library in libraries().select(user_api="blas").info())


def small_product() -> int:
    """Return the number of multiplications up to which the BLAS packs no operand; 0 if it always packs them."""
    return TUNING.max_small_product if kernels() and kernels() <= AVX512_KERNELS else 0


def has_slow_tanh() -> bool:
    """Return whether NumPy's tanh takes twice as long as its exp: with AVX2 it is a table lookup."""
    return bool(kernels()) and kernels() <= AVX2_KERNELS and not has_avx512()


def has_avx512() -> bool:
    """Return whether NumPy found AVX-512; some processors have it while OpenBLAS uses its AVX2 kernels."""
    umath = sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
    return bool(getattr(umath, "__cpu_features__", {}).get("AVX512_SKX"))
