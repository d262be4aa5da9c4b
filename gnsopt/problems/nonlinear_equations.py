r"""Nonlinear equations ``u(x) = 0`` through a power of the norm of their residual.

    f(x) = |u|^p / p,   r = |u|,   J = u'(x),   grad = r^{p-2} J'u
    hess         = r^{p-2} (J'J + sum_i u_i hess u_i) + ((p-2)/r^p) g g'
    Gauss-Newton = r^{p-2} J'J + ((p-2)/r^p) g g'                          (the "inexact Hessian" of [1], Example 7)
    Fisher       = ((p-2)/r^p) g g'                                        (zero for p = 2)

``|hess - Gauss-Newton| <= sup |D^2 u| r^{p-1} <= (sup |D^2 u| / sigma_min(J)) |g|``, a relative inexactness. The weight
of the rank-one term is that of [1] written with g, which neither overflows nor divides by a power of r below r^p; its
vector is the gradient itself, so that each shifted system costs one solve with the rest.

Departures from the authors' code: the sum of second derivatives is weighted by ``r^{p-2}`` (theirs: ``p/|u|^2``, latent
because no problem of theirs uses it).

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import blas

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_number, shown
from gnsopt.linalg.forms import Form
from gnsopt.linalg.structured import Diagonal, Zero, with_rank_one
from gnsopt.objective import Objective
from gnsopt.problems.composite import Composite
from gnsopt.problems.composite import check_count as check_count  # the chains take it from here

VANISHED = 1e-290  # r^p below which the weight (p-2)/r^p could overflow; f is zero for every purpose there


@dataclass
class Norm:
    """Norm of a vector, and the gradient of its power from its first use on.

    Parameters
    ----------
    r : float
        The norm.
    w : ndarray of shape (m,), optional
        ``r^{p-2} u``.
    """

    r: float
    w: Array | None = None


class NormPower(Objective):
    """``|u|^p / p``, a loss for `Composite`.

    Parameters
    ----------
    p : float, default=2.0
        Power, at least 2.

    Raises
    ------
    ValueError
        If ``p < 2``.
    """

    convex = True

    def __init__(self, p: float = 2.0) -> None:
        self.p = check_power(p)

    def prepare(self, x: Array) -> Norm:
        """Return the norm."""
        return Norm(float(blas.dnrm2(x)))

    def fun(self, x: Array, z: Norm) -> float:
        """Return ``r^p / p``."""
        return power(z.r, self.p) / self.p

    def grad(self, x: Array, z: Norm) -> Array:
        """Return ``w = r^{p-2} u``."""
        if z.w is None:
            z.w = power(z.r, self.p - 2) * x
        return z.w

    def hess(self, x: Array, z: Norm) -> Form:
        """Return ``r^{p-2} I + ((p-2)/r^p) w w'``."""
        return self._with_fisher(Diagonal(np.full(x.size, power(z.r, self.p - 2))), x, z)

    def fisher(self, x: Array, z: Norm) -> Form:
        """Return the rank-one term alone."""
        return self._with_fisher(Zero(x.size), x, z)

    def difference(self, x: Array, z: Norm, h: Array) -> float:
        """Return the decrease from the change of the square."""
        return norm_power_difference(x, z.r, h, self.p)

    def _with_fisher(self, H: Form, x: Array, z: Norm) -> Form:
        rp = power(z.r, self.p)
        return with_rank_one(H, (self.p - 2) / rp if rp > VANISHED else 0.0, self.grad(x, z))


