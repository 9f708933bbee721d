"""Model files made by hand, and how to read them. Each size is different, so that swapped sizes are noticed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.checkpoint import ModelFile, TrainingRecord, read_model
from charlm.checkpoint.model_file import file_layout
from charlm.config import NetworkConfig
from charlm.errors import CheckpointError
from charlm.text.vocabulary import Vocabulary

TEXT = {
    "unit": "char",
    "lines": True,
    "min_count": 2,
    "encoding": "utf-8",
    "errors": "strict",
    "normalize": "NFC",
    "task": "language",
    "remove": "",
    "target_unit": "char",
}


def make_model(
    cell: str = "lstm", hidden: int = 3, layers: int = 2, tokens: str = "ab c\n文", bidirectional: bool = False,
    members: int = 1,
) -> ModelFile:  # fmt: skip
    """Return a model with random weights."""
    vocabulary = Vocabulary.build(dict.fromkeys(tokens, 5))
    rng = np.random.default_rng(7)
    config = NetworkConfig(cell, hidden, layers, 0.25, bidirectional=bidirectional)
    layout = file_layout(config, len(vocabulary), members)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in layout.items()}
    training = TrainingRecord(sources=("a.txt",), seconds=1.5, other={"note": 7})
    return ModelFile(config, dict(TEXT), vocabulary, tensors, training, members)


def pack(header: Any, data: bytes, length: int | None = None) -> bytes:
    """Return the bytes of a safetensors file. header: JSON or bytes; length: the one in the file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def unpack(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data of a safetensors file."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


def put(*path: Any) -> Callable[[Any], None]:
    """Return an edit that sets the value at a path of keys; the last argument is the value."""
    *keys, last, value = path

    def edit(tree: Any) -> None:
        for key in keys:
            tree = tree[key]
        tree[last] = value

    return edit


def read_bytes(content: bytes, folder: Path) -> ModelFile | None:
    """Return the model of `content`; None if it is refused with a valid message."""
    path = folder / "m"
    path.write_bytes(content)
    try:
        model = read_model(path)
    except CheckpointError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.endswith("; make a model with: charlm train FILE")
        assert message.isprintable()
        assert len(message) < 1000
        return None
    layout = file_layout(model.config, len(model.vocabulary), model.members)
    assert {name: tensor.shape for name, tensor in model.tensors.items()} == layout
    assert all(np.isfinite(tensor).all() for tensor in model.tensors.values())
    return model


def refusal(content: bytes, folder: Path) -> str:
    """Return the reason of a refusal without the path, which contains words of the test's name."""
    path = folder / "m"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_model(path)
    assert read_bytes(content, folder) is None
    reason, _, hint = str(caught.value).removeprefix(f"{path}: ").rpartition("; ")
    assert hint == "make a model with: charlm train FILE"
    return reason
