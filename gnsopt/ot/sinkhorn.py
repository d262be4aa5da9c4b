r"""Sinkhorn's algorithm: exact alternating minimisation of the dual, ``y <- y + log(b / P'1)`` on the semi-dual.

With a kernel E anchored at nearby potentials that is ``u = a/(E v), v = b/(E'u)``: one pass over E. The kernel is
anchored anew (absorbed, stabilised) before a scaling can leave ``exp(+-50)``; in the log domain, at every iteration.

References
----------
[1] Cuturi, "Sinkhorn distances", NeurIPS 2013. [2] Schmitzer, "Stabilized sparse scaling algorithms for entropy
regularized transport problems", SIAM J. Sci. Comput. 41 (2019): absorption, truncation, epsilon scaling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt.ot.scaling import annealed
from gnsopt.ot.semidual import transport
from gnsopt.point import Point
from gnsopt.solver import Solver


@dataclass(frozen=True)
class Sinkhorn(Solver):
    r"""Sinkhorn's algorithm (method ``"sinkhorn"``).

    Parameters
    ----------
    domain : {"kernel", "log"}, default="kernel"
        Iterate on an anchored kernel, or compute every exponential anew: the same iterates at a higher price.
    eps_scaling : bool, default=False
        Solve at larger regularisations first where the start is far from the solution.
    momentum : float, default=0.0
        In [0, 1): adds ``momentum (y_k - y_{k-1})``, dropped for one step where f has risen (heavy ball). The best
        value is ``((1 - sqrt(1-q))/(1 + sqrt(1-q)))^2`` for the rate q of the plain iteration.
    every : int, default=10
        Iterations between two points that the driver sees; with momentum or in the log domain it sees each.
    metric : "auto", None, array or Metric, default="auto"
        Of the gradient's dual norm; the iteration does not depend on it.
    """

    domain: str = "kernel"
    eps_scaling: bool = False
    momentum: float = 0.0
    every: int = 10
    metric: Any = "auto"

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if self.domain not in ("kernel", "log"):
            raise ValueError(f"domain={self.domain!r} is unknown; choose 'kernel' or 'log'")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum} must lie in [0, 1)")
        if not (isinstance(self.every, int | np.integer) and self.every >= 1):
            raise ValueError(f"every={self.every!r} must be an integer of at least 1")

    def objective(self, problem: Any) -> Any:
        """Return the semi-dual, in the domain asked for."""
        if problem.constraints:
            raise ValueError("constraints: Sinkhorn's algorithm does not move their multipliers; use method='newton'")
        return problem.semidual(keep=self.domain == "kernel")

    def descends(self, problem: Any) -> bool:
        """Return whether f never rises."""
        return not (self.eps_scaling or self.momentum)

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield a point every few iterations."""
        transport(x, self)
        yield from annealed(x, self.steps) if self.eps_scaling else self.steps(x)

    def steps(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points at one regularisation."""
        problem: Any = x.objective
        before = x
        while True:
            if self.momentum or not problem.keep:
                push = self.momentum * (x.x - before.x) if x.f <= before.f else 0.0
                before, x = x, x.at(problem.column_update(x.x, x.z) + push)
            else:
                x = problem.sinkhorn(x, self.every)
            yield x, {}
