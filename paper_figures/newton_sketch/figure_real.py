"""Logistic regressions on data sets: residual against seconds, exact, sketched and preconditioned Hessians."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels

LABELS = ("exact", "sketch", "subsampled, a tenth", "CG", "CG, Nystrom")
DATA = "problem.data"
LEAST = 1e-12


def sets(results: Results) -> list[str]:
    """Return the names of the data, in the order of the toml."""
    return list(dict.fromkeys(str(run.facts[DATA]) for run in results.runs))


def draw(results: Results) -> Figure:
    """Return a panel for each data set."""
    found = sets(results)
    figure, axes = panels(max(len(found), 2), sharey=True)
    for panel, data in zip(axes, found, strict=False):
        for number, label in enumerate(LABELS):
            run = results.run(label, **{DATA: data})
            time = np.maximum(run["time"], run["time"][run["time"] > 0].min())
            curve(panel, time, np.maximum(run["fun"] - run.facts["f_star"], LEAST), number, label)
        panel.set(xscale="log", yscale="log", xlabel="seconds", title=data.split(".")[0])
    axes[0].set_ylabel("$f - f^*$")
    legend(figure, axes[0])
    return figure


def claim(results: Results) -> None:
    """A growing sketch arrives in more steps than the exact Hessian, a subset does not; Nystrom where CG is long."""
    for data in sets(results):
        run = {label: results.run(label, **{DATA: data}).facts for label in LABELS}
        assert run["exact"]["success"]
        assert run["CG, Nystrom"]["success"], data
        assert run["CG, Nystrom"]["nhessp"] <= 2 * run["CG"]["nhessp"], data
        if not results.quick:
            assert run["sketch"]["success"], data
            assert run["exact"]["nit"] <= run["sketch"]["nit"] <= 5 * run["exact"]["nit"], data
            assert not run["subsampled, a tenth"]["success"]
            assert run["exact"]["seconds_min"] < run["sketch"]["seconds_min"], data
    if not results.quick:
        products = [results.run(label, **{DATA: "madelon"}).facts["nhessp"] for label in ("CG", "CG, Nystrom")]
        assert products[0] > 1.4 * products[1], f"{products}"
