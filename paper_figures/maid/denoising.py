"""What the figures of learned denoising share: loss and accuracy along the runs, images in a row."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.drawing import curve, legend
from paper_figures.gns.common import Page

FLOOR = 1e-5  # of the gaps drawn
SHOWN = {"clean": "clean", "noisy": "noisy", "denoised": "denoised"}


def draw_denoising(results: Results, best: Run, *, gap: bool = False, more: int = 0) -> tuple[Figure, list[Axes]]:
    """Return a figure: loss (or its gap) and accuracy, below them the images of a run, and empty panels for more."""
    figure = Page(figsize=(8.4, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    loss, accuracy = upper.subplots(1, 2)
    least = min(lowest(run) for run in results.runs)
    for number, run in enumerate(results.runs):
        work = np.maximum(run["njev"], 1)
        curve(loss, work, np.maximum(run["fun"] / least - 1, FLOOR) if gap else run["fun"], number, run.label)
        if "eps" in run.trace:
            curve(accuracy, run["nit"] + 1, run["eps"], number, run.label)
    loss.set(
        xscale="log",
        yscale="log",
        xlabel="work (lower gradients, products)",
        ylabel="loss over the lowest one, less 1" if gap else "loss on the images",
    )
    accuracy.set(
        xscale="log", yscale="log", xlabel="outer steps, from 1", ylabel="accuracy $\\varepsilon$ of the lower level"
    )
    panels = list(lower.subplots(1, len(SHOWN) + more, squeeze=False)[0])
    for panel, (name, text) in zip(panels, SHOWN.items(), strict=False):
        picture(panel, best[name], f"{text}{ratio(best, name)}")
    legend(figure, loss)
    return figure, panels[len(SHOWN) :]


def picture(panel: Axes, image: Array, title: str) -> None:
    """Show a grey image."""
    panel.imshow(image, cmap="grey", vmin=0, vmax=1, interpolation="nearest")
    panel.set_title(title, fontsize=8)
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)


def ratio(run: Run, name: str) -> str:
    """Return the peak signal-to-noise ratio of an image of a run, for its title."""
    if name == "clean":
        return ""
    error = float(np.mean((run[name] - run["clean"]) ** 2))
    return f", {-10 * np.log10(error):.1f} dB"


def lowest(run: Run) -> float:
    """Return the least loss of a run."""
    return float(np.min(run["fun"]))


def work_to(run: Run, loss: float) -> float:
    """Return the work to a loss; infinite if it is not reached."""
    (found,) = np.nonzero(run["fun"] <= loss)
    return float(run["njev"][found[0]]) if found.size else np.inf
