"""Plots, by matplotlib, which is the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from charlm.errors import ConfigError, MissingExtraError


def find_matplotlib(path: Path) -> None:
    """See, before work is done, that a plot can be drawn.

    Raises MissingExtraError without matplotlib, ConfigError if it does not draw files that end as `path` does.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise MissingExtraError(
            "--plot needs matplotlib, which is not installed; get it with: pip install matplotlib"
        ) from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in known:
        raise ConfigError(f"{path}: a plot's name must end in one of .{', .'.join(known)}")


def draw_curves(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw norms against steps back, one line a name, on a logarithmic scale.

    curves: name -> norms, k = 0 first; what is zero or not finite leaves a gap. The same norms give the same SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    # a model's name is no formula, whatever is in it; so the numbers are not written as formulas, either
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charlm", "text.parse_math": False}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(
            xlabel="k, steps back", ylabel="mean norm of d loss_t / d h_(t-k), loss in nats", yscale="log"
        )
        for name, norms in curves.items():
            axes.plot(range(len(norms)), [norm if norm > 0 else float("nan") for norm in norms], label=name)
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
