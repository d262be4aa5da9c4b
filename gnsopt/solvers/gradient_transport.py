r"""Gradient trackers of variance-reduced policy search, with exact gradients.

    igt    d <- (1 - eta) d + eta g(x + ((1 - eta)/eta)(x - x_)),          eta_t = (2/(t + 2))^{4/5}
    harpg  d <- (1 - eta)(d + hess f(x^)(x - x_)) + eta g(x),              eta_t = 2/(t + 2), x^ on the segment

and ``x <- x - step_t d/|d|`` with ``step_t = step 2/(t + 2)``. On quadratics both trackers are the gradient itself;
with the midpoint for x^ that of HARPG is, on cubics too.

With `step` these are the methods of [1] (whose x^ is uniform on the segment: give a seed). Without it, which is ours,
the step along d is searched until f falls enough, and where d does not descend the tracker starts anew at the
gradient.

References
----------
[1] Fatkhullin, Barakat, Kireeva, He, "Stochastic policy gradient methods: improved sample complexity for
Fisher-non-degenerate policies", 2302.01734.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, as_seed, shown
from gnsopt.exceptions import StepFailure
from gnsopt.globalization.backtracking import backtrack, line
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver

TRACKERS = ("igt", "harpg")


@dataclass(frozen=True)
class GradientTransport(Solver):
    r"""Normalised steps along a tracked gradient (method ``"gradient-transport"``).

    Parameters
    ----------
    tracker : {"igt", "harpg"}, default="igt"
        Implicit gradient transport, or Hessian-aided.
    step : float, optional
        Factor of the lengths of the steps; searched by default.
    normalised : bool, default=True
        Whether steps are along ``d/|d|``; otherwise along d, with ``step sqrt(2/(t + 2))``, HARPG's plain form.
    seed : int, optional
        Seed of the point x^ of HARPG; the midpoint by default.
    max_trials : int, default=60
        Trials of a step at the most.
    """

    order: ClassVar[int] = 1

    tracker: str = "igt"
    step: Any = None
    normalised: bool = True
    seed: Any = None
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if self.tracker not in TRACKERS:
            raise ValueError(f"tracker={self.tracker!r} is unknown; choose one of {TRACKERS}")
        if self.seed is not None:
            as_seed(self.seed)
        if self.step is not None and not 0 < as_number(self.step, "step") < np.inf:
            raise ValueError(f"step={shown(self.step)} must be a positive number, or None")

    def descends(self, problem: Objective) -> bool:
        """Return whether f never rises: where the step is searched."""
        return self.step is None

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points with the length ``t`` of the step and the ``error`` of the tracker, ``|d - g|/|g|``."""
        rng = None if self.seed is None else np.random.default_rng(self.seed)
        before, d, j, t = x, x.g, 0, 1.0
        while True:
            with np.errstate(over="ignore", invalid="ignore"):
                d = self._track(x, before, d, j, rng) if j else x.g
                slope = float(d @ x.g)
                error = float(np.linalg.norm(d - x.g)) / max(float(np.linalg.norm(x.g)), 1e-300)
                size = float(np.linalg.norm(d)) if self.normalised else 1.0
            if self.step is None and j and not 0 < slope < np.inf:
                j = 0
                continue
            if not (0 < size < np.inf and np.isfinite(slope)):
                raise StepFailure("the tracked gradient vanished, or is not finite")
            if self.step is None:
                y, t, _ = backtrack(x, partial(line, x.x, d), t, slope, self.max_trials)
                length, t = t * float(np.linalg.norm(d)), 2 * t
            else:
                fall = 2 / (j + 2) if self.normalised else np.sqrt(2 / (j + 2))
                y, length = x.at(x.x - self.step * fall / size * d), self.step * fall / size * float(np.linalg.norm(d))
                if not y.finite:
                    raise StepFailure("the method diverges: take a smaller step")
            before, x, j = x, y, j + 1
            yield x, {"t": length, "error": error}

    def _track(self, x: Point, before: Point, d: Array, j: int, rng: np.random.Generator | None) -> Array:
        moved = x.x - before.x
        if self.tracker == "igt":
            eta = (2 / (j + 2)) ** 0.8
            return np.asarray((1 - eta) * d + eta * x.at(x.x + (1 - eta) / eta * moved).g)
        eta, where = 2 / (j + 2), 0.5 if rng is None else rng.random()
        return np.asarray((1 - eta) * (d + x.at(before.x + where * moved).hessp(moved)) + eta * x.g)
