"""What the tests of the network share."""

from __future__ import annotations

import pytest


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small products laid out as where the BLAS multiplies them in place, whatever it does here."""
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"SkylakeX"}))


@pytest.fixture(params=["SkylakeX", "Haswell"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lay products out as where the BLAS multiplies small ones in place, and as where it packs all of them."""
    name: str = request.param
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({name}))
    monkeypatch.setattr("charlm.kernels.blas.has_avx512", lambda: name == "SkylakeX")
    return name
