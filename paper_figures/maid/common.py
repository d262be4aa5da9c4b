"""What the figures share: work in equal cost units, and what was reached with so much of it."""

from __future__ import annotations

import numpy as np

from experiments.results import Run
from gnsopt._typing import Array

WORK = "work: lower gradients, products with H and J', factors in units of a product"


def best(run: Run) -> Array:
    """Return the lowest value so far, at each outer step."""
    return np.minimum.accumulate(run["fun"])


def reached(run: Run, work: float) -> float:
    """Return the lowest value with at most so much work; infinity if there is none yet."""
    done = run["work"] <= work
    return float(best(run)[done][-1]) if done.any() else np.inf
