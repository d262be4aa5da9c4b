"""Rosenbrock's two equations: iterations and linear systems to 1e-8 against the power p."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import counts, labels, values
from paper_figures.gns.figure_rosenbrock_equations import EXACT, GRADIENT, INEXACT, SUPER

P = "problem.p"
GOLDEN = {  # p: iterations and systems of the authors' code
    2.0: {EXACT: (51, 105), INEXACT: (49, 100), SUPER: (74, 151), GRADIENT: (6852, 0)},
    3.0: {EXACT: (53, 109), INEXACT: (50, 103), SUPER: (67, 136), GRADIENT: (4331, 0)},
    4.0: {EXACT: (55, 113), INEXACT: (55, 113), SUPER: (69, 140), GRADIENT: (2892, 0)},
    5.0: {EXACT: (56, 114), INEXACT: (57, 116), SUPER: (100, 201), GRADIENT: (2132, 0)},
    # their gradient method diverges for the two largest p: these two counts are ours
    6.0: {EXACT: (58, 118), INEXACT: (57, 116), SUPER: (72, 145), GRADIENT: (1584, 0)},
    8.0: {EXACT: (59, 119), INEXACT: (58, 117), SUPER: (75, 151), GRADIENT: (1141, 0)},
}


def found(results: Results) -> dict[float, dict[str, tuple[float, int]]]:
    """Return iterations and systems to 1e-8 by power and label."""
    return {p: {run.label: counts(run, 1e-8) for run in results.select(**{P: p})} for p in values(results, P)}


def draw(results: Results) -> Figure:
    """Return two panels."""
    table = found(results)
    figure, (left, right) = panels(2)
    for number, label in enumerate(labels(results)):
        pairs = np.array([table[p][label] for p in table], dtype=float)
        curve(left, list(table), pairs[:, 0], number, label, markevery=1)
        if label != GRADIENT:
            curve(right, list(table), pairs[:, 1], number, label, markevery=1)
    left.set(yscale="log", xlabel="power $p$", ylabel="iterations to $f \\leq 10^{-8}$")
    right.set(xlabel="power $p$", ylabel="linear systems to $f \\leq 10^{-8}$", ylim=(0, None))
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """The authors' counts, exactly, for every p; the gradient method converges where theirs diverges."""
    table = found(results)
    for p, golden in GOLDEN.items():
        assert table[p] == golden, f"p = {p}: {table[p]}"
