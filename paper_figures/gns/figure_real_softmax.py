"""Softmax regression on real data: the exact Hessian against its approximations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import iterations, side_by_side, values
from paper_figures.gns.figure_real_logistic import DATA, EXACT, LAZY, SUBSAMPLED


def draw(results: Results) -> Figure:
    """Return a column for each data set."""
    return side_by_side(results, DATA, lambda run: f"{run.facts[DATA]}")


def claim(results: Results) -> None:
    """The exact Hessian needs the fewest iterations, a lazy one up to three times as many; others seldom arrive."""
    for data in values(results, DATA):
        found = iterations(results, 1e-8, **{DATA: data})
        others = [count for label, count in found.items() if label != EXACT]
        assert found[EXACT] <= min(others), f"{data}: {found}"
        assert found[LAZY] <= 3 * found[EXACT], f"{data}: {found}"
        if not results.quick:
            slow = set(found) - {EXACT, LAZY, SUBSAMPLED}
            assert min(found[label] for label in slow) == np.inf, f"{data}: {found}"
            assert (found[SUBSAMPLED] < np.inf) == (data == "letter.scale"), f"{data}: {found}"
