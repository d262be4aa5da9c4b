"""Weights of three sources along the runs of four methods."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt.plotting import COLORS, MARKERS, STYLES
from paper_figures.drawing import curve, legend, panels


def draw(results: Results) -> Figure:
    """Return the weight of the noise and those of the twins: a line for one, markers for the other."""
    figure, axes = panels(2)
    for number, run in enumerate(results.runs):
        work = np.maximum(run["njev"], 1)
        curve(axes[0], work, run["p"][:, 1], number, run.label)
        some = np.unique(np.geomspace(1, len(work), 9).astype(int)) - 1
        axes[1].plot(work, run["p"][:, 0], color=COLORS[number], linestyle=STYLES[number])
        axes[1].plot(work[some], run["p"][some, 2], MARKERS[number % len(MARKERS)], color=COLORS[number])
    axes[0].set(xscale="log", yscale="log", xlabel="work", ylabel="weight of the noise")
    axes[1].set(xscale="log", xlabel="work", ylabel="weights of the twins", ylim=(0, 0.55))
    legend(figure, axes[0], columns=2)
    return figure


def work_to(run: Run, weight: float) -> float:
    """Return the work after which the noise has no more than that weight."""
    (found,) = np.nonzero(run["p"][:, 1] <= weight)
    return float(run["njev"][found[0]]) if found.size else np.inf


def claim(results: Results) -> None:
    """Noise loses its weight, twins keep theirs; to a thousandth adaptive methods are first."""
    for run in results.runs:
        p = run["p"]
        assert np.allclose(p.sum(axis=1), 1, atol=1e-12)
        assert np.allclose(p[:, 0], p[:, 2], atol=1e-6), f"{run.label}: twins"
        assert p[-1, 1] < 0.02, f"{run.label}: {p[-1, 1]}"
    implicit, penalty, scalebio, f2ba = results.runs
    for run in (implicit, penalty):
        assert run.facts["status"] == "converged", run.label
        assert run["p"][-1, 1] < 1e-4, run.label
    order = [work_to(run, 1e-3) for run in (implicit, penalty, scalebio)]
    assert order == sorted(order), f"work to a thousandth: {order}"
    assert work_to(scalebio, 0.05) < work_to(penalty, 0.05), "cheap steps are ahead at first"
    assert work_to(f2ba, 1e-3) > order[-1]
