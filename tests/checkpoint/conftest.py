"""Valid model files, and the same files with one change."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@pytest.fixture
def edited(model_bytes: bytes) -> Callable[..., bytes]:
    """A function that returns a model file changed by `edit(header)` or `edit(content of the key charlm)`."""

    def edit_file(edit: Callable[[dict[str, Any]], object], inside: bool) -> bytes:
        header, data = unpack(model_bytes)
        if inside:
            content = json.loads(header["__metadata__"]["charlm"])
            edit(content)
            header["__metadata__"]["charlm"] = json.dumps(content)
        else:
            edit(header)
        return pack(header, data)

    return edit_file
