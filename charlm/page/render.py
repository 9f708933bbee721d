"""Write the facts of a page as JSON, and as one HTML file without links to anything.

The text and the metadata of a model file are data of strangers. They are in the page as JSON in a script element that
the browser does not run, with all characters that HTML knows escaped; the page's script shows them with `textContent`
alone. The Content-Security-Policy allows the page's own script and style by their hashes, and no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from charlm.arrays import Array, finite_or_none
from charlm.checkpoint import printable
from charlm.page.facts import Facts

STYLES, SCRIPTS = ("page.css",), ("charts.js", "page.js")
DIGITS = 4
"""Significant digits of a number in the HTML file."""
LEVELS = 127
"""Largest value of an activation in the HTML file, where it is an int8."""
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
"""A placeholder of the HTML file, such as {{data}}."""
MAX_NAME = 80
"""Characters of the name of the model in the title."""


def to_json(facts: Facts) -> str:
    """Return the facts as JSON at full precision, arrays as lists; None for a number that is not finite."""
    return json.dumps(plain_numbers(facts), ensure_ascii=False)


def plain_numbers(value: Any) -> Any:
    """Return a value of lists, objects and numbers for JSON."""
    if isinstance(value, dict):
        return {name: plain_numbers(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [plain_numbers(one) for one in value] if isinstance(value, (list, tuple)) else finite_or_none(value)


def to_html(facts: Facts) -> str:
    """Return the page: one HTML file with its style, its script and the facts."""
    style, script = ("\n".join(read_part(name) for name in names).replace("\r\n", "\n") for names in (STYLES, SCRIPTS))
    policy = (
        f"default-src 'none'; style-src '{hash_of(style)}'; script-src '{hash_of(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escape(printable(str(facts["model"]["name"]), MAX_NAME)),
        "style": style,
        "script": script,
        "data": in_script(json.dumps(packed(facts), separators=(",", ":"))),
    }
    # in one pass, because parts may contain placeholders
    return PLACEHOLDER.sub(lambda match: parts[match[1]], read_part("page.html"))


def read_part(name: str) -> str:
    """Return a file of this package."""
    return (files("charlm.page") / name).read_text(encoding="utf-8")


def hash_of(content: str) -> str:
    """Return the hash of an inline element for a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def in_script(text: str) -> str:
    """Escape JSON for a script element: no character in it can end the element or start another one."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def packed(value: Any) -> Any:
    """Return a value for the HTML file: numbers rounded, arrays as {"int8": base64, "scale": s}, in rows."""
    if isinstance(value, dict):
        return {name: packed(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return int8_of(value) if value.ndim == 1 else [packed(row) for row in value]
    if isinstance(value, (list, tuple)):
        return [packed(one) for one in value]
    if isinstance(value, float):
        return finite_or_none(float(f"{value:.{DIGITS}g}"))
    return value


def int8_of(values: Array) -> dict[str, Any]:
    """Return values (N,) as integers of 8 bits times a scale."""
    scale = max(1.0, float(np.abs(values).max(initial=0))) / LEVELS
    content = np.round(values / scale).astype(np.int8).tobytes()
    return {"int8": base64.b64encode(content).decode(), "scale": scale}
