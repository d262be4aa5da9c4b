"""Colour transfer between synthetic images: each colour becomes a mixture of at most k colours of the target."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from experiments.results import Results, Run
from gnsopt._typing import Array
from paper_figures.gns.common import Page
from paper_figures.sparsity_constrained_ot.common import by_places, check_plans, title


def palette(run: Run) -> Array:
    """Return the new colours of the sampled colours of the source: the mixtures of the plan's columns."""
    return np.asarray((run["plan"] / run["b"]).T @ run["X"])


def transferred(run: Run) -> Array:
    """Return the source image in new colours: a pixel moves like the sampled colour next to it."""
    day = run["day"]
    pixels = day.reshape(-1, 3)
    nearest = cdist(pixels, run["Y"]).argmin(axis=1)
    return np.clip(pixels + (palette(run) - run["Y"])[nearest], 0, 1).reshape(day.shape)


def off_palette(run: Run) -> float:
    """Return the mean distance of the new colours from the nearest colour of the target."""
    return float(cdist(palette(run), run["X"]).min(axis=1).mean())


def contrast(run: Run) -> float:
    """Return the spread of the new colours over that of the target's."""
    return float(np.sqrt(palette(run).var(axis=0).sum() / run["X"].var(axis=0).sum()))


def mixed(run: Run) -> float:
    """Return the mean number of colours in a mixture."""
    return float((run["plan"] > 0).sum(axis=0).mean())


def draw(results: Results) -> Figure:
    """Return the two images and the transfer for each k."""
    runs = by_places(results)
    shown = [("source\n", runs[0]["day"]), ("target\n", runs[0]["dusk"])]
    for run in runs:
        colours = f"{mixed(run):.2g} colour{'s' if mixed(run) > 1 else ''} in a mixture"
        shown.append((f"{title(run)}: {colours}\ncontrast {contrast(run):.3f}", transferred(run)))
    figure = Page(figsize=(7.2, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (text, image) in zip(figure.subplots(2, 3).flat, shown, strict=True):
        panel.imshow(image, interpolation="nearest")
        panel.set_title(text, fontsize=8)
        panel.set_axis_off()
    return figure


def claim(results: Results) -> None:
    """Fewer colours in a mixture keep more of the target's contrast; k = 1 has exactly the colours of the target."""
    check_plans(results)
    runs = by_places(results)
    distances, spreads = [off_palette(run) for run in runs], [contrast(run) for run in runs]
    assert distances[0] < 1e-12 < 1e-3 < min(distances[1:]), f"{distances}"
    assert np.isclose(spreads[0], 1, rtol=1e-12), f"{spreads}"
    assert np.all(np.diff(spreads) < 0), f"{spreads}"
