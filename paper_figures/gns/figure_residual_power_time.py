"""Power of the norm of a linear residual: the residual against seconds."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence
from paper_figures.gns.figure_residual_power_iterations import EXACT, FISHER, METRIC


def draw(results: Results) -> Figure:
    """Return one panel."""
    figure = convergence({run.label: run for run in results.runs}, 0.0, against=("time",), panel_size=(7.5, 3.6))
    (panel,) = figure.axes
    panel.set_xscale("log")
    return figure


def claim(results: Results) -> None:
    """The Fisher term is much faster than the exact Hessian, and of the speed of gradients in the same metric."""
    seconds = {run.label: run.facts["seconds_min"] for run in results.runs}
    if not results.quick:  # small sizes measure the interpreter
        assert 5 * seconds[FISHER] < seconds[EXACT], f"{seconds}"
        assert seconds[FISHER] < 3 * seconds[METRIC], f"{seconds}"
