"""Where the mass of the plan, and with it of the Hessian, is: its pattern, and what is lost with the small entries."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve, legend
from paper_figures.gns.common import Page
from paper_figures.sns.common import by_instance, instance

CELLS = 200  # of a pattern as it is drawn: each shows the largest of its entries
SMALL = 1e-7  # of the largest entry: white


def pattern(P: Array) -> Array:
    """Return the logarithm of the largest entry of each block, over the largest of all.

    Columns of an assignment are put in the order of the rows that they go to.
    """
    size = -(-P.shape[0] // CELLS)
    pad = -P.shape[0] % size
    blocks = np.pad(P, ((0, pad), (0, pad))).reshape((P.shape[0] + pad) // size, size, -1, size)
    return np.log10(np.maximum(blocks.max(axis=(1, 3)) / P.max(), SMALL))


def ordered(run: Run) -> Array:
    """Return the plan with its columns in the order of the rows that they send most of their mass to."""
    P = run["plan"]
    return P[:, np.argsort(P.argmax(axis=0), kind="stable")] if run.facts["problem.data"] == "assignment" else P


def dropped(P: Array, per_row: Array) -> Array:
    """Return the fraction of the mass outside of the largest ``per_row * n`` entries."""
    entries = np.sort(P, axis=None)
    below = np.concatenate([[0.0], np.cumsum(entries)])  # small ones first: no cancellation
    return np.asarray(below[entries.size - per_row * len(P)] / below[-1])


def draw(results: Results) -> Figure:
    """Return a column for each problem: the pattern after the Sinkhorn stage, and the mass that is dropped."""
    columns = by_instance(results)
    figure = Page(figsize=(9.0, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    patterns, losses = figure.subplots(2, len(columns), squeeze=False, height_ratios=(1.25, 1))
    for upper, lower, runs in zip(patterns, losses, columns, strict=True):
        early, late = runs
        shades = upper.imshow(pattern(ordered(early)), cmap="Greys", vmin=np.log10(SMALL), vmax=0)
        upper.set_title(f"{instance(early)}\nafter {early.facts['stop.maxiter']} Sinkhorn iterations", fontsize=9)
        upper.set(xticks=[], yticks=[])
        upper.grid(visible=False)
        per_row = np.unique(np.geomspace(1, min(200, len(early["plan"]) - 1), 40).astype(int))
        for number, run in enumerate((early, late)):
            lost = np.maximum(dropped(run["plan"], per_row), 1e-16)
            curve(lower, per_row, lost, number, run.label)
        lower.set(xscale="log", yscale="log", xlabel="entries kept, of a row", ylim=(1e-13, 1))
    losses[0].set_ylabel("fraction of the mass dropped")
    figure.colorbar(shades, ax=list(patterns), label="$\\log_{10}$ of the entry over the largest", shrink=0.8)
    legend(figure, losses[0])
    return figure


def claim(results: Results) -> None:
    """A few entries of a row carry nearly all the mass, before the Newton stage as after; fewest for the assignment."""
    assignment, *images = by_instance(results)
    for early, late in (assignment, *images):
        assert abs(late["plan"].sum() - 1) < 1e-9
        entries = np.array([20])
        assert dropped(early["plan"], entries)[0] < 0.02, instance(early)
        assert dropped(late["plan"], entries)[0] < 0.02, instance(early)
    early, late = assignment
    two, six = dropped(late["plan"], np.array([2, 6]))
    if not results.quick:
        assert 0.05 < two < 0.1, "what makes two entries of a row too few"
        assert six < 1e-5, "and six enough"
        for _, at in images:
            assert dropped(at["plan"], np.array([6]))[0] > 1e-3, "images need more"
