"""What the figures share: orders of convergence."""

from __future__ import annotations

import numpy as np

from experiments.results import Run

NOISE = 1e-12  # errors below it are rounding


def order(run: Run, column: str) -> float:
    """Return the slope of an error against sigma on logarithmic axes, over the smaller half of the sigmas."""
    sigma, error = run["sigma"], run[column]
    small = (sigma <= np.sqrt(sigma.min() * sigma.max()) * (1 + 1e-9)) & (error > NOISE)
    return float(np.polyfit(np.log(sigma[small]), np.log(error[small]), 1)[0])
