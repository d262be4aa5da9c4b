"""Log-sum-exp: the residual against iterations, gradients and seconds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence

EXACT, INEXACT = "GNS, exact Hessian", "GNS, weighted Gauss-Newton"
SUPER, GRADIENT, FAST = "super-universal Newton, α = 1", "gradient method, B = AA'", "fast gradient method, B = AA'"
PLAIN = "gradient method, B = I"
# iterations and linear systems of the authors' code to f - f* <= 1e-8
GOLDEN = {EXACT: (35, 64), INEXACT: (94, 182), SUPER: (56, 111), GRADIENT: (152, 0), FAST: (105, 0)}
RATIO = {f"{EXACT}, ratio rule": (35, 62), f"{INEXACT}, ratio rule": (96, 116)}  # ours


def draw(results: Results) -> Figure:
    """Return three panels."""
    traces = {run.label: run for run in results.runs}
    return convergence(traces, results.runs[0].facts["f_star"], against=("nit", "njev", "time"), panel_size=(3.2, 3.0))


def claim(results: Results) -> None:
    """An approximate Hessian costs a factor in iterations, not the rate; in full size the authors' counts, exactly."""
    gap, f_star = results[EXACT].facts["stop.gap"], results[EXACT].facts["f_star"]
    iterations = {run.label: run.reached(gap) for run in results.runs}
    assert iterations[PLAIN] == np.inf, f"the gradient method with B = I reached {gap:g}"
    assert iterations[EXACT] <= iterations[INEXACT] < min(iterations[GRADIENT], iterations[FAST]), f"{iterations}"
    last = {run.label: (run["fun"][-1] - f_star) / (run["fun"][-2] - f_star) for run in results.runs}
    assert max(last[EXACT], last[INEXACT]) < 1e-2 < 0.1 < min(last[GRADIENT], last[FAST]), f"last contractions {last}"
    for label in (EXACT, INEXACT):  # the ratio rule takes about the same steps with fewer systems
        assert results[f"{label}, ratio rule"]["nsolve"][-1] <= results[label]["nsolve"][-1], label
    if not results.quick:
        counts = {label: (iterations[label], int(results[label]["nsolve"][-1])) for label in GOLDEN | RATIO}
        assert counts == GOLDEN | RATIO, f"{counts}, not the {GOLDEN} of the authors' code and our {RATIO}"
