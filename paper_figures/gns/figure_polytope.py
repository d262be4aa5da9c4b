"""Polytope feasibility, p = 3: the residual against iterations and linear systems."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import legend, panels
from paper_figures.gns.common import counts, labels, near, residual, residuals

GNS, CUBIC = "GNS, exact Hessian", "cubic Newton"
HALF, ONE = "super-universal Newton, α = 0.667", "super-universal Newton, α = 1"
GRADIENT, FAST = "gradient method", "fast gradient method"
SECOND = (GNS, CUBIC, HALF, ONE)
GOLDEN = {GNS: (140, 283), CUBIC: (97, 1221), HALF: (163, 325), ONE: (155, 312)}  # iterations and systems to 1e-8
ROUNDING = {ONE: 0.04, CUBIC: 0.02}  # a start that is moved by 1e-15 takes α = 1 from 152 to 158 iterations
F_STAR = 1.2281365751219e-4  # the best value of all runs


def draw(results: Results) -> Figure:
    """Return two panels; gradient methods solve no systems."""
    figure, (left, right) = panels(2, sharey=True)
    residuals(left, results.runs, "nit", labels(results))
    residuals(right, [results[label] for label in labels(results) if label in SECOND], "nsolve", labels(results))
    left.set_ylabel("$f - f^*$")
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """Methods of second order converge, cubic Newton in the fewest steps and most systems; gradients are far off."""
    found = {run.label: counts(run, 1e-8) for run in results.runs}
    second = {label: found[label] for label in SECOND}
    assert max(pair[0] for pair in second.values()) < np.inf, f"{found}"
    if not results.quick:
        for label, golden in GOLDEN.items():
            pair = dict(enumerate(second[label]))
            assert near(pair, dict(enumerate(golden)), ROUNDING.get(label, 0)), f"{label}: {pair}, not {golden}"
        assert second[CUBIC] == (min(pair[0] for pair in second.values()), max(pair[1] for pair in second.values()))
        for label in (HALF, ONE):
            assert all(ours < theirs for ours, theirs in zip(second[GNS], second[label], strict=True)), f"{found}"
        for label, bound, last in ((GRADIENT, 1e-3, 4.48e-3), (FAST, 1e-5, 6.98e-5)):
            gap = residual(results[label])
            assert gap.min() > bound, f"{label}: {gap.min()}"
            assert np.isclose(gap[-1], last, rtol=1e-2), f"{label}: {gap[-1]}"
        assert np.isclose(results.runs[0].facts["f_star"], F_STAR, rtol=1e-11)
