r"""Forcing mode: Newton steps with Armijo on an exact penalty, as long as they work; else the safeguard.

1. Newton step of the KKT system, solved until ``|r| <= kappa min(1, |F|^{1/2}) |F|``, Z'BZ made definite by a shift.
2. The penalties are sharpened until the step descends (test (b) of the paper; inexact solves are first tightened).
3. Armijo; where the full step fails, an inexact solve is first tightened, for good; then the step is tried with a
   second-order correction ``-G^+ c(x + dx)`` (Maratos effect), then shortened.
4. Where no t >= `SHORTEST` is accepted, or no Newton step exists, composite trust-region steps take over until the KKT
   residual is below 0.9 of the lowest seen when they began.

Since each return to Newton comes with a new low of the residual by a fixed factor, either the returns never end and
the residual tends to zero, or one of the two phases goes on for ever and its own theory holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array
from gnsopt.constrained import kkt
from gnsopt.constrained.matrices import row_norms
from gnsopt.constrained.merit import AugmentedLagrangian, Fletcher
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.rows import RowSpace
from gnsopt.constrained.safeguard import Ending, TrustRegion
from gnsopt.constrained.status import KKTStatus
from gnsopt.exceptions import NotPositiveDefinite, StepFailure

SHORTEST = 0.2  # shortest Newton step before the safeguard takes over (chosen)
RETURN = 0.9  # new low of the residual, relative, at which Newton takes over again (chosen)
KAPPA_MIN = 1e-6
TIGHTEN = 1e-2  # of the forcing term where an inexact full step is rejected: its error may be why (chosen)
ROUNDING = 1e2 * float(np.finfo(float).eps)
STATIONARY = 1e-6  # of |G'c| / (max(1, |G|) |c|): the violation itself is stationary (chosen)
PATIENCE = 5  # such points in a row that end a run (chosen)


@dataclass
class Forcing:
    """State of a run in forcing mode.

    Parameters
    ----------
    merit : AugmentedLagrangian or Fletcher
        The exact penalty.
    solver : str
        Name of the KKT solver.
    beta : float
        Armijo's constant.
    kappa : float
        First factor of the forcing term.
    superlinear : bool
        Whether the forcing term falls with ``|F|^{1/2}``.
    enough : float
        Residual at which the run ends: inexact solves need not do better than a tenth of it.
    seed : int
        Key of random sketches.
    """

    merit: AugmentedLagrangian | Fletcher
    solver: str
    beta: float
    kappa: float
    superlinear: bool
    enough: float
    seed: int

    def iterates(self, p: KKTPoint) -> Iterator[tuple[KKTPoint, dict[str, float]]]:
        """Yield points, with the step length ``t``, ``shift``, ``trials`` and ``safeguard`` (1 for composite steps)."""
        region, low, held, k, stuck = TrustRegion(), p.F, np.inf, 0, 0
        started = False
        while True:
            newton = p.F <= RETURN * held
            found = self.newton(p, k) if newton else None
            if found is not None:
                p, row, held = *found, np.inf
            else:
                if newton:
                    held = low
                if not started:
                    region.radius, started = max(1.0, 0.1 * float(np.linalg.norm(p.x))), True
                q, trials = self.safeguarded(region, p)
                row = {"t": float(np.linalg.norm(q.x - p.x)), "shift": 0.0, "trials": trials, "safeguard": 1.0}
                p = q
            k, low = k + 1, min(low, p.F)
            stuck = stuck + 1 if violation_is_stationary(p, self.enough) else 0
            yield p, row
            if stuck >= PATIENCE:
                raise Ending(KKTStatus.INFEASIBLE_STATIONARY)

    def safeguarded(self, region: TrustRegion, p: KKTPoint) -> tuple[KKTPoint, int]:
        """Return the composite step and its trials; a failure at an infeasible stationary point is named so."""
        try:
            return region.step(p)
        except StepFailure as failure:
            if violation_is_stationary(p, self.enough, 1e3 * STATIONARY):
                raise Ending(KKTStatus.INFEASIBLE_STATIONARY) from failure
            if RowSpace.of(p).deficient and p.feasibility > self.enough:
                raise Ending(KKTStatus.SINGULAR) from failure
            raise

    def newton(self, p: KKTPoint, k: int) -> tuple[KKTPoint, dict[str, float]] | None:
        """Return the accepted Newton point, or None where there is none."""
        tried = 0
        while True:
            try:
                step, slope = self.direction(p, k)
            except (NotPositiveDefinite, np.linalg.LinAlgError):
                return None
            if not (np.isfinite(step.dx).all() and np.isfinite(step.dy).all() and slope < 0):
                return None
            inexact = self.solver in kkt.INEXACT and self.kappa > KAPPA_MIN
            q, t, trials = self.search(p, step, slope, shortest=1.0 if inexact else SHORTEST)
            tried += trials
            if q is not None:
                return q, {"t": t, "shift": step.shift, "trials": tried, "safeguard": 0.0}
            if not inexact:
                return None
            self.kappa = max(TIGHTEN * self.kappa, KAPPA_MIN)

    def direction(self, p: KKTPoint, k: int) -> tuple[kkt.Step, float]:
        """Return the Newton step, tightened and its penalties sharpened until it descends, and its slope."""
        solve = kkt.SOLVERS[self.solver]
        if isinstance(self.merit, Fletcher) and not k:
            p = RowSpace.of(p).least_squares_point(p)
        kappa = self.kappa * (min(1.0, p.F**0.5) if self.superlinear else 1.0)
        while True:
            step = solve(p, max(kappa * p.F, 0.1 * self.enough), self.seed, k)
            if self.solver in kkt.INEXACT and isinstance(self.merit, AugmentedLagrangian) and kappa > KAPPA_MIN:
                slope = self.merit.slope(p, step.dx, step.dy)
                if not self.merit.descends(p, slope):
                    kappa = max(kappa / self.merit.nu**4, KAPPA_MIN)
                    self.merit.sharpen()
                    continue
            return step, self.merit.adapt(p, step.dx, step.dy, step.curvature)

    def search(self, p: KKTPoint, step: kkt.Step, slope: float, shortest: float) -> tuple[KKTPoint | None, float, int]:
        """Return the first point that passes Armijo's test, its t and the number of trials; None where none does."""
        before, t, trials = self.merit.value(p), 1.0, 0
        noise = ROUNDING * max(abs(before), abs(p.f))
        while t >= shortest:
            q = self.merit.trial(p, step.dx, step.dy, t)
            trials += 1
            if self.merit.value(q) <= before + self.beta * t * slope + noise:
                return q, t, trials
            if t == 1.0 and q.finite and shortest < 1.0:
                bend: Array = RowSpace.of(p).range_step(q.c)
                q = self.merit.trial(p, step.dx + bend, step.dy, 1.0)
                trials += 1
                if self.merit.value(q) <= before + self.beta * slope:
                    return q, t, trials
            t /= 2
        return None, 0.0, trials


def violation_is_stationary(p: KKTPoint, enough: float, tol: float = STATIONARY) -> bool:
    """Return whether ``|G'c|`` is negligible while c is not: no small step lowers the violation.

    Parameters
    ----------
    p : KKTPoint
        Where.
    enough : float
        Residual at which the run ends.
    tol : float
        What is negligible, relative to ``max(1, |G|) |c|``: G may vanish there itself.

    Returns
    -------
    bool
        Whether.
    """
    if not p.finite or p.feasibility <= max(1e-4, 1e2 * enough):
        return False
    size = max(1.0, float(np.linalg.norm(row_norms(p.G))))
    return float(np.linalg.norm(p.G.T @ p.c)) <= tol * size * float(np.linalg.norm(p.c))
