"""What several figures of the paper share: counts at a residual, and residuals of several problems side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from gnsopt.plotting import LABELS, mark_resolution, resolution, work_axis
from paper_figures.drawing import curve, legend


class Page(Figure):
    """A figure of images, saved at a lower resolution, so that its file stays small."""

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
    figure = Figure(figsize=(max(3.0 * columns, 6.5), 2.6 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [list(row) for row in figure.subplots(rows, columns, sharey=sharey, squeeze=False)]


def residuals(panel: Axes, runs: Sequence[Run], measure: str, looks: Sequence[str]) -> None:
    """Draw the residuals of the runs of one problem against a measure of work, both on logarithmic axes."""
    gaps, f_star = [residual(run) for run in runs], runs[0].facts["f_star"]
    floor = resolution(gaps, f_star)
    for run, gap in zip(runs, gaps, strict=True):
        curve(panel, run[measure], np.maximum(gap, floor), looks.index(run.label), run.label)
    work_axis(panel, [run[measure] for run in runs])
    panel.set(yscale="log", xlabel=LABELS[measure])
    mark_resolution(panel, gaps, f_star)


def side_by_side(
    results: Results, setting: str, title: Callable[[Run], str], against: Sequence[str] = ("nit", "time")
) -> Figure:
    """Draw the residuals: a column for each value of a setting, a row for each measure of work."""
    problems = values(results, setting)
    figure, panels = table(len(against), len(problems), sharey=True)
    for row, measure in zip(panels, against, strict=True):
        for panel, value in zip(row, problems, strict=True):
            runs = results.select(**{setting: value})
            residuals(panel, runs, measure, labels(results))
        row[0].set_ylabel("$f - f^*$")
    for panel, value in zip(panels[0], problems, strict=True):
        panel.set_title(title(results.select(**{setting: value})[0]))
    legend(figure, panels[0][0])
    return figure


def iterations(results: Results, gap: float, **settings: object) -> dict[str, float]:
    """Return the iterations to ``f - f* <= gap`` by label, of the runs with these settings."""
    return {run.label: run.reached(gap) for run in results.select(**settings)}


def near(found: Mapping[Any, float], golden: Mapping[Any, float], share: float = 0.1) -> bool:
    """Whether counts agree up to a share of them: the rounding of another BLAS moves long runs by that much."""
    return found.keys() == golden.keys() and all(
        found[key] == count or abs(found[key] - count) <= share * count < np.inf for key, count in golden.items()
    )
