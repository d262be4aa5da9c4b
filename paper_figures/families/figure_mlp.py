"""A small network: loss against gradients and seconds, every curvature in the same driver, a row for each family."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve
from paper_figures.families.common import DATA
from paper_figures.gns.common import table

EXACT, NEWTON, GRADIENT = "exact Hessian", "Gauss-Newton", "zero (gradient steps)"
FAMILIES = (
    (EXACT, NEWTON, "top 20 eigenpairs", "Gauss-Newton, kept for 5 steps", "empirical Fisher"),
    (EXACT, "K-FAC", "K-FAC, empirical Fisher", "MKOR, rank 1", "MKOR, rank 8", "TrAct, all layers"),
    (
        EXACT,
        "M-FAC, 64 gradients",
        "secant (BFGS)",
        "Hutchinson's diagonal",
        "AdaHessian",
        "Sophia",
        GRADIENT,
    ),
)
CHEAP = ("M-FAC, 64 gradients", "Hutchinson's diagonal", "AdaHessian", "Sophia", GRADIENT)
NAMES = {"digits": "digits", "mnist.scale": "MNIST"}


def draw(results: Results) -> Figure:
    """Return a row for each family of curvatures and, for each data set, a column for each measure of work."""
    problems = by_problem(results)
    columns = [(data, measure) for data in problems for measure in ("njev", "cpu")]
    figure, panels = table(len(FAMILIES), len(columns) + 1)
    for row, family in zip(panels, FAMILIES, strict=True):
        for panel, (data, measure) in zip(row, columns, strict=False):
            for run in problems[data]:
                if run.label in family:
                    work = run["njev"] if measure == "njev" else seconds(run)
                    least = work[1] / 2 if measure == "cpu" else 1  # the start, on a logarithmic axis
                    curve(panel, np.maximum(work, least), run["fun"], family.index(run.label), run.label)
            panel.set(xscale="log", yscale="log", ylim=(0.05, 3.5))
            panel.set_xlabel("gradients" if measure == "njev" else "processor seconds")
        row[0].set_ylabel("loss")
        row[-1].axis("off")
        row[-1].legend(*row[0].get_legend_handles_labels(), loc="center left", handlelength=4)
    for panel, (data, _) in zip(panels[0], columns, strict=False):
        panel.set_title(data)
    return figure


def by_problem(results: Results) -> dict[str, list[Run]]:
    """Return the runs of each problem by its name."""
    found: dict[str, list[Run]] = {}
    for run in results.runs:
        data, rows = str(run.facts[DATA]), run.facts.get("problem.rows")
        found.setdefault(NAMES.get(data, data) + (f", {rows} rows" if rows else ""), []).append(run)
    return found


def seconds(run: Run) -> Array:
    """Return processor seconds: those of the whole run, shared out by its clock, which other processes disturb."""
    clock = run["time"]
    return np.asarray(clock * (float(str(run.facts["cpu_each"]).split()[0]) / clock[-1]))


def gradients(run: Run, level: float) -> float:
    """Return the gradients to a loss of that level; infinity where it is not reached."""
    (found,) = np.nonzero(run["fun"] <= level)
    return float(run["njev"][found[0]]) if found.size else np.inf


def claim(results: Results) -> None:
    """The order of the curvatures by gradients, and that no diagonal is ahead of gradient steps."""
    for data, found in by_problem(results).items():
        runs = {run.label: run for run in found}
        assert all(np.all(np.diff(run["fun"]) <= 1e-12) for run in runs.values()), f"{data}: the loss rises"
        half = {label: gradients(run, 0.5 * run["fun"][0]) for label, run in runs.items()}
        assert half[EXACT] <= half[GRADIENT] / 2, f"{data}: {half}"
        if results.quick:
            continue
        lowest = min(float(run["fun"][-1]) for run in runs.values())
        assert runs[EXACT]["fun"][-1] == lowest, f"{data}: the exact Hessian is not the lowest"
        to = {label: gradients(run, 0.12) for label, run in runs.items()}
        assert to[EXACT] <= 13, f"{data}: {to}"
        assert to[EXACT] == min(to.values()), f"{data}: {to}"
        assert 2 * to[EXACT] <= to[NEWTON] <= 45, f"{data}: {to}"
        assert to["MKOR, rank 8"] <= 1.1 * to[NEWTON] < to["K-FAC"], f"{data}: {to}"
        assert to["K-FAC"] < min(to["K-FAC, empirical Fisher"], to["empirical Fisher"], to["TrAct, all layers"]), (
            f"{to}"
        )
        assert all(to[label] == np.inf for label in CHEAP), f"{data}: {to}"
        final = {label: float(runs[label]["fun"][-1]) for label in CHEAP}
        assert max(final.values()) < 1.1 * min(final.values()), f"{data}: {final}"
