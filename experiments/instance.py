"""What a problem's builder returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scipy.optimize import OptimizeResult

from gnsopt import Objective
from gnsopt._typing import Array


def nothing(found: OptimizeResult) -> dict[str, Any]:
    """Keep no more of a run than its trace."""
    return {}


@dataclass(frozen=True)
class Instance:
    """A problem with its start (its own by default), its metrics by name, and what a figure needs of a run's result."""

    objective: Objective
    x0: Array | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    arrays: Callable[[OptimizeResult], dict[str, Any]] = nothing  # kept beside the trace, outside of the clock
