"""Rosenbrock's two equations, p = 5: the residual against iterations."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence
from paper_figures.gns.common import counts

EXACT, INEXACT = "GNS, exact Hessian", "GNS, inexact Hessian"
SUPER, GRADIENT = "super-universal Newton, α = 1", "gradient method"
GOLDEN = {EXACT: (56, 114), INEXACT: (57, 116), SUPER: (100, 201), GRADIENT: (2132, 0)}


def draw(results: Results) -> Figure:
    """Return two panels."""
    return convergence({run.label: run for run in results.runs}, 0.0, against=("nit", "njev"))


def claim(results: Results) -> None:
    """The authors' counts to 1e-8, exactly, in quick runs too: the problem has two variables."""
    found = {run.label: counts(run, 1e-8) for run in results.runs}
    assert found == GOLDEN, f"{found}, not the {GOLDEN} of the authors' code"
