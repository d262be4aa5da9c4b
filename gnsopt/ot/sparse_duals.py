r"""Dual and semi-dual of transport with at most k nonzeros in a column of the plan [1].

    minimise  <C, T> + gamma/2 |T|^2      over  T >= 0,  T 1 = a,  T'1 = b,  |t_j|_0 <= k for every column j

is not convex; its convex relaxation has ``sum_j |t_j|_(k)^2`` in place of ``|T|^2``, the k-support norm. With the k
largest entries [.]_k of a vector, its dual and its semi-dual are the minima of

    D(alpha, beta) = 1/(2 gamma) sum_j |[alpha + beta_j - c_j]_+^k|^2 - <a, alpha> - <b, beta>,
    F(alpha) = sum_j max { <alpha - c_j, t> - gamma/2 |t|^2 : t in b_j simplex, |t|_0 <= k } - <a, alpha> = min_beta D.

Minus their values are lower bounds of the transport problem at any point. Where the gradient of F, ``T 1 - a``, is zero
the maximisers T are a plan, which the bound then certifies to be optimal. F has kinks where scores tie at the k-th
place; `SparseSemiDual` with eps > 0 is smooth: it adds ``eps/2 |T|^2`` to the relaxation.

References
----------
[1] Liu, Puigcerver, Blondel, "Sparsity-constrained optimal transport", 2209.15466, equations 8 to 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import block_array, csc_array, csr_array, diags_array

from gnsopt._typing import Array, IntArray
from gnsopt.kernels import topk
from gnsopt.linalg.design import SPARSE_PASS
from gnsopt.linalg.forms import Form
from gnsopt.objective import Objective


@dataclass(frozen=True)
class Columns:
    """A plan by its columns, as the kernels of `gnsopt.kernels.topk` return it.

    Parameters
    ----------
    n : int
        Number of rows.
    indptr, rows, t : ndarray
        The entries: column j is ``rows[indptr[j]:indptr[j + 1]]``, by falling score.
    value : ndarray of shape (m,)
        Maximum of each column.
    margin : ndarray of shape (m,)
        Distance of each column from a tie at the k-th place.
    """

    n: int
    indptr: IntArray
    rows: IntArray
    t: Array
    value: Array
    margin: Array

    def sums(self) -> Array:
        """Return the row sums."""
        return np.asarray(np.bincount(self.rows, self.t, self.n), dtype=float)

    def counts(self) -> IntArray:
        """Return how many entries each column has."""
        return self.indptr[1:] - self.indptr[:-1]

    def columns(self) -> IntArray:
        """Return the column of each entry."""
        return np.repeat(np.arange(self.indptr.size - 1), self.counts())

    def ranks(self) -> IntArray:
        """Return the place of each entry in its column, 0 for the largest."""
        return np.arange(self.rows.size) - np.repeat(self.indptr[:-1], self.counts())

    def plan(self) -> csc_array:
        """Return the plan as a sparse array."""
        shape = (self.n, self.indptr.size - 1)
        return csc_array((self.t.copy(), self.rows.copy(), self.indptr.copy()), shape=shape)


@dataclass(frozen=True)
class SharedColumns(Columns):
    """Columns in which scores that tie may share the k places.

    Parameters
    ----------
    n : int
        Number of rows.
    indptr, rows, t : ndarray
        The entries.
    value, margin : ndarray of shape (m,)
        As in `Columns`.
    top : ndarray of shape (m,)
        Entries of each column that stand first and have a place of their own.
    tau : ndarray of shape (m,)
        Thresholds, minus the column potentials.
    nu : ndarray of shape (m,)
        Value of a whole place in each column that shares; 0 elsewhere.
    """

    top: IntArray
    tau: Array
    nu: Array

    def sharing(self) -> Any:
        """Return which entries share places."""
        return self.ranks() >= self.top[self.columns()]

    def norm(self) -> float:
        """Return ``sum_j |t_j|_(k)^2``, the squared k-support norms of the columns."""
        weights = np.where(self.sharing(), self.nu[self.columns()], self.t)  # t/theta, since t = theta nu
        return float(self.t @ weights)


class SupportLaplacian(Form):
    r"""The derivative of the row sums: ``diag(d) - sum_j W_j' X_j W_j``, a weighted graph Laplacian of the support.

    Parameters
    ----------
    z : SharedColumns
        The plan.
    gamma, eps : float
        The weights of the objective.
    k : int
        Places in a column.
    ridge : float, default=0.0
        Added to the diagonal.
    """

    def __init__(self, z: SharedColumns, gamma: float, eps: float, k: int, ridge: float = 0.0) -> None:
        self.n, self._z = z.n, z
        p, q, G = z.top.astype(float), (z.counts() - z.top).astype(float), gamma + eps
        shares = q > 0
        e = np.where(shares, eps * (k - p) + gamma * q, 1.0)
        r = np.where(shares, (k - p) / e, 0.0)
        D = np.where(p + q > 0, p / G + r * q, 1.0)
        both = gamma / (eps * e) if eps > 0 else 0.0
        self._weights = np.stack([1 / (G * G * D), r / (G * D), np.where(shares, r * r / D + both, 0.0)], axis=1)
        inverse = np.where(z.sharing(), 1 / eps if eps > 0 else 0.0, 1 / G)
        self._d = np.bincount(z.rows, inverse, z.n) + ridge
        self.product_price = 2 * SPARSE_PASS * z.rows.size
        self.dense_price = SPARSE_PASS * float((p + q) @ (p + q))

    def matvec(self, v: Array) -> Array:
        """Return the product."""
        out, z = np.empty(self.n), self._z
        topk.laplacian_product(z.indptr, z.rows, z.top, self._weights, self._d, v, out)
        return out

    def diagonal(self) -> Array:
        """Return the diagonal."""
        z = self._z
        own = self._weights[z.columns(), np.where(z.sharing(), 2, 0)]
        return np.asarray(self._d - np.bincount(z.rows, own, self.n))

    def lower(self) -> Array:
        """Return the lower triangle of the dense matrix."""
        H, z = np.zeros((self.n, self.n), order="F"), self._z
        topk.laplacian_lower(z.indptr, z.rows, z.top, self._weights, H)
        H.flat[:: self.n + 1] += self._d
        return H


class SparseSemiDual(Objective):
    r"""The semi-dual F as a function of the row potential; with eps > 0 that of the smoothed relaxation.

    Parameters
    ----------
    Ct : ndarray of shape (m, n)
        Costs, a row for each column of the plan, C order; +inf forbids a pair.
    a : ndarray of shape (n,)
        Row sums, positive.
    b : ndarray of shape (m,)
        Column sums, non-negative, of the same sum.
    gamma : float
        Weight of the quadratic term, positive.
    k : int
        Nonzeros of a column, from 1 to n.
    eps : float, default=0.0
        Weight of the smoothing term, non-negative; where eps > 0 a column may have more than k nonzeros.
    ridge : float, default=0.0
        Weight of ``ridge/2 |alpha|^2``: its plans miss the row sums by ``T 1 - a = -ridge alpha``, least where there is
        no plan with these row sums.
    """

    convex = True

    def __init__(
        self, Ct: Array, a: Array, b: Array, gamma: float, k: int, eps: float = 0.0, ridge: float = 0.0
    ) -> None:
        self.Ct, self.a, self.b = Ct, a, b
        self.gamma, self.k, self.eps, self.ridge = float(gamma), int(k), float(eps), float(ridge)
        self.n = a.size

    def prepare(self, x: Array) -> SharedColumns:
        """Return the maximisers of the columns."""
        indptr, rows, t, top, tau, nu, value, margin = topk.semi_dual(self.Ct, x, self.b, self.gamma, self.eps, self.k)
        return SharedColumns(self.n, indptr, rows, t, value, margin, top, tau, nu)

    def fun(self, x: Array, z: SharedColumns) -> float:
        """Return F."""
        return float(z.value.sum() - self.a @ x + 0.5 * self.ridge * (x @ x))

    def grad(self, x: Array, z: SharedColumns) -> Array:
        """Return ``T 1 - a``."""
        return z.sums() - self.a + self.ridge * x

    def hess(self, x: Array, z: SharedColumns) -> Form:
        """Return an element of the generalised Hessian: the Laplacian of the support."""
        return SupportLaplacian(z, self.gamma, self.eps, self.k, self.ridge)


class SparseDual(Objective):
    r"""The dual D as a function of ``x = (alpha, beta)``.

    Parameters
    ----------
    Ct : ndarray of shape (m, n)
        Costs, a row for each column of the plan, C order; +inf forbids a pair.
    a : ndarray of shape (n,)
        Row sums, positive.
    b : ndarray of shape (m,)
        Column sums, non-negative, of the same sum.
    gamma : float
        Weight of the quadratic term, positive.
    k : int
        Nonzeros of a column, from 1 to n.
    """

    convex = True

    def __init__(self, Ct: Array, a: Array, b: Array, gamma: float, k: int) -> None:
        self.Ct, self.a, self.b, self.gamma, self.k = Ct, a, b, float(gamma), int(k)
        self.n = a.size + b.size

    def prepare(self, x: Array) -> Columns:
        """Return the maximisers of the columns."""
        alpha, beta = x[: self.a.size], x[self.a.size :]
        return Columns(self.a.size, *topk.dual(self.Ct, alpha, beta, self.gamma, self.k))

    def fun(self, x: Array, z: Columns) -> float:
        """Return D."""
        return float(z.value.sum() - self.a @ x[: self.a.size] - self.b @ x[self.a.size :])

    def grad(self, x: Array, z: Columns) -> Array:
        """Return ``(T 1 - a, T'1 - b)``."""
        return np.concatenate([z.sums() - self.a, np.bincount(z.columns(), z.t, self.b.size) - self.b])

    def hess(self, x: Array, z: Columns) -> Any:
        """Return an element of the generalised Hessian as a sparse array."""
        S = csr_array(csc_array((np.full(z.rows.size, 1 / self.gamma), z.rows, z.indptr), shape=(z.n, self.b.size)))
        return block_array([[diags_array(S.sum(axis=1)), S], [S.T, diags_array(S.sum(axis=0))]], format="csr")
