"""Log-sum-exp, mu = 0.05: the residual and the regularisation constant of super-universal Newton, by alpha."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import counts, near, residual

ALPHA = "solver.alpha"
WINDOW = 15
GNS, INEXACT = "GNS, exact Hessian", "GNS, weighted Gauss-Newton"
# in full size: iterations to 1e-8, and powers of ten that H_k runs through, by alpha; linear systems of GNS
GOLDEN = {0: 531, 0.5: 566, 2 / 3: 519, 1: 495, GNS: 381}
SPREADS = {0: 8.4, 0.5: 4.2, 2 / 3: 3.0, 1: 1.8}
SYSTEMS = 759


def constant(run: Run) -> Array:
    """Return ``H_k = lam_k / |g_k|^alpha`` of each step; GNS has ``H = 1/gamma`` and alpha = 1."""
    return run["H"][1:] if ALPHA in run.facts else 1 / run["gamma"][1:]


def family(results: Results) -> dict[float, Run]:
    """Return the runs of super-universal Newton by alpha."""
    return {run.facts[ALPHA]: run for run in results.runs if ALPHA in run.facts}


def spread(run: Run) -> float:
    """Return how many powers of ten H_k runs through after its first ten steps, in which it falls from 1."""
    return float(np.ptp(np.log10(constant(run)[10:])))


def smooth(H: Array) -> Array:
    """Return geometric means over windows: the search moves H by a factor of four at each step."""
    padded = np.pad(np.log(H), WINDOW // 2, mode="edge")
    return np.asarray(np.exp(np.convolve(padded, np.full(WINDOW, 1 / WINDOW), mode="valid")))


def draw(results: Results) -> Figure:
    """Return two panels."""
    figure, (left, right) = panels(2)
    for number, run in enumerate(results.runs):
        curve(left, run["nit"], residual(run), number, run.label)
        H = smooth(constant(run))
        curve(right, np.arange(1, H.size + 1), H, number, run.label)
    left.set(yscale="log", xlabel="iterations", ylabel="$f - f^*$")
    right.set(yscale="log", xlabel="step $k$", ylabel=rf"$H_k = \lambda_k / \|g_k\|_*^\alpha$, mean of {WINDOW} steps")
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """Every alpha converges; H_k varies least for alpha = 1; GNS takes the fewest iterations."""
    runs, exact, inexact = family(results), results[GNS], results[INEXACT]
    assert sorted(runs) == [0, 0.5, 2 / 3, 1]
    iterations = {alpha: run.reached(1e-8) for alpha, run in runs.items()}
    assert max(iterations.values()) < np.inf, f"{iterations}"
    assert exact.reached(1e-8) < min(iterations.values()), f"{exact.reached(1e-8)}, {iterations}"
    assert inexact.reached(1e-8) > 2 * exact.reached(1e-8), "the approximation is not slower"
    spreads = {alpha: spread(run) for alpha, run in runs.items()}
    assert spreads[1] == min(spreads.values()), f"{spreads}"
    if not results.quick:
        assert max(iterations.values()) <= 1.2 * min(iterations.values()), f"{iterations}"
        found = iterations | {GNS: exact.reached(1e-8)}
        assert near(found, GOLDEN, 0.05), f"{found}, not {GOLDEN}"
        assert near({GNS: counts(exact, 1e-8)[1]}, {GNS: SYSTEMS}, 0.05), counts(exact, 1e-8)
        assert {alpha: round(powers, 1) for alpha, powers in spreads.items()} == SPREADS, f"{spreads}"
        assert inexact.reached(1e-8) == np.inf
        assert residual(inexact)[-1] > 1, residual(inexact)[-1]
