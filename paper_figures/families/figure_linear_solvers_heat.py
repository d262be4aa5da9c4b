"""SSOR-preconditioned CG over the steps of a heat equation: omega fixed, learnt, or from Young's formula."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels
from paper_figures.families.figure_linear_solvers_delsq import LEARNT, NAMES

GRID = "problem.k"


def kinds(results: Results) -> list[int]:
    """Return the orders of the grids."""
    return list(dict.fromkeys(int(run.facts[GRID]) for run in results.runs))


def runs(results: Results, kind: int, label: str) -> list[Run]:
    """Return the run of a label; ``best fixed`` stands for the fixed omega of least cost."""
    found = results.select(**{GRID: kind})
    if label == "best fixed":
        return [min((run for run in found if run.label.startswith("omega")), key=lambda run: run.facts["nhessp"])]
    return [run for run in found if run.label == label]


def cost(results: Results, kind: int, label: str) -> int:
    """Return the number of iterations in all."""
    return int(runs(results, kind, label)[0].facts["nhessp"])


def shown(results: Results, kind: int) -> tuple[str, ...]:
    """Return the curves of a panel."""
    return ("omega = 1", "best fixed", *LEARNT)


def title(kind: int) -> str:
    """Return what a panel is called."""
    return f"{kind} x {kind} grid"


def draw(results: Results) -> Figure:
    """Return a panel for each kind of sequence: mean iterations of the systems so far."""
    found = kinds(results)
    figure, axes = panels(len(found) if len(found) > 1 else 2)
    for panel, kind in zip(axes, found, strict=False):
        for number, label in enumerate(shown(results, kind)):
            run = runs(results, kind, label)[0]
            systems = run["nsolve"][1:]
            curve(panel, systems, run["nhessp"][1:] / systems, number, NAMES.get(label, label))
        panel.set(xscale="log", xlabel="systems", title=title(kind))
    axes[0].set_ylabel("iterations per system so far")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Chosen by the shift, omega costs less than any fixed one; the bandits come between."""
    assert all(run.facts["success"] for run in results.runs)
    if results.quick:
        return
    for kind in kinds(results):
        best = cost(results, kind, "best fixed")
        assert cost(results, kind, "closed form") < 0.92 * best
        assert cost(results, kind, "closed form") < cost(results, kind, "explore") < best
        for label in ("tsallis", "binned tsallis", "chebyshev"):
            assert best < cost(results, kind, label) < cost(results, kind, "omega = 1"), f"{kind}: {label}"
