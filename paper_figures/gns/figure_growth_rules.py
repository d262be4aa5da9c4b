"""The ratio rule of growth against the paper's on every problem: iterations, linear systems and seconds to 1e-8."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import legend
from paper_figures.gns.common import Page

MEASURES = {"nit": "iterations", "nsolve": "linear systems", "seconds_min": "seconds"}
APPROXIMATIONS = {"exact": "exact", "gauss_newton": "Gauss-Newton", "fisher": "Fisher"}


def name(run: Run) -> str:
    """Return the name of problem and approximation."""
    facts = {key.removeprefix("problem."): value for key, value in run.facts.items() if key.startswith("problem.")}
    problem = str(facts.pop("name")).removesuffix("_data").replace("_", " ")
    settings = ", ".join(f"{value}" if key == "data" else f"{key}={value}" for key, value in facts.items())
    return f"{problem} ({settings}), {APPROXIMATIONS[run.facts['solver.curvature']]}".replace(" ()", "")


def pairs(results: Results) -> dict[str, tuple[Run, Run]]:
    """Return the runs of the paper's rule and of the ratio rule, by problem and approximation."""
    found: dict[str, dict[str, Run]] = {}
    for run in results.runs:
        found.setdefault(name(run), {})[run.facts["solver.growth"]] = run
    return {key: (runs["paper"], runs["ratio"]) for key, runs in found.items()}


def quotients(results: Results, measure: str) -> dict[str, float]:
    """Return ratio rule / paper's rule; below 1 the ratio rule wins."""
    return {key: ratio.facts[measure] / paper.facts[measure] for key, (paper, ratio) in pairs(results).items()}


def shown(run: Run, measure: str) -> str:
    """Return a number of the table: seconds to two digits, in milliseconds below a second."""
    value = run.facts[measure]
    if measure != "seconds_min":
        return f"{value}"
    value, unit = (value, "s") if value >= 1 else (1000 * value, "ms")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def markdown(results: Results) -> str:
    """Return the table of all numbers, paper's rule → ratio rule."""
    rows = ["| problem, Hessian | iterations | linear systems | time |", "| --- | --- | --- | --- |"]
    for key, (paper, ratio) in pairs(results).items():
        cells = [f"{shown(paper, measure)} → {shown(ratio, measure)}" for measure in MEASURES]
        rows.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(rows)


def draw(results: Results) -> Figure:
    """Return three panels of quotients with the numbers written beside the points."""
    found = pairs(results)
    rows = np.arange(len(found))
    figure = Page(figsize=(9.4, 0.195 * len(found) + 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (measure, title) in zip(figure.subplots(1, 3, sharey=True), MEASURES.items(), strict=True):
        values = np.array(list(quotients(results, measure).values()))
        wins, losses = values <= 1, values > 1
        panel.plot(values[wins], rows[wins], "o", color="#0072B2", label="the ratio rule takes less, or as much")
        panel.plot(
            values[losses], rows[losses], "s", color="#D55E00", fillstyle="none", label="the paper's rule takes less"
        )
        panel.axvline(1, color="0.4", linewidth=1)
        for row, (paper, ratio) in zip(rows, found.values(), strict=True):
            text = f"{shown(paper, measure)} → {shown(ratio, measure)}"
            panel.text(1.02, row, text, transform=panel.get_yaxis_transform(), va="center", fontsize=7)
        panel.set(xscale="log", title=title, xlabel="ratio rule / paper's rule")
        ticks = [tick for tick in (0.25, 0.5, 1, 2, 4) if min(0.5, values.min()) <= tick <= max(2, values.max())]
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.set_yticks(rows, list(found), fontsize=7)
        panel.set_ylim(len(found) - 0.4, -0.6)
    legend(figure, panel)
    return figure


def claim(results: Results) -> None:
    """The ratio rule converges wherever the paper's does; in full size with no more systems, and hardly more steps."""
    failed = {key: [run.facts["success"] for run in runs] for key, runs in pairs(results).items()}
    assert not [key for key, (paper, ratio) in failed.items() if paper and not ratio], f"{failed}"
    systems, iterations = quotients(results, "nsolve"), quotients(results, "nit")
    assert np.median(list(systems.values())) < (1 if results.quick else 0.9), f"{systems}"
    if not results.quick:
        assert all(all(pair) for pair in failed.values()), f"no convergence: {failed}"
        assert max(systems.values()) <= 1, f"{systems}"
        assert max(iterations.values()) < 1.1, f"{iterations}"
