"""Iterations and seconds against eta = 1/reg on the assignment problem."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import labels
from paper_figures.sns.common import AUTO, NEWTON, SINKHORN, SNS, check_results

MEASURES = {"njev": "iterations (gradients of the dual)", "nhessp": "products with the Hessian", "cpu": "CPU seconds"}


def runs_of(results: Results, label: str) -> list[Run]:
    """Return the runs of a method by rising eta."""
    return sorted((run for run in results.runs if run.label == label), key=lambda run: run.facts["problem.eta"])


def work(run: Run, measure: str) -> float:
    """Return the work of a run; of its repeats the least processor seconds."""
    return min(map(float, run.facts["cpu_each"].split())) if measure == "cpu" else float(run.facts[measure])


def draw(results: Results) -> Figure:
    """Return a panel for each measure of work; crosses are runs that did not reach the tolerance."""
    figure, axes = panels(3)
    for number, label in enumerate(labels(results)):
        found = runs_of(results, label)
        eta = np.array([run.facts["problem.eta"] for run in found])
        done = np.array([run.facts["success"] for run in found])
        for panel, measure in zip(axes, MEASURES, strict=True):
            taken = np.array([work(run, measure) for run in found])
            some = taken > 0
            if some.any():
                curve(panel, eta[some], taken[some], number, label, markevery=1)
            panel.plot(eta[~done & some], taken[~done & some], "x", color="black", markersize=9)
    axes[0].plot([], [], "x", color="black", markersize=9, label="stopped before the tolerance")
    for panel, text in zip(axes, MEASURES.values(), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="$\\eta$ = 1/reg", ylabel=text)
    legend(figure, axes[0], columns=5)
    return figure


def claim(results: Results) -> None:
    """Sinkhorn's iterations grow a hundredfold and more; Newton's stay below 25 and never fail."""
    check_results(results)
    counts = {label: [run.facts["njev"] for run in runs_of(results, label)] for label in (SINKHORN, SNS, NEWTON, AUTO)}
    for label in (SNS, NEWTON, AUTO):
        assert all(run.facts["success"] for run in runs_of(results, label)), label
    assert counts[SINKHORN][-1] > 10 * counts[SINKHORN][0], f"{counts}"
    assert max(counts[NEWTON]) <= 25, f"{counts}"
    assert max(counts[AUTO]) <= 60, f"{counts}"
    if not results.quick:
        assert counts[SINKHORN][-1] > 1000 * counts[SINKHORN][0], f"{counts}"
        assert not runs_of(results, SINKHORN)[-1].facts["success"]
        assert counts[SNS][-1] > 10 * counts[SNS][-2], "with six entries of a row the sparse method degrades at the end"
        assert max(run.facts["nhessp"] for run in runs_of(results, NEWTON)) < 250
