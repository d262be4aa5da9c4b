"""The figure of a transport plan: what goes where, and how the error fell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.cli.places import Places
from gnsopt.ot import OTResult
from gnsopt.plotting import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINKS = 3000  # pairs that are drawn, the heaviest ones
ARROWS = 24  # along a side of an image


def draw(source: Places, target: Places, plan: Any, found: OTResult) -> Figure:
    """Return the figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = source.sides is not None and target.sides is not None
    figure = Figure(figsize=(12.6, 4.2) if images else (8.8, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    *shown, last = figure.subplots(1, 3 if images else 2)
    if images:
        draw_images(shown, source, target, plan)
    else:
        draw_links(shown[0], source, target, plan)
    draw_errors(last, found)
    return figure


def draw_links(panel: Axes, source: Places, target: Places, plan: Any) -> None:
    """Draw the points and the heaviest pairs: thick and dark where much mass goes."""
    from matplotlib.collections import LineCollection

    X, Y = plane(source.X, target.X)
    pairs = plan.tocoo()
    heaviest = np.sort(np.argsort(-pairs.data, kind="stable")[:LINKS])
    i, j, mass = pairs.row[heaviest], pairs.col[heaviest], pairs.data[heaviest]
    strength = mass / mass.max()
    links = LineCollection(
        list(np.stack([X[i], Y[j]], axis=1)),
        colors=[(0.3, 0.3, 0.3, 0.05 + 0.6 * s) for s in strength],
        linewidths=0.3 + 1.5 * strength,
    )
    panel.add_collection(links)
    for points, places, marker, colour, label in (
        (X, source, "o", COLORS[0], "source"),
        (Y, target, "s", COLORS[1], "target"),
    ):
        sizes = np.clip(16 * places.mass / places.mass.mean(), 1, 100)
        panel.scatter(points[:, 0], points[:, 1], s=sizes, c=colour, marker=marker, label=label, zorder=3, linewidths=0)
    dimensions = source.X.shape[1]
    if dimensions == 1:
        panel.set(yticks=[0, 1], yticklabels=["source", "target"])
    elif dimensions > 2:
        panel.set(xlabel="first principal axis", ylabel="second principal axis")
    if dimensions > 1:
        panel.set_aspect("equal", adjustable="datalim")
    share = "" if pairs.data.size <= LINKS else f", the {LINKS} heaviest pairs of {pairs.data.size}"
    panel.set_title(f"where mass goes{share}", fontsize=9)
    panel.legend(fontsize=8)


def plane(X: Array, Y: Array) -> tuple[Array, Array]:
    """Return both clouds in the plane: on two lines where d = 1, by their principal axes where d > 2."""
    if X.shape[1] == 1:
        return np.column_stack([X, np.zeros(len(X))]), np.column_stack([Y, np.ones(len(Y))])
    if X.shape[1] == 2:
        return X, Y
    both = np.vstack([X, Y])
    middle = both.mean(axis=0)
    axes = np.linalg.svd(both - middle, full_matrices=False)[2][:2].T
    return (X - middle) @ axes, (Y - middle) @ axes


def draw_images(panels: list[Axes], source: Places, target: Places, plan: Any) -> None:
    """Draw both images, and on the first one arrows to where the mass of a pixel goes on average."""
    for panel, places, title in zip(panels, (source, target), ("source, and where it goes", "target"), strict=True):
        assert places.sides is not None  # an image
        panel.imshow(places.mass.reshape(places.sides), cmap="Greys", interpolation="nearest")
        panel.set_title(title, fontsize=9)
        panel.set_axis_off()
    sums = np.asarray(plan.sum(axis=1)).ravel()
    step = max(1, -(-int(source.X.max() + 1) // ARROWS))
    row, column = source.X.T.astype(int)
    chosen = (row % step == step // 2) & (column % step == step // 2) & (source.mass > 0.1) & (sums > 0)
    move = (plan @ target.X)[chosen] / sums[chosen, None] - source.X[chosen]
    looks: dict[str, Any] = {"color": COLORS[1], "width": 0.004, "angles": "xy", "scale_units": "xy", "scale": 1}
    panels[0].quiver(column[chosen], row[chosen], move[:, 1], move[:, 0], **looks)


def draw_errors(panel: Axes, found: OTResult) -> None:
    """Draw the error of the marginals against the iterations."""
    error = np.maximum(found.trace["gnorm"], 1e-17)
    panel.plot(found.trace["njev"], error, color=COLORS[0], marker="o", markersize=3, markevery=0.12)
    panel.axhline(found.tol, color="0.5", linewidth=0.8, linestyle=":")
    panel.set(yscale="log", xlabel="iterations (gradients of the dual)")
    panel.set_title("L1 error of both marginals", fontsize=9)
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
