"""The lower level along a bilevel run: warm starts, one curvature for its steps and for the adjoint, counted work.

A lower solve is a solver's generator that is kept: asking for more accuracy later goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import shown
from gnsopt.bilevel.momentum import StronglyConvexFista
from gnsopt.bilevel.newton import InexactNewton
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.run import EndOfRun, Run
from gnsopt.curvature import Curvature, resolve
from gnsopt.curvature.selection import AUTO, METHODS, Engine
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.linalg.precond import ActiveRows, Apply, ClassBlocks, Preconditioner
from gnsopt.linalg.shifted import Accuracy, KrylovShifted, RowSpaceShifted
from gnsopt.point import Counts, Point
from gnsopt.solver import Solver, suggest
from gnsopt.solvers.named import find_solver, solver_names

STALLED = 25  # Newton iterations without a new low of the gradient norm: float64's limit, or too hard (chosen)
SLOW = 2000  # the same for methods of first order, whose gradient norm rises and falls (chosen)
EPS = float(np.finfo(float).eps)
NOISE = EPS**0.5  # gradient relative to the largest one, above which rounding does not explain a stall (chosen)
FORGET = 1.5  # by which the largest rate met so far is lowered at each look (chosen)
TIGHTEST = 1e-14  # relative residual that no adjoint solve is asked to beat
KEPT = 40  # products after which a kept factor is given up as a preconditioner (chosen)
IDENTITY = DiagonalMetric()


class Kept(Curvature):
    """The curvature of a lower iteration, which remembers its last shift: its factor serves the adjoint too.

    Parameters
    ----------
    form, shifted, counts : object
        As in `Curvature`.
    """

    lam = 0.0

    def solve(self, lam: float, b: Array) -> Array:
        """Return ``(H + lam B)^{-1} b``."""
        self.lam = lam
        return super().solve(lam, b)

    @property
    def direct(self) -> bool:
        """Whether a solve is a triangular one and not a run of conjugate gradients."""
        return not isinstance(self.shifted, KrylovShifted)


class Factor(Preconditioner):
    """A factor at hand as a preconditioner.

    Parameters
    ----------
    curvature : Kept
        Whose factor.
    """

    def __init__(self, curvature: Kept) -> None:
        self._shifted, self._lam = curvature.shifted, curvature.lam

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return the solve with the last shift."""
        return lambda r: self._shifted.solve(self._lam, r)


class LowerCurvature:
    """Curvature model of the lower level: one engine for the run, so that preconditioners survive a step in theta.

    Parameters
    ----------
    method : str
        How systems are solved, as in `gnsopt.curvature`: ``"auto"``, ``"cg"``, ``"cholesky"``, ...
    forcing : float
        Relative residual of inexact Newton steps.
    """

    def __init__(self, method: str, forcing: float) -> None:
        self._engine = Engine(method, 0.5, forcing, 20_000, AUTO)
        self._forcing = forcing
        self.last: Kept | None = None

    def start(self, x: Point) -> LowerCurvature:
        """Begin a lower solve: nothing is forgotten."""
        return self

    def __call__(self, x: Point) -> Curvature:
        """Return H at `x`, ready for steps."""
        form = x.hess()
        shifted = self._engine.attach(form, x, "lower Hessian")
        wide = isinstance(form, Gram) and form.design.n_samples < form.design.n_columns
        if wide and self._engine.method == "auto" and isinstance(shifted, KrylovShifted):
            # preconditioners in the space of the rows cost more to apply than ten sparse products (measured)
            self._engine.method, shifted = "cg", self._engine.attach(form, x, "lower Hessian")
        self.last = Kept(form, shifted, x.counts)
        return self.last

    def price(self) -> float:
        """Return what the last factor or preconditioner cost, in units of a product with H."""
        assert self.last is not None
        form, bought = self.last.form, self._engine._preconditioner
        if isinstance(self.last.shifted, RowSpaceShifted) and isinstance(form, Gram):
            order = float(form.design.n_samples * form.k)
            price = order**3 / 3 + 4 * order**2 * form.k
        elif not self.last.direct and isinstance(form, Gram) and isinstance(bought, ClassBlocks):
            price = ClassBlocks.price(form)
        elif not self.last.direct and isinstance(form, Gram) and isinstance(bought, ActiveRows):
            price = min(ActiveRows.price(form, 0.0, IDENTITY), 1e300)
        else:
            price = form.dense_price + form.n**3 / 3
        return price / max(form.product_price, 1.0) if np.isfinite(price) else float(form.n)

    def newton_step(self, g: Array) -> float:
        """Return the length of ``H^{-1} g`` by the factor at hand, NaN where there is none.

        Parameters
        ----------
        g : ndarray of shape (n,)
            A gradient near the point of the factor.

        Returns
        -------
        float
            The length: to first order the distance to the solution.
        """
        if self.last is None or not self.last.direct:
            return np.nan
        try:
            return float(np.linalg.norm(self.last.shifted.solve(self.last.lam, g)))
        except NotPositiveDefinite:
            return np.nan

    def adjoint(self, x: Point, b: Array, tol: float) -> Array:
        """Return s with ``|H(x) s - b| <= tol``, by the factor of the last step where there is one.

        Parameters
        ----------
        x : Point
            Where.
        b : ndarray of shape (n,)
            Right-hand side.
        tol : float
            Absolute residual in the Euclidean norm.

        Returns
        -------
        ndarray of shape (n,)
            The solution; of less accuracy where float64 allows no more.
        """
        form, size = x.hess(), float(np.linalg.norm(b))
        floor = max(tol / size, TIGHTEST)
        if self.last is not None and self.last.direct:
            rule = Accuracy(0.0, floor, 0.0, KEPT)
            shifted = KrylovShifted(_counted(form, x.counts), IDENTITY, Factor(self.last), rule)
            s = Curvature(form, shifted, x.counts).solve(0.0, b)
            rest = b - form.matvec(s)
            x.counts.nhessp += 1
            if np.linalg.norm(rest) <= max(2 * tol, 1e-10 * size):
                return s
        twin = Point(x.objective, x.x, x.counts, IDENTITY)  # without the lower solve's metric and tolerance
        self._engine.floor = floor
        try:
            self.last = Kept(form, self._engine.attach(form, twin, "lower Hessian"), x.counts)
            return self.last.solve(0.0, b)
        finally:
            self._engine.floor = self._forcing


