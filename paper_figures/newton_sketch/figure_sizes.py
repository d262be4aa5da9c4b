"""Steps of Newton's method against the rows of the sketch, and where a growing sketch comes out."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels
from paper_figures.newton_sketch.common import by_problem, median, of

SKETCHES = ("gaussian", "sparse-sign", "rows", "gaussian, debiased")
NAMES = {
    "rows": "uniform rows",
    "sparse-sign": "sparse signs",
    "gaussian": "Gaussian",
    "gaussian, debiased": "debiased",
}
TITLES = ("fast decay", "fast decay, coherent rows", "slow decay")
ADAPTIVE = ("gaussian", "sparse-sign", "countsketch", "gaussian, debiased")


def sizes(results: Results) -> list[int]:
    """Return the fixed sizes."""
    return sorted({run.facts["solver.m"] for run in results.runs if run.label.endswith(" rows")})


def draw(results: Results) -> Figure:
    """Return a panel for each problem: medians over three problems of its kind."""
    figure, axes = panels(3, sharey=True)
    for panel, runs, title in zip(axes, by_problem(results).values(), TITLES, strict=True):
        m = np.array(sizes(results))
        for number, sketch in enumerate(SKETCHES):
            steps = [median(runs, f"{sketch}, {size} rows", "nit") for size in m]
            curve(panel, m, np.array(steps), number, NAMES[sketch], markevery=1)
        grown = median(runs, "gaussian, adaptive", "nit")
        curve(panel, m[[0, -1]], np.full(2, grown), 4, "grown from 25", markevery=[])
        curve(panel, m[[0, -1]], np.full(2, median(runs, "exact", "nit")), 5, "exact Hessian", markevery=[])
        d_e = np.median([run["effective_dimension"] for run in of(runs, "exact")])
        panel.set(xscale="log", yscale="log", xlabel="rows of the sketch", title=f"{title}, $d_e$ = {d_e:.0f}")
        panel.set_xticks(m, [str(size) for size in m])
        panel.minorticks_off()
    axes[0].set_ylabel("Newton steps to a gradient of 1e-8")
    legend(figure, axes[0])
    return figure


def excess(runs: list[Run], sketch: str, largest: int) -> list[int]:
    """Return how many more steps the growing sketch takes than the best of the fixed ones, for each seed."""
    base = "gaussian" if sketch == "countsketch" else sketch
    fixed, grown = of(runs, f"{base}, {largest} rows"), of(runs, f"{sketch}, adaptive")
    return [b.facts["nit"] - a.facts["nit"] for a, b in zip(fixed, grown, strict=True)]


def claim(results: Results) -> None:
    """Growing sketches are within two steps of the best size; uniform rows are not sketches; debiasing saves trials."""
    problems = list(by_problem(results).values())
    largest = sizes(results)[-1]
    assert all(run.facts["success"] for run in results.runs if "adaptive" in run.label)
    if results.quick:
        return
    found = [e for runs in problems for sketch in ADAPTIVE for e in excess(runs, sketch, largest)]
    assert np.median(found) <= 1, f"{sorted(found)}"
    signs = [e for runs in problems for e in excess(runs, "sparse-sign", largest)]  # the default
    assert max(signs) <= 2, f"{sorted(signs)}"
    for runs in problems:
        steps = [median(runs, f"gaussian, {m} rows", "nit") for m in sizes(results)]
        assert steps[-1] == min(steps), f"{steps}"
    fast, coherent, slow = problems
    for m in sizes(results)[1:]:
        assert median(coherent, f"rows, {m} rows", "nit") > 2 * median(coherent, f"gaussian, {m} rows", "nit")
        assert median(fast, f"rows, {m} rows", "nit") < 1.35 * median(fast, f"gaussian, {m} rows", "nit")
    for runs, sufficient in ((fast, (100, 200, 400)), (coherent, (100, 200, 400)), (slow, (200, 400))):
        for m in sufficient:
            trials = [
                median(runs, f"{sketch}, {m} rows", "nfev") - median(runs, f"{sketch}, {m} rows", "nit")
                for sketch in ("gaussian", "gaussian, debiased")
            ]
            assert trials[1] <= trials[0], f"{m} rows: {trials}"
    assert median(slow, "gaussian, debiased, 100 rows", "nit") > 3 * median(slow, "gaussian, 100 rows", "nit")
