"""SOR over a sequence of shifted Laplacians: omega fixed, learnt, or from Young's formula."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels

LEARNT = ("tsallis", "binned tsallis", "chebyshev", "explore", "closed form")
NAMES = {
    "tsallis": "Tsallis-INF",
    "binned tsallis": "Tsallis-INF in 5 bins",
    "chebyshev": "Chebyshev bandit",
    "explore": "tries in 6 bins",
    "closed form": "closed form",
    "best fixed": "best fixed",
}
SPREAD = "problem.spread"


def kinds(results: Results) -> list[str]:
    """Return the spreads of the shifts."""
    return list(dict.fromkeys(str(run.facts[SPREAD]) for run in results.runs))


def runs(results: Results, kind: str, label: str) -> list[Run]:
    """Return the runs of a label, one for each trial; ``best fixed`` stands for the fixed omega of least cost."""
    if label == "best fixed":
        fixed = {run.label for run in results.select(**{SPREAD: kind}) if run.label.startswith("omega")}
        label = min(fixed, key=lambda name: cost(results, kind, name))
    return [run for run in results.select(**{SPREAD: kind}) if run.label == label]


def cost(results: Results, kind: str, label: str) -> float:
    """Return the mean number of iterations in all."""
    return float(np.mean([run.facts["nhessp"] for run in runs(results, kind, label)]))


def shown(results: Results, kind: str) -> tuple[str, ...]:
    """Return the curves of a panel."""
    return ("omega = 1", "best fixed", *LEARNT)


def title(kind: str) -> str:
    """Return what a panel is called."""
    return f"{kind} variance of the shift"


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
    """The order of the costs; that of a fixed omega falls to 1.6 or 1.7 and rises again."""
    assert all(run.facts["success"] for run in results.runs)
    for kind in kinds(results):
        known = cost(results, kind, "closed form")
        assert known < cost(results, kind, "best fixed")
        if results.quick:
            continue
        best = cost(results, kind, "best fixed")
        assert known < 0.7 * best
        explored = cost(results, kind, "explore")
        assert known < 0.75 * explored < 0.75 * best
        assert all(explored < cost(results, kind, label) for label in ("tsallis", "binned tsallis", "chebyshev"))
        assert cost(results, kind, "tsallis") < 1.3 * best
    if not results.quick:
        assert cost(results, "low", "tsallis") < 1.2 * cost(results, "low", "best fixed")
        assert cost(results, "high", "binned tsallis") < 1.1 * cost(results, "high", "best fixed")
        assert (
            cost(results, "low", "omega = 1.6")
            < cost(results, "low", "omega = 1.4")
            < cost(results, "low", "omega = 1")
        )
        assert runs(results, "low", "best fixed")[0].label in ("omega = 1.6", "omega = 1.7")
        assert runs(results, "high", "best fixed")[0].label == "omega = 1.8"
