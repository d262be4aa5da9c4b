"""A primal-dual point ``(x, y)``: everything computed once, lazily, and counted."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator

from gnsopt._typing import Array
from gnsopt.constrained.matrices import add, entries
from gnsopt.constrained.problem import ConstrainedProblem
from gnsopt.exceptions import MissingRequirement, StepFailure
from gnsopt.linalg.forms import Operator, as_form
from gnsopt.point import FAILED_EVALUATION, Counts, Point

NAMES = ("ncev", "ncjev", "nchev", "nmatvec")
ASSEMBLED = 3000  # variables up to which a structured Hessian is assembled, beyond which its products are used (chosen)


class Work:
    """Counts of one run: those of the objective, and of the constraints and linear solves.

    Attributes
    ----------
    objective : Counts
        ``nfev njev nhev nhessp nsolve``; a solve is one linear system.
    ncev, ncjev, nchev : int
        Values, Jacobians and Hessians of the constraints.
    nmatvec : int
        Products of the KKT matrix, or their equivalent in rows of it, spent by iterative solvers.
    """

    def __init__(self) -> None:
        self.objective = Counts()
        self.ncev = self.ncjev = self.nchev = 0
        self.nmatvec = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return all counts by name."""
        return {**self.objective.as_dict(), **{name: getattr(self, name) for name in NAMES}}


class Primal:
    """What depends on x alone: f, g, c and the Jacobian G.

    Parameters
    ----------
    problem : ConstrainedProblem
        The problem.
    x : ndarray of shape (n,)
        Where; not copied, never written.
    work : Work
        The run's counts.
    trial : bool, default=False
        Whether a failed evaluation means "reject" rather than "raise".
    """

    def __init__(self, problem: ConstrainedProblem, x: Array, work: Work, *, trial: bool = False) -> None:
        self.problem, self.x, self.work, self.trial = problem, x, work, trial
        self.objective = Point(problem.objective, x, work.objective, trial=trial)

    @cached_property
    def c(self) -> Array:
        """Values of the constraints."""
        self.work.ncev += 1
        return self._safe(lambda: self.problem.constraints.cons(self.x), (self.problem.m,))

    @cached_property
    def G(self) -> Any:
        """Jacobian."""
        self.work.ncjev += 1
        return self._safe(lambda: self.problem.constraints.jac(self.x), (self.problem.m, self.problem.n))

    def _safe(self, evaluate: Any, shape: tuple[int, ...]) -> Any:
        try:
            return evaluate()
        except FAILED_EVALUATION:
            if not self.trial:
                raise
            return np.full(shape, np.nan)

    @cached_property
    def finite(self) -> bool:
        """Whether f, g, c and G are; f and c are asked first, so that a hopeless trial costs no derivative."""
        if not (math.isfinite(self.objective.f) and np.isfinite(self.c).all() and self.objective.finite):
            return False
        return bool(np.isfinite(entries(self.G)).all())

    @cached_property
    def objective_hessian(self) -> Any:
        """The matrix that the objective gives, sparse if it does; else its products, by differences if need be."""
        objective, point = self.problem.objective, self.objective
        n = self.problem.n
        if objective.offers("hess"):
            raw = objective.hess(self.x, point.z)
            form = as_form(raw, n)  # checks the shape
            if issparse(raw) or (not isinstance(form, Operator) and n <= ASSEMBLED):
                self.work.objective.nhev += 1
                return raw if issparse(raw) else form.dense()
            return LinearOperator(
                (n, n), matvec=lambda v: self._count(form.matvec(np.asarray(v).reshape(-1))), dtype=float
            )
        if not objective.offers("hessp"):
            raise MissingRequirement(f"{type(objective).__name__} has no 'hess' or 'hessp': pass one of them")
        return LinearOperator((n, n), matvec=lambda v: point.hessp(np.asarray(v).reshape(-1)), dtype=float)

    def _count(self, Hv: Array) -> Array:
        self.work.objective.nhessp += 1
        return Hv


class KKTPoint:
    """A point with multipliers.

    Parameters
    ----------
    primal : Primal
        What belongs to x.
    y : ndarray of shape (m,)
        Multipliers.
    """

    provisional = False  # its values are those of the problem

    def __init__(self, primal: Primal, y: Array) -> None:
        self.primal, self.y = primal, y
        self.problem, self.work, self.x = primal.problem, primal.work, primal.x

    def at(self, x: Array, y: Array) -> KKTPoint:
        """Return the trial point (x, y) of the same run."""
        return KKTPoint(Primal(self.problem, x, self.work, trial=True), y)

    def with_multipliers(self, y: Array) -> KKTPoint:
        """Return the same x with other multipliers; nothing of x is evaluated again."""
        return KKTPoint(self.primal, y)

    @property
    def f(self) -> float:
        """Objective value."""
        return self.primal.objective.f

    @property
    def g(self) -> Array:
        """Gradient of f."""
        return self.primal.objective.g

    @property
    def c(self) -> Array:
        """Values of the constraints."""
        return self.primal.c

    @property
    def G(self) -> Any:
        """Jacobian of the constraints."""
        return self.primal.G

    @property
    def finite(self) -> bool:
        """Whether everything of first order is finite."""
        return self.primal.finite and bool(np.isfinite(self.y).all())

    @cached_property
    def gL(self) -> Array:
        """Gradient of the Lagrangian in x."""
        return np.asarray(self.g + self.G.T @ self.y)

    @cached_property
    def F(self) -> float:
        """KKT residual ``|(g_L, c)|_2``."""
        return float(np.hypot(np.linalg.norm(self.gL), np.linalg.norm(self.c)))

    @cached_property
    def feasibility(self) -> float:
        """``|c|_inf``."""
        return largest(self.c)

    @cached_property
    def optimality(self) -> float:
        """``|g_L|_inf / max(1, |g|_inf, |y|_inf)``."""
        return largest(self.gL) / max(1.0, largest(self.g), largest(self.y))

    def residual(self, norm: str) -> float:
        """Return the KKT residual: ``"scaled"`` (max of optimality and feasibility), ``"inf"`` or ``"2"``."""
        if norm == "2":
            return self.F
        return max(self.optimality if norm == "scaled" else largest(self.gL), self.feasibility)

    @cached_property
    def H(self) -> Any:
        """Hessian of the Lagrangian in x: an array, a sparse array or, where products are all there is, an operator."""
        try:
            H = add(self.primal.objective_hessian, self._constraint_hessian())
        except FAILED_EVALUATION as error:
            if not self.primal.trial:
                raise
            raise StepFailure(f"the Hessian failed: {error}") from error
        if not isinstance(H, LinearOperator) and not np.isfinite(entries(H)).all():
            raise StepFailure("the Hessian is not finite")
        return H

    def _constraint_hessian(self) -> Any:
        H = self.problem.constraints.hess(self.x, self.y)
        self.work.nchev += H is not None
        return H


def largest(v: Array) -> float:
    """Return ``|v|_inf``, zero for an empty vector.

    Parameters
    ----------
    v : ndarray
        The vector.

    Returns
    -------
    float
        The norm.
    """
    return float(np.abs(v).max()) if v.size else 0.0
