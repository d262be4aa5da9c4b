"""Checks of a problem's oracles before any work: shapes, finite values, symmetry, and whether `mu` can be true."""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.problem import BilevelProblem, as_vector, value_and_gradient
from gnsopt.curvature.spectral import lanczos
from gnsopt.exceptions import StepFailure
from gnsopt.point import Point

PRODUCTS = 12  # of the Lanczos process that looks for curvature below mu (chosen: a wrong factor shows within a few)
SLACK = 1e-8  # relative, for rounding


def check_oracles(problem: BilevelProblem, theta: Array, names: tuple[str, ...]) -> None:
    """Call every oracle once at the first lower iterate and raise where an answer cannot be right.

    Parameters
    ----------
    problem : BilevelProblem
        One block.
    theta : ndarray of shape (d,)
        Where.
    names : tuple of str
        Oracles that the method needs.

    Raises
    ------
    TypeError, ValueError
        Naming the oracle, what it returned and what it must return.
    """
    x = problem.start()
    point = Point(problem.objective(theta), x)
    as_vector(point.g, problem.n, "lower: gradient in x")
    if not point.finite:
        raise ValueError(
            f"lower: h or its gradient is not finite at theta0 (h = {point.f}); choose another theta0 or x0"
        )
    out = problem.upper(x, theta)
    if not (isinstance(out, tuple | list) and len(out) == 3):
        raise TypeError(f"upper returned {type(out).__name__}; it must return (g, grad_x g, grad_theta g or None)")
    g, gx = value_and_gradient(out, problem.n, "upper")
    gt = np.zeros(problem.d) if out[2] is None else as_vector(out[2], problem.d, "upper: gradient in theta")
    if not (np.isfinite(g) and np.isfinite(gx).all() and np.isfinite(gt).all()):
        raise ValueError(f"upper: g or a gradient is not finite at theta0 (g = {g}); choose another theta0 or x0")
    if "cross_t" in names:
        _finite(as_vector(problem.cross_t(x, theta, gx), problem.d, "cross_t(x, theta, q)"), "cross_t(x, theta, q)")
    if "lower_theta" in names:
        _finite(as_vector(problem.lower_theta(x, theta), problem.d, "lower_theta"), "lower_theta")
    if problem.offers("mu"):
        check_mu(problem, theta, point)


def mu_holds(problem: BilevelProblem, theta: Array, x: Array) -> bool:
    """Whether no product with H at the result contradicts mu there.

    Parameters
    ----------
    problem : BilevelProblem
        One or many blocks.
    theta : ndarray of shape (d,)
        Upper variables.
    x : ndarray of shape (n,)
        Lower variables, the blocks one after the other.

    Returns
    -------
    bool
        False proves that mu is wrong; True proves nothing.
    """
    try:
        for block, part in zip(problem.blocks, problem.split(x), strict=True):
            if block.offers("mu"):
                check_mu(block, theta, Point(block.objective(theta), part))
    except ValueError:
        return False
    return True


def _finite(a: Array, name: str) -> None:
    if not np.isfinite(a).all():
        raise ValueError(f"{name} is not finite at theta0; choose another theta0 or x0")


def check_mu(problem: BilevelProblem, theta: Array, point: Point) -> None:
    """Raise where a Ritz value is below mu: none is below the least eigenvalue, so this proves that mu is wrong.

    Parameters
    ----------
    problem : BilevelProblem
        One block.
    theta : ndarray of shape (d,)
        Upper variables.
    point : Point
        A point of the lower level at `theta`.

    Raises
    ------
    ValueError
        With mu and the curvature.
    """
    mu = problem.mu(theta)
    if not (np.isfinite(mu) and mu > 0):
        raise ValueError(
            f"mu(theta)={mu!r} must be positive: the lower level must be strongly convex; add a ridge term"
        )
    try:
        H = point.hess()
    except StepFailure as failure:
        raise ValueError(f"hvp: {failure} at theta0") from None
    low, _ = lanczos(lambda v: -as_vector(H.matvec(v), problem.n, "hvp"), problem.n, 1, max_products=PRODUCTS, tol=0.0)
    least, scale = -float(low[0]), float(np.max(np.abs(low)))
    if np.isnan(least):
        raise ValueError("hvp: a product with H is not finite at theta0")
    if least < mu - SLACK * max(mu, scale):
        sign = "is not convex" if least < 0 else f"has curvature {least:.6g}"
        raise ValueError(
            f"mu(theta)={mu:.6g} is wrong: the lower level {sign} at theta={_short(theta)}; mu must be a lower bound "
            "of the eigenvalues of H for all x"
        )


def _short(theta: Array) -> str:
    return np.array2string(theta, precision=4, threshold=6)
