"""Keeps the Python files of the current folder out: imported before anything that is not loaded yet."""

from __future__ import annotations

import os
import sys


def forget_current_folder() -> None:
    """Remove the current folder from where modules are looked for, unless the user named it.

    `python -m charlm` and an empty entry in PYTHONPATH put it there: a `json.py` next to a text would be executed.
    """
    try:
        here = os.getcwd()
    except OSError:  # it was deleted
        return
    main = sys.modules.get("__main__")
    is_module = getattr(getattr(main, "__spec__", None), "name", "") == "charlm.__main__"
    if is_module and sys.path[:1] in ([here], [""]):  # with PYTHONSAFEPATH it is not there
        del sys.path[0]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "" in named and here not in map(os.path.abspath, filter(None, named)):
        sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]


forget_current_folder()
