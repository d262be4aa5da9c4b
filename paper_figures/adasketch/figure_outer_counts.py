"""CUTEst problems: outer iterations of exact and sketched solves beside the authors' saved counts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import curve, legend, panels

# fmt: off
SAVED = {  # outer iterations of the authors' method to a KKT residual of 1e-4 with exact solves
    "HS6": 9, "BT5": 5, "BT10": 7, "BT12": 5, "HS40": 3, "BT6": 8, "BT11": 7, "HS7": 10, "HS47": 14, "HS50": 8,
    "HS77": 8, "MWRIGHT": 6, "HS78": 4, "HS56": 5, "HS42": 4, "HS79": 4, "HS100LNP": 8, "BT2": 11, "BT9": 13,
    "HELIXNE": 8, "RSNBRNE": 11, "CUBENE": 4, "WAYSEA1NE": 7, "WAYSEA2NE": 10, "DENSCHNFNE": 4, "HIMMELBC": 5,
}
# fmt: on
LABELS = ("exact", "Kaczmarz", "Gaussian", "forcing")


def counts(results: Results) -> dict[str, dict[str, int]]:
    """Return the outer iterations of each problem by label."""
    found: dict[str, dict[str, int]] = {}
    for run in results.runs:
        found.setdefault(str(run.facts["problem.problem"]), {})[run.label] = int(run.facts["nit"])
    return found


def draw(results: Results) -> Figure:
    """Return one wide panel."""
    table = counts(results)
    names = sorted(table, key=lambda name: (SAVED[name], name))
    figure, (panel,) = panels(1)
    figure.set_size_inches(8.4, 4.0)
    places = np.arange(len(names))
    panel.bar(places, [SAVED[name] for name in names], color="0.85", label="authors' saved runs")
    for number, label in enumerate(LABELS):
        shift = 0.15 * (number - 1.5)
        curve(panel, places + shift, [table[name][label] for name in names], number, label, markevery=1, linewidth=0)
    panel.set_xticks(places, names, rotation=90)
    panel.set_ylabel("outer iterations to 1e-4")
    legend(figure, panel)
    return figure


def claim(results: Results) -> None:
    """Exact solves take the saved counts; sketched ones differ by at most 4; every run reaches the residual."""
    for run in results.runs:
        assert run.facts["success"]
        assert run["kkt"] <= 1e-4
    for name, found in counts(results).items():
        assert found["exact"] == SAVED[name], name
        for label in ("Kaczmarz", "Gaussian"):
            assert abs(found[label] - SAVED[name]) <= 4, (name, label)
    if not results.quick:
        total = {label: sum(found[label] for found in counts(results).values()) for label in LABELS}
        assert total["forcing"] < total["exact"]
