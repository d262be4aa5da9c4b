"""Plans between two clouds for several k: the matrices, and the pairs that they join."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from experiments.results import Results
from paper_figures.gns.common import Page
from paper_figures.sparsity_constrained_ot.common import by_places, check_plans, places, title


def draw(results: Results) -> Figure:
    """Return a column of two panels for each k."""
    runs = by_places(results)
    figure = Page(figsize=(2.35 * len(runs), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    matrices, maps = figure.subplots(2, len(runs), squeeze=False)
    X, Y = runs[0]["X"], runs[0]["Y"]
    rows, columns = np.argsort(X.sum(axis=1)), np.argsort(Y.sum(axis=1))  # along the line between the clouds
    for matrix, plane, run in zip(matrices, maps, runs, strict=True):
        T = run["plan"] / run["b"]
        shades = matrix.imshow(T[np.ix_(rows, columns)], cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        gap = max(float(run["value"] / run["lower_bound"] - 1), 0.0)
        bound = "optimal" if gap < 1e-9 else f"within {gap:.2g} of the optimum"
        matrix.set_title(f"{title(run)}\n{(T > 0).sum() / len(Y):.1f} nonzeros a column\n{bound}", fontsize=8)
        matrix.set(xticks=[], yticks=[], xlabel="targets")
        matrix.spines[["top", "right"]].set_visible(True)
        matrix.grid(visible=False)
        i, j = np.nonzero(T)
        lines = np.stack([X[i], Y[j]], axis=1)
        plane.add_collection(LineCollection(lines, colors="0.35", linewidths=1.6 * T[i, j] ** 0.5, alpha=0.7))
        plane.plot(*X.T, "o", color="#0072B2", label="sources", zorder=3)
        plane.plot(*Y.T, "s", color="#D55E00", label="targets", zorder=3)
        plane.set(xticks=[], yticks=[], aspect="equal")
        plane.grid(visible=False)
        plane.spines[:].set_visible(False)
    matrices[0].set_ylabel("sources")
    figure.colorbar(shades, ax=list(matrices), label="share of a target's mass", shrink=0.8)
    handles, labels = maps[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def claim(results: Results) -> None:
    """Columns have at most k nonzeros and the right sums; k = 1 is the assignment, and values rise as k falls."""
    check_plans(results)
    runs = by_places(results)
    assert places(runs[0]) == 1
    C, n = runs[0]["C"], len(runs[0]["a"])
    i, j = linear_sum_assignment(C)
    assert np.isclose(runs[0]["cost"], C[i, j].mean(), rtol=1e-12)
    assert np.array_equal(np.argwhere(runs[0]["plan"] > 0), np.argwhere(np.eye(n)[:, np.argsort(j)] > 0))
    tight = [bool(run["value"] - run["lower_bound"] <= 1e-9 * run["value"]) for run in runs]
    assert tight[0], "k = 1 of uniform masses"
    assert tight[-1], "no constraint"
    assert not all(tight), "a gap between k = 1 and no constraint"
    assert all(run["value"] <= run["lower_bound"] * 1.05 for run in runs)
