r"""Surrogates in the space of the targets (SSO, [1]): several steps for each gradient of the loss in the outputs.

    f(x) = loss(Z(x)) + r(x),   d_t = grad loss(Z_t),
    g_t(x) = loss(Z_t) + <d_t, Z(x) - Z_t> + |Z(x) - Z_t|^2_M / 2 + r(x),       x_{t+1} ~ argmin g_t by m inner steps.

For a loss whose Hessian is below M, ``f <= g_t`` for any model Z, convex or not, with equality at x_t: f never rises.
``M = W/eta`` with W the weights of the samples, ``M = W diag((sum_s (d_s/w)^2)^{1/2})/eta`` (AdaGrad) or
``M = hess loss(Z_t)/eta`` (Newton). The radius eta is halved until ``f(x_{t+1}) <= g_t(x_{t+1})``.

For linear models an exact inner solve is one system with ``A'MA + l2``: for ``M = W/eta`` the matrix stays, and a
factor is made once for each eta; with logistic loss and eta = 4 it is Boehning's majoriser, with squared loss and
eta = 1 the solution. With the Newton metric and eta = 1 it is Newton's step, and a Gauss-Newton step for networks.

Departures from the authors' code: theirs minimises ``<d, Z>/eta + |Z - Z_t|^2`` without the 1/2, so that its eta is
half of the one its line search assumes; here both are the eta above, in units of one sample's loss (eta <= 1/L for a
loss of Hessian <= L). The inner tolerance is relative to the gradient at x_t: an absolute one of 1e-6 ends the run at
1e-6. The step of Armijo's rule is kept from one surrogate to the next, not reset to 10.

References
----------
[1] Lavington, Vaswani, Babanezhad, Schmidt, Le Roux, "Target-based surrogates for stochastic optimization", 2302.02607.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.curvature.selection import Engine
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.linalg.forms import Form, Shifted
from gnsopt.linalg.rows import Rows
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.problems.targets import Targets, Variables, targets_of
from gnsopt.solver import Solver

METRICS = ("identity", "adagrad", "newton")
INNER = ("exact", "armijo")
ACCUMULATED = (1e-5, 1e5)  # bounds of AdaGrad's roots, those of the authors' code
SLACK = 1e-6  # relative, of a decrease that is the promised one to rounding: a quadratic loss at its own eta
SHIFT = 1e5  # times the shift at which rounding decides: about 1e-10 of the mean eigenvalue (chosen)


@dataclass(frozen=True)
class TargetSurrogate(Solver):
    r"""Several steps for each gradient in the outputs of a model (method ``"target-surrogate"``).

    Parameters
    ----------
    target_metric : {"identity", "adagrad", "newton"}, default="identity"
        M, see above; ``"newton"`` is for linear models and networks.
    inner : {"exact", "armijo"}, default="exact"
        Inner steps: solves with ``J'MJ + l2`` (one is enough for linear models), or gradient steps with Armijo's rule.
    steps : int, default=10
        m, inner steps at the most.
    eta : float, default=1.0
        First radius, per unit of a sample's weight.
    adapt : bool, default=True
        Halve eta where f is above its surrogate, double it after a step to a point where the surrogate of 2 eta is
        above f too. Without it f may rise.
    inner_tol : float, default=1e-6
        End the inner steps where the gradient of the surrogate has fallen to this share.
    floor : float, default=1e-10
        Relative residual of inexact exact solves.
    max_trials : int, default=60
        Trials of eta per iteration, and of Armijo's rule per inner step, at the most.

    Examples
    --------
    >>> import gnsopt
    >>> X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    >>> solver = gnsopt.solvers.TargetSurrogate(target_metric="newton")
    >>> solver.minimize(gnsopt.Logistic(X, y, l2=0.1)).nit
    4
    """

    order: ClassVar[int] = 1

    target_metric: str = "identity"
    inner: str = "exact"
    steps: int = 10
    eta: float = 1.0
    adapt: bool = True
    inner_tol: float = 1e-6
    floor: float = 1e-10
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if self.target_metric not in METRICS:
            raise ValueError(f"target_metric={self.target_metric!r} is unknown; choose one of {METRICS}")
        if self.inner not in INNER:
            raise ValueError(f"inner={self.inner!r} is unknown; choose one of {INNER}")
        if not (isinstance(self.steps, int | np.integer) and self.steps >= 1):
            raise ValueError(f"steps={self.steps!r} must be an integer of at least 1")
        if not (0 < self.eta < np.inf and 0 <= self.inner_tol < 1 and 0 < self.floor < 1):
            raise ValueError(
                f"eta={self.eta} must be positive, inner_tol={self.inner_tol} and floor={self.floor} must lie in [0, 1)"
            )

    def descends(self, problem: Objective) -> bool:
        """Return whether f never rises: where eta is adapted."""
        return self.adapt

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points, with ``eta`` (accepted), ``inner`` steps of that trial, and ``trials``."""
        view, eta, squares = targets_of(x.objective), self.eta, np.zeros(())
        inner = _Inner(self, view)
        while True:
            d = x.g if isinstance(view, Variables) else view.loss_gradient(x.z)
            M, squares = self._matrix(view, x, d, squares)
            hoped = np.inf
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is rejected
                    y, promised, square, steps = inner.run(x, d, M, eta)
                hoped = hoped if np.isfinite(hoped) else promised  # by the first trial: the last one promises nothing
                found = decrease(x, y)
                if found >= (1 - SLACK) * promised if self.adapt else y.finite:
                    break
                eta /= 2
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", hoped)
            x, accepted = y, eta
            if self.adapt and found - promised >= square / 4:  # with 2 eta the surrogate is above f at y too
                eta *= 2
            yield x, {"eta": accepted, "inner": steps, "trials": trial}

    def _matrix(self, view: Targets, x: Point, d: Array, squares: Array) -> tuple[Rows, Array]:
        """M at eta = 1, and the sums of AdaGrad."""
        if self.target_metric == "newton":
            return view.loss_hessian(x.z), squares
        if self.target_metric == "identity":
            return view.diagonal(view.weight), squares
        squares = squares + np.divide(d, view.weight, out=np.zeros_like(d), where=view.weight > 0) ** 2
        return view.diagonal(view.weight * np.clip(np.sqrt(squares), *ACCUMULATED)), squares


