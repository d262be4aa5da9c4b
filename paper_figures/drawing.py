"""What the figures share: panels and legend; colours, dashes and markers are those of `gnsopt.plotting`."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gnsopt.plotting import COLORS, MARKERS, STYLES


def panels(number: int, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels in a row, with room below them for the legend."""
    figure = Figure(figsize=(4.2 * number, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, number, sharey=sharey, squeeze=False)[0])


def curve(panel: Axes, x: Any, y: Any, number: int, label: str, **settings: Any) -> None:
    """Draw the curve of that number in its colour, dash and marker, told apart in grey too."""
    panel.plot(
        x,
        y,
        label=label,
        color=COLORS[number % len(COLORS)],
        linestyle=STYLES[number % len(STYLES)],
        marker=MARKERS[number % len(MARKERS)],
        **{"markevery": 0.12, **settings},
    )


def legend(figure: Figure, panel: Axes, columns: int = 3) -> None:
    """Put the legend of a panel below all panels, where no curve can be."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), handlelength=4)
