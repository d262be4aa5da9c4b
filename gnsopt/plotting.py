"""Figures, drawn without global state; Matplotlib is imported at the first figure.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; line style and marker say the same again, for
print in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gnsopt._typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008) without yellow, too pale for a line on white; strong contrasts first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
# Their number and that of the markers have no divisor in common with that of the colours: 105 different curves.
STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^")
LABELS = {
    "nit": "iterations",
    "nfev": "function evaluations",
    "njev": "gradient evaluations",
    "nhev": "Hessians",
    "nhessp": "Hessian-vector products",
    "nsolve": "linear systems",
    "time": "time (seconds)",
}
LINE, LETTER = 1.0, 0.085  # inches that an entry of the legend takes, and each letter of it
EPS = float(np.finfo(float).eps)


class TraceLike(Protocol):
    """What a curve is drawn from: columns by name, as those of ``result.trace`` or of a dictionary of arrays."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column."""


def convergence(
    traces: Mapping[str, TraceLike],
    f_star: float | None = None,
    *,
    against: Sequence[str] = ("njev", "time"),
    title: str = "",
    panel_size: tuple[float, float] = (4.2, 3.4),
) -> Figure:
    """Draw the gap ``f - f*`` of several runs, one panel for each measure of work.

    Parameters
    ----------
    traces : mapping of str to trace
        ``trace[name]`` is a column: ``fun`` and those that `against` names.
    f_star : float, optional
        The minimum; by default the lowest value of all runs.
    against : sequence of str, default=("njev", "time")
        Columns of the horizontal axes. An axis is logarithmic where the longest run took more than ten times as much
        as the shortest.
    title : str, default=""
        Title of the figure.
    panel_size : tuple of float, default=(4.2, 3.4)
        Width and height of a panel in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with an Agg canvas; ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If Matplotlib is not installed.
    ValueError
        If there is no trace.

    Notes
    -----
    A gap below the rounding error of f, ``eps |f*|``, is drawn there, on a dotted line.
    """
    if not traces:
        raise ValueError("traces is empty: pass at least one run")
    Figure, FigureCanvasAgg = _matplotlib()
    if f_star is None:
        f_star = float(min(np.nanmin(trace["fun"]) for trace in traces.values()))
    floor = EPS * abs(f_star) or EPS
    gaps = {label: np.maximum(np.asarray(trace["fun"], dtype=float) - f_star, floor) for label, trace in traces.items()}
    width, height = panel_size
    entry = LINE + LETTER * max(map(len, traces))
    columns = max(1, min(len(traces), int(width * len(against) / entry)))
    legend_rows = -(-len(traces) // columns)
    size = (width * len(against), height + 0.22 * legend_rows + (0.3 if title else 0))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(against), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, against, strict=True):
        _panel(panel, {label: (np.asarray(traces[label][column], dtype=float), gap) for label, gap in gaps.items()})
        panel.axhline(floor, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        panel.set_xlabel(LABELS.get(column, column))
    panels[0].set_ylabel("$f - f^*$")
    if title:
        figure.suptitle(title)
    handles, labels = panels[0].get_legend_handles_labels()
    # below the panels, where no curve can be
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=4)
    return figure


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need Matplotlib: pip install 'gnsopt[plot]'") from error
    return Figure, FigureCanvasAgg


def _panel(panel: Axes, curves: Mapping[str, tuple[Array, Array]]) -> None:
    """Draw the curves on a logarithmic axis of gaps."""
    ends = [float(work[-1]) for work, _ in curves.values()]
    if min(ends) > 0 and max(ends) > 10 * min(ends):
        panel.set_xscale("log")
    else:
        panel.locator_params(axis="x", nbins=5)
    panel.set_yscale("log")
    for number, (label, (work, gap)) in enumerate(curves.items()):
        panel.plot(
            work,
            gap,
            label=label,
            color=COLORS[number % len(COLORS)],
            linestyle=STYLES[number % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=0.12,
            markersize=4,
            linewidth=1.6,
        )
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
