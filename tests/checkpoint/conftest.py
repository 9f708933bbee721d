"""Valid model files, and the same files with one change."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from handmade import make_model, pack, unpack

from charlm.checkpoint import ModelFile, write_model


@pytest.fixture
def model() -> ModelFile:
    return make_model()


@pytest.fixture
def model_bytes(model: ModelFile, tmp_path) -> bytes:
    """A valid model file."""
    write_model(tmp_path / "good", model)
    return (tmp_path / "good").read_bytes()


def edit_file(content: bytes, edit: Callable[[dict[str, Any]], object], *, inside: bool) -> bytes:
    """Return a model file changed by `edit(header)` or `edit(content of the key charlm)`."""
    header, data = unpack(content)
    if inside:
        inner = json.loads(header["__metadata__"]["charlm"])
        edit(inner)
        header["__metadata__"]["charlm"] = json.dumps(inner)
    else:
        edit(header)
    return pack(header, data)


@pytest.fixture
def edited(model_bytes: bytes) -> Callable[..., bytes]:
    """`edit_file` of a model of one member."""
    return partial(edit_file, model_bytes)


@pytest.fixture
def edited_mixture(tmp_path) -> Callable[..., bytes]:
    """`edit_file` of a mixture of three members."""
    write_model(tmp_path / "mixture", make_model(members=3))
    return partial(edit_file, (tmp_path / "mixture").read_bytes())
