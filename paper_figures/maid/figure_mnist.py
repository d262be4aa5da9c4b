"""1440 penalties of a softmax regression: MAID, HOAG's schedules and the quasi-Newton method."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.maid.common import WORK, best, reached

QN, NEWTON = "maid-qn", "HOAG, geometric, Newton"
AHEAD = 400.0  # work from which maid-qn is below HOAG on Newton's method
SCHEDULES = ("HOAG, geometric", "HOAG, quadratic", "HOAG, cubic")


def draw(results: Results) -> Figure:
    """Return a panel of validation losses and one of lower accuracies, both against work."""
    figure, (left, right) = panels(2)
    for number, run in enumerate(results.runs):
        work = np.maximum(run["work"], 1)
        settings = {"markevery": 1, "markersize": 7} if len(work) == 1 else {}  # a run without a step is a point
        curve(left, work, best(run), number, run.label, **settings)
        curve(right, work, run["eps"], number, run.label, **settings)
    left.set(xscale="log", yscale="log", xlabel=WORK, ylabel="validation loss, the best so far")
    right.set(xscale="log", yscale="log", xlabel=WORK, ylabel="bound or estimate of $\\|x_k - x^*(\\theta_k)\\|$")
    for panel in (left, right):
        panel.xaxis.label.set_size(7)
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """Accuracy falls along MAID; maid-qn is below HOAG, on Newton's method from a fifteenth of the work on."""
    budget = results.runs[0].facts["solver.maxwork"]
    qn = results[QN]
    for name in SCHEDULES:
        assert reached(qn, budget) < reached(results[name], budget), name
    maid = results["MAID"]
    assert np.all(np.diff(maid["fun"]) < 1e-12), "certified steps do not rise"
    if not results.quick:  # there maid-qn has made three steps when the work is done
        for work in np.geomspace(AHEAD, budget, 20):
            assert reached(qn, work) < reached(results[NEWTON], work), work
        assert maid["eps_asked"][-1] < maid["eps_asked"][0]


def markdown(results: Results) -> str:
    """Return the losses at the end, with those of the test set: validation loss is not generalisation."""
    lines = ["| method | validation loss | test loss | right on the test set |", "| --- | --- | --- | --- |"]
    for run in results.runs:
        losses = f"{float(best(run)[-1]):.4f} | {float(run['test_loss']):.4f}"
        lines.append(f"| {run.label} | {losses} | {float(run['test_accuracy']):.3f} |")
    return "\n".join(lines) + "\n"
