r"""Accelerated regularised Newton in the Monteiro-Svaiter form, for convex f [1, 2].

    a = (1 + sqrt(1 + 4 lam A)) / (2 lam),      y = (A x + a v) / (A + a),      h = -(H(y) + lam B)^{-1} g(y),
    x+ = y + h,      v+ = v - a B^{-1} g(x+),      A+ = A + a        (so lam a^2 = A + a)

A trial ``lam`` is accepted when ``|g(x+) + lam B h|_* <= rho lam |h|``, ``rho = 1/sqrt(2)``; then ``lam`` is halved,
otherwise doubled. **Proved:** every accepted step of a convex f satisfies ``A (f(x) - f*) <= |x_0 - x*|^2 / 2``; with
Lipschitz Hessians and ``lam |h|`` kept of the right order this gives O(k^{-7/2}) [1]. **Not proved** here: the order of
growth of ``A`` under the plain halving rule, which only follows the largest step that the test lets pass. Not monotone.
This is outside the paper of gradient-normalised smoothness, which names acceleration as future work.

References
----------
[1] Monteiro, Svaiter, "An accelerated hybrid proximal extragradient method for convex optimization and its implications
to second-order methods", SIAM J. Optim. 23 (2013), Algorithm A-NPE and Theorem 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.point import Point
from gnsopt.solver import Solver

LATE = 40  # trials after which the shift grows faster: f may be huge at the start (chosen; no golden run gets there)


@dataclass(frozen=True)
class AcceleratedNewton(Solver):
    r"""Monteiro-Svaiter acceleration of the regularised Newton step (method ``"accelerated-newton"``), convex f only.

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian or a positive semidefinite approximation.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms, as in `GradNormSmooth`.
    lam0 : float, default=1.0
        First damping, positive.
    rho : float, default=0.7071067811865476
        Relative error allowed in the proximal step, in (0, 1); ``1/sqrt(2)`` by default (chosen).
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    monotone: ClassVar[bool] = False
    ends_early: ClassVar[bool] = False  # its test asks for a residual, not for a gradient

    curvature: Any = "auto"
    metric: Any = "auto"
    lam0: float = 1.0
    rho: float = 0.7071067811865476
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if not (0 < self.lam0 < np.inf and 0 < self.rho < 1):
            raise ValueError(f"lam0={self.lam0} must be positive and finite, rho={self.rho} must lie in (0, 1)")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points x with ``A`` (the certificate's weight), ``lam`` and ``trials``."""
        curvature, B = start(self.curvature, x), x.metric
        v, A, lam = x.x, 0.0, self.lam0
        while True:
            if A == 0:  # then y is x_0 for every lam
                y, H = x, curvature(x)
            for trial in range(1, self.max_trials + 1):
                a = (1 + np.sqrt(1 + 4 * lam * A)) / (2 * lam)
                try:
                    if A > 0:
                        y = x.at((A * x.x + a * v) / (A + a))
                        if not y.finite:
                            raise NotPositiveDefinite("the extrapolated point lies outside of the domain")
                        H = curvature(y)
                    h = -H.solve(lam, y.g)
                    new = x.at(y.x + h)
                    moved = not np.array_equal(new.x, y.x)
                    if moved and new.finite and B.dual_norm(new.g + lam * B.apply(h)) <= self.rho * lam * B.norm(h):
                        break
                except NotPositiveDefinite:
                    pass
                lam *= 2 if trial < LATE else 2**8
            else:
                raise StepFailure(f"{self.max_trials} trials rejected")
            x, v, A, accepted, lam = new, v - a * B.solve(new.g), A + a, lam, max(lam / 2, H.lam_noise, 1e-100)
            yield x, {"A": A, "lam": accepted, "trials": trial}
