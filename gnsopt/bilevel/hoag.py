r"""HOAG: hyperparameter optimisation with approximate gradient, with a summable schedule of accuracies.

    x, q to accuracy eps_k;   theta <- clip(theta - z/L)
    D = |z|/L;   g_new <= g + eps_k/4 + 1.25 eps_{k-1} D - L D^2:  L <- 0.95 L;   g_new >= 1.2 g:  step back, L <- 2 L

Schedules: ``eps0 0.9^k``, ``eps0/k^2``, ``eps0/k^3``; L starts at ``|z|/sqrt(d)`` (1 where |z| <= 1e-3). Accuracies are
relative to the first lower gradient, as in the authors' package.

Departures from the package: the step is applied once (there twice in an accepted iteration), the reference value after
a step back is that of the point it steps back to, and the box is the caller's (there theta is clipped to [-6, 6]).

References
----------
[1] Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gnsopt.bilevel.hypergradient import Oracle
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run

SCHEDULES = ("geometric", "quadratic", "cubic", "exact")


@dataclass(frozen=True)
class Hoag(Method):
    """Hyperparameter optimisation with approximate gradient (``"hoag"``).

    Parameters
    ----------
    schedule : {"geometric", "quadratic", "cubic", "exact"}, default="geometric"
        ``0.9^k``, ``1/k^2``, ``1/k^3`` times `eps0`, or 1e-12 throughout.
    eps0 : float, default=1e-3
        First accuracy, relative to the first lower gradient (of the adjoint: to the upper gradient).
    decay : float, default=0.9
        Base of the geometric schedule.
    L0 : float, optional
        First inverse step.
    max_rejections : int, default=40
        Steps back in a row at the most.
    lower_solver : str or Solver, default="newton"
        As in `MaidQN`.
    linear : str, default="auto"
        How linear systems are solved.
    forcing : float, default=0.1
        Relative residual of inexact lower Newton steps.
    """

    name: ClassVar[str] = "hoag"

    schedule: str = "geometric"
    eps0: float = 1e-3
    decay: float = 0.9
    L0: float | None = None
    max_rejections: int = 40
    lower_solver: Any = "newton"
    linear: str = "auto"
    forcing: float = 0.1

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} is unknown; choose one of {SCHEDULES}")
        if not (0 < self.eps0 and 0 < self.decay < 1):
            raise ValueError(f"eps0={self.eps0} must be positive and decay={self.decay} lie in (0, 1)")

    def accuracy(self, k: int) -> float:
        """Return the accuracy of outer step `k`, counted from zero.

        Parameters
        ----------
        k : int
            Outer step.

        Returns
        -------
        float
            Relative accuracy.
        """
        if self.schedule == "exact":
            return 1e-12
        powers = {"geometric": self.decay**k, "quadratic": (k + 1.0) ** -2, "cubic": (k + 1.0) ** -3}
        return max(self.eps0 * powers[self.schedule], 1e-13)

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and the iterates that are not stepped back from, with ``L`` and ``accuracy``."""
        oracle = Oracle(run, self.lower_solver, self.linear, self.forcing)
        now = oracle.at(run.theta)
        scale = now.start
        eps = before = self.accuracy(0)
        now.solve(eps * scale, eps * self.upper_scale(now))
        now.solve(eps * scale, eps * self.upper_scale(now))
        size = float(np.linalg.norm(now.z))
        L = self.L0 or (size / np.sqrt(now.theta.size) if size > 1e-3 else 1.0)
        yield self.iterate(now, L=L, accuracy=eps)
        k = rejections = 0
        while True:
            z, size = now.z, float(np.linalg.norm(now.z))
            if not size > 0:
                raise EndOfRun("accuracy-floor")
            after = oracle.at(run.clip(now.theta - z / L), now)
            after.solve(eps * scale, eps * self.upper_scale(now))
            g, g_new, D = self.value(now), self.value(after), size / L
            if g_new >= 1.2 * g or not np.isfinite(g_new):
                L, eps, rejections = 2 * L, eps / 2, rejections + 1
                if rejections > self.max_rejections:
                    raise EndOfRun("step-failure")
                continue
            if g_new <= g + 0.25 * eps + 1.25 * before * D - L * D**2:
                L *= 0.95
            now, rejections, k = after, 0, k + 1
            before, eps = eps, min(self.accuracy(k), eps)
            yield self.iterate(now, L=L, accuracy=before)

    @classmethod
    def iterate(cls, now: Any, **scalars: float) -> Iterate:
        """Return the iterate with the value that the method knows: g at the lower iterate, not corrected.

        Parameters
        ----------
        now : Evaluation
            Where.
        **scalars : float
            Columns of the trace.

        Returns
        -------
        Iterate
            As the driver wants it; the interval is that of the corrected value.
        """
        made: Iterate = now.iterate(**scalars)
        made.fun = cls.value(now)
        return made

    @staticmethod
    def value(now: Any) -> float:
        """Return the uncorrected upper value, the mean over the blocks."""
        return float(np.mean([block.g for block in now.blocks]))

    @staticmethod
    def upper_scale(now: Any) -> float:
        """Return the norm of the upper gradient, 1 before it is known."""
        return max((float(np.linalg.norm(block.gx)) for block in now.blocks), default=1.0) or 1.0
