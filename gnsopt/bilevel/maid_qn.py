r"""Adaptively inexact quasi-Newton method: corrected values, a three-way test, L-BFGS directions in a box.

At theta and at a trial ``theta+ = clip(theta + alpha p)`` the values f are known to lie in ``V +- E`` (see
`gnsopt.bilevel.hypergradient`). With ``m = lam <z, theta - theta+>`` the trial is

    accepted   where  V+ + E+ <= V - E - m:   f falls by at least m, whatever the errors of z and p,
    rejected   where  V+ - E+ >  V + E - m:   a shorter step is tried, by the parabola through what is known,
    undecided  else:                          the side of the larger error is refined and the step kept.

So accuracy is bought where, and only where, a decision needs it. p is an L-BFGS direction on the free variables, or
``-z`` with the first step ``sqrt(d)/|z|`` (a unit per variable, which are logarithms in the usual problems).

Departures from MAID [1]: the corrected value makes the width of the interval quadratic in the lower accuracy instead of
linear; MAID's test is two-way and answers an inaccurate value with a shorter step; the direction is free, because the
acceptance certifies the decrease without it; there is no test of the hypergradient before the line search.

References
----------
[1] Salehi, Mukherjee, Roberts, Ehrhardt, "An adaptively inexact first-order method for bilevel optimization with
    application to hyperparameter learning", SIAM J. Math. Data Sci. 7 (2025), 2308.10098.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.hypergradient import Evaluation, Oracle
from gnsopt.bilevel.lbfgs import LBFGS
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run

WOLFE = 0.9  # a step is lengthened while the slope is more than this part of the first one (usual)
LONGER = 2.5  # by this (chosen)
REFINE = 10.0  # a refinement divides the lower gradient by this: E falls by its square (chosen)
UNDECIDED, REFUSED = "undecided", "refused"  # why a line search found nothing: accuracy, or its limit of trials


@dataclass(frozen=True)
class MaidQN(Method):
    r"""Adaptively inexact quasi-Newton method (``"maid-qn"``).

    Parameters
    ----------
    memory : int, default=20
        Pairs of the quasi-Newton matrix; 0 is a gradient method.
    lam : float, default=1e-4
        Fraction of the slope ``<z, theta - theta+>`` by which f must fall.
    first : float, default=1e-2
        Lower gradient of the first solve relative to that at the start.
    share : float, default=0.1
        Accuracy that a trial starts with: its E as a share of the decrease that is hoped for.
    angle : float, default=0.5
        Largest error of z relative to its norm before the next step is taken.
    longest : float, default=3.0
        Longest first trial in any variable: doubled after a step of that length that was accepted at once, halved
        after a rejection, never below this. In a finite box quasi-Newton directions are cut variable by variable, lest
        one that runs to its bound should stop all; elsewhere they are scaled.
    max_trials : int, default=15
        Trials and refinements of a line search at the most; then the hypergradient is refined, and its negative is the
        next direction.
    lower_solver : str or Solver, default="newton"
        How the lower level is solved: ``"newton"``, a name of `gnsopt.SOLVERS`, an instance, or ``"fista"``.
    linear : str, default="auto"
        How linear systems are solved, as behind the colon of a curvature: ``"auto"``, ``"cg"``, ``"cholesky"``, ...
    forcing : float, default=0.1
        Relative residual of inexact lower Newton steps.
    """

    name: ClassVar[str] = "maid-qn"

    memory: int = 20
    lam: float = 1e-4
    first: float = 1e-2
    share: float = 0.1
    angle: float = 0.5
    longest: float = 3.0
    max_trials: int = 15
    lower_solver: Any = "newton"
    linear: str = "auto"
    forcing: float = 0.1

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        if not 0 < self.lam < 0.5:
            raise ValueError(f"lam={self.lam} must lie in (0, 1/2)")
        if not (isinstance(self.memory, int) and self.memory >= 0):
            raise ValueError(f"memory={self.memory!r} must be an integer >= 0")
        if not (isinstance(self.max_trials, int) and self.max_trials >= 1 and self.longest > 0):
            raise ValueError(
                f"max_trials={self.max_trials!r} must be an integer >= 1, longest={self.longest!r} positive"
            )
        for name in ("first", "share", "angle", "forcing"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in (0, 1)")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and the accepted iterates, with ``alpha``, ``refined`` and ``rejected``."""
        oracle = Oracle(run, self.lower_solver, self.linear, self.forcing)
        B = LBFGS(max(self.memory, 1))
        now = oracle.at(run.theta)
        now.solve(self.first * now.start)
        self.sharpen(now, run)
        yield now.iterate(alpha=np.nan, refined=0, rejected=0)
        longest = self.longest
        while True:
            z = now.z
            p, alpha = self.direction(B, now, run, longest)
            found = self.search(oracle, run, now, p, alpha)
            if not isinstance(found, tuple):  # -z of sufficient accuracy is a descent direction
                steepest = not len(B)
                B.forget()
                if not now.refine(REFINE, gradient=True) and steepest:
                    sharp = now.error <= self.angle * run.stationarity(now.theta, now.z)
                    raise EndOfRun("step-failure" if found == REFUSED and sharp else "accuracy-floor")
                continue
            after, alpha, refined, rejected = found
            self.sharpen(after, run)
            if not rejected:
                after, alpha = self.lengthen(oracle, run, now, after, p, alpha, longest)
            reached = not rejected and alpha * float(np.abs(p).max()) >= 0.99 * longest
            longest = max(self.longest, longest * (0.5 if rejected else 2.0 if reached else 1.0))
            if self.memory:
                B.update(after.theta - now.theta, after.z - z)
            now = after
            yield now.iterate(alpha=alpha, refined=refined, rejected=rejected)

    def direction(self, B: LBFGS, now: Evaluation, run: Run, longest: float) -> tuple[Array, float]:
        """Return a descent direction that does not leave the box, and its first step.

        Parameters
        ----------
        B : LBFGS
            Memory.
        now : Evaluation
            Where.
        run : Run
            The box.
        longest : float
            Longest step in any variable.

        Returns
        -------
        p : ndarray of shape (d,)
            Direction.
        alpha : float
            First step: 1 for a quasi-Newton direction, ``sqrt(d)/|z|`` else.
        """
        at_low, at_high = now.theta <= run.lower, now.theta >= run.upper
        free = ~(at_low & (now.z > 0) | at_high & (now.z < 0))
        p, alpha = np.where(free, -now.z, 0.0), 0.0
        while len(B):  # where the direction leaves the box, the variable stays and the others are asked again
            p, alpha = B.direction(now.z, free), 1.0
            leaves = at_low & (p < 0) | at_high & (p > 0)
            if not leaves.any():
                break
            free &= ~leaves
        bounded = bool(np.isfinite(run.lower).all() and np.isfinite(run.upper).all())
        if len(B) and bounded and float(np.abs(p).max(initial=0.0)) > longest:
            p = np.clip(p, np.maximum(run.lower - now.theta, -longest), np.minimum(run.upper - now.theta, longest))
        if not float(p @ now.z) < -1e-10 * np.linalg.norm(p) * np.linalg.norm(now.z) or not alpha:
            p = np.where(at_low & (now.z > 0) | at_high & (now.z < 0), 0.0, -now.z)
            alpha = float(np.sqrt(np.count_nonzero(p)) / max(np.linalg.norm(p), 1e-300))
        top = float(np.abs(p).max(initial=0.0))
        return p, min(alpha, longest / top) if top > 0 else alpha

    def lengthen(
        self, oracle: Oracle, run: Run, now: Evaluation, after: Evaluation, p: Array, alpha: float, longest: float
    ) -> tuple[Evaluation, float]:
        """Take longer steps while the slope along p has hardly changed and f certainly falls: Wolfe's condition."""
        top = float(np.abs(p).max())
        for _ in range(self.max_trials):
            longer = min(LONGER * alpha, longest / top)
            theta = run.clip(now.theta + longer * p)
            step = theta - after.theta
            if longer <= alpha or not step.any() or float(after.z @ p) > WOLFE * float(now.z @ p):
                break
            trial = self.trial(oracle, theta, after, after.wanted(self.share * abs(float(after.z @ step))))
            if trial is None or not trial.V + trial.E < after.V - after.E:
                break
            self.sharpen(trial, run)
            after, alpha = trial, longer
        return after, alpha

    @staticmethod
    def trial(oracle: Oracle, theta: Array, before: Evaluation, target: float) -> Evaluation | None:
        """Return the evaluation at a trial, or None where the lower level has no finite solution."""
        made = oracle.at(theta, before)
        try:
            return made.solve(target)
        except EndOfRun as end:
            if end.status not in ("not-finite", "not-convex"):
                raise
            return None

    def sharpen(self, now: Evaluation, run: Run) -> None:
        """Refine until the error of z is at most `angle` of its norm, or small beside the tolerance."""
        for _ in range(self.max_trials):
            size = run.stationarity(now.theta, now.z)
            if now.error <= max(self.angle * size, 0.1 * run.tol) or not now.refine(REFINE, gradient=True):
                return

    def search(
        self, oracle: Oracle, run: Run, now: Evaluation, p: Array, alpha: float
    ) -> tuple[Evaluation, float, int, int] | str:
        """Return an accepted trial with its step and the numbers of refinements and rejections, or why none."""
        refined = rejected = 0
        after, hoped = None, 0.0
        while refined + rejected < self.max_trials:
            if after is None:
                theta = run.clip(now.theta + alpha * p)
                hoped = float(now.z @ (now.theta - theta))
                after = self.trial(oracle, theta, now, now.wanted(self.share * abs(hoped)))
                if after is None:
                    alpha, rejected = 0.3 * alpha, rejected + 1
                    continue
            V, E, Vp, Ep = now.V, now.E, after.V, after.E
            m = self.lam * hoped
            if Vp + Ep <= V - E - m:
                return after, alpha, refined, rejected
            if Vp - Ep > V + E - m or not np.isfinite(Vp):
                rejected += 1
                curve = 2 * (Vp - V + hoped)  # of the parabola through V, -hoped and V+ at the trial
                alpha *= float(np.clip(hoped / curve, 0.1, 0.5)) if curve > 0 and hoped > 0 else 0.3
                after = None
                continue
            refined += 1
            side, other = (after, now) if Ep >= E else (now, after)
            if not side.refine(REFINE) and not other.refine(REFINE):
                return UNDECIDED
        return REFUSED
