"""Chebyshev chains of up to 100 000 variables: seconds, iterations and linear systems to 1e-8."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import labels, values

N, PAPER, RATIO = "problem.n", "paper's growth rule", "ratio rule"
# iterations and systems to 1e-8 for n = 200, 1000, 5000, 20 000, 100 000
GOLDEN = {
    PAPER: [(22, 44), (26, 52), (29, 57), (33, 65), (37, 73)],
    RATIO: [(23, 29), (26, 33), (29, 37), (33, 42), (37, 47)],
}


def column(results: Results, label: str, fact: str) -> list[float]:
    """Return a fact of the runs of one label, by size."""
    return [results.run(label, **{N: n}).facts[fact] for n in values(results, N)]


def draw(results: Results) -> Figure:
    """Return three panels."""
    figure, axes = panels(3)
    n = np.array(values(results, N), dtype=float)
    names = ("seconds", "iterations", "linear systems")
    for panel, fact, name in zip(axes, ("seconds_min", "nit", "nsolve"), names, strict=True):
        for number, label in enumerate(labels(results)):
            curve(panel, n, column(results, label, fact), number, label, markevery=1)
        panel.set(xscale="log", xlabel="variables $n$", ylabel=f"{name} to $f \\leq 10^{{-8}}$", ylim=(0, None))
        panel.xaxis.set_minor_formatter(NullFormatter())
    last, top = column(results, RATIO, "seconds_min")[-1], max(column(results, PAPER, "seconds_min"))
    axes[0].plot(n, last * n / n[-1], color="0.6", linewidth=1, linestyle=":", label="proportional to n")
    axes[0].set(yscale="log", ylim=(last * n[0] / n[-1] / 2, 2 * top))
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Iterations less than double and the ratio rule takes no more systems; in full size, counts and seconds."""
    for label in (PAPER, RATIO):
        iterations = column(results, label, "nit")
        assert all(column(results, label, "success")), f"{label} does not converge"
        assert iterations[-1] < 2 * iterations[0], f"{label}: {iterations}"
    more = np.array(column(results, PAPER, "nsolve")), np.array(column(results, RATIO, "nsolve"))
    assert (more[1] <= more[0]).all(), f"{more}"
    if not results.quick:
        for label, golden in GOLDEN.items():
            found = list(zip(column(results, label, "nit"), column(results, label, "nsolve"), strict=True))
            assert found == golden, f"{label}: {found}, not {golden}"
        seconds = dict(zip(values(results, N), column(results, PAPER, "seconds_min"), strict=True))
        assert seconds[1000] < 0.01, f"{seconds}"
        assert seconds[100_000] < 2, f"{seconds}"
