"""Plots of curves into files, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from charlm.errors import ConfigError, MissingExtraError

Curve = Sequence[tuple[float, float]]
"""Points (x, y)."""


def find_matplotlib(path: Path, flag: str = "--plot") -> None:
    """Check that matplotlib can draw a file, before anything is computed.

    Raises
    ------
    MissingExtraError : matplotlib is not installed
    ConfigError : matplotlib does not know the file format of `path`
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise MissingExtraError(
            f"{flag} needs matplotlib, which is not installed; run: pip install matplotlib"
        ) from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in known:
        raise ConfigError(f"{path}: a plot's name must end in one of .{', .'.join(known)}")


def draw_curves(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw norms against the steps back on a logarithmic scale.

    Parameters
    ----------
    curves : norms for k = 0, 1, ... by the name of the curve; zeros and non-finite norms leave a gap
    path : the file to write; its suffix selects the format
    """
    points = {
        name: [(k, norm if norm > 0 else math.nan) for k, norm in enumerate(norms)] for name, norms in curves.items()
    }
    label = "mean norm of d loss_t / d h_(t-k), loss in nats"
    draw_lines(points, path, xlabel="k, steps back", ylabel=label, is_log=True)


def draw_lines(curves: Mapping[str, Curve], path: Path, *, xlabel: str, ylabel: str, is_log: bool = False) -> None:
    """Draw curves. The same curves give the same SVG file.

    Parameters
    ----------
    curves : each by its name
    path : the file to write; its suffix selects the format
    xlabel, ylabel : titles of the axes
    is_log : whether the y axis is logarithmic
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    # names of models are not formulas, so "$" has no meaning in them
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charlm", "text.parse_math": False}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel, yscale="log" if is_log else "linear")
        for name, points in curves.items():
            axes.plot([x for x, _ in points], [y for _, y in points], label=name)
        if is_log:
            axes.yaxis.set_major_formatter(LogFormatter())
            axes.yaxis.set_minor_formatter(LogFormatter())
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
