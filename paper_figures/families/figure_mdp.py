"""Exact policy optimisation: the gap to the optimum against gradients."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.families.common import labels, residual, work_to

FLOOR = 1e-10


def draw(results: Results) -> Figure:
    """Return the gaps against gradients and against seconds."""
    figure, axes = panels(2, sharey=True)
    for panel, measure in zip(axes, ("njev", "time"), strict=True):
        for number, label in enumerate(labels(results)):
            run = results[label]
            curve(panel, np.maximum(run[measure], 1e-4), np.maximum(residual(run), FLOOR), number, label)
        panel.set(xscale="log", yscale="log", xlabel={"njev": "gradients", "time": "seconds"}[measure])
    axes[0].set_ylabel("$J^* - J$")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Nobody is above the optimum; the exact Hessian is far ahead of the Fisher matrix, and Adam of both.

    The optimum lies at infinity, where a direction of signs goes with steps that double.
    """
    assert all(residual(run).min() > -1e-10 for run in results.runs)
    needed = {label: work_to(results[label], 1e-6) for label in labels(results)}
    assert np.isfinite(needed["exact Hessian, projected"]), f"{needed}"
    if not results.quick:
        exact = needed["exact Hessian, projected"]
        assert needed["natural gradient (Fisher)"] > 10 * exact, f"{needed}"
        assert needed["gradient"] > 8 * exact, f"{needed}"
        assert needed["Adam, searched step"] < exact, f"{needed}"
        assert 5 * needed["N-PG-IGT"] < needed["N-HARPG"], f"{needed}"
