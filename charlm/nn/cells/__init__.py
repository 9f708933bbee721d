"""The recurrent cells, by name.

A cell is one file and one entry here. The entry names its class without importing it, so that the command line lists
the cells without loading NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from charlm.checks import check_choice

if TYPE_CHECKING:
    from charlm.nn.cells.cell import Cell

CELLS: dict[str, str] = {
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
    "gru-simple": "SimpleGRU",
    "gru-before": "GRUBefore",
    "rnn-relu": "ReluRNN",
}
"""Name in settings and model files -> class name, in the module of the same name (with _ for -)."""


def find_cell(name: str) -> Cell:
    """Return the cell of a name.

    Parameters
    ----------
    name : str
        A key of `CELLS`.

    Returns
    -------
    Cell

    Raises
    ------
    ConfigError
        If there is no such cell.
    """
    check_choice("cell", name, CELLS)
    module = import_module(f"charlm.nn.cells.{name.replace('-', '_')}")
    return cast("Cell", getattr(module, CELLS[name])())
