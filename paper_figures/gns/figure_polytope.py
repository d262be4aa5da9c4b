"""Polytope feasibility, p = 3: the residual against iterations and linear systems."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import LABELS
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import counts, residual

GNS, CUBIC = "GNS, exact Hessian", "cubic Newton"
GRADIENT, FAST = "gradient method", "fast gradient method"
F_STAR = 1.2281365751219e-4  # the best value found by the specification's own runs


def draw(results: Results) -> Figure:
    """Return two panels."""
    figure, axes = panels(2, sharey=True)
    for panel, measure in zip(axes, ("nit", "nsolve"), strict=True):
        for number, run in enumerate(results.runs):
            if measure == "nsolve" and run[measure][-1] == 0:
                continue  # gradient methods solve no systems
            curve(panel, np.maximum(run[measure], 1), np.maximum(residual(run), 1e-16), number, run.label)
        panel.set(xscale="log", yscale="log", xlabel=LABELS[measure])
    axes[0].set_ylabel("$f - f^*$")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Methods of second order converge, cubic Newton in the fewest steps and most systems; gradients are far off."""
    found = {run.label: counts(run, 1e-8) for run in results.runs}
    second = {label: pair for label, pair in found.items() if label not in (GRADIENT, FAST)}
    assert max(pair[0] for pair in second.values()) < np.inf, f"{found}"
    if not results.quick:
        assert found[GRADIENT][0] == found[FAST][0] == np.inf, f"{found}"
        assert second[CUBIC] == (min(pair[0] for pair in second.values()), max(pair[1] for pair in second.values()))
        others = [pair for label, pair in second.items() if label not in (GNS, CUBIC)]
        assert second[GNS] <= (min(pair[0] for pair in others), min(pair[1] for pair in others)), f"{found}"
        assert residual(results[GRADIENT])[-1] > 10 * residual(results[FAST])[-1] > 1e-5
        assert np.isclose(results.runs[0].facts["f_star"], F_STAR, rtol=1e-11)
