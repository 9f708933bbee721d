"""What holds for all tests; read before anything else."""

from __future__ import annotations

import os
import signal

# As the command does: threads of BLAS would wait for each other on a machine that has other work, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A user's output is buffered, whatever this machine's is.
os.environ.pop("PYTHONUNBUFFERED", None)
# A shell lets jobs in the background ignore Ctrl-C, and the commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
