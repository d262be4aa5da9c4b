"""Power of the norm of a linear residual: the residual against iterations and linear systems."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence
from paper_figures.gns.common import counts

EXACT, FISHER = "GNS, exact Hessian", "GNS, Fisher term"
METRIC, PLAIN = "gradient method, B = A'A", "gradient method, B = I"
# iterations and linear systems of the authors' code to f <= 1e-8
GOLDEN = {EXACT: (27, 55), FISHER: (18, 34), METRIC: (25, 0), PLAIN: (74, 0)}
F_START = 7926571.782022948


def draw(results: Results) -> Figure:
    """Return two panels."""
    return convergence({run.label: run for run in results.runs}, 0.0, against=("nit", "njev"))


def claim(results: Results) -> None:
    """The rank-one Fisher term needs fewer iterations than the exact Hessian; in full size the authors' counts."""
    found = {run.label: counts(run, 1e-8) for run in results.runs}
    assert found[FISHER][0] < found[EXACT][0], f"{found}"
    assert found[FISHER][0] < min(found[METRIC][0], found[PLAIN][0]), f"{found}"
    for label, least, most in ((EXACT, 0.19, 0.22), (FISHER, 0.0624, 0.07)):  # ((c-1)/c)^4 with c = 3, 2, from above
        tail = results[label]["fun"][-1] / results[label]["fun"][-2]
        assert least <= tail <= most, f"{label}: the last step divides f by {1 / tail}"
    if not results.quick:
        assert found == GOLDEN, f"{found}, not the {GOLDEN} of the authors' code"
        assert abs(results[EXACT]["fun"][0] / F_START - 1) < 1e-13