class NonlinearEquations(Composite):
    """``|u(x)|^p / p`` for callables `u` and `jac`: the `Composite` of `NormPower`.

    Parameters
    ----------
    u : callable
        ``u(x) -> array of shape (m,)``.
    jac : callable
        ``jac(x)``, the Jacobian of shape (m, n): an array, a sparse array, or a ``scipy.sparse.dia_array`` of few
        diagonals, which is taken as banded (shifted systems are then banded too).
    n : int
        Number of variables.
    p : float, default=2.0
        Power, at least 2.
    hess_u : callable, optional
        ``hess_u(x, w)``, the matrix ``sum_i w_i hess u_i(x)``: an array, a sparse array (a ``dia_array`` is taken as
        banded) or a form. With it the exact Hessian is offered.
    change : callable, optional
        ``change(x, h)``, the difference ``u(x + h) - u(x)`` computed without cancellation. With it the exact decrease
        of f is offered.

    Raises
    ------
    TypeError
        If an argument that must be callable is not.
    ValueError
        If ``n < 1`` or ``p < 2``; in a run, if `u` or `jac` returns an array of the wrong shape.
    """

    def __init__(
        self,
        u: Callable[[Array], ArrayLike],
        jac: Callable[[Array], Any],
        n: int,
        p: float = 2.0,
        hess_u: Callable[[Array, Array], Any] | None = None,
        change: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        loss = NormPower(p)
        super().__init__(loss, u, jac, n, hess_u, change)
        self.p = loss.p


def power(r: float, p: float) -> float:
    """Return ``r^p`` for r >= 0, inf on overflow.

    Parameters
    ----------
    r, p : float
        Base and exponent.

    Returns
    -------
    float
        The power.
    """
    try:
        return float(r) ** p
    except OverflowError:
        return math.inf


def norm_power_difference(u: Array, r: float, d: Array, p: float) -> float:
    r"""Return ``(|u|^p - |u + d|^p) / p`` to full relative accuracy.

    With ``t = (|u + d|^2 - |u|^2)/r^2 = <d, 2u + d>/r^2`` it is ``-(r^p/p) expm1((p/2) log1p(t))``; above t = 1 nothing
    cancels and the two powers are subtracted.

    Parameters
    ----------
    u : ndarray of shape (m,)
        A vector.
    r : float
        Its norm.
    d : ndarray of shape (m,)
        Its change.
    p : float
        Power, positive.

    Returns
    -------
    float
        The decrease.
    """
    if r == 0.0:
        return -power(float(blas.dnrm2(d)), p) / p
    with np.errstate(over="ignore", invalid="ignore"):
        t = float((d / r) @ (2 * u / r + d / r))
        if not t <= 1.0:
            return (power(r, p) - power(float(blas.dnrm2(u + d)), p)) / p
    return -power(r, p) / p * (math.expm1(p / 2 * math.log1p(t)) if t > -1.0 else -1.0)


def power_difference(a: Array, d: Array, p: float) -> Array:
    r"""Return ``|a + d|^p - |a|^p`` elementwise, to full relative accuracy.

    ``|a|^p expm1(p log1p(d/a))`` where ``|d| <= |a|``, after a change of sign is folded: ``|a + d| = |a - (2a + d)|``.

    Parameters
    ----------
    a, d : ndarray of shape (m,)
        Numbers and their changes.
    p : float
        Power, positive.

    Returns
    -------
    ndarray of shape (m,)
        The changes of the powers.
    """
    with np.errstate(all="ignore"):
        t = d / a
        t = np.where(t < -1.0, -(2 * a + d) / a, t)
        near = np.abs(a) ** p * np.expm1(p * np.log1p(t))
        far = np.abs(a + d) ** p - np.abs(a) ** p
    return np.where(np.abs(t) <= 1.0, near, far)


def check_power(p: Any, name: str = "p") -> float:
    """Return the power as a float.

    Parameters
    ----------
    p : float
        At least 2 and finite: below, f is not twice differentiable where the residual vanishes.
    name : str, default="p"
        How the argument is called in errors.

    Returns
    -------
    float
        The power.

    Raises
    ------
    ValueError
        Otherwise.
    """
    power = as_number(p, name)
    if not 2 <= power < np.inf:
        raise ValueError(f"{name}={shown(p)} must be a finite number of at least 2")
    return power