def _counted(form: Form, counts: Counts) -> Any:
    def matvec(v: Array) -> Array:
        counts.nhessp += 1
        return form.matvec(v)

    return matvec


class LowerSolver:
    """How the lower level of one block is solved along a run.

    Parameters
    ----------
    problem : BilevelProblem
        One block.
    solver : str or Solver
        ``"newton"`` (`InexactNewton`), ``"fista"`` (constant steps with the declared ``mu`` and ``L``), a name of
        `gnsopt.SOLVERS`, or an instance.
    linear : str
        How linear systems are solved, as in `gnsopt.curvature`.
    forcing : float
        Relative residual of inexact Newton steps.
    run : Run
        Where work is counted and the budget kept.
    """

    def __init__(self, problem: BilevelProblem, solver: Any, linear: str, forcing: float, run: Run) -> None:
        if not isinstance(linear, str) or linear not in METHODS:
            raise ValueError(f"linear={shown(linear)} is unknown; choose one of {', '.join(METHODS)}")
        self.problem, self.run = problem, run
        self.curvature = LowerCurvature(linear, forcing)
        self.counts, self._seen = Counts(), Counts()
        self._solver = solver
        if isinstance(solver, np.ndarray):
            raise ValueError("lower_solver is an array; pass a name or a gnsopt.Solver")
        if solver == "newton":
            self._solver = InexactNewton()
        elif isinstance(solver, str) and solver != "fista":
            named = find_solver(solver)
            if named is None:
                known = [*solver_names(), "fista", "newton"]
                raise ValueError(f"lower_solver={solver!r} is unknown; {suggest(solver, known)}")
            self._solver = named()
        elif solver == "fista":
            problem.require("constants", "lower_solver='fista'")
        elif not isinstance(solver, Solver):
            raise ValueError(f"lower_solver={solver!r} must be a name or an instance of gnsopt.Solver")
        self.gamma: float | None = None
        self.patience = STALLED if hasattr(self._solver, "curvature") else SLOW
        self.rate = 0.0  # at which the upper gradient was seen to change with x
        self._upper: tuple[Array, Array] | None = None
        self.scale = 0.0  # largest lower gradient seen: what rounding is relative to

    def begin(self, theta: Array, x: Array) -> Descent:
        """Return the lower solve at `theta` from `x`; nothing is done before it is asked for accuracy."""
        return Descent(self, theta, x)

    def solver(self, theta: Array) -> Solver:
        """Return the solver for `theta`, with the run's curvature where it takes one."""
        if self._solver == "fista":
            mu = self.problem.mu(theta)
            return StronglyConvexFista(mu, max(self.problem.constants(theta).L, mu))
        solver: Solver = self._solver
        names = {f.name for f in fields(solver)}
        changes: dict[str, Any] = {}
        if getattr(solver, "curvature", None) is resolve("auto"):
            changes["curvature"] = self.curvature
        if self.gamma is not None and "gamma0" in names:  # a radius that shrank at rounding level is no start
            changes["gamma0"] = max(self.gamma, solver.gamma0)  # type: ignore[attr-defined]
        return replace(solver, **changes) if changes else solver

    def watch(self, x: Array, gx: Array) -> None:
        """Compare the upper gradient with the last one: their rate of change, slowly forgotten, is `rate`.

        Parameters
        ----------
        x, gx : ndarray of shape (n,)
            Lower iterate and upper gradient there.
        """
        if self._upper is not None:
            apart = float(np.linalg.norm(x - self._upper[0]))
            if apart > 0:
                self.rate = max(float(np.linalg.norm(gx - self._upper[1])) / apart, self.rate / FORGET)
        self._upper = x, gx

    def account(self, adjoint: bool = False) -> None:
        """Add what was counted since the last call to the work of the run, and look at the budget."""
        work, now, seen = self.run.work, self.counts, self._seen
        products = now.nhessp - seen.nhessp
        work.lower_gradients += now.njev - seen.njev
        if adjoint:
            work.adjoint_products += products
        else:
            work.hessian_products += products
        work.hessians += now.nhev - seen.nhev
        work.solves += now.nsolve - seen.nsolve
        if now.nhev > seen.nhev:
            work.assembly += (now.nhev - seen.nhev) * self.curvature.price()
        for name in ("njev", "nhessp", "nhev", "nsolve"):
            setattr(seen, name, getattr(now, name))
        self.run.spend()


