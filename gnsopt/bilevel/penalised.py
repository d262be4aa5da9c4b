r"""The penalised lower level ``h_s = h + s g`` over Y, and its minimisers by gradients alone.

From a point x and any L > 0, ``x+ = Proj_Y(x - grad h_s(x)/L)`` and ``r = L (x - x+) + grad h_s(x+) - grad h_s(x)``, a
subgradient of ``h_s`` plus the indicator of Y at x+. Strong convexity m of h_s gives the certificates

    |x+ - x_s| <= |r|/m,      h_s(x+) - |r|^2/(2 m) <= l(theta, s) <= h_s(x+),

l being the minimum and x_s the minimiser. Without constraints r is the gradient itself.
"""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.constrained import ConstrainedProblem
from gnsopt.bilevel.inner import accelerated, quasi_newton
from gnsopt.bilevel.lbfgs import LBFGS
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.run import EndOfRun, Run

MEMORY = 20  # pairs that L-BFGS keeps
PROGRESS = 0.5  # of the residual: a solve that does less says nothing about the curvature (chosen)
SAFETY = 2.0  # by which a measured curvature may be too large
LARGEST = 1e60  # entries of iterates (chosen)
EPS = float(np.finfo(float).eps)


def penalised(run: Run, problem: BilevelProblem, x: Array, theta: Array, s: float) -> tuple[float, Array]:
    """Return ``h_s(x, theta)`` and its gradient in x, counted.

    Parameters
    ----------
    run : Run
        Where work is counted: a unit for each gradient.
    problem : BilevelProblem
        A problem of one block.
    x : ndarray of shape (n,)
        Lower variables.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective.

    Returns
    -------
    value : float
        ``h + s g``.
    gradient : ndarray of shape (n,)
        Of the same.

    Raises
    ------
    EndOfRun
        Where the budget ends.
    """
    run.spend()
    run.work.lower_gradients += 1 + (s != 0)
    with np.errstate(over="ignore", invalid="ignore"):
        h, grad = problem.lower(x, theta)
        if s:
            g, gx, _ = problem.upper(x, theta)
            h, grad = h + s * g, grad + s * gx
    return h, grad


def check_size(*arrays: Array) -> None:
    """Raise EndOfRun where constant steps diverge: an entry is NaN or so large that squares would overflow.

    Parameters
    ----------
    *arrays : ndarray
        What a method has computed.

    Raises
    ------
    EndOfRun
        With status "not-finite".
    """
    if not all(np.max(np.abs(a), initial=0.0) < LARGEST for a in arrays):
        raise EndOfRun("not-finite")


def project(problem: BilevelProblem, x: Array) -> Array:
    """Return the projection of x on Y, x itself where there are no constraints.

    Parameters
    ----------
    problem : BilevelProblem
        A problem of one block.
    x : ndarray of shape (n,)
        Lower variables.

    Returns
    -------
    ndarray of shape (n,)
        The projection.
    """
    return problem.project(x) if isinstance(problem, ConstrainedProblem) else x


