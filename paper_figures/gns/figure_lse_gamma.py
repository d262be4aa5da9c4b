"""Log-sum-exp: the radius gamma_k of each step against iterations, and against the residual where it was taken."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve, legend, panels

EXACT, INEXACT = "GNS, exact Hessian", "GNS, weighted Gauss-Newton"
SUPER_0 = "super-universal Newton, α = 0"
# The first radii of the authors' code before the search of each step: twice the radius accepted in the step before it.
STARTS = {
    EXACT: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 256, 512, 256, *[128] * 4, *[64] * 8],
    INEXACT: [1, 2, 4, *[8] * 5, *[16] * 9, *[32] * 8],
}


def radius(run: Run) -> Array:
    """Return gamma = |g|_*/lam of the accepted steps: lam = H |g|^alpha (super-universal), L (gradient method)."""
    method = run.facts["solver.method"]
    if method == "gns":
        return run["gamma"][1:]
    power, constant = (run.facts["solver.alpha"], "H") if method == "super-newton" else (0.0, "L")
    return run["gnorm"][:-1] ** (1 - power) / run[constant][1:]


def residual(run: Run) -> Array:
    """Return f - f* where each step starts."""
    return run["fun"][:-1] - run.facts["f_star"]


def draw(results: Results) -> Figure:
    """Return two panels."""
    figure, (left, right) = panels(2, sharey=True)
    figure.set_size_inches(6.8, 3.6)
    for number, run in enumerate(results.runs):
        gamma = radius(run)
        look = {
            "linewidth": 0.8 if gamma.size > 100 else 1.6,  # the long ones are jagged
            "markevery": [int(k) - 1 for k in np.unique(np.geomspace(1, gamma.size, 9).round())],
        }
        curve(left, np.arange(1, gamma.size + 1), gamma, number, run.label, **look)
        curve(right, residual(run), gamma, number, run.label, **look)
    left.set(xscale="log", yscale="log", xlabel="step $k$", ylabel=r"radius $\gamma_k = \|g_k\|_*/\lambda_k$")
    right.set(xscale="log", xlabel="residual $f - f^*$ where the step starts")
    right.invert_xaxis()
    legend(figure, left)
    return figure


def advantage(results: Results, label: str) -> Array:
    """Return gamma of GNS with the exact Hessian over that of another method, at the same residual."""
    ours, other = results[EXACT], results[label]
    steps = np.array([np.flatnonzero(residual(ours) >= level * (1 - 1e-12))[-1] for level in residual(other)])
    return radius(ours)[steps] / radius(other)


def claim(results: Results) -> None:
    """At the same residual GNS takes the longest steps; in full size its radii are those of the authors' code."""
    ratios = {run.label: advantage(results, run.label) for run in results.runs if run.label not in STARTS}
    medians = {label: float(np.median(ratio)) for label, ratio in ratios.items()}
    assert min(medians.values()) >= (1 if results.quick else 2), f"{medians}"
    if not results.quick:
        for label, ratio in ratios.items():  # after three steps, in which the others' radii grow fourfold, ours twofold
            assert ratio[3:].min() >= (0.6 if label == SUPER_0 else 1), f"{label}: {ratio.min()}"
        for label, starts in STARTS.items():
            assert results[label]["gamma_start"][1:26].tolist() == starts, label
            assert (2 * radius(results[label])[:24]).tolist() == starts[1:], label
