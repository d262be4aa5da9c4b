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
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array, ArrayLike
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram, as_form
from gnsopt.linalg.rows import WeightRows
from gnsopt.linalg.structured import Banded, BandedMatrix, Zero, plus, with_rank_one
from gnsopt.objective import Objective

VANISHED = 1e-290  # r^p below which the weight (p-2)/r^p could overflow; f is zero for every purpose there


@dataclass
class Residual:
    """What f, gradient and curvature share at one x; `J` and `g` are filled in at their first use.

    Parameters
    ----------
    u : ndarray of shape (m,)
        The residual.
    r : float
        Its norm.
    J : Design or BandedMatrix, optional
        Its Jacobian.
    g : ndarray of shape (n,), optional
        Gradient of f.
    """

    u: Array
    r: float
    J: Design | BandedMatrix | None = None
    g: Array | None = None


class NonlinearEquations(Objective):
    """``|u(x)|^p / p`` for callables `u` and `jac`.

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
        ``hess_u(x, v)``, the matrix ``sum_i v_i hess u_i(x)``: an array, a sparse array (a ``dia_array`` is taken as
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
        for name, value, optional in (("u", u, 0), ("jac", jac, 0), ("hess_u", hess_u, 1), ("change", change, 1)):
            if not (callable(value) or (optional and value is None)):
                raise TypeError(f"{name}={value!r} must be callable")
        self.n = check_count(n, "n", 1)
        self.p = check_power(p)
        self._u, self._jac, self._hess_u, self._change = u, jac, hess_u, change

    def offers(self, name: str) -> bool:
        """Whether the function called `name` is there; the Hessian and the difference need `hess_u` and `change`."""
        given = {"hess": self._hess_u, "difference": self._change}
        return given[name] is not None if name in given else super().offers(name)

    def prepare(self, x: Array) -> Residual:
        """Return the residual and its norm; overflow gives a value that is not finite, and the trial is rejected."""
        with np.errstate(over="ignore", invalid="ignore"):
            u = np.array(self._u(x.copy()), dtype=float)
        if u.ndim != 1 or u.size == 0:
            raise ValueError(f"u returned shape {u.shape}; it must be (m,) with m >= 1")
        return Residual(u, float(blas.dnrm2(u)))

    def fun(self, x: Array, z: Residual) -> float:
        """Return ``r^p / p``."""
        return power(z.r, self.p) / self.p

    def grad(self, x: Array, z: Residual) -> Array:
        """Return ``r^{p-2} J'u``."""
        if z.g is None:
            with np.errstate(over="ignore", invalid="ignore"):
                z.g = power(z.r, self.p - 2) * self._jacobian_at(x, z).rmatvec(z.u)
        return z.g

    def hess(self, x: Array, z: Residual) -> Form:
        """Return the exact Hessian, which may be indefinite."""
        assert self._hess_u is not None  # or it is not offered
        H = self._hess_u(x.copy(), z.u.copy())
        second = Banded(_lower_diagonals(H)) if _is_banded(H) else as_form(H, self.n)
        return self._with_fisher(plus(self._squared(x, z), power(z.r, self.p - 2), second), x, z)

    def gauss_newton(self, x: Array, z: Residual) -> Form:
        """Return the Gauss-Newton matrix with the Fisher term: the Hessian without the second derivatives of u."""
        return self._with_fisher(self._squared(x, z), x, z)

    def fisher(self, x: Array, z: Residual) -> Form:
        """Return the rank-one term alone."""
        return self._with_fisher(Zero(self.n), x, z)

    def difference(self, x: Array, z: Residual, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` from the change of u."""
        assert self._change is not None  # or it is not offered
        return norm_power_difference(z.u, z.r, np.asarray(self._change(x, h)), self.p)

    def _jacobian_at(self, x: Array, z: Residual) -> Design | BandedMatrix:
        if z.J is None:
            z.J = _as_jacobian(self._jac(x.copy()), (z.u.size, self.n))
        return z.J

    def _squared(self, x: Array, z: Residual) -> Form:
        """``r^{p-2} J'J``."""
        J, weight = self._jacobian_at(x, z), power(z.r, self.p - 2)
        if isinstance(J, BandedMatrix):
            return Banded(weight * J.gram())
        return Gram(J, WeightRows(np.full(z.u.size, weight)), np.zeros(self.n))

    def _with_fisher(self, H: Form, x: Array, z: Residual) -> Form:
        """``H + ((p-2)/r^p) g g'``, with the very array of the gradient (see `ShermanMorrison`)."""
        rp = power(z.r, self.p)
        return with_rank_one(H, (self.p - 2) / rp if rp > VANISHED else 0.0, self.grad(x, z))


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
    r"""Return ``(|u|^p - |u + d|^p) / p`` to full relative accuracy [gns 5.4].

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
    scalar = np.isscalar(p) and not isinstance(p, str | bytes | complex)
    if not (scalar and 2 <= p < np.inf):
        raise ValueError(f"{name}={p!r} must be a finite number of at least 2")
    return float(p)


def check_count(n: Any, name: str, least: int) -> int:
    """Return a dimension as an int.

    Parameters
    ----------
    n : int
        The dimension.
    name : str
        How the argument is called in errors.
    least : int
        Its lower bound.

    Returns
    -------
    int
        The dimension.

    Raises
    ------
    ValueError
        If it is not an integer or too small.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < least:
        raise ValueError(f"{name}={n!r} must be an integer of at least {least}")
    return int(n)


def _is_banded(J: Any) -> bool:
    sparse = issparse(J)
    return bool(sparse and J.format == "dia")


def _as_jacobian(J: Any, shape: tuple[int, int]) -> Design | BandedMatrix:
    """Turn what `jac` returned into rows or diagonals."""
    if isinstance(J, Design | BandedMatrix):
        return J
    if np.shape(J) != shape:
        raise ValueError(f"jac returned shape {np.shape(J)}; it must be {shape}")
    if _is_banded(J):
        return BandedMatrix(J.offsets, J.data, shape)
    sparse = issparse(J)
    if not sparse:
        return Design(np.array(J, dtype=float, order="C"))
    S = csr_array(J, dtype=float, copy=True)
    S.sum_duplicates()
    return Design(S)


def _lower_diagonals(S: Any) -> Array:
    """Return the lower diagonals of a symmetric ``dia_array`` as `Banded` takes them."""
    half = BandedMatrix(S.offsets, S.data, S.shape)
    bands = np.zeros((1 - min(0, *half.offsets), S.shape[1]))
    for o, row in zip(half.offsets, half.data, strict=True):
        if o <= 0:
            bands[-o] += row
    return bands
