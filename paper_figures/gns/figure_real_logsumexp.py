"""Log-sum-exp of real data: the exact Hessian against its approximations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import iterations, side_by_side, values
from paper_figures.gns.figure_real_logistic import DATA, EXACT, LAZY

INEXACT, TOP, ZERO, DIAGONAL = "weighted Gauss-Newton", "top 10 eigenpairs", "zero (gradient steps)", "diagonal"
BINARY = ("a9a", "mushrooms", "w8a")


def draw(results: Results) -> Figure:
    """Return a column for each data set."""
    return side_by_side(results, DATA, lambda run: f"{run.facts[DATA]}")


def claim(results: Results) -> None:
    """The exact Hessian needs the fewest iterations; Gauss-Newton more than gradient steps in this metric."""
    for data in values(results, DATA):
        found = iterations(results, 1e-8, **{DATA: data})
        others = [count for label, count in found.items() if label != EXACT]
        assert found[EXACT] < min(others), f"{data}: {found}"
        if data in BINARY:
            assert found[EXACT] < found[LAZY] < found[ZERO] < found[INEXACT] < np.inf, f"{data}: {found}"
            assert found[DIAGONAL] == np.inf, f"{data}: {found}"
