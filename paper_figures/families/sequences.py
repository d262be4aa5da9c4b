"""Sequences of shifted systems: iterations by the parameter of the solver, fixed, learnt or from a formula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, legend, panels

LEARNT = ("tsallis", "binned tsallis", "chebyshev", "explore", "closed form")
NAMES = {
    "tsallis": "Tsallis-INF",
    "binned tsallis": "Tsallis-INF in 5 bins",
    "chebyshev": "Chebyshev bandit",
    "explore": "tries in 6 bins",
    "closed form": "closed form",
    "best fixed": "best fixed",
}


@dataclass(frozen=True)
class Sequences:
    """The runs of a figure, by the setting of the problem that tells its panels apart.

    Parameters
    ----------
    results : Results
        The runs; those of one label and panel are trials.
    setting : str
        Column of the results.
    """

    results: Results
    setting: str

    @property
    def kinds(self) -> list[object]:
        """The panels."""
        return list(dict.fromkeys(run.facts[self.setting] for run in self.results.runs))

    def runs(self, kind: object, label: str) -> list[Run]:
        """Return the trials of a label; ``best fixed`` stands for the fixed omega of least cost."""
        found = self.results.select(**{self.setting: kind})
        if label == "best fixed":
            fixed = dict.fromkeys(run.label for run in found if run.label.startswith("omega"))
            label = min(fixed, key=lambda name: self.cost(kind, name))
        return [run for run in found if run.label == label]

    def cost(self, kind: object, label: str) -> float:
        """Return the mean number of iterations in all."""
        return float(np.mean([run.facts["nhessp"] for run in self.runs(kind, label)]))

    def draw(self, title: str) -> Figure:
        """Return a panel for each kind: mean iterations of the systems so far."""
        found = self.kinds
        figure, axes = panels(len(found) if len(found) > 1 else 2)
        for panel, kind in zip(axes, found, strict=False):
            for number, label in enumerate(("omega = 1", "best fixed", *LEARNT)):
                run = self.runs(kind, label)[0]
                systems = run["nsolve"][1:]
                curve(panel, systems, run["nhessp"][1:] / systems, number, NAMES.get(label, label))
            panel.set(xscale="log", xlabel="systems", title=title.format(kind))
        axes[0].set_ylabel("iterations per system so far")
        legend(figure, axes[0])
        return figure
