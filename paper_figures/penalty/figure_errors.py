"""Errors of the penalty function's value and gradient against sigma."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.penalty.common import NOISE, order

COLUMNS = {"value_error": "error of the value", "gradient_error": "error of the gradient"}
ORDERS = {
    "strongly convex": 1.0,
    "strongly convex, central": 2.0,
    "solutions not unique": 1.0,
    "constrained": 1.0,
    "no error bound": 1 / 3,
}


def draw(results: Results) -> Figure:
    """Return a panel for the values and one for the gradients; the slope is written at the end of each curve."""
    figure, axes = panels(2)
    for panel, (column, text) in zip(axes, COLUMNS.items(), strict=True):
        for number, run in enumerate(results.runs):
            shown = run[column] > NOISE
            sigma, error = run["sigma"][shown], run[column][shown]
            curve(panel, sigma, error, number, run.label, markevery=3)
            panel.annotate(
                f"{order(run, column):.2f}",
                (sigma[-1], error[-1]),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        panel.set(xscale="log", yscale="log", xlabel="$\\sigma$", ylabel=text)
        panel.set_xlim(left=panel.get_xlim()[0] / 4)
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Order 1; 2 for the central difference; 1/3 where the error bound fails; psi never exceeds f."""
    tolerance = 0.08 if results.quick else 0.03
    for run in results.runs:
        for column in COLUMNS:
            found = order(run, column)
            assert abs(found - ORDERS[run.label]) <= tolerance, f"{run.label}, {column}: order {found}"
        if "central" not in run.label:
            assert np.all(run["psi"] <= run["fun"] + NOISE), run.label
    bias = results["no error bound"]
    expected = 0.75 * np.cbrt(bias["sigma"])
    assert np.allclose(bias["value_error"][-2:], expected[-2:], rtol=0.01)
