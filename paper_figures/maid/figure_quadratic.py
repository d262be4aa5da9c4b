"""A quadratic problem with known solution: fixed accuracies, MAID from each of them, and the quasi-Newton method."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels
from paper_figures.maid.common import WORK, best

QN = "maid-qn, certified"
STARTS = (1e-1, 1e-3, 1e-5)


def gap(run: Run) -> np.ndarray:
    """Return ``(f - f*) / (f(theta_0) - f*)`` of the best point so far, not below rounding."""
    above = best(run) - run.facts["f_star"]
    return np.maximum(above / above[0], 1e-16)


def kinds(results: Results) -> tuple[list[Run], list[Run], Run]:
    """Return the runs of fixed accuracy, those of MAID from the same starts, and that of maid-qn."""
    fixed = [results[f"fixed $\\varepsilon$ = {eps:g}"] for eps in STARTS]
    return fixed, [results[f"MAID from {eps:g}"] for eps in STARTS], results[QN]


def draw(results: Results) -> Figure:
    """Return a panel of values against work and one of accuracies against outer steps."""
    figure, (left, right) = panels(2)
    for number, run in enumerate(results.runs):
        curve(left, np.maximum(run["work"], 1), gap(run), number, run.label)
        if run.label.startswith("MAID"):
            curve(right, np.maximum(run["nit"], 0.7), run["eps_asked"], number, run.label)
    left.set(xscale="log", yscale="log", xlabel=WORK, ylabel="$(f - f^*)\\,/\\,(f(\\theta_0) - f^*)$", ylim=(1e-12, 2))
    left.xaxis.label.set_size(7)
    right.set(xscale="log", yscale="log", xlabel="outer steps", ylabel="accuracy of the lower level $\\varepsilon_k$")
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """Loose accuracies stall after a few steps; MAID meets the same accuracy from all; maid-qn solves the problem."""
    fixed, adaptive, qn = kinds(results)
    for run in fixed[:2]:
        assert run.facts["status"] == "precision_limit", run.facts["status"]
        assert run.facts["nit"] <= 5, run.facts["nit"]
    firsts = [float(run["work"][np.flatnonzero(gap(run) <= 1e-2)[0]]) for run in fixed]
    assert firsts[0] < firsts[1] < firsts[2], f"a tight accuracy is slow at first: {firsts}"
    stalled = min(gap(run)[-1] for run in fixed[:2])
    ends = [float(np.median(run["eps_asked"][-max(5, len(run["fun"]) // 5) :])) for run in adaptive]
    for run in adaptive:
        assert gap(run)[-1] < (0.6 if not results.quick else 0.9) * stalled, f"{run.label}: {gap(run)[-1]}, {stalled}"
    assert max(ends) < (4 if results.quick else 2) * min(ends), f"{ends}"
    if not results.quick:
        assert max(gap(run)[-1] for run in adaptive) < min(gap(run)[-1] for run in fixed)
        assert gap(qn)[-1] < 1e-10
    assert gap(qn)[-1] < 0.1 * min(gap(run)[-1] for run in adaptive)
