"""Damage done to files on purpose: bits, cuts, pieces that move, and values in their JSON."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**63, -(2**63), 10**90, 0.5, -0.0, 1e308, 1e-320, "", "x",
    "\x1b[31m\x9b", "\u202e", "\ud800", "../../etc/passwd", "adam", [], [[]], [0] * 40, ["a", "a"], {}, {"a": {}},
    "9" * 400,
)  # fmt: skip


def damaged(content: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield `count` damaged copies of a safetensors file."""
    for _ in range(count):
        kind = rng.random()
        if kind < 0.5:
            yield with_other_json(content, rng)
        elif kind < 0.75:
            yield with_flipped_bits(content, rng)
        elif kind < 0.9:
            yield with_moved_pieces(content, rng)
        else:
            yield content[: rng.randrange(len(content))]


def cut_everywhere(content: bytes) -> Iterator[bytes]:
    """Yield the file cut at each boundary of its parts, and one byte to each side of it."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    cuts = {0, 8, end, len(content)}
    for name, entry in header.items():
        if name != "__metadata__":
            cuts |= {end + offset for offset in entry["data_offsets"]}
    for cut in sorted({p + d for p in cuts for d in (-1, 0, 1) if 0 <= p + d < len(content)}):
        yield content[:cut]


def with_flipped_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def with_moved_pieces(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    end = min(end, start + rng.choice((4, 64, 4096)))
    piece = rng.choice((b"", content[end : 2 * end - start], rng.randbytes(end - start)))
    return content[:start] + piece + content[end:]


def with_other_json(content: bytes, rng: random.Random) -> bytes:
    """Change values in the header, or in the JSON inside its metadata; the lengths are made to fit again."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    (name, inner), *_ = header["__metadata__"].items()
    tree = json.loads(inner)
    for _ in range(rng.choice((1, 1, 2, 4))):
        change_somewhere(tree if rng.random() < 0.8 else header, rng)
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"][name] = json.dumps(tree)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[end:]


def change_somewhere(tree: Any, rng: random.Random) -> None:
    """Stepper down at random, and replace, remove, rename or add something."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        below = tree[key]
        if isinstance(below, (dict, list)) and below and rng.random() < 0.75:
            tree = below
            continue
        way = rng.random()
        if way < 0.6:
            tree[key] = deepcopy(rng.choice(VALUES))
        elif way < 0.75:
            del tree[key]
        elif isinstance(below, (int, float)) and not isinstance(below, bool):
            tree[key] = below + rng.choice((-1, 1, 0.5, 2**40))
        elif isinstance(tree, dict):
            tree[str(rng.choice(VALUES))] = deepcopy(below)
        else:
            tree.append(deepcopy(below))
        return
