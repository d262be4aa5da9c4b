r"""Adaptively inexact quasi-Newton method: corrected values, a three-way test, a trust region in the box.

At theta and at a trial ``theta+ = theta + s`` the values f are known to lie in ``V +- E`` (see
`gnsopt.bilevel.hypergradient`). With ``m = lam <z, theta - theta+>`` the trial is

    accepted   where  V+ + E+ <= V - E - m:   f falls by at least m, whatever the errors of z and s,
    rejected   where  V+ - E+ >  V + E - m:   the radius shrinks, by the parabola through what is known,
    undecided  else:                          the side of the larger error is refined and the step kept.

So accuracy is bought where, and only where, a decision needs it. s minimises a quasi-Newton model (see
`gnsopt.bilevel.box_model`) in the problem's box cut with the cube ``|s_i| <= radius``. The first radius is a unit per
variable, as these are logarithms in the usual problems, and the usual rules follow: doubled where a step to the edge of
the cube brought three quarters of what the model promised, halved where it certainly brought less than one. Where a
step to the edge brought less than three quarters, or two trials were rejected, z may be at fault and is refined; where
a trial is too hard to solve, the next one is nearer.

Departures from MAID [1]: the corrected value makes the width of the interval quadratic in the lower accuracy instead of
linear; MAID's test is two-way and answers an inaccurate value with a shorter step; the step is free, because the
acceptance certifies the decrease without it; there is no test of the hypergradient before the trial.

References
----------
[1] Salehi, Mukherjee, Roberts, Ehrhardt, "An adaptively inexact first-order method for bilevel optimization with
    application to hyperparameter learning", SIAM J. Math. Data Sci. 7 (2025), 2308.10098.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.box_model import BoxModel, steepest
from gnsopt.bilevel.hypergradient import Evaluation, Oracle
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run

GOOD, POOR = 0.75, 0.25  # shares of the promised decrease at which the radius is doubled and halved (usual)
STEEP = 0.9  # share of the slope at the end of a step that contradicts a floor of f (chosen)
FARTHEST = 1e100  # radius beyond which norms overflow, where f has no lower bound
REFINE = 10.0  # a refinement divides the lower gradient by this: E falls by its square (chosen)
UNDECIDED, REFUSED = "undecided", "refused"  # a search found nothing: f is flat beside its errors, or steep


@dataclass(frozen=True)
class MaidQN(Method):
    r"""Adaptively inexact quasi-Newton method (``"maid-qn"``).

    Parameters
    ----------
    memory : int, default=20
        Pairs of the quasi-Newton matrix; 0 is a method of steepest descent in the norm of the largest entry.
    lam : float, default=1e-4
        Fraction of the slope ``<z, theta - theta+>`` by which f must fall.
    first : float, default=1e-2
        Lower gradient of the first solve relative to that at the start.
    share : float, default=0.1
        Accuracy that a trial starts with: its E as a share of the decrease that is hoped for.
    angle : float, default=0.5
        Largest error of z relative to its norm before the next step is taken.
    radius : float, default=1.0
        Farthest that the first trial moves any variable.
    max_trials : int, default=15
        Trials and refinements of a step at the most; then the hypergradient is refined, and the next step is the
        steepest one.
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
    radius: float = 1.0
    max_trials: int = 15
    lower_solver: Any = "newton"
    linear: str = "auto"
    forcing: float = 0.1

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        tops = {"lam": 0.5, "first": 1.0, "share": 1.0, "angle": 1.0, "forcing": 1.0, "radius": np.inf}
        for name, top in tops.items():
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 < as_number(value, name) < top):
                raise ValueError(f"{name}={shown(value)} must be a number in (0, {top:g})")
        for name, least in (("memory", 0), ("max_trials", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
                raise ValueError(f"{name}={shown(value)} must be an integer >= {least}")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and the accepted iterates, with the next ``radius``, ``refined`` and ``rejected``."""
        oracle = Oracle(run, self.lower_solver, self.linear, self.forcing)
        B, radius, careful, floor = BoxModel(self.memory), self.radius, False, False
        now = oracle.at(run.theta)
        now.solve(self.first * now.start)
        self.sharpen(now, run)
        yield now.iterate(radius=np.nan, refined=0, rejected=0)
        while True:
            after, radius, refined, rejected = self.search(oracle, run, now, B, radius, careful)
            if isinstance(after, str):  # without a box a careful steepest step with a sharp z is one of descent
                bare, floor = careful and not len(B), floor or after == UNDECIDED
                careful = True
                B.forget()
                if not now.refine(REFINE, gradient=True) and bare:
                    raise EndOfRun(self.verdict(floor, now, run))
                continue
            self.sharpen(after, run)
            B.update(after.theta - now.theta, after.z - now.z)
            now, careful, floor = after, False, False
            yield now.iterate(radius=radius, refined=refined, rejected=rejected)

    def verdict(self, floor: bool, now: Evaluation, run: Run) -> str:
        """Return the status at an iterate from which neither a step nor a refinement leads on."""
        size = run.stationarity(now.theta, now.z)
        if not np.isfinite(size):
            return "not-finite"
        rough = self.angle * size < now.error < np.inf
        return "accuracy-floor" if (floor or rough) and not now.stalled else "step-failure"

    @staticmethod
    def step(B: BoxModel, now: Evaluation, run: Run, radius: float, careful: bool) -> tuple[Array, float]:
        """Return the step in the box and the cube, and the decrease that the model promises.

        Parameters
        ----------
        B : BoxModel
            The model, which forgets its pairs where they allow no descent.
        now : Evaluation
            Where.
        run : Run
            The box.
        radius : float
            Half the edge of the cube.
        careful : bool
            Whether the steepest step minds the error of z: not before a trial has failed, as errors of z are mostly
            relative to each entry, while the bound is that of the largest ones.

        Returns
        -------
        s : ndarray of shape (d,)
            Step.
        promised : float
            The decrease.
        """
        low, high = np.maximum(run.lower - now.theta, -radius), np.minimum(run.upper - now.theta, radius)
        if len(B):
            s, promised = B.minimize(now.z, low, high)
            if promised > 0:
                return s, promised
            B.forget()
        return steepest(now.z, now.error if careful else 0.0, low, high)

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
        self, oracle: Oracle, run: Run, now: Evaluation, B: BoxModel, radius: float, careful: bool
    ) -> tuple[Evaluation | str, float, int, int]:
        """Return an accepted trial, or why there is none, the next radius, and how many refinements and rejections."""
        first, refined, rejected = radius, 0, 0
        after: Evaluation | None = None
        while refined + rejected < self.max_trials:
            if after is None:
                s, promised = self.step(B, now, run, radius, careful)
                theta = run.clip(now.theta + s)
                hoped, edge = float(now.z @ (now.theta - theta)), float(np.abs(s).max(initial=0.0))
                after = self.trial(oracle, theta, now, now.wanted(self.share * promised))
                if after is None:
                    radius, rejected = 0.3 * edge, rejected + 1
                    continue
            V, E, Vp, Ep = now.V, now.E, after.V, after.E
            m = self.lam * hoped
            if Vp + Ep <= V - E - m:
                if V - Vp + E + Ep < POOR * promised:
                    radius = 0.5 * edge
                elif edge >= 0.99 * radius:
                    if V - Vp > GOOD * promised:
                        radius = min(2 * radius, FARTHEST)
                    elif after.refine(REFINE, gradient=True):  # else a rough z promises too much for ever
                        refined += 1
                return after, radius, refined, rejected
            known = oracle.certified or E + Ep <= hoped  # an estimate wider than what is at stake refuses nothing
            if (Vp - Ep > V + E - m and known) or not np.isfinite(Vp):
                unsure = now.error * float(np.linalg.norm(theta - now.theta)) > POOR * hoped
                after = None
                if unsure and now.refine(REFINE, gradient=True):  # the slope may be at fault, not the length
                    refined += 1
                    continue
                rejected += 1
                if rejected == 2:
                    now.refine(REFINE, gradient=True)  # the parabola through V and z did not hold
                curve = 2 * (Vp - V + hoped)  # of the parabola through V, -hoped and V+ at the trial
                radius = edge * (float(np.clip(hoped / curve, 0.1, 0.5)) if curve > 0 and hoped > 0 else 0.3)
                continue
            refined += 1
            side, other = (after, now) if Ep >= E else (now, after)
            if not side.refine(REFINE) and not other.refine(REFINE):
                flat = after.z @ s > STEEP * (now.z @ s)
                if Ep > hoped and (after.stalled or Ep > REFINE * E):  # too hard to solve there
                    rejected, radius = rejected + 1, 0.3 * edge
                elif not flat and not rejected:  # too short to be seen
                    first = radius = REFINE * edge
                else:
                    return UNDECIDED if flat else REFUSED, first, refined, rejected
                after = None
        return REFUSED, first, refined, rejected
