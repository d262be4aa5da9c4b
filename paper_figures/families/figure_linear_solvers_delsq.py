"""SOR over a sequence of shifted Laplacians: omega fixed, learnt, or from Young's formula."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.families.sequences import Sequences

SETTING = "problem.spread"


def draw(results: Results) -> Figure:
    """Return a panel for each kind of sequence: mean iterations of the systems so far."""
    return Sequences(results, SETTING).draw("{} variance of the shift")


def claim(results: Results) -> None:
    """The order of the costs; that of a fixed omega falls to 1.6 or 1.7 and rises again."""
    found = Sequences(results, SETTING)
    assert all(run.facts["success"] for run in results.runs)
    for kind in found.kinds:
        known = found.cost(kind, "closed form")
        assert known < found.cost(kind, "best fixed")
        if results.quick:
            continue
        best = found.cost(kind, "best fixed")
        assert known < 0.7 * best
        explored = found.cost(kind, "explore")
        assert known < 0.75 * explored < 0.75 * best
        assert all(explored < found.cost(kind, label) for label in ("tsallis", "binned tsallis", "chebyshev"))
        assert found.cost(kind, "tsallis") < 1.3 * best
    if not results.quick:
        assert found.cost("low", "tsallis") < 1.2 * found.cost("low", "best fixed")
        assert found.cost("high", "binned tsallis") < 1.1 * found.cost("high", "best fixed")
        assert found.cost("low", "omega = 1.6") < found.cost("low", "omega = 1.4") < found.cost("low", "omega = 1")
        assert found.runs("low", "best fixed")[0].label in ("omega = 1.6", "omega = 1.7")
        assert found.runs("high", "best fixed")[0].label == "omega = 1.8"
