"""Exit codes of the command line; docs/reference/command-line.md documents them."""

DONE, FAILED, USAGE, FOUND = 0, 1, 2, 3
"""FOUND is for `odd --fail-over` and `proof --fail`, so that a script can tell a finding from a failure."""
INTERRUPTED, CLOSED_PIPE = 130, 141
"""As a shell reports SIGINT and SIGPIPE; a run that a signal stopped returns 128 + its number, see `signals`."""
