"""Tokens to experts: how many each expert gets, against what the nearest one would, and what a token pays."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from experiments.results import Results, Run
from gnsopt._typing import Array
from gnsopt.plotting import COLORS
from paper_figures.drawing import legend, panels
from paper_figures.sparsity_constrained_ot.common import by_places, check_plans, places, title


def tokens(run: Run) -> Array:
    """Return the number of tokens of each expert."""
    return np.asarray((run["plan"] > 0).sum(axis=0))


def nearest(run: Run) -> Array:
    """Return how many tokens each expert would get if every token chose for itself."""
    return np.bincount(run["C"].argmin(axis=1), minlength=run["C"].shape[1])


def draw(results: Results) -> Figure:
    """Return tokens of each expert, and cost against capacity."""
    runs = by_places(results)
    figure, (left, right) = panels(2)
    order = np.argsort(-nearest(runs[0]))
    experts, width = np.arange(order.size), 0.8 / (len(runs) + 1)
    bars = [("every token its nearest", nearest(runs[0])), *((title(run), tokens(run)) for run in runs)]
    for number, (label, counts) in enumerate(bars):
        colour = "0.6" if number == 0 else COLORS[number - 1]
        left.bar(experts + (number - len(runs) / 2) * width, counts[order], width, color=colour, label=label)
    for number, run in enumerate(runs[:-1]):
        left.axhline(places(run), color=COLORS[number], linewidth=0.9, linestyle=":")
    left.set(xlabel="expert, by popularity", ylabel="tokens", xticks=experts, xticklabels=experts + 1)
    left.grid(visible=False, axis="x")
    k = np.array([places(run) for run in runs])
    balanced = np.repeat(runs[0]["C"], len(runs[0]["a"]) // order.size, axis=1)  # an expert for each of its tokens
    best = float(balanced[linear_sum_assignment(balanced)].mean())
    costs = np.array([float(run["cost"]) for run in runs])
    right.plot(k, costs, "o-", color=COLORS[0], label="cost of the plan, $\\langle C, T \\rangle$")
    right.axhline(best, color=COLORS[1], linestyle="--", label="least cost of equal masses (linear program)")
    right.set(xscale="log", xlabel="capacity $k$", ylabel="cost of a token")
    right.set_xticks(k, [str(value) for value in k])
    right.minorticks_off()
    right.legend(loc="lower right", bbox_to_anchor=(1.0, 0.12))
    legend(figure, left, columns=5)
    return figure


def claim(results: Results) -> None:
    """No expert has more than k tokens, all the same mass, no token is left; nearest experts would overflow."""
    check_plans(results)
    runs = by_places(results)
    n, m = runs[0]["C"].shape
    assert nearest(runs[0]).max() > places(runs[1]), "the most popular expert overflows"
    assert places(runs[0]) == n // m
    assert (tokens(runs[0]) == n // m).all(), "capacity one: every token has one expert"
    assert ((runs[0]["plan"] > 0).sum(axis=1) == 1).all()
    balanced = np.repeat(runs[0]["C"], n // m, axis=1)
    assert np.isclose(runs[0]["cost"], balanced[linear_sum_assignment(balanced)].mean(), rtol=1e-9), "and the best one"
    costs = [float(run["cost"]) for run in runs]
    assert np.all(np.diff(costs) > 0), f"costs by rising k: {costs}"
