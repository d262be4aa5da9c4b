"""The worst instance for methods of second order, q = 3: the residual against iterations and linear systems."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import LABELS
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import counts, residual

FIXED, HALF, ONE = "fixed constant, α = 1/2", "search, α = 0.5", "search, α = 1"
GNS = "GNS, exact Hessian"
GOLDEN = {FIXED: (np.inf, 1300), HALF: (506, 1000), ONE: (506, 1008), GNS: (509, 1012)}  # iterations, systems to 1e-8


def draw(results: Results) -> Figure:
    """Return two panels."""
    figure, axes = panels(2, sharey=True)
    for panel, measure in zip(axes, ("nit", "nsolve"), strict=True):
        for number, run in enumerate(results.runs):
            curve(panel, run[measure], residual(run), number, run.label)
        panel.set(yscale="log", xlabel=LABELS[measure])
    axes[0].set_ylabel("$f - f^*$")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """With a search n + O(1) iterations are enough, whatever alpha; the fixed constant is far from there."""
    n = results.runs[0].facts["problem.n"]
    found = {run.label: counts(run, 1e-8) for run in results.runs}
    for label in (HALF, ONE, GNS):
        assert n <= found[label][0] <= n + 20, f"{found}"
    assert results[FIXED]["fun"].min() > 1e-4, f"the fixed constant ends at f = {results[FIXED]['fun'][-1]}"
    assert results[FIXED]["nsolve"][-1] == results[FIXED]["nit"][-1], "the fixed constant asked for a search"
    if not results.quick:
        assert found == GOLDEN, f"{found}, not {GOLDEN}"
        assert abs(results[FIXED]["fun"][500] - 4.46e-4) < 5e-7, results[FIXED]["fun"][500]
        assert abs(results[HALF]["fun"][500] - 1.94e-6) < 5e-9, results[HALF]["fun"][500]
        assert np.isclose(results[FIXED]["fun"][0], 1 / 3, rtol=1e-14)
