"""Model files that are in order, and the same files with something changed."""

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
    """A model file that is in order."""
    write_model(tmp_path / "good", model)
    return (tmp_path / "good").read_bytes()


@pytest.fixture
def edited(model_bytes: bytes) -> Callable[..., bytes]:
    """A model file in which `edit(header)` or `edit(content of the key charlm)` has changed something."""

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