class Descent:
    """One lower solve: a point that can be driven further.

    Parameters
    ----------
    solver : LowerSolver
        Of the block.
    theta : ndarray of shape (d,)
        Upper variables.
    x : ndarray of shape (n,)
        Warm start.
    """

    def __init__(self, solver: LowerSolver, theta: Array, x: Array) -> None:
        self._solver = solver
        self.objective = solver.problem.objective(theta)
        self.theta = theta
        self.point = Point(self.objective, x, solver.counts, IDENTITY)
        self._steps: Iterator[tuple[Point, dict[str, float]]] | None = None
        self._least = np.inf
        self.exhausted = False  # no smaller gradient can be had: at the limit of float64, or stalled
        self.stiffness = np.nan  # least |grad h| before a step over its length: curvature along the way
        self.iterations = 0

    @property
    def residual(self) -> float:
        """``|grad h|`` at the current point, without what rounding may hide of it."""
        return float(np.linalg.norm(self.point.g))

    @property
    def rounding(self) -> float:
        """Rounding error of ``|grad h|``: relative to the largest one seen, whose terms are of the same size."""
        return EPS * self._solver.scale

    @property
    def stalled(self) -> bool:
        """Whether the solver gave up where rounding cannot be the reason."""
        return self.exhausted and self._least > NOISE * self._solver.scale

    def to(self, target: float) -> None:
        """Go on until ``|grad h| <= target``, or until no more can be had (`exhausted`).

        Parameters
        ----------
        target : float
            Euclidean norm of the gradient.

        Raises
        ------
        EndOfRun
            If the budget is spent, or h is not finite or not convex.
        """
        best, idle = self.point, 0
        if not self.point.finite:
            raise EndOfRun("not-finite")
        self._least = min(self._least, self.residual)
        self._solver.scale = max(self._solver.scale, self.residual)
        self.exhausted = self.exhausted or self.residual <= self.rounding
        if self._steps is None:
            self._steps = self._solver.solver(self.theta).iterates(self.point)
        self.point.enough = target / np.sqrt(self.point.x.size)
        while not self.exhausted and self.residual > target:
            before, size = self.point, self.residual
            try:
                self.point, scalars = next(self._steps)
            except NotPositiveDefinite:
                raise EndOfRun("not-convex") from None
            except StepFailure:
                self.exhausted = True
                break
            self.iterations += 1
            self._solver.account()
            if not self.point.finite:
                self.point = best
                raise EndOfRun("not-finite")
            length = float(np.linalg.norm(self.point.x - before.x))
            if length > 0:
                self.stiffness = np.fmin(self.stiffness, size / length)
            if "gamma" in scalars:
                self._solver.gamma = scalars["gamma"]
            if self.residual < self._least:
                best, idle, self._least = self.point, 0, self.residual
            else:
                idle += 1
            self.exhausted = idle >= self._solver.patience or self.residual <= self.rounding
            self.point.enough = target / np.sqrt(self.point.x.size)
        if self.exhausted and best.finite and best is not self.point and self.residual > self._least:
            self.point = best
