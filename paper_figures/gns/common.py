"""What several figures of the paper share: counts at a residual, and residuals of several problems side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from gnsopt.plotting import LABELS
from paper_figures.drawing import curve, legend

EPS = float(np.finfo(float).eps)
TINY = 1e-300  # a floor for residuals of f* = 0, which have no rounding error of their own


class Page(Figure):
    """A figure of many panels or much text, saved at a lower resolution, so that its file stays below 200 kB."""

    def savefig(self, *args: Any, **settings: Any) -> None:
        """Save at 110 dots per inch."""
        super().savefig(*args, **{"dpi": 110, **settings})


def counts(run: Run, gap: float) -> tuple[float, int]:
    """Return iterations and linear systems to ``f - f* <= gap``; infinite iterations, and all systems, if never."""
    found = run.reached(gap)
    return found, int(run["nsolve"][-1 if found == np.inf else int(found)])


def residual(run: Run) -> Array:
    """Return f - f*."""
    return run["fun"] - run.facts["f_star"]


def values(results: Results, setting: str) -> list[Any]:
    """Return the values of a setting, in the order of the toml."""
    return list(dict.fromkeys(run.facts[setting] for run in results.runs))


def labels(results: Results) -> list[str]:
    """Return the labels, in the order of the toml: their places give the looks of the curves."""
    return list(dict.fromkeys(run.label for run in results.runs))


def table(rows: int, columns: int, sharey: bool = False) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of rows of panels, with room below them for the legend."""
    figure = Page(figsize=(max(3.0 * columns, 6.5), 2.6 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [list(row) for row in figure.subplots(rows, columns, sharey=sharey, squeeze=False)]


def side_by_side(
    results: Results, setting: str, title: Callable[[Run], str], against: Sequence[str] = ("nit", "time")
) -> Figure:
    """Draw the residuals: a column for each value of a setting, a row for each measure of work."""
    problems, looks = values(results, setting), labels(results)
    figure, panels = table(len(against), len(problems), sharey=True)
    for row, measure in zip(panels, against, strict=True):
        for panel, value in zip(row, problems, strict=True):
            runs = results.select(**{setting: value})
            first = min(run[measure][run[measure] > 0].min() for run in runs)
            for run in runs:
                # what is below the rounding of f is drawn there; the start at the left end of a logarithmic axis
                gap = np.maximum(residual(run), EPS * abs(run.facts["f_star"]) or TINY)
                curve(panel, np.maximum(run[measure], first), gap, looks.index(run.label), run.label)
            panel.set(xscale="log", yscale="log", xlabel=LABELS[measure])
            if row is panels[0]:
                panel.set_title(title(runs[0]))
        row[0].set_ylabel("$f - f^*$")
    legend(figure, panels[0][0], columns=4 if len(problems) > 2 else 3)
    return figure


def iterations(results: Results, gap: float, **settings: object) -> dict[str, float]:
    """Return the iterations to ``f - f* <= gap`` by label, of the runs with these settings."""
    return {run.label: run.reached(gap) for run in results.select(**settings)}