def theta_gradient(problem: BilevelProblem, x: Array, theta: Array, s: float) -> Array:
    """Return ``grad_theta h_s(x, theta) = grad_theta h + s grad_theta g``.

    Parameters
    ----------
    problem : BilevelProblem
        A problem of one block.
    x : ndarray of shape (n,)
        Lower variables.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective.

    Returns
    -------
    ndarray of shape (d,)
        The gradient.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        out = problem.lower_theta(x, theta)
        upper = problem.upper(x, theta)[2] if s else None
    return out if upper is None else out + s * upper


def upper_curvature(problem: BilevelProblem, theta: Array) -> tuple[float, float]:
    """Return bounds of the eigenvalues of the Hessian of g in x, infinite where unknown.

    The lower one is the problem's attribute ``upper_mu`` where it has one, else minus the upper one.

    Parameters
    ----------
    problem : BilevelProblem
        A problem of one block.
    theta : ndarray of shape (d,)
        Upper variables.

    Returns
    -------
    low, high : float
        The bounds.
    """
    high = problem.constants(theta).L_g if problem.offers("constants") else np.inf
    return float(getattr(problem, "upper_mu", -high)), high


def lipschitz(problem: BilevelProblem, theta: Array, s: float) -> float:
    """Return the Lipschitz constant of ``grad_x h_s``, for methods of constant steps.

    Parameters
    ----------
    problem : BilevelProblem
        A problem of one block that declares its constants.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective.

    Returns
    -------
    float
        ``L + |s| L_g``.
    """
    problem.require("constants", "steps of constant length")
    c = problem.constants(theta)
    return c.L + abs(s) * c.L_g


class Level:
    """``h_s(., theta)`` over Y with its approximate minimiser, which can be made sharper.

    Parameters
    ----------
    run : Run
        Where work is counted.
    problem : BilevelProblem
        One block.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective; negative for the central twin.
    x : ndarray of shape (n,)
        Warm start.
    inner : str
        ``"l-bfgs"`` or ``"gradient"``; under constraints it is the latter.
    warm : Level, optional
        The same level elsewhere, whose measured curvature, L and quasi-Newton pairs are taken over.

    Attributes
    ----------
    x : ndarray of shape (n,)
        The point ``x+``.
    value, residual : float
        ``h_s`` and ``|r|`` there.
    exhausted : bool
        Whether float64 allows no smaller residual.
    curvature : float
        Of h_s along the last solve.
    """

    def __init__(
        self,
        run: Run,
        problem: BilevelProblem,
        theta: Array,
        s: float,
        x: Array,
        inner: str,
        warm: Level | None = None,
    ) -> None:
        self.run, self.problem, self.theta, self.s = run, problem, theta, s
        self.free = not isinstance(problem, ConstrainedProblem)
        self.by_gradient = inner == "gradient" or not self.free
        self.memory: LBFGS = LBFGS(MEMORY) if warm is None else warm.memory
        self.exhausted = False
        self.curvature: float = np.nan if warm is None else warm.curvature
        self.L: float = 1.0 if warm is None else warm.L
        self._move(x)

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return ``h_s`` and its gradient; EndOfRun where the budget ends."""
        return penalised(self.run, self.problem, x, self.theta, self.s)

    def project(self, x: Array) -> Array:
        """Return the projection on Y."""
        return project(self.problem, x)

    def _move(self, x: Array) -> None:
        """Take the point that follows `x`, with its residual."""
        value, grad = self.evaluate(x)
        if not self.free:
            after = self.project(x - grad / self.L)
            step, old = self.L * (x - after), grad
            value, grad = self.evaluate(after)
            x, r = after, step + grad - old
        else:
            r = grad
        self.x, self.value, self.grad, self.residual = x, value, grad, float(np.linalg.norm(r))
        if not (np.isfinite(value) and np.isfinite(self.residual)):  # a trial to be rejected, or the end of the run
            self.value, self.residual, self.exhausted = np.nan, np.inf, True

    def solve(self, target: float) -> None:
        """Go on until ``|r| <= target``, or to the limit of float64.

        Parameters
        ----------
        target : float
            Norm of the residual.
        """
        if self.exhausted or self.residual <= target:
            return
        kept = (self.x, self.value, self.grad, self.residual)
        self._move(accelerated(self, target) if self.by_gradient else quasi_newton(self, target))
        moved = self.x - kept[0]
        if np.any(moved) and self.residual < PROGRESS * kept[3]:
            self.curvature = float(moved @ (self.grad - kept[2])) / float(moved @ moved)
        if self.residual > target:
            self.exhausted = True
            if self.residual > kept[3]:
                self.x, self.value, self.grad, self.residual = kept

    def strength(self, certified: bool) -> float:
        """Return the strong convexity m of h_s: declared, or (not certified) measured along the last solve."""
        declared = 0.0
        if self.problem.offers("mu"):
            low, high = upper_curvature(self.problem, self.theta)
            declared = self.problem.mu(self.theta) + (self.s * low if self.s > 0 else self.s * high if self.s else 0.0)
        elif self.s > 0:
            declared = self.s * max(upper_curvature(self.problem, self.theta)[0], 0.0)
        declared = declared if np.isfinite(declared) else 0.0
        if certified or not self.curvature > 0:
            return declared
        return max(declared, self.curvature / SAFETY)
