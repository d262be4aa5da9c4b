"""Logistic regression on real data: the exact Hessian against its approximations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import iterations, side_by_side, values

DATA, EXACT, LAZY, FISHER, SUBSAMPLED = "problem.data", "exact", "lazy, 5 steps", "empirical Fisher", "subsampled, 10 %"
# minima of the specification, to |g| <= 1e-13
F_STAR = {"a9a": 0.3233795824648475, "mushrooms": 0.0144858661283342, "w8a": 0.1261806865105134}


def draw(results: Results) -> Figure:
    """Return a column for each data set."""
    return side_by_side(results, DATA, lambda run: f"{run.facts[DATA]}")


def claim(results: Results) -> None:
    """The exact Hessian needs the fewest iterations, a lazy one thrice as many, Fisher arrives on a9a only."""
    for data in values(results, DATA):
        found = iterations(results, 1e-8, **{DATA: data})
        others = [count for label, count in found.items() if label != EXACT]
        assert found[EXACT] < min(others), f"{data}: {found}"
        assert found[LAZY] <= 3 * found[EXACT], f"{data}: {found}"
        if not results.quick:
            slow = set(found) - {EXACT, LAZY, FISHER, SUBSAMPLED}
            assert min(found[label] for label in slow) == np.inf, f"{data}: {found}"
            assert (found[FISHER] < np.inf) == (data == "a9a"), f"{data}: {found}"
            assert (found[SUBSAMPLED] < np.inf) == (data == "mushrooms"), f"{data}: {found}"
        if data in F_STAR:
            f_star = results.select(**{DATA: data})[0].facts["f_star"]
            assert abs(f_star - F_STAR[str(data)]) < 2e-15, f"{data}: f* = {f_star!r}"
