"""Log-sum-exp of real data: the exact Hessian against its approximations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import iterations, near, side_by_side, values
from paper_figures.gns.figure_real_logistic import DATA, EXACT, LAZY, SR1, TOP

INEXACT, ZERO, PROJECTED = "weighted Gauss-Newton", "zero (gradient steps)", "projected"
# iterations to 1e-8 of those that arrive in 200
GOLDEN = {
    "a9a": {EXACT: 20, INEXACT: 82, LAZY: 36, TOP: 35, SR1: 166, PROJECTED: 20, ZERO: 66},
    "mushrooms": {EXACT: 19, INEXACT: 68, LAZY: 35, TOP: 39, SR1: 120, PROJECTED: 19, ZERO: 42},
    "w8a": {EXACT: 17, INEXACT: 88, LAZY: 37, TOP: 33, PROJECTED: 17, ZERO: 43},
    "breast_cancer": {EXACT: 139, PROJECTED: 137},
}
SHORT = (EXACT, INEXACT, LAZY, PROJECTED, ZERO)  # of these the counts of the first three sets do not depend on the BLAS


def draw(results: Results) -> Figure:
    """Return a column for each data set."""
    return side_by_side(results, DATA, lambda run: f"{run.facts[DATA]}")


def claim(results: Results) -> None:
    """The exact Hessian needs the fewest iterations; Gauss-Newton more than gradient steps in this metric."""
    for data in values(results, DATA):
        found, golden = iterations(results, 1e-8, **{DATA: data}), GOLDEN[str(data)]
        others = [count for label, count in found.items() if label not in (EXACT, PROJECTED)]  # on convex f the same
        assert found[EXACT] < min(others), f"{data}: {found}"
        arrived = {label: count for label, count in found.items() if count < np.inf}
        assert near(arrived, golden), f"{data}: {arrived}, not {golden}"
        if data != "breast_cancer":
            assert [arrived[label] for label in SHORT] == [golden[label] for label in SHORT], f"{data}: {arrived}"
            assert found[EXACT] < min(found[LAZY], found[TOP]) < found[ZERO] < found[INEXACT], f"{data}: {found}"
