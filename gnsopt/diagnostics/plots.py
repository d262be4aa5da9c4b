"""Drawing spectra; Matplotlib is imported where it is used."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt.arguments import as_number, check_kind
from gnsopt.diagnostics.spectrum import Spectrum

FLOOR = 1e-6  # of the largest density: what is below is not drawn (chosen)


def plot_spectrum(found: Spectrum, axes: Any = None, width: float | None = None, label: str = "") -> Any:
    """Draw the density of a spectrum on a logarithmic axis.

    Parameters
    ----------
    found : Spectrum
        What `gnsopt.diagnostics.spectrum` returned.
    axes : matplotlib.axes.Axes, optional
        Where; a new figure by default.
    width : float, optional
        Width of each line; a two-hundredth of the range by default.
    label : str, default=""
        Name of the curve.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    check_kind(found, "found", Spectrum)
    if not (width is None or 1e-100 < as_number(width, "width") < np.inf):
        raise ValueError(f"width={width} must be positive and finite")
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure().subplots()
    low, high = float(found.values.min()), float(found.values.max())
    width = max((high - low) / 200, 1e-12 * max(abs(low), abs(high), 1.0)) if width is None else float(width)
    grid = np.linspace(low - 5 * width, high + 5 * width, 2000)
    density = found.density(grid, width)
    axes.semilogy(grid, np.where(density > FLOOR * density.max(), density, np.nan), label=label)
    axes.set(xlabel="eigenvalue", ylabel="density")
    return axes
