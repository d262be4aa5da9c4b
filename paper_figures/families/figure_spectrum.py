"""Eigenvalues of the Hessian of a trained network: outliers by the number of classes, and the two parts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, panels

SHOWN = 24


def outliers(run: Run) -> int:
    """Return how many eigenvalues lie before the widest gap, as a ratio, among the first."""
    top = run["hessian"][:SHOWN]
    return int(np.argmax(top[:-1] / top[1:])) + 1


def draw(results: Results) -> Figure:
    """Return the largest eigenvalues for each number of classes, and all of the last task with their parts."""
    figure, (left, right) = panels(2)
    for number, run in enumerate(results.runs):
        top = run["hessian"][:SHOWN]
        label = f"{run.facts['problem.classes']} classes: {outliers(run)} stand out"
        curve(left, np.arange(1, len(top) + 1), top / top[0], number, label, markevery=1, markersize=3)
    left.set(yscale="log", xlabel="eigenvalue", ylabel="relative to the largest", title="Hessian")
    left.legend()
    last = results.runs[-1]
    for number, (name, label) in enumerate((("hessian", "Hessian"), ("part", "Gauss-Newton"), ("rest", "the rest"))):
        values = last[name]
        curve(right, np.arange(1, len(values) + 1), values, number, label, markevery=0.1, markersize=3)
    right.set(xlabel="eigenvalue", title=f"{last.facts['problem.classes']} classes", xscale="log")
    right.set_yscale("symlog", linthresh=1e-4)
    right.legend()
    return figure


def claim(results: Results) -> None:
    """Classes less one, with one exception; the Gauss-Newton part carries them; the rest alone has negative values."""
    for run in results.runs:
        classes = run.facts["problem.classes"]
        part, hessian, rest = (run[name] for name in ("part", "hessian", "rest"))
        assert part[-1] >= -1e-12 > rest[-1]
        np.testing.assert_allclose(np.sum(part) + np.sum(rest), np.sum(hessian), rtol=1e-8)
        if not results.quick:
            assert max(1, classes - 2) <= outliers(run) <= classes - 1, f"{classes}: {outliers(run)}"
            assert np.all(part[: outliers(run)] > 0.6 * hessian[: outliers(run)])
            assert max(rest[0], -rest[-1]) < 0.2 * hessian[0]
