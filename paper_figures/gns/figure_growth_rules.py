"""The ratio rule of growth against the paper's on every problem: iterations, linear systems and seconds to 1e-8.

A pair is one problem with one approximation. A count is won by the rule that needs less of it; seconds are compared run
by run, the rules having taken turns, and won where the middle half of the quotients lies on one side of 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import legend

MEASURES = {"nit": "iterations", "nsolve": "linear systems", "cpu": "processor seconds"}
FAMILIES = {"logsumexp": "log-sum-exp, uniform", "logsumexp_data": "log-sum-exp, data"}
APPROXIMATIONS = {
    "gauss_newton": "Gauss-Newton",
    "fisher": "Fisher",
    "lazy:5": "lazy",
    "topk:10": "ten eigenpairs",
    "subsampled:0.1": "a tenth of the rows",
    "secant": "BFGS",
    "secant:sr1": "SR1",
}
WON, LEVEL, LOST, OPEN = "the ratio rule takes less", "level", "the paper's rule takes less", "not compared"
LOOKS = {WON: ("o", "#0072B2", "full"), LEVEL: ("|", "0.35", "full"), LOST: ("s", "#D55E00", "none")}
FEWEST = 3  # runs of a pair that its seconds are judged by
TALLIES = {"nit": (15, 79, 40), "nsolve": (111, 8, 15)}  # won, level and lost by the ratio rule in full size
SLACK = 5  # the rounding of another BLAS moved each of them by up to 3
EDGE = 2.0**0.9  # where a quotient of 0 or of infinity is drawn: only one of the rules arrives


@dataclass(frozen=True)
class Pair:
    """The runs of the two rules on one problem with one approximation."""

    paper: Run
    ratio: Run

    @property
    def arrived(self) -> tuple[bool, bool]:
        """Whether the paper's rule and the ratio rule reach the residual."""
        return self.paper.facts["success"], self.ratio.facts["success"]

    def quotients(self, measure: str) -> Array:
        """Return ratio rule / paper's rule, one quotient for each pair of runs; below 1 the ratio rule wins."""
        if self.arrived != (True, True):
            return np.array([] if measure == "cpu" or not any(self.arrived) else [np.inf if self.arrived[0] else 0.0])
        if measure != "cpu":
            return np.array([self.ratio.facts[measure] / self.paper.facts[measure]])
        ratio, paper = processor_seconds(self.ratio), processor_seconds(self.paper)
        return ratio / paper if ratio.size >= FEWEST else np.array([])

    def verdict(self, measure: str) -> str:
        """Return who wins: the middle half of the quotients decides."""
        quotients = self.quotients(measure)
        if not quotients.size:
            return OPEN
        low, high = np.quantile(quotients, [0.25, 0.75], method="nearest")
        return WON if high < 1 else LOST if low > 1 else LEVEL


def processor_seconds(run: Run) -> Array:
    """Return the processor seconds of each repeat."""
    return np.array(run.facts["cpu_each"].split(), dtype=float)


def approximation(run: Run) -> str:
    """Return the name of the Hessian's approximation."""
    curvature = run.facts["solver.curvature"]
    return APPROXIMATIONS.get(curvature, curvature)


def family(run: Run) -> str:
    """Return the name of the row of a run: problems of one kind with one approximation."""
    name = run.facts["problem.name"]
    return f"{FAMILIES.get(name, name.replace('_', ' '))}: {approximation(run)}"


def name(run: Run) -> str:
    """Return the name of problem and approximation."""
    facts = {key.removeprefix("problem."): value for key, value in run.facts.items() if key.startswith("problem.")}
    problem = str(facts.pop("name")).removesuffix("_data").replace("_", " ")
    settings = ", ".join(f"{value}" if key == "data" else f"{key}={value}" for key, value in facts.items())
    beta = f", β={run.facts['solver.beta']:g}" if "solver.beta" in run.facts else ""
    return f"{problem} ({settings}), {approximation(run)}{beta}".replace(" ()", "")


def pairs(results: Results) -> dict[str, Pair]:
    """Return the pairs by problem and approximation."""
    found: dict[str, dict[str, Run]] = {}
    for run in results.runs:
        found.setdefault(name(run), {})[run.facts["solver.growth"]] = run
    return {key: Pair(runs["paper"], runs["ratio"]) for key, runs in found.items()}


def tally(found: Iterable[Pair], measure: str) -> tuple[int, int, int]:
    """Return how often the ratio rule wins, is level and loses."""
    verdicts = Counter(pair.verdict(measure) for pair in found)
    return verdicts[WON], verdicts[LEVEL], verdicts[LOST]


def bounds(found: dict[str, Pair], measure: str) -> tuple[float, float, float]:
    """Return least, median and greatest quotient of the pairs in which both rules arrive."""
    quotients = [float(np.median(pair.quotients(measure))) for pair in found.values() if pair.arrived == (True, True)]
    least, median, greatest = np.quantile(quotients, [0, 0.5, 1])
    return float(least), float(median), float(greatest)


# ------------------------------------------------------------------------------------------------- table


