"""Products of Newton-CG with Nystrom and recycled preconditioners, relative to plain CG, against the condition."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels
from paper_figures.newton_sketch.common import by_problem, of

LABELS = (
    "fresh, rank 10",
    "fresh, rank 40",
    "reused, rank 10",
    "reused, rank 40",
    "adaptive from 10",
    "adaptive from 20",
    "20 recycled Ritz vectors",
)


def condition(runs: list[Run]) -> float:
    """Return the condition of the Hessian at the solution."""
    return float(np.median([float(run["condition"]) for run in of(runs, "CG")]))


def gain(runs: list[Run], label: str) -> float:
    """Return by how much a preconditioner divides the products of CG, its own ones included."""
    pairs = zip(of(runs, "CG"), of(runs, label), strict=True)
    return float(np.median([plain.facts["nhessp"] / other.facts["nhessp"] for plain, other in pairs]))


def draw(results: Results) -> Figure:
    """Return one panel."""
    figure, (panel,) = panels(1)
    figure.set_figwidth(7.0)
    problems = list(by_problem(results).values())
    x = np.array([condition(runs) for runs in problems])
    for number, label in enumerate(LABELS):
        curve(panel, x, np.array([gain(runs, label) for runs in problems]), number, label, markevery=1)
    panel.axhline(1.0, color="0.6", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlabel="condition of the Hessian", ylabel="products of CG / products")
    panel.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    panel.minorticks_off()
    legend(figure, panel)
    return figure


def claim(results: Results) -> None:
    """The gains of the reused and the adaptive approximation, and where fresh columns lose."""
    assert all(run.facts["success"] for run in results.runs)
    if results.quick:
        return
    hardest, hard, middle, easy = by_problem(results).values()
    assert 1e7 < condition(hardest) < 1e8
    assert 1e5 < condition(hard) < 5e5
    assert gain(hardest, "reused, rank 40") >= 7
    assert gain(hard, "reused, rank 40") >= 2.5
    assert gain(middle, "reused, rank 40") >= 2
    assert gain(hardest, "adaptive from 20") >= 3.5
    assert gain(hard, "adaptive from 10") >= 2
    assert gain(easy, "adaptive from 20") >= 1
    assert gain(hardest, "20 recycled Ritz vectors") >= 2.7
    for runs in (middle, easy):
        assert gain(runs, "fresh, rank 40") < 1
