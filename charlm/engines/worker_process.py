"""Start a Python process that runs a module of charlm and exits when its standard input closes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from charlm.errors import ResourceError

WORKER_SCRIPT = Path(__file__).with_name("worker_script.py").resolve()


def start_worker(module: str, file: int | str, advice: str, *, bufsize: int = 0) -> subprocess.Popen[bytes]:
    """Start a process that calls `main()` of a module, with pipes at its standard input and output.

    It is in its own session, so that Ctrl-C reaches the main process alone.

    Parameters
    ----------
    module : str
        Full name of the module.
    file : int or str
        Shared memory, as `allocate_shared_block` returns it; the process inherits a descriptor.
    advice : str
        How a user can do without the process; the end of the error's message.
    bufsize : int
        Buffer size of the pipes in bytes; 0 for none, -1 for the default size.

    Raises
    ------
    ResourceError
        If the process cannot start.
    """
    try:
        return subprocess.Popen(
            [sys.executable, str(WORKER_SCRIPT), module], bufsize=bufsize,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=(file,) if isinstance(file, int) else (), start_new_session=True,
        )  # fmt: skip
    except (OSError, TypeError) as error:  # TypeError: an embedded Python may have no executable at all
        is_missing = not (sys.executable and os.path.exists(sys.executable))
        no_python = f"there is no Python interpreter at {sys.executable!r} (sys.executable)"
        reason = no_python if is_missing else getattr(error, "strerror", None) or error
        raise ResourceError(f"cannot start a worker process: {reason}; {advice}") from error
