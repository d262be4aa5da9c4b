"""What the figures share: the error of the marginals, names of problems, and the number of Newton steps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from experiments.results import Results, Run
from gnsopt._typing import Array
from gnsopt.plotting import LABELS
from paper_figures.drawing import curve

SINKHORN, SNS, NEWTON, AUTO = "Sinkhorn", "Sinkhorn-Newton-Sparse", "semi-dual Newton", "auto"
MEASURES = {"njev": "iterations (gradients of the dual)", "time": LABELS["time"]}
FLOOR = 1e-16


def error(run: Run) -> Array:
    """Return the L1 error of both marginals after each step."""
    return np.maximum(run["gnorm"], FLOOR)


def instance(run: Run) -> str:
    """Return the name of a problem."""
    if run.facts["problem.data"] == "assignment":
        return f"assignment, $n = {run.facts['problem.n']}$"
    cost = {1: "L1", 2: "squared L2"}[run.facts["problem.power"]]
    return f"{run['data']}, {cost} cost"


def newton_steps(run: Run) -> int:
    """Return the number of Newton steps of a run of two stages."""
    return int(np.nansum(run["newton"]))


def draw_errors(panel: Axes, runs: list[Run], measure: str, looks: list[str]) -> None:
    """Draw the errors of several methods against a measure of work."""
    for run in runs:
        work = run[measure]
        curve(panel, np.maximum(work, work[work > 0].min()), error(run), looks.index(run.label), run.label)
    panel.set(xscale="log", yscale="log", xlabel=MEASURES[measure])


def by_instance(results: Results) -> list[list[Run]]:
    """Return the runs of each problem, in the order of the toml."""
    found: dict[str, list[Run]] = {}
    for run in results.runs:
        found.setdefault(instance(run), []).append(run)
    return list(found.values())


def check_results(results: Results) -> None:
    """What converged has the error that it says, measured on the plan, and the cost that all others have."""
    for runs in by_instance(results):
        done = [run for run in runs if run.facts["success"]]
        costs = {run.facts["problem.eta"]: float(run["cost"]) for run in done if run.label == NEWTON}
        for run in done:
            assert run["err1"] <= run.facts["stop.gtol"] * (1 + 1e-6) + 1e-14, f"{run.label}: {run['err1']}"
            reference = costs.get(run.facts["problem.eta"], float(run["cost"]))
            assert np.isclose(run["cost"], reference, rtol=1e-6), f"{run.label}: {run['cost']}, Newton {reference}"
