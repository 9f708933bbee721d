"""Environment of all tests; pytest imports this file first."""

from __future__ import annotations

import os
import signal

# The command sets this, too: BLAS threads wait for each other on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The output of the tested commands is buffered, as a user's is.
os.environ.pop("PYTHONUNBUFFERED", None)
# Background jobs of a shell ignore Ctrl-C, and the commands that tests start would inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)
