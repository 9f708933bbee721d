"""Excludes the current folder from the import path. Imported before any other module."""

from __future__ import annotations

import os
import sys


def remove_current_folder() -> None:
    """Remove the current folder from `sys.path`, unless PYTHONPATH names it.

    `python -m charlm` and an empty entry in PYTHONPATH add it, so that a file `json.py` next to a text would run.
    """
    try:
        here = os.getcwd()
    except OSError:  # the folder was deleted
        return
    main = sys.modules.get("__main__")
    is_module = getattr(getattr(main, "__spec__", None), "name", "") == "charlm.__main__"
    if is_module and sys.path[:1] in ([here], [""]):  # PYTHONSAFEPATH leaves it out
        del sys.path[0]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "" in named and here not in map(os.path.abspath, filter(None, named)):
        sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]


remove_current_folder()
