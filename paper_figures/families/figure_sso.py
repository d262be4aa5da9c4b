"""Target surrogates: residual against gradients in the targets, a fixed radius above and an adapted one below."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend
from paper_figures.families.common import DATA, residual, sets, work_to
from paper_figures.gns.common import table

STEPS = (1, 5, 10, 100)
FIXED = {**{f"m = {m}, eta = 4": f"$m = {m}$" for m in STEPS}, "exact, eta = 4": "exact"}
ADAPTED = {
    **{f"m = {m}": f"$m = {m}$" for m in STEPS},
    "exact": "exact",
    "exact, AdaGrad metric": "exact, AdaGrad metric",
    "exact, Newton metric": "exact, Newton metric",
    "gradient method": "gradient method",
}
ROWS = ((FIXED, r"$\eta = 1/L$"), (ADAPTED, r"$\eta$ adapted"))
LEAST = 1e-10


def draw(results: Results) -> Figure:
    """Return a column for each data set and a row for each rule of the radius."""
    found = sets(results)
    figure, panels = table(2, len(found), sharey=True)
    looks = list(ADAPTED.values())
    for row, (names, rule) in zip(panels, ROWS, strict=True):
        for panel, data in zip(row, found, strict=True):
            for label, name in names.items():
                run = results.run(label, **{DATA: data})
                curve(panel, run["njev"], np.maximum(residual(run), LEAST), looks.index(name), name)
            panel.set(xscale="log", yscale="log")
        row[0].set_ylabel(f"$f - f^*$, {rule}")
    for panel, data in zip(panels[0], found, strict=True):
        panel.set_title(data)
    for panel in panels[1]:
        panel.set_xlabel("gradients in the targets")
    legend(figure, panels[1][0])
    return figure


def lowest(run: Run, gradients: int) -> float:
    """Return the residual after so many gradients, or at the end of a run that needed fewer."""
    return float(residual(run)[run["njev"] <= gradients][-1])


def claim(results: Results) -> None:
    """More inner steps are better for the first gradients; later only with an adapted radius; Newton's metric wins."""
    for data in sets(results):
        runs = {run.label: run for run in results.select(**{DATA: data})}
        assert all(np.all(np.diff(run["fun"]) <= 1e-12) for run in runs.values()), f"{data}: f rises"
        for gradients in range(3, 11):
            fixed = [lowest(runs[label], gradients) for label in FIXED]
            better = all(more <= fewer for fewer, more in zip(fixed[:-1], fixed[1:], strict=True))
            assert better, f"{data}, {gradients} gradients: {fixed}"
        work = {label: work_to(run, 1e-8) for label, run in runs.items()}
        newton = work.pop("exact, Newton metric")
        assert newton <= 12, f"{data}: {newton}"
        assert newton < min(work.values()), f"{data}: {newton}, {work}"
        if results.quick:
            continue
        assert work["exact"] < work["exact, eta = 4"], f"{data}: {work}"
        assert work["exact, AdaGrad metric"] < work["exact"], f"{data}: {work}"
        if data == "reuters-money-fx":  # where inner steps do not pay
            assert work["gradient method"] < work["exact"], f"{work}"
            assert 4 * work["m = 1, eta = 4"] < work["exact, eta = 4"], f"{work}"
        else:
            assert 2 * work["exact"] < min(work["gradient method"], work["m = 1"]), f"{data}: {work}"
            few = min(work["m = 5"], work["m = 10"])
            assert few <= 1.35 * min(work["m = 100"], work["exact"]), f"{data}: {work}"
