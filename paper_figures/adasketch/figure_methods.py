"""KKT residual against outer iterations: AdaSketch-Newton, multipliers, and inexact SQP by GMRES."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels

KACZMARZ, FORCING, AL, L1, ADAPTIVE = (
    "Kaczmarz",
    "forcing",
    "augmented Lagrangian",
    "GMRES-L1",
    "adaptive GMRES-L1",
)


def instance(run: Run) -> str:
    """Return the name of a problem."""
    return str(run.facts.get("problem.data", "control, 3 x 3"))


def by_instance(results: Results) -> dict[str, dict[str, Run]]:
    """Return the runs of each problem by label."""
    found: dict[str, dict[str, Run]] = {}
    for run in results.runs:
        found.setdefault(instance(run), {})[run.label] = run
    return found


def draw(results: Results) -> Figure:
    """Return a panel for each problem."""
    problems = by_instance(results)
    figure, axes = panels(len(problems), sharey=True)
    figure.set_size_inches(3.2 * len(problems), 3.6)
    for panel, (name, runs) in zip(axes, problems.items(), strict=True):
        for number, run in enumerate(runs.values()):
            residual = np.maximum(run["fun"], 1e-12)
            curve(panel, np.arange(residual.size), residual, number, run.label)
        panel.set(yscale="log", xlabel="outer iterations", title=name)
    axes[0].set_ylabel("KKT residual")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """All arrive; ours in fewer outer iterations than GMRES-L1, within the published range on real data."""
    for name, runs in by_instance(results).items():
        for run in runs.values():
            assert run.facts["success"], (name, run.label)
            assert run["kkt"] <= 1e-4
        nit = {label: run.facts["nit"] for label, run in runs.items()}
        assert max(nit[KACZMARZ], nit[FORCING]) < nit[L1], (name, nit)
        if name.startswith("control"):
            assert nit[FORCING] == 1
            assert nit[KACZMARZ] <= 4
            assert nit[AL] == 4
            assert abs(runs[FORCING]["value"][-1] - 9.644442051811627) <= 1e-12
        elif not results.quick:
            assert 7 <= nit[KACZMARZ] <= 10, (name, nit)
            assert nit[AL] == 5