class _Inner:
    """Minimisation of one surrogate after the other; what can be used again is kept."""

    def __init__(self, solver: TargetSurrogate, view: Targets) -> None:
        self.solver, self.view, self.alpha = solver, view, 10.0
        self._factors: dict[float, tuple[Form, Shifted]] = {}
        self._engine = Engine("auto", theta=0.25, floor=solver.floor, max_products=20_000)

    def run(self, x: Point, d: Array, M: Rows, eta: float) -> tuple[Point, float, float, int]:
        """Return the minimiser, by how much the surrogate is lower there, its ``|Z - Z_t|^2_M``, and the steps."""
        view, solver = self.view, self.solver
        rows = M.take(slice(None), 1 / eta)
        y, work, delta = x.x, x.z, np.zeros_like(d)
        g, promised = x.g, 0.0
        limit = solver.inner_tol * float(np.linalg.norm(x.g))
        steps = 0
        while steps < solver.steps:
            s = self._direction(x, work, rows, eta, g)
            found = self._along(x, d, rows, y, delta, work, g, s, promised)
            if found is None:
                break
            steps += 1
            y, delta, work, promised = found
            if steps < solver.steps and not (solver.inner == "exact" and view.linear):
                g = view.pullback(work, d + rows.apply(delta)) + view.ridge * y
                x.counts.nhessp += 1
                if not float(np.linalg.norm(g)) > limit:
                    break
            else:
                break
        if steps == 0:
            raise StepFailure("no step lowers the surrogate", 0.0)
        return x.at(y), promised, float(np.vdot(delta, rows.apply(delta))), steps

    def _direction(self, x: Point, work: object, rows: Rows, eta: float, g: Array) -> Array:
        if self.solver.inner == "armijo":
            return -g
        form, solves = self._solves(x, work, rows, eta)
        B = g.reshape(form.n, -1)
        try:
            columns = [self._solve(form, solves, np.ascontiguousarray(b), x) for b in B.T]
        except NotPositiveDefinite as error:
            raise StepFailure(f"the surrogate has no minimiser: {error}") from error
        return -np.stack(columns, axis=1).reshape(-1)

    def _solve(self, form: Form, solves: Shifted, b: Array, x: Point) -> Array:
        """Solve with a small shift and refine once.

        Along directions that change nothing (one shift of the intercepts of all classes) rounding is not magnified, and
        elsewhere the shift has an effect of second order only.
        """
        x.counts.nsolve += 1
        shift = SHIFT * solves.lam_noise
        h = solves.solve(shift, b)
        return h if shift == 0 else h + solves.solve(shift, b - form.matvec(h))

    def _solves(self, x: Point, work: object, rows: Rows, eta: float) -> tuple[Form, Shifted]:
        stays = self.view.linear and self.solver.target_metric == "identity"
        if stays and eta in self._factors:
            return self._factors[eta]
        form = self.view.pulled_back(work, rows)
        found = form, self._engine.attach(form, x, f"target surrogate, {self.solver.target_metric} metric,")
        if stays:
            self._factors[eta] = found
        return found

    def _along(
        self, x: Point, d: Array, rows: Rows, y: Array, delta: Array, work: object, g: Array, s: Array, promised: float
    ) -> tuple[Array, Array, object, float] | None:
        """A step along s by Armijo's rule on the surrogate; None where it is not a descent direction to rounding."""
        view, slope = self.view, -float(g @ s)
        if not slope > 0:
            return None
        alpha = 1.0 if self.solver.inner == "exact" else self.alpha
        if view.linear:  # the surrogate is a parabola along s
            change, _ = view.change(x.z, x.x, x.x + s)
            x.counts.nhessp += 1
            bend = float(np.vdot(change, rows.apply(change))) + float(s @ (view.ridge * s))
            while not alpha * bend <= slope * (1 + SLACK) and alpha > 0:  # Armijo's rule with c = 1/2
                alpha *= 0.9
            self.alpha = 1.8 * alpha
            return y + alpha * s, delta + alpha * change, work, promised + alpha * (slope - alpha * bend / 2)
        share = 1e-4 if self.solver.inner == "exact" else 0.5
        for _ in range(self.solver.max_trials):
            trial = y + alpha * s
            change, there = view.change(x.z, x.x, trial)
            x.counts.nhessp += 1
            total = self._promise(x, d, rows, trial, change)
            if total - promised >= share * alpha * slope:
                self.alpha = 1.8 * alpha
                return trial, change, there, total
            alpha *= 0.9 if self.solver.inner == "armijo" else 0.5
        return None

    def _promise(self, x: Point, d: Array, rows: Rows, y: Array, delta: Array) -> float:
        """``g_t(x_t) - g_t(y)``."""
        h = y - x.x
        penalty = float(h @ (self.view.ridge * (x.x + y))) / 2
        return -float(np.vdot(d, delta)) - float(np.vdot(delta, rows.apply(delta))) / 2 - penalty
