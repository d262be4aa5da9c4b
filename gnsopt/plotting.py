"""Figures, drawn without global state; Matplotlib is imported at the first figure.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; line style and marker say the same again, for
print in grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), with grey for yellow, which is too pale for a line on white; strong contrasts first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
# No two of the numbers of colours, dashes and markers have a divisor in common: 120 different curves.
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
WIDEST = 1e100  # values of f that can be drawn: axes take differences and powers
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
    Gaps that are rounding (`resolution`) are drawn on a dotted line that says so.
    """
    if not isinstance(traces, Mapping):
        raise TypeError(f"traces={shown(traces)} must be a dict of names and traces")
    if not traces:
        raise ValueError("traces is empty: pass at least one run")
    if isinstance(against, str) or not isinstance(against, Sequence) or not against:
        raise ValueError(f"against={shown(against)} must be a sequence of columns, such as ('njev', 'time')")
    Figure, FigureCanvasAgg = _matplotlib()
    for label, trace in traces.items():
        for column in ("fun", *against):
            _check_column(trace, label, column)
    values = np.concatenate([np.asarray(trace["fun"], dtype=float) for trace in traces.values()])
    values = values[np.isfinite(values)]
    if not values.size:
        raise ValueError("traces hold no finite value of f: there is nothing to draw")
    f_star = float(values.min()) if f_star is None else as_number(f_star, "f_star")
    if not abs(f_star) + np.abs(values).max() < WIDEST:
        raise ValueError(f"f_star={f_star:g} and the values of the traces must be finite, and below {WIDEST:g}")
    gaps = {label: np.asarray(trace["fun"], dtype=float) - f_star for label, trace in traces.items()}
    width, height = panel_size
    columns = legend_columns(traces, width * len(against))
    legend_rows = -(-len(traces) // columns)
    size = (width * len(against), height + 0.22 * legend_rows + (0.3 if title else 0))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(against), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, against, strict=True):
        _panel(panel, {label: np.asarray(trace[column], dtype=float) for label, trace in traces.items()}, gaps, f_star)
        panel.set_xlabel(LABELS.get(column, column))
    panels[0].set_ylabel("$f - f^*$")
    if title:
        figure.suptitle(title)
    handles, labels = panels[0].get_legend_handles_labels()
    # below the panels, where no curve can be
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=4)
    return figure


def _check_column(trace: Any, label: Any, column: Any) -> None:
    try:
        np.asarray(trace[column], dtype=float)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"traces[{label!r}] has no column {shown(column)}, one of fun and against: {error}") from None


def work_axis(panel: Axes, columns: Iterable[Array]) -> None:
    """Make the horizontal axis logarithmic; linear between 0 and the first step where runs start at 0.

    Parameters
    ----------
    panel : matplotlib.axes.Axes
        Whose axis.
    columns : iterable of ndarray
        What is drawn on it, not negative.
    """
    values = np.concatenate([np.zeros(0), *(np.ravel(column) for column in columns)])
    if not (values.size and np.isfinite(values).all()):
        raise ValueError("columns must hold finite numbers, at least one")
    if values.min() > 0:
        panel.set_xscale("log")
        return
    least = 10.0 ** np.floor(np.log10(values[values > 0].min(initial=1.0)))
    panel.set_xscale("symlog", linthresh=least, linscale=0.3, subs=range(2, 10))
    panel.set_xlim(-0.1 * least, 1.2 * float(values.max()))


def resolution(gaps: Iterable[Array], f_star: float) -> float:
    """Return where gaps end to mean something.

    Parameters
    ----------
    gaps : iterable of ndarray
        ``f - f*`` of the runs of one problem.
    f_star : float
        The minimum.

    Returns
    -------
    float
        The rounding error of f*: ``eps |f*|``, or how far below f* a run has come. Where both are zero, because f* = 0
        is exact, a tenth of the least positive gap, at which zeros are drawn.
    """
    values = np.concatenate([np.zeros(0), *(np.ravel(gap) for gap in gaps)])
    values, f_star = values[np.isfinite(values)], as_number(f_star, "f_star")
    if not np.isfinite(f_star):
        raise ValueError(f"f_star={f_star} must be finite")
    error = max(EPS * abs(f_star), -float(values.min(initial=0.0)))
    return error or 0.1 * float(values[values > 0].min(initial=1.0))


def mark_resolution(panel: Axes, gaps: Iterable[Array], f_star: float) -> None:
    """Draw a dotted line that says what the gaps on it are, if there are any.

    Parameters
    ----------
    panel : matplotlib.axes.Axes
        Where the gaps are drawn, none below their `resolution`.
    gaps : iterable of ndarray
        ``f - f*`` of the runs of one problem.
    f_star : float
        The minimum.
    """
    gaps = list(gaps)
    floor = resolution(gaps, f_star)
    least = min((float(gap) for part in gaps for gap in np.ravel(part) if np.isfinite(gap)), default=np.inf)
    if least > floor:
        return
    zero = f_star == 0 == least
    panel.axhline(floor, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    panel.annotate(
        "$f = f^*$ in float64" if zero else "rounding of $f^*$",
        (0.01, floor),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        va="bottom",
        fontsize=7,
        color="0.35",
    )


def legend_columns(labels: Iterable[str], width: float) -> int:
    """Return in how many columns a legend fits.

    Parameters
    ----------
    labels : iterable of str
        Its entries.
    width : float
        Width of the figure in inches.

    Returns
    -------
    int
        At least one; as few as the rows need.
    """
    if not 0 < as_number(width, "width") < np.inf:
        raise ValueError(f"width={width} must be positive and finite")
    lengths = [len(label) for label in labels]
    columns = max(1, min(len(lengths), int(width / (LINE + LETTER * max(lengths)))))
    return -(-len(lengths) // -(-len(lengths) // columns))


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need Matplotlib: pip install 'gnsopt[plot]'") from error
    return Figure, FigureCanvasAgg


def _panel(panel: Axes, work: Mapping[str, Array], gaps: Mapping[str, Array], f_star: float) -> None:
    """Draw the curves on a logarithmic axis of gaps."""
    floor = resolution(gaps.values(), f_star)
    ends = [float(column[-1]) for column in work.values()]
    if min(ends) > 0 and max(ends) > 10 * min(ends):
        work_axis(panel, work.values())
    else:
        panel.locator_params(axis="x", nbins=5)
    panel.set_yscale("log")
    for number, (label, gap) in enumerate(gaps.items()):
        panel.plot(
            work[label],
            np.maximum(gap, floor),
            label=label,
            color=COLORS[number % len(COLORS)],
            linestyle=STYLES[number % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=0.12,
            markersize=4,
            linewidth=1.6,
        )
    mark_resolution(panel, gaps.values(), f_star)
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
