"""First-order baselines in one driver: f - f* against full gradients."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels
from paper_figures.families.common import labels, residual, sets, work_to

FLOOR = 1e-13
OURS = "gradient-normalised smoothness"


def draw(results: Results) -> Figure:
    """Return a panel for each data set."""
    figure, axes = panels(len(sets(results)), sharey=True)
    for panel, data in zip(axes, sets(results), strict=True):
        for number, label in enumerate(labels(results)):
            run = results.run(label, **{"problem.data": data})
            curve(panel, run["njev"], np.maximum(residual(run), FLOOR), number, label)
        panel.set(xscale="log", yscale="log", xlabel="gradients", title=data)
    axes[0].set_ylabel("$f - f^*$")
    figure.set_size_inches(4.2 * len(axes) + (4.2 if len(axes) == 1 else 0), 5.0)
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """Curvature saves nine gradients of ten; heavy ball tuned by Ritz values is the best of the others."""
    for data in sets(results):
        needed = {run.label: work_to(run, 1e-8) for run in results.runs if run.facts["problem.data"] == data}
        without = {label: count for label, count in needed.items() if label != OURS}
        assert np.isfinite(needed[OURS])
        assert needed["spectral momentum"] == min(without.values()), f"{data}: {needed}"
        if not results.quick:
            assert 10 * needed[OURS] <= min(without.values()), f"{data}: {needed}"
