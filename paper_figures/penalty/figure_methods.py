"""Distance to the minimiser of f against work, methods that need no Hessian."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels


def draw(results: Results) -> Figure:
    """Return the distance against work."""
    figure, axes = panels(1)
    figure.set_size_inches(7.5, 5.2)
    for number, run in enumerate(results.runs):
        curve(axes[0], run["njev"], run["distance"], number, run.label)
    axes[0].set(
        xscale="log",
        yscale="log",
        xlabel="work (gradients of either level, products with $J^\\top$)",
        ylabel="$|\\theta - \\theta^*|$",
    )
    legend(figure, axes[0], columns=2)
    return figure


def last(results: Results, label: str) -> float:
    """Return the distance at the end of a run."""
    return float(results[label]["distance"][-1])


def claim(results: Results) -> None:
    """The floors are proportional to sigma = 1/lambda and to xi; the adaptive loop is below them with less work."""
    adaptive, central = results["penalty, adaptive"], results["penalty, adaptive, central"]
    assert adaptive["distance"][-1] < 2e-3
    assert central["distance"][-1] < 3e-5, "second order in sigma"
    fixed = [run for run in results.runs if "adaptive" not in run.label]
    for run in fixed:
        assert run["distance"].min() > 3 * adaptive["distance"][-1], run.label
    few, many = last(results, "F2BA, $\\lambda$ = 10"), last(results, "F2BA, $\\lambda$ = 100")
    assert 6 <= few / many <= 12, f"{few} and {many}"
    if not results.quick:
        single, double = (last(results, f"penalty, {loop} loop, $\\sigma$ = 0.05") for loop in ("single", "double"))
        assert np.isclose(single, double, rtol=0.05), "both end at the minimiser of the same psi"
        assert np.isclose(single, last(results, "ScaleBiO, $\\alpha$ = 20"), rtol=0.05), "alpha is 1/sigma"
        large, small = (results[f"BOME, $\\xi$ = {xi}"]["infeasibility"][-1] for xi in (0.008, 0.004))
        assert 1.6 <= large / small <= 2.2, f"{large} and {small}"
        near = {run.label: run for run in results.runs if run["distance"].min() <= 0.012}
        reached = {label: run["njev"][np.argmax(run["distance"] <= 0.012)] for label, run in near.items()}
        assert min(reached, key=lambda label: reached[label]).startswith("penalty, adaptive"), f"{reached}"
        assert "F2BA, $\\lambda$ = 100" in reached
