"""Symmetric matrices known by their structure: products, diagonal and, where affordable, the dense triangle.

A problem returns its Hessian as one of these forms; `gnsopt.linalg.shifted` chooses how to solve with it.
``lower()`` is a Fortran-ordered array whose lower triangle holds the matrix (the upper one is undefined).
Prices are counted work in BLAS-3 flops with fixed weights, so that every automatic choice is the same everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnsopt._typing import Array
from gnsopt.arguments import as_array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.kernels import blocks
from gnsopt.linalg.design import DENSE_PASS, SPARSE_PASS, Design
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.rows import Rows

EPS = float(np.finfo(float).eps)
TRIAL, TRIALS = 120.0, 360.0  # counted work of a score at a trial on a line, of one output or of several (measured)


def noise(d: Array, metric: Array | float) -> float:
    """Return the shift below which rounding in ``H`` decides, ``10 eps sum |H_jj| / sum B_jj``.

    That is a mean of ``|H_jj| / B_jj`` with the weights ``B_jj``: a variable that the metric hardly sees does not raise
    the floor of all others.

    Parameters
    ----------
    d : ndarray of shape (n,)
        Diagonal of ``H``.
    metric : ndarray of shape (n,) or float
        Diagonal of ``B``.

    Returns
    -------
    float
        The shift.
    """
    total = metric * d.size if isinstance(metric, float) else np.sum(metric) * (d.size / np.size(metric))
    return 10 * EPS * float(np.abs(d).sum() / total)


Apply = Callable[[Array], Array]


class Shifted(ABC):
    """``solve(lam, b) = (H + lam B)^{-1} b`` for one ``H``; `lam_noise` is the shift below which rounding decides.

    Where a solve costs several products, a preconditioner and the last `memory` steps of the run make directions that
    cost `quick_price` products each; `memory` is 0 where they do not.
    """

    lam_noise: float = 0.0
    memory: int = 0
    quick_price: float = np.inf

    @abstractmethod
    def solve(self, lam: float, b: Array) -> Array:
        """Return the solution; raise `NotPositiveDefinite` where ``H + lam B`` is not."""

    def quick(self, lam: float, ahead: float) -> tuple[Apply, bool] | None:
        """Return the preconditioner at hand, and whether it has the scale of ``H``; None where a solve is due.

        Parameters
        ----------
        lam : float
            Shift.
        ahead : float
            Products that are still to come at the pace of now, which a better preconditioner may save; 0 where none
            is wanted.
        """
        return None


class Form(ABC):
    """A symmetric n x n matrix."""

    n: int
    product_price: float = 0.0
    dense_price: float = np.inf
    trial_price: float = np.inf  # of a value and a slope on a line whose scores are known

    @abstractmethod
    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""

    @abstractmethod
    def diagonal(self) -> Array | None:
        """Return the diagonal, or None where only products are known."""

    def lower(self) -> Array:
        """Return a Fortran-ordered array with the matrix in its lower triangle; by products unless overridden."""
        H = np.empty((self.n, self.n), order="F")
        e = np.zeros(self.n)
        for j in range(self.n):
            e[j] = 1.0
            H[:, j] = self.matvec(e)
            e[j] = 0.0
        H += H.T.copy()
        H *= 0.5
        return H

    def structured(self, metric: Metric) -> Shifted | None:
        """Return shifted solves that use the structure (diagonal, banded, low rank), or None where there is none."""
        return None

    def dense(self) -> Array:
        """Return the full symmetric matrix."""
        L = np.tril(self.lower())
        return np.asarray(L + np.tril(L, -1).T)


class Dense(Form):
    """A dense symmetric matrix; what a user's ``hess`` returns.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        The matrix, symmetric up to rounding.
    """

    def __init__(self, H: Array) -> None:
        self.H, self.n = H, H.shape[0]
        self.product_price = DENSE_PASS * self.n**2
        self.dense_price = 0.0

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        return np.asarray(self.H @ v)

    def diagonal(self) -> Array:
        """Return the diagonal."""
        return np.asarray(self.H.diagonal())

    def lower(self) -> Array:
        """Return ``(H + H') / 2``: a user's Hessian may be asymmetric by rounding."""
        return np.asfortranarray((self.H + self.H.T) * 0.5)


class Operator(Form):
    """A matrix known by its products.

    Parameters
    ----------
    n : int
        Order of the matrix.
    matvec : callable
        ``matvec(v) -> H v``.
    diagonal : ndarray of shape (n,), optional
        The diagonal, for a Jacobi preconditioner.
    product_price : float, optional
        Counted work of one product.
    matrix : sparse array of shape (n, n), optional
        The matrix itself, for preconditioners that read its entries.
    """

    def __init__(
        self,
        n: int,
        matvec: Callable[[Array], Array],
        diagonal: Array | None = None,
        product_price: float | None = None,
        matrix: Any = None,
    ) -> None:
        self.n, self._matvec, self._diagonal, self.matrix = n, matvec, diagonal, matrix
        self.product_price = SPARSE_PASS * n if product_price is None else product_price
        self.dense_price = n * self.product_price

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        return np.asarray(self._matvec(v), dtype=float).reshape(-1)

    def diagonal(self) -> Array | None:
        """Return the diagonal where it was given."""
        return self._diagonal


class Gram(Form):
    r"""``H = A' blockdiag(D_i) A + diag(ridge)``: every linear model, binary (k = 1) or with k outputs.

    Variables are flattened from (n_columns, k) in C order.

    Parameters
    ----------
    design : Design
        The rows ``a_i``.
    rows : Rows
        The blocks ``D_i``.
    ridge : ndarray of shape (n,)
        Non-negative diagonal term.
    """

    def __init__(self, design: Design, rows: Rows, ridge: Array) -> None:
        self.design, self.rows, self.ridge = design, rows, ridge
        self.k = rows.k
        self.n = design.n_columns * self.k
        self.product_price = design.product_price(self.k)
        self.dense_price = design.grams_price(len(rows.pairs))
        if not design.reduced:  # there a step costs more than its products: it is brought back to the data
            self.trial_price = (TRIAL if self.k == 1 else TRIALS) * design.n_samples * self.k

    def matvec(self, v: Array) -> Array:
        """Return ``A'(D (A v)) + ridge v``."""
        if self.k == 1:
            out = self.design.weighted_product(self.rows.pair(0, 0), np.ascontiguousarray(v))
        else:
            V = v.reshape(-1, self.k)
            out = self.design.product(lambda part, Z: self.rows.take(part, 1.0).apply(Z), V).reshape(-1)
        out += self.ridge * v
        return out

    def sampled(self, m: int) -> Gram:
        """Return the estimate of the matrix by m of its rows, the same ones for each matrix of this design."""
        index, part = self.design.sample(m)
        return Gram(part, self.rows.take(index, self.design.n_samples / m), self.ridge)

    def diagonal(self) -> Array:
        """Return ``sum_i a_ij^2 (D_i)_cc + ridge``."""
        return self.design.weighted_squares(self.rows.diagonals()).reshape(-1) + self.ridge

    def block(self, a: int, b: int) -> Array:
        """Return the lower triangle of ``A' diag((D_i)_ab) A`` without the ridge."""
        return self.design.gram_lower(self.rows.pair(a, b))

    def class_blocks(self) -> list[Array]:
        """Return the lower triangles of all ``A' diag((D_i)_cc) A`` without the ridge, in one pass."""
        if self.k == 1:
            return [self.block(0, 0)]
        return self.design.grams_lower(lambda part: self.rows.take(part, 1.0).diagonals(), self.k)

    @property
    def class_blocks_price(self) -> float:
        """Counted work of `class_blocks`."""
        return self.design.grams_price(self.k)

    def lower(self) -> Array:
        """Return the matrix from its pairs of classes; blocks that sum to zero leave out the diagonal ones."""
        if self.k == 1:
            H = self.block(0, 0)
        else:
            H = np.zeros((self.n, self.n), order="F")
            pairs = np.array(self.rows.pairs)

            def use(first: int, start: int, B: Array) -> None:
                blocks.spread(B, first, pairs[start : start + B.shape[2]], self.rows.sums_to_zero, self.k, H.T)

            self.design.moments(lambda part: self.rows.take(part, 1.0).entries(), len(pairs), use)
        H.flat[:: self.n + 1] += self.ridge
        return H


class ShermanMorrison(Shifted):
    r"""``(M + c u u')^{-1} b = y - c v <u, y> / (1 + c <u, v>)`` with ``y = M^{-1} b`` and ``v = M^{-1} u``.

    Parameters
    ----------
    base : Shifted
        Solves with ``M``.
    c : float
        Weight; a negative one may make the sum indefinite.
    u : ndarray of shape (n,)
        Direction.
    """

    def __init__(self, base: Shifted, c: float, u: Array) -> None:
        self._base, self._c, self._u = base, c, u
        self.lam_noise = base.lam_noise

    def solve(self, lam: float, b: Array) -> Array:
        """Solve twice with the base, once where `b` is parallel to `u` (the gradient and its Fisher term)."""
        v = self._base.solve(lam, self._u)
        uv = float(self._u @ v)
        denominator = 1.0 + self._c * uv
        if not denominator > 0:
            raise NotPositiveDefinite(f"rank-one update of weight {self._c}")
        if b is self._u or uv == 0.0:
            return v / denominator if b is self._u else self._base.solve(lam, b)
        y = self._base.solve(lam, b)
        along = 0.0
        for _ in range(2):  # y = w + along v with <u, w> = 0: twice is enough
            part = float(self._u @ y) / uv
            y, along = y - part * v, along + part
        return y + (along / denominator) * v


class RankOneUpdate(Form):
    """``H + c u u'``.

    Parameters
    ----------
    base : Form
        ``H``.
    c : float
        Any sign.
    u : ndarray of shape (n,)
        The vector.
    """

    def __init__(self, base: Form, c: float, u: Array) -> None:
        self.base, self.c, self.u, self.n = base, c, u, base.n
        self.product_price = base.product_price
        self.dense_price = base.dense_price + float(self.n) ** 2

    def matvec(self, v: Array) -> Array:
        """Return ``H v + c u <u, v>``."""
        out = self.base.matvec(v)
        out += (self.c * float(self.u @ v)) * self.u
        return out

    def diagonal(self) -> Array | None:
        """Return ``diag(H) + c u^2``."""
        d = self.base.diagonal()
        return None if d is None else d + self.c * self.u**2

    def structured(self, metric: Metric) -> Shifted | None:
        """Return the solves of a structured `H` with the Sherman-Morrison formula on top."""
        base = self.base.structured(metric)
        return None if base is None else ShermanMorrison(base, self.c, self.u)

    def lower(self) -> Array:
        """Return the lower triangle of the sum."""
        H = self.base.lower()
        H += np.outer(self.c * self.u, self.u)
        return H


def as_form(H: Any, n: int, name: str = "hess") -> Form:
    """Turn what ``hess`` returned into a form of order `n`.

    Parameters
    ----------
    H : Form, array of shape (n, n), sparse array or LinearOperator
        The Hessian.
    n : int
        Expected order.
    name : str, default="hess"
        What returned it, for errors.

    Returns
    -------
    Form
        The form.

    Raises
    ------
    ValueError
        If the shape is not (n, n).
    """
    if isinstance(H, Form):
        return H
    H = H if hasattr(H, "shape") else as_array(H, name, finite=False)
    shape = H.shape
    if tuple(shape) != (n, n) and not (n == 1 and np.size(H) == 1):
        raise ValueError(f"{name} returned an array of shape {tuple(shape)}; it must be ({n}, {n})")
    sparse = issparse(H)
    if sparse:
        if H.dtype.kind not in "fiub":
            raise ValueError(f"{name} returned a sparse array of dtype {H.dtype}; it must be real")
        S = H.tocsr()
        return Operator(n, lambda v: S @ v, np.asarray(S.diagonal()), SPARSE_PASS * S.nnz, S)
    if hasattr(H, "matvec"):
        return Operator(n, H.matvec)
    return Dense(as_array(H, name, finite=False).reshape(n, n))
