"""Correct digits on NIST's nonlinear regressions: the worst parameter of each problem from both starts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt.plotting import COLORS, MARKERS
from paper_figures.drawing import legend, panels
from paper_figures.families.common import labels, sets

SOLVED = 6.0
OURS = ("Levenberg-Marquardt", "damped by the gradient")


def worst(run: Run) -> float:
    """Return the digits of the worst parameter."""
    return float(np.min(run["digits"]))


def both(results: Results, label: str) -> dict[str, tuple[float, float]]:
    """Return the digits of each problem from the far and from the near start."""
    return {
        name: tuple(worst(results.run(label, **{"problem.data": name, "problem.start": start})) for start in (1, 2))
        for name in sets(results)
    }


def solved(results: Results, label: str) -> int:
    """Return how many problems have six digits from both starts."""
    return sum(min(pair) >= SOLVED for pair in both(results, label).values())


def draw(results: Results) -> Figure:
    """Return a panel for each start, problems in alphabetical order."""
    figure, axes = panels(2, sharey=True)
    figure.set_size_inches(8.4, 6.5)
    names = sets(results)
    for panel, start in zip(axes, (0, 1), strict=True):
        for number, label in enumerate(labels(results)):
            digits = [pair[start] for pair in both(results, label).values()]
            shift = (number - 3) * 0.1
            looks = {"color": COLORS[number], "label": label, "markersize": 4}
            panel.plot(digits, np.arange(len(names)) + shift, MARKERS[number % 3], **looks)
        panel.axvline(SOLVED, color="0.7", linewidth=1, zorder=0)
        panel.set(xlabel="correct digits, worst parameter", title=f"{('far', 'near')[start]} start", xlim=(-0.4, 11.4))
        panel.set_yticks(np.arange(len(names)), names)
    axes[0].invert_yaxis()
    legend(figure, axes[0])
    return figure


def markdown(results: Results) -> str:
    """Return the table: digits from both starts, and problems solved."""
    methods = labels(results)
    lines = ["| problem | " + " | ".join(methods) + " |", "| --- |" + " --- |" * len(methods)]
    tables = {label: both(results, label) for label in methods}
    for name in sets(results):
        cells = [" / ".join(f"{value:.1f}" for value in tables[label][name]) for label in methods]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| **solved from both starts** | " + " | ".join(f"**{solved(results, m)}**" for m in methods) + " |")
    text = (
        "Digits of the worst parameter (11 at the most) from the far / near start; solved means 6 digits. "
        "SciPy's `lm`, `trf` and\n`dogbox` have our Jacobian and their own scaling "
        "(with ours, `x_scale=np.abs(b0)`, they solve 27, 27 and 23); `curve_fit`\ntakes differences.\n\n"
    )
    return text + "\n".join(lines) + "\n"


def claim(results: Results) -> None:
    """Both forms of Levenberg-Marquardt solve every problem; nobody else solves more than that."""
    for label in OURS:
        assert solved(results, label) == len(sets(results)), label
    others = [solved(results, label) for label in labels(results) if label not in OURS]
    assert max(others) <= len(sets(results))
    if not results.quick:
        assert solved(results, "curve_fit") < len(sets(results))
