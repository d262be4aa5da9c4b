"""Softmax regression on real data: the exact Hessian against its approximations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import iterations, near, side_by_side, values
from paper_figures.gns.figure_real_logistic import DATA, EXACT, LAZY, SUBSAMPLED

# iterations to 1e-8 of those that arrive in 100
GOLDEN = {
    "letter.scale": {EXACT: 12, LAZY: 22, SUBSAMPLED: 54},
    "dna.scale": {EXACT: 16, LAZY: 38},
    "digits": {EXACT: 23, LAZY: 52},
}

FACTORISED = ("letter.scale", "dna.scale")  # the systems of digits are solved by conjugate gradients


def draw(results: Results) -> Figure:
    """Return a column for each data set."""
    return side_by_side(results, DATA, lambda run: f"{run.facts[DATA]}")


def claim(results: Results) -> None:
    """The exact Hessian needs the fewest iterations, a lazy one up to three times as many; which others arrive."""
    for data in values(results, DATA):
        found = iterations(results, 1e-8, **{DATA: data})
        assert found[EXACT] <= min(count for label, count in found.items() if label != EXACT), f"{data}: {found}"
        assert found[LAZY] <= 3 * found[EXACT], f"{data}: {found}"
        if not results.quick:
            arrived, golden = {label: count for label, count in found.items() if count < np.inf}, GOLDEN[str(data)]
            assert near(arrived, golden), f"{data}: {arrived}, not {golden}"
            assert arrived[EXACT] == golden[EXACT], f"{data}: {arrived}"
            exact, lazy = (results.run(label, **{DATA: data}).facts["nhev"] for label in (EXACT, LAZY))
            assert data not in FACTORISED or lazy <= 0.6 * exact, f"{data}: {lazy} Hessians, and {exact}"
