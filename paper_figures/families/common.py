"""What the figures of the families share: work to a residual, and rows of panels for several problems."""

from __future__ import annotations

import numpy as np

from experiments.results import Results, Run
from gnsopt._typing import Array

DATA = "problem.data"


def residual(run: Run) -> Array:
    """Return f - f*."""
    return run["fun"] - run.facts["f_star"]


def work_to(run: Run, gap: float, measure: str = "njev") -> float:
    """Return the work of a measure to ``f - f* <= gap``; infinity where it is not reached."""
    found = run.reached(gap)
    return float(run[measure][int(found)]) if np.isfinite(found) else np.inf


def sets(results: Results) -> list[str]:
    """Return the names of the data sets, in the order of the toml."""
    return list(dict.fromkeys(str(run.facts[DATA]) for run in results.runs))


def labels(results: Results) -> list[str]:
    """Return the labels, in the order of the toml."""
    return list(dict.fromkeys(run.label for run in results.runs))