def shown(run: Run, measure: str) -> str:
    """Return a number of the table: seconds to two digits, in milliseconds below a second."""
    if not run.facts["success"]:
        return f"> {run.facts['stop.maxiter']}" if measure == "nit" else "–"
    if measure != "cpu":
        return f"{run.facts[measure]}"
    value = float(np.median(processor_seconds(run)))
    value, unit = (value, "s") if value >= 1 else (1000 * value, "ms")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def markdown(results: Results) -> str:
    """Return all numbers as a table in markdown; what the ratio rule loses is in bold."""
    found = pairs(results)
    rows = [
        "# Ratio growth against the paper's growth, all numbers",
        "",
        "Written by `python -m paper_figures.build gns`. Paper's rule → ratio rule, to f − f* ≤ 1e-8; what the ratio",
        "rule loses is in **bold**. Processor seconds are medians, and in parentheses median and quartiles of the",
        f"quotients ratio/paper of runs in turns (absent for runs of more than 1.7 s: fewer than {FEWEST}).",
        "",
        "| problem, Hessian | iterations | linear systems | time |",
        "| --- | --- | --- | --- |",
    ]
    for key, pair in found.items():
        cells = []
        for measure in MEASURES:
            cell = f"{shown(pair.paper, measure)} → {shown(pair.ratio, measure)}"
            quotients = pair.quotients(measure)
            if measure == "cpu" and quotients.size:
                low, median, high = np.quantile(quotients, [0.25, 0.5, 0.75], method="nearest")
                cell += f" ({median:.2f}, {low:.2f} to {high:.2f})"
            cells.append(f"**{cell}**" if pair.verdict(measure) == LOST else cell)
        rows.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


# ------------------------------------------------------------------------------------------------- drawing


def draw(results: Results) -> Figure:
    """Return three panels of quotients, a row for each family; beside them how often the ratio rule wins and loses."""
    found = pairs(results)
    rows: dict[str, list[Pair]] = {}
    for pair in found.values():
        rows.setdefault(family(pair.paper), []).append(pair)
    figure = Figure(figsize=(9.6, 0.17 * len(rows) + 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, sharey=True)
    for panel, (measure, title) in zip(axes, MEASURES.items(), strict=True):
        for row, members in enumerate(rows.values()):
            offsets = np.linspace(-0.3, 0.3, len(members)) if len(members) > 1 else [0.0]
            for offset, pair in zip(offsets, members, strict=True):
                _dot(panel, row + offset, pair, measure)
            won, level, lost = tally(members, measure)
            text = f"{won} / {level} / {lost}" if won + level + lost else "–"
            panel.text(1.02, row, text, transform=panel.get_yaxis_transform(), va="center", fontsize=6.5)
        won, level, lost = tally(found.values(), measure)
        panel.axvline(1, color="0.4", linewidth=0.8, zorder=0)
        panel.set_title(f"{title}\nwon {won}, level {level}, lost {lost}")
        panel.set(xscale="log", xlabel="ratio rule / paper's rule", xlim=(1 / 2.1, 2.1))
        panel.set_xticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
        panel.minorticks_off()
        panel.set_yticks(np.arange(len(rows)), list(rows), fontsize=6.5)
        panel.set_ylim(len(rows) - 0.4, -0.6)
    for verdict, (marker, colour, fill) in LOOKS.items():
        axes[0].plot([], [], marker, color=colour, fillstyle=fill, label=verdict)
    arrivals = [pair.arrived for pair in found.values()]
    if (False, True) in arrivals:
        axes[0].plot([], [], "<", color=LOOKS[WON][1], label="only the ratio rule arrives")
    if (True, False) in arrivals:
        axes[0].plot([], [], ">", color=LOOKS[LOST][1], fillstyle="none", label="only the paper's rule arrives")
    axes[0].plot([], [], "-", color="0.35", linewidth=0.8, label="middle half of the runs' quotients")
    legend(figure, axes[0])
    return figure


def _dot(panel: Axes, height: float, pair: Pair, measure: str) -> None:
    quotients = pair.quotients(measure)
    if not quotients.size:
        return
    marker, colour, fill = LOOKS[pair.verdict(measure)]
    median = float(np.median(quotients))
    if not 0 < median < np.inf:
        marker = "<" if median == 0 else ">"
    panel.plot(np.clip(median, 1 / EDGE, EDGE), height, marker, color=colour, fillstyle=fill, markersize=3.5)
    if quotients.size > 1:
        low, high = np.quantile(quotients, [0.25, 0.75], method="nearest")
        panel.plot([low, high], [height, height], color=colour, linewidth=0.8)


def claim(results: Results) -> None:
    """Fewer systems in the median; in full size a few more iterations, and the wins, losses and bounds of the text."""
    found = pairs(results)
    systems, iterations = bounds(found, "nsolve"), bounds(found, "nit")
    assert systems[1] < 1, f"systems: {systems}"
    if not results.quick:
        assert len(found) == 191
        assert {pair.arrived for pair in found.values()} == {(True, True), (False, False)}, "one rule arrives alone"
        for measure, golden in TALLIES.items():
            counts = tally(found.values(), measure)
            assert max(abs(a - b) for a, b in zip(counts, golden, strict=True)) <= SLACK, f"{measure}: {counts}"
        assert iterations[1] == 1, f"iterations: {iterations}"
        assert iterations[2] <= 1.1, f"iterations: {iterations}"
        assert systems[0] > 0.5, f"systems: {systems}"
        assert systems[1] <= 0.76, f"systems: {systems}"
        assert systems[2] <= 4 / 3, f"systems: {systems}"
