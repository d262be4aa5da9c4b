"""What the figures share: panels, legend, files; colours, dashes and markers are those of `gnsopt.plotting`."""

from __future__ import annotations

import io
from typing import IO, Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gnsopt.plotting import COLORS, MARKERS, STYLES, legend_columns

FONT = 8  # size of the legend's letters in the style sheet; `legend_columns` reckons with 10
UNDATED = {"pdf": {"CreationDate": None}, "png": {"Software": None}}  # the same data give the same file


def panels(number: int, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels in a row, with room below them for the legend."""
    figure = Figure(figsize=(4.2 * number, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, number, sharey=sharey, squeeze=False)[0])


def curve(panel: Axes, x: Any, y: Any, number: int, label: str, **settings: Any) -> None:
    """Draw the curve of that number in its colour, dash and marker, told apart in grey too."""
    panel.plot(
        x,
        y,
        label=label,
        color=COLORS[number % len(COLORS)],
        linestyle=STYLES[number % len(STYLES)],
        marker=MARKERS[number % len(MARKERS)],
        **{"markevery": 0.12, **settings},
    )


def legend(figure: Figure, panel: Axes, columns: int | None = None) -> None:
    """Put the legend of a panel below all panels, where no curve can be, in as many columns as fit."""
    handles, labels = panel.get_legend_handles_labels()
    fitting = legend_columns(labels, figure.get_figwidth() * 10 / FONT)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns or fitting, handlelength=4)


def save(figure: Figure, file: IO[bytes], suffix: str) -> None:
    """Write a figure; a PNG of lines in a palette of 256 colours, a third of the size of one in true colour."""
    if suffix != "png" or any(panel.images for panel in figure.axes):
        figure.savefig(file, format=suffix, metadata=UNDATED[suffix])
        return
    page = io.BytesIO()
    figure.savefig(page, format=suffix, metadata=UNDATED[suffix])
    image = Image.open(page)
    palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(file, format=suffix, optimize=True, dpi=image.info["dpi"])
