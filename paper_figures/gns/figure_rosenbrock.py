"""Rosenbrock's function of two variables: the residual against iterations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from gnsopt.plotting import convergence
from paper_figures.gns.common import counts

EXACT, GRADIENT = "GNS, exact Hessian", "gradient method"


def draw(results: Results) -> Figure:
    """Return two panels; the minimum, reached exactly, is drawn at the rounding of 1."""
    return convergence({run.label: run for run in results.runs}, 0.0, against=("nit", "njev"))


def claim(results: Results) -> None:
    """The authors' counts, exactly, in quick runs too: the problem has two variables."""
    exact, gradient = results[EXACT], results[GRADIENT]
    assert exact.reached(1e-2) == 40, f"1e-2 after {exact.reached(1e-2)} iterations"
    assert counts(exact, 1e-8) == (51, 105), f"1e-8 after {counts(exact, 1e-8)} iterations and systems"
    assert exact.reached(0.0) <= 60, f"the minimum after {exact.reached(0.0)} iterations"
    assert np.isclose(gradient["fun"][5000], 1.3243359903998155e-06, rtol=1e-6), gradient["fun"][5000]
