"""Environment of all tests; pytest imports this file first."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# The command sets this, too: BLAS threads wait for each other on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The output of the tested commands is buffered, as a user's is.
os.environ.pop("PYTHONUNBUFFERED", None)
# Background jobs of a shell ignore Ctrl-C, those of nohup SIGHUP, and the commands that tests start would inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# An example takes much longer on a busy machine.
settings.register_profile("charlm", deadline=None)
settings.load_profile("charlm")
