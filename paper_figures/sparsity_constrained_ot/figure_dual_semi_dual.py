"""Methods on the dual and the semi-dual: the distance from the minimum against evaluations, for several k."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt.plotting import LABELS
from paper_figures.drawing import curve, legend, panels
from paper_figures.gns.common import labels, residual
from paper_figures.sparsity_constrained_ot.common import places, title

SEMI, DUAL = "L-BFGS, semi-dual", "L-BFGS, dual"
NEWTON, NEWTON_DUAL, PROXIMAL = "Newton, semi-dual", "Newton, dual", "proximal Newton, semi-dual"
FLOOR = 1e-13  # what is nearer than rounding lets one see is drawn here


def groups(results: Results) -> list[dict[str, Run]]:
    """Return the runs by label, for each k."""
    found: dict[int, dict[str, Run]] = {}
    for run in results.runs:
        found.setdefault(places(run), {})[run.label] = run
    return [found[k] for k in sorted(found)]


def draw(results: Results) -> Figure:
    """Return a panel for each k."""
    figure, axes = panels(3, sharey=True)
    looks = labels(results)
    for panel, runs in zip(axes, groups(results), strict=True):
        for label in looks:
            run = runs[label]
            curve(panel, np.maximum(run["nfev"], 1), np.maximum(residual(run), FLOOR), looks.index(label), label)
        panel.set(xscale="log", yscale="log", xlabel=LABELS["nfev"], title=title(next(iter(runs.values()))))
    axes[0].set_ylabel("$f - f^*$")
    legend(figure, axes[0])
    return figure


def evaluations(run: Run, gap: float) -> float:
    """Return the evaluations to ``f - f* <= gap``; infinity if that was not reached."""
    found = run.reached(gap)
    return float(run["nfev"][int(found)]) if np.isfinite(found) else np.inf


def claim(results: Results) -> None:
    """Without a constraint all arrive, the semi-dual sooner; with one scores tie, and only the proximal method does."""
    *bound, free = groups(results)
    to = 1e-8
    for semi, dual in ((SEMI, DUAL), (NEWTON, NEWTON_DUAL)):
        assert evaluations(free[semi], to) < evaluations(free[dual], to) < np.inf, f"{semi} against {dual}"
    assert evaluations(free[NEWTON], to) < evaluations(free[SEMI], to)
    for runs in (*bound, free):
        assert evaluations(runs[PROXIMAL], 1e-11) < np.inf, f"the proximal method, {title(runs[SEMI])}"
    for runs in bound:
        others = {label: evaluations(runs[label], to) for label in (SEMI, DUAL, NEWTON, NEWTON_DUAL)}
        assert min(others.values()) == np.inf, f"{title(runs[SEMI])}: {others}"
    for label in (SEMI, DUAL, NEWTON, NEWTON_DUAL):
        ends = [residual(runs[label])[-1] for runs in (*bound, free)]
        assert np.all(np.diff(ends) < 0), f"{label} ends at {ends}: the fewer nonzeros, the farther off"
