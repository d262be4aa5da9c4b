"""Performance profiles: for each method, the share of problems that it solves within a factor of the fastest method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.glm.report import Row
from gnsopt.plotting import COLORS, STYLES

STYLE = Path(__file__).parents[3] / "paper_figures" / "style.mplstyle"
FAR = 1000.0  # factor at the right end


def profile(found: Sequence[Row]) -> dict[str, tuple[Any, Any]]:
    """Return for each method the factors, increasing, and the share of all problems solved within each."""
    names = list(dict.fromkeys(name for row in found for name in row.entries))
    curves = {}
    for name in names:
        factors = []
        for row in found:
            fastest = min(entry.seconds for entry in row.entries.values())
            if name in row.entries and row.entries[name].seconds < math.inf:
                factors.append(row.entries[name].seconds / fastest)
        curves[name] = (np.sort(factors), np.arange(1, len(factors) + 1) / max(len(found), 1))
    return curves


def draw(tables: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw a panel for each target and save the figure."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    from experiments.storage import replacing

    with mpl.rc_context(), context(STYLE):
        figure = Figure(figsize=(4.6 * len(tables), 5.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        names = list(dict.fromkeys(name for found in tables.values() for row in found for name in row.entries))
        for panel, (target, found) in zip(panels, tables.items(), strict=True):
            curves = profile(found)
            for number, name in enumerate(names):
                factors, shares = curves.get(name, (np.empty(0), np.empty(0)))
                x = np.concatenate([[1.0], np.repeat(factors, 2), [FAR]])
                y = np.concatenate([[0.0, 0.0], np.repeat(shares, 2)]) if factors.size else np.zeros(2)
                panel.plot(x, y, label=name, color=COLORS[number % len(COLORS)], linestyle=STYLES[number % len(STYLES)])
            panel.set(xscale="log", xlim=(1.0, FAR), ylim=(0.0, 1.02), title=target)
            panel.set_xlabel("time over that of the fastest method")
        panels[0].set_ylabel("share of the problems")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=4)
        with replacing(path) as file:
            figure.savefig(file, format=path.suffix[1:])
