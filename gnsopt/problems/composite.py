r"""Composite objectives: a convex loss of a nonlinear map.

    f(x) = phi(u(x)),   u: R^n -> R^m,   J = u'(x),   w = grad phi(u),   grad = J'w
    hess         = J' (hess phi) J + sum_i w_i hess u_i
    Gauss-Newton = J' (hess phi) J       (the generalised one: positive semidefinite; the Hessian where u is linear)
    Fisher       = J' (Fisher phi) J     (for sums of losses: ``sum_i c_i grad l_i grad l_i'``)

Where the rows of J are independent, ``|hess - Gauss-Newton| <= sup |D^2 u| |w| <= (sup |D^2 u| / sigma_min(J')) |g|``,
a relative inexactness, as in [1] for powers of a norm. phi is any `Objective` in m variables, a sum or a mean, of the
library or one's own; made for the purpose are

==============  =============================================  ===========================================
`Squared`       ``sum_i c_i u_i^2 / 2``                        nonlinear least squares
`SmoothMax`     ``mu log sum_i exp(u_i/mu)``                   minimax problems
`Softplus`      ``sum_i c_i log(1 + exp(u_i))``                logistic loss, ``u_i = -y_i score_i``
`PseudoHuber`   ``sum_i c_i delta (s_i - delta)``,             least squares with outliers
                ``s_i = sqrt(delta^2 + u_i^2)``
`NormPower`     ``|u|^p / p``                                  `gnsopt.NonlinearEquations`
==============  =============================================  ===========================================

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, dia_array, issparse

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_count, as_number, shown
from gnsopt.kernels import logistic as kernel
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram, RankOneUpdate, as_form
from gnsopt.linalg.rows import WeightRows
from gnsopt.linalg.structured import Banded, BandedMatrix, Diagonal, Zero, plus, with_rank_one
from gnsopt.objective import Objective
from gnsopt.problems.logsumexp import LogSumExp


@dataclass
class Inner:
    """What f, gradient and curvature share at one x; `w`, `J` and `g` are filled in at their first use.

    Parameters
    ----------
    u : ndarray of shape (m,)
        Value of the inner map.
    s : object
        Shared work of the loss at `u`.
    w : ndarray of shape (m,), optional
        Gradient of the loss.
    J : Design or BandedMatrix, optional
        Jacobian of the inner map.
    g : ndarray of shape (n,), optional
        Gradient of f.
    """

    u: Array
    s: Any
    w: Array | None = None
    J: Design | BandedMatrix | None = None
    g: Array | None = None


class Composite(Objective):
    """``phi(u(x))`` for a convex loss phi and callables `u` and `jac`.

    Parameters
    ----------
    loss : Objective
        phi, with `fun`, `grad` and `hess`: a form (`gnsopt.linalg.structured.Diagonal`), the diagonal alone, shape
        (m,), or a matrix of shape (m, m); what it offers of `fisher` and `difference` is carried over.
    u : callable
        ``u(x) -> array of shape (m,)``.
    jac : callable
        ``jac(x)``, the Jacobian of shape (m, n): an array, a sparse array, or a ``scipy.sparse.dia_array`` of few
        diagonals, which is taken as banded (shifted systems are then banded too).
    n : int
        Number of variables.
    hess_u : callable, optional
        ``hess_u(x, w)``, the matrix ``sum_i w_i hess u_i(x)``: an array, a sparse array (a ``dia_array`` is taken as
        banded) or a form. With it the exact Hessian is offered.
    change : callable, optional
        ``change(x, h)``, the difference ``u(x + h) - u(x)`` computed without cancellation. With it the exact decrease
        of f is offered.
    outer : {"hess", "gauss_newton"}, default="hess"
        The matrix of phi in ``gauss_newton``: its Hessian, or what it calls its Gauss-Newton matrix. The latter gives
        ``J' diag(pi) J / mu`` for `SmoothMax`, the weighted Gauss-Newton matrix of [1].

    Raises
    ------
    TypeError
        If `loss` is no objective, or an argument that must be callable is not.
    ValueError
        If ``n < 1`` or `outer` is unknown; in a run, if `u`, `jac`, `hess_u` or the Hessian of `loss` has the wrong
        shape.

    Notes
    -----
    f is not taken to be convex. Where it is (linear u; or convex u_i, and a loss that grows in each of them), set
    ``problem.convex = True``.
    """

    def __init__(
        self,
        loss: Objective,
        u: Callable[[Array], ArrayLike],
        jac: Callable[[Array], Any],
        n: int,
        hess_u: Callable[[Array, Array], Any] | None = None,
        change: Callable[[Array, Array], Array] | None = None,
        outer: str = "hess",
    ) -> None:
        if not isinstance(loss, Objective):
            raise TypeError(f"loss={shown(loss)} must be an Objective, such as gnsopt.problems.Squared()")
        for name, value, optional in (("u", u, 0), ("jac", jac, 0), ("hess_u", hess_u, 1), ("change", change, 1)):
            if not (callable(value) or (optional and value is None)):
                raise TypeError(f"{name}={shown(value)} must be callable")
        if not (isinstance(outer, str) and outer in ("hess", "gauss_newton")):
            raise ValueError(f"outer={shown(outer)} must be 'hess' or 'gauss_newton'")
        self.n = check_count(n, "n", 1)
        self.loss, self.outer = loss, outer
        self._u, self._jac, self._hess_u, self._change = u, jac, hess_u, change

    def offers(self, name: str) -> bool:
        """Whether the function called `name` is there: what the loss offers, and the user gave what else it needs."""
        needs = {
            "hess": ("hess", self._hess_u),
            "gauss_newton": (self.outer, self._jac),
            "fisher": ("fisher", self._jac),
            "difference": ("difference", self._change),
        }
        if name not in needs:
            return super().offers(name)
        of_loss, given = needs[name]
        return given is not None and self.loss.offers(of_loss)

    def prepare(self, x: Array) -> Inner:
        """Return u and the loss's work; overflow gives a value that is not finite, and the trial is rejected."""
        with np.errstate(over="ignore", invalid="ignore"):
            u = np.array(self._u(x.copy()), dtype=float)
            if u.ndim != 1 or u.size == 0:
                raise ValueError(f"u returned shape {u.shape}; it must be (m,) with m >= 1")
            return Inner(u, self.loss.prepare(u))

    def fun(self, x: Array, z: Inner) -> float:
        """Return ``phi(u)``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss.fun(z.u, z.s)

    def grad(self, x: Array, z: Inner) -> Array:
        """Return ``J'w``."""
        if z.g is None:
            with np.errstate(over="ignore", invalid="ignore"):
                z.g = self._jacobian_at(x, z).rmatvec(self._weights_at(z))
        return z.g

    def hess(self, x: Array, z: Inner) -> Form:
        """Return the exact Hessian, which may be indefinite."""
        assert self._hess_u is not None  # or it is not offered
        H = self._hess_u(x.copy(), self._weights_at(z).copy())
        if (_is_banded(H) and H.shape != (self.n, self.n)) or (isinstance(H, Form) and self.n != H.n):
            shape = (H.n, H.n) if isinstance(H, Form) else H.shape
            raise TypeError(f"hess_u returned a matrix of shape {shape}; it must be ({self.n}, {self.n})")
        second = Banded(_lower_diagonals(H)) if _is_banded(H) else as_form(H, self.n)
        return self._pulled_back(x, z, self.loss.hess(z.u, z.s), second)

    def gauss_newton(self, x: Array, z: Inner) -> Form:
        """Return the generalised Gauss-Newton matrix: the Hessian without the second derivatives of u."""
        return self._pulled_back(x, z, getattr(self.loss, self.outer)(z.u, z.s), Zero(self.n))

    def fisher(self, x: Array, z: Inner) -> Form:
        """Return ``J' F J`` for the Fisher matrix F of the loss."""
        return self._pulled_back(x, z, self.loss.fisher(z.u, z.s), Zero(self.n))

    def difference(self, x: Array, z: Inner, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` from the change of u."""
        assert self._change is not None  # or it is not offered
        with np.errstate(over="ignore", invalid="ignore"):
            d = np.asarray(self._change(x, h), dtype=float)
            if d.shape != z.u.shape:
                raise TypeError(f"change returned an array of shape {d.shape}; it must be {z.u.shape}")
            return self.loss.difference(z.u, z.s, d)

    def _weights_at(self, z: Inner) -> Array:
        if z.w is None:
            z.w = self.loss.grad(z.u, z.s)
        return z.w

    def _jacobian_at(self, x: Array, z: Inner) -> Design | BandedMatrix:
        if z.J is None:
            z.J = _as_jacobian(self._jac(x.copy()), (z.u.size, self.n))
        return z.J

    def _pulled_back(self, x: Array, z: Inner, H: Any, second: Form) -> Form:
        """``J' H J + second`` by the structure of H; a rank-one term along w becomes one along the gradient itself."""
        J = self._jacobian_at(x, z)
        if isinstance(H, RankOneUpdate):  # last, so that what it is added to stays banded
            along = self.grad(x, z) if H.u is self._weights_at(z) else J.rmatvec(H.u)
            return with_rank_one(self._pulled_back(x, z, H.base, second), H.c, along)
        if isinstance(H, Zero):
            return second
        form = Diagonal(H) if np.shape(H) == (z.u.size,) else as_form(H, z.u.size)
        if not isinstance(form, Diagonal):
            return plus(Congruence(_as_design(J), form), 1.0, second)
        if isinstance(J, BandedMatrix):
            return plus(Banded(_weighted_gram(J, form.d)), 1.0, second)
        return plus(Gram(J, WeightRows(form.d), np.zeros(self.n)), 1.0, second)


class Congruence(Form):
    """``J' H J`` for any symmetric H.

    Parameters
    ----------
    J : Design
        Rows, shape (m, n).
    H : Form
        Matrix of order m.
    """

    def __init__(self, J: Design, H: Form) -> None:
        self.J, self.H, self.n = J, H, J.n_columns
        self.product_price = 2 * J.pass_price + H.product_price
        self.dense_price = H.dense_price + float(J.n_samples) * self.n * (J.n_samples + self.n)

    def matvec(self, v: Array) -> Array:
        """Return ``J'(H (J v))``."""
        return self.J.rmatvec(self.H.matvec(self.J.matvec(v)))

    def diagonal(self) -> Array:
        """Return the diagonal, for the price of the matrix."""
        return np.asarray(self.lower().diagonal())

    def lower(self) -> Array:
        """Return the dense matrix."""
        rows = self.J.matvec(np.eye(self.n))
        return np.asfortranarray(rows.T @ (self.H.dense() @ rows))


# -------------------------------------------------------------------------------------------------------- losses


class Separable(Objective):
    """A sum of losses of one variable each, ``phi(u) = sum_i c_i l(u_i)``; subclass it and write `terms`.

    Parameters
    ----------
    weight : float or array_like of shape (m,), default=1.0
        Weights ``c_i``, non-negative; ``1/m`` makes the sum a mean.

    Raises
    ------
    ValueError
        If a weight is negative or not finite; in a run, if there is not one for each ``u_i``.
    """

    convex = True

    def __init__(self, weight: ArrayLike = 1.0) -> None:
        self.weight = as_array(weight, "weight", finite=False).copy()
        fits = self.weight.ndim <= 1 and self.weight.size > 0
        if not (fits and np.isfinite(self.weight).all() and np.all(self.weight >= 0)):
            raise ValueError(f"weight={shown(weight)} must be a number or one per u_i, finite and non-negative")

    def terms(self, u: Array) -> tuple[Array, Array, Array]:
        """Return ``l``, ``l'`` and ``l''`` of each ``u_i``."""
        raise NotImplementedError

    def prepare(self, x: Array) -> tuple[Array, Array, Array]:
        """Return value and derivatives of each term."""
        if self.weight.shape not in ((), x.shape):
            raise ValueError(f"weight has shape {self.weight.shape}; u returned shape {x.shape}")
        return self.terms(x)

    def fun(self, x: Array, z: Any) -> float:
        """Return ``sum_i c_i l(u_i)``."""
        return float(np.sum(self.weight * z[0]))

    def grad(self, x: Array, z: Any) -> Array:
        """Return ``c l'(u)``."""
        return np.asarray(self.weight * z[1])

    def hess(self, x: Array, z: Any) -> Form:
        """Return ``diag(c l''(u))``."""
        return Diagonal(self.weight * z[2])

    def fisher(self, x: Array, z: Any) -> Form:
        """Return ``diag(c l'(u)^2)``."""
        with np.errstate(over="ignore"):  # not finite is an answer here
            return Diagonal(self.weight * z[1] ** 2)


class Squared(Separable):
    """``sum_i c_i u_i^2 / 2``.

    Parameters
    ----------
    weight : float or array_like of shape (m,), default=1.0
        Weights ``c_i``, non-negative.
    """

    def terms(self, u: Array) -> tuple[Array, Array, Array]:
        """Return ``u^2/2``, ``u`` and 1."""
        return u * u / 2, u, np.ones_like(u)

    def difference(self, x: Array, z: Any, h: Array) -> float:
        """Return ``-sum_i c_i h_i (u_i + h_i/2)``."""
        return -float(np.sum(self.weight * h * (x + h / 2)))


class Softplus(Separable):
    """``sum_i c_i log(1 + exp(u_i))``.

    Parameters
    ----------
    weight : float or array_like of shape (m,), default=1.0
        Weights ``c_i``, non-negative.
    """

    def terms(self, u: Array) -> tuple[Array, Array, Array]:
        """Return softplus, sigmoid and its derivative, by ``e = exp(-|u|)``."""
        e = np.exp(-np.abs(u))
        return np.maximum(u, 0.0) + np.log1p(e), np.where(u < 0, e, 1.0) / (1.0 + e), e / (1.0 + e) ** 2

    def difference(self, x: Array, z: Any, h: Array) -> float:
        """Return the decrease term by term; the logistic loss of the label -1."""
        return float(kernel.loss_difference(x, np.full_like(x, -1.0), np.full_like(x, self.weight), h))


class PseudoHuber(Separable):
    """``sum_i c_i delta (sqrt(delta^2 + u_i^2) - delta)``: ``u^2/2`` near zero, ``delta |u|`` far from it.

    Parameters
    ----------
    delta : float, default=1.0
        Where the one turns into the other, positive.
    weight : float or array_like of shape (m,), default=1.0
        Weights ``c_i``, non-negative.

    Raises
    ------
    ValueError
        If `delta` is not positive and finite, or a weight negative or not finite.
    """

    def __init__(self, delta: float = 1.0, weight: ArrayLike = 1.0) -> None:
        super().__init__(weight)
        self.delta = as_number(delta, "delta")
        if not 0 < self.delta < np.inf:
            raise ValueError(f"delta={shown(delta)} must be positive and finite")

    def terms(self, u: Array) -> tuple[Array, Array, Array]:
        """Return ``delta u^2/(delta + s)``, ``delta u/s`` and ``(delta/s)^3`` for ``s = sqrt(delta^2 + u^2)``."""
        s = np.hypot(self.delta, u)
        return self.delta * u * (u / (self.delta + s)), self.delta * (u / s), (self.delta / s) ** 3

    def difference(self, x: Array, z: Any, h: Array) -> float:
        """Return ``-sum_i c_i delta h_i (2 u_i + h_i)/(s_i + s_i(u_i + h_i))``."""
        s = np.hypot(self.delta, x) + np.hypot(self.delta, x + h)
        return -self.delta * float(np.sum(self.weight * h * ((2 * x + h) / s)))


class _Identity(Design):
    """The rows of an identity matrix of any order."""

    def __init__(self) -> None:
        pass

    def matvec(self, v: Array) -> Array:
        return v

    def rmatvec(self, r: Array) -> Array:
        return r


class SmoothMax(LogSumExp):
    """``mu log sum_i exp(u_i/mu)``: `LogSumExp` without its rows.

    Parameters
    ----------
    mu : float, default=1.0
        Smoothing, positive: ``max u <= phi <= max u + mu log m``.

    Raises
    ------
    ValueError
        If ``mu <= 0``.
    """

    def __init__(self, mu: float = 1.0) -> None:
        super().__init__([[1.0]], [0.0], mu)
        self.design = _Identity()

    def gauss_newton(self, x: Array, z: Any) -> Form:
        """Return ``diag(pi)/mu``, which is the Hessian without its term ``-pi pi'/mu``."""
        return Diagonal(z.pi / self.mu)


# ------------------------------------------------------------------------------------------------------- Jacobians


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
    return as_count(n, name, least)


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


def _as_design(J: Design | BandedMatrix) -> Design:
    """Turn diagonals into rows."""
    if isinstance(J, Design):
        return J
    diagonals: Any = (J.data, J.offsets)
    return Design(csr_array(dia_array(diagonals, shape=J.shape)))


def _weighted_gram(J: BandedMatrix, d: Array) -> Array:
    """Return the lower diagonals of ``J' diag(d) J`` for ``d >= 0``."""
    m, n = J.shape
    root, data = np.sqrt(d), J.data.copy()
    for o, row in zip(J.offsets, data, strict=True):
        lo, hi = max(0, o), min(n, m + o)
        if lo < hi:
            row[lo:hi] *= root[lo - o : hi - o]
    return BandedMatrix(J.offsets, data, J.shape).gram()


def _lower_diagonals(S: Any) -> Array:
    """Return the lower diagonals of a symmetric ``dia_array`` as `Banded` takes them."""
    half = BandedMatrix(S.offsets, S.data, S.shape)
    bands = np.zeros((1 - min((0, *half.offsets)), S.shape[1]))
    for o, row in zip(half.offsets, half.data, strict=True):
        if o <= 0:
            bands[-o] += row
    return bands
