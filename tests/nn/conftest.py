"""Fixtures that select the layout of products."""

from __future__ import annotations

import pytest


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the blocks of AVX-512 on any machine."""
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"SkylakeX"}))


@pytest.fixture(params=["SkylakeX", "Haswell"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use the blocks of AVX-512, then the plain products of all other machines."""
    name: str = request.param
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({name}))
    return name
