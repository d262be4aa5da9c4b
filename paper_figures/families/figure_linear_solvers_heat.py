"""SSOR-preconditioned CG over the steps of a heat equation: omega fixed, learnt, or from Young's formula."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.families.sequences import Sequences

SETTING = "problem.k"


def draw(results: Results) -> Figure:
    """Return a panel for each kind of sequence: mean iterations of the systems so far."""
    return Sequences(results, SETTING).draw("{0} x {0} grid")


def claim(results: Results) -> None:
    """Chosen by the shift, omega costs less than any fixed one; the bandits come between."""
    found = Sequences(results, SETTING)
    assert all(run.facts["success"] for run in results.runs)
    if results.quick:
        return
    for kind in found.kinds:
        best = found.cost(kind, "best fixed")
        assert found.cost(kind, "closed form") < 0.92 * best
        assert found.cost(kind, "closed form") < found.cost(kind, "explore") < best
        for label in ("tsallis", "binned tsallis", "chebyshev"):
            assert best < found.cost(kind, label) < found.cost(kind, "omega = 1"), f"{kind}: {label}"
