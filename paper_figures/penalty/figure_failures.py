"""The penalty function and its derivative along theta, at kinks and at a jump of f."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve, legend

TOYS = {
    "Interval": "$\\min_{x \\in [0, 1]} (x - \\theta)^2/2$,  $g = (x - 2)^2/2$",
    "Jump": "$\\min_{x \\in [-1, 1]} \\theta x$,  $g = \\theta^2 + x^2$",
}


def of(results: Results, toy: str) -> list[Run]:
    """Return the runs of a toy by falling sigma."""
    return results.select(**{"problem.toy": toy})


def exactly(run: Run, column: str) -> Array:
    """Return f or its derivative, with a hole where it jumps, so that no line is drawn across."""
    values = run[column].copy()
    jumps = {("Interval", "slope"): (0.0, 1.0), ("Jump", "fun"): (0.0,)}
    for place in jumps.get((run.facts["problem.toy"], column), ()):
        values[np.abs(run["theta"] - place) < 1e-9] = np.nan
    return values


def draw(results: Results) -> Figure:
    """Return a row of panels for each toy: the values, and the derivatives."""
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, squeeze=False)
    for row, (toy, title) in zip(axes, TOYS.items(), strict=True):
        for panel, psi, exact in zip(row, ("psi", "psi_slope"), ("fun", "slope"), strict=True):
            for number, run in enumerate(of(results, toy)):
                curve(panel, run["theta"], run[psi], number, run.label, markevery=(5 * number, 40))
            run = of(results, toy)[0]
            panel.plot(run["theta"], exactly(run, exact), color="black", linewidth=1.0, label="exact", zorder=1)
            panel.set_xlabel("$\\theta$")
        row[0].set_ylabel("$f$ and $\\psi_\\sigma$")
        row[1].set_ylabel("derivatives")
        row[0].set_title(title)
    axes[1, 0].plot([0], [0], "o", color="black", markersize=5, zorder=4)
    axes[1, 0].plot([0], [1], "o", color="black", markerfacecolor="white", markersize=5, zorder=4)
    legend(figure, axes[0, 0])
    return figure


def claim(results: Results) -> None:
    """Psi is below f; the derivative is far off only within 2 sigma of a kink; next to a jump it is about 1/sigma."""
    for toy in TOYS:
        for run in of(results, toy):
            assert np.all(run["psi"] <= run["fun"] + 1e-9), f"{toy}, {run.label}"
    for run in of(results, "Interval"):
        sigma, theta = run.facts["solver.sigma"], run["theta"]
        wrong = np.abs(run["psi_slope"] - run["slope"]) > 2.1 * sigma
        inside = (theta > -2.1 * sigma) & (theta < 0.02) | (theta > 0.98 - 1.1 * sigma) & (theta < 1.02)
        assert not np.any(wrong & ~inside), run.label
        assert np.any(wrong)
    for run in of(results, "Jump"):
        sigma, theta = run.facts["solver.sigma"], run["theta"]
        near = np.abs(theta) < 2 * sigma
        assert 0.9 / sigma <= np.abs(run["psi_slope"]).max() <= 1 / sigma, run.label
        gone = ~near & (theta != 0)
        assert np.allclose(run["psi"][gone], run["fun"][gone], atol=1e-9), "beyond 2 sigma psi is f"
        assert np.allclose(run["psi"][near], profile(theta[near], sigma), atol=1e-8), "the closed form"


def profile(theta: Array, sigma: float) -> Array:
    """Return psi of the jump for ``|theta| <= 2 sigma``."""
    return theta**2 + np.abs(theta) / sigma - theta**2 / (4 * sigma**2)
