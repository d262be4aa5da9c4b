"""Two-layer ReLU training from many starts: the gap to the certified minimum."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import COLORS, STYLES
from paper_figures.drawing import legend, panels
from paper_figures.families.common import labels, residual

FLOOR = 1e-6


def final(results: Results, label: str) -> list[float]:
    """Return the lowest gap of each start, relative to the minimum."""
    return [float(residual(run).min() / run.facts["f_star"]) for run in results.runs if run.label == label]


def draw(results: Results) -> Figure:
    """Return the gaps against gradients, and those at the end, sorted."""
    figure, (left, right) = panels(2)
    for number, label in enumerate(labels(results)):
        looks = {"color": COLORS[number], "linestyle": STYLES[number]}
        for k, run in enumerate(run for run in results.runs if run.label == label):
            gap = np.minimum.accumulate(residual(run) / run.facts["f_star"])
            name = {"label": label} if k == 0 else {}
            left.loglog(run["njev"], np.maximum(gap, FLOOR), linewidth=0.8, **looks, **name)
        gaps = np.sort(final(results, label))
        right.semilogy(np.arange(1, len(gaps) + 1), np.maximum(gaps, FLOOR), marker="o", markersize=3, **looks)
    left.set(xlabel="gradients", ylabel="$(f - f^*)/f^*$, $f^*$ certified")
    right.set(xlabel="starts, sorted", ylabel="at the end")
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """Nothing below the certificate; descent stalls at kinks, far above; Adam with a fixed step comes near."""
    every = [gap for label in labels(results) for gap in final(results, label)]
    assert min(every) > -1e-9
    assert max(every) > 1e-3
    if not results.quick:
        assert np.median(final(results, "gradient-normalised smoothness")) > 0.1
        assert np.median(final(results, "Levenberg-Marquardt")) > 0.1
        adam = final(results, "Adam, lr = 0.01")
        assert min(adam) < 1e-3
        assert max(adam) > 1e-2  # a local minimum
