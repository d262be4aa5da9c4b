"""Power of the norm of a linear residual: the residual against seconds."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence
from paper_figures.gns.figure_residual_power_iterations import EXACT, FISHER, METRIC


def draw(results: Results) -> Figure:
    """Return one panel."""
    return convergence({run.label: run for run in results.runs}, 0.0, against=("time",), panel_size=(7.5, 3.6))


def claim(results: Results) -> None:
    """The Fisher term asks for no matrix; in full size it is much faster than the exact Hessian."""
    for label in (EXACT, FISHER):
        run = results[label]
        matrices = run.facts["nit"] if label == EXACT else 0
        assert run.facts["success"], f"{label} does not converge"
        assert run.facts["nhev"] == matrices, f"{label}: {run.facts['nhev']} matrices, not {matrices}"
    seconds = {run.label: run.facts["seconds_min"] for run in results.runs}
    if not results.quick:  # small sizes measure the interpreter
        assert 5 * seconds[FISHER] < seconds[EXACT], f"{seconds}"
        assert seconds[METRIC] < seconds[FISHER] < 3 * seconds[METRIC], f"{seconds}"
