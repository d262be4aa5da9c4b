r"""Metrics ``B``: norms ``|h| = <B h, h>^{1/2}`` and ``|s|_* = <s, B^{-1} s>^{1/2}``, by a factor, never an inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array
from gnsopt.arguments import as_array, as_number


class Metric(ABC):
    """A fixed symmetric positive definite ``B``; `diagonal` is its diagonal when nothing else is non-zero."""

    diagonal: Array | float | None = None
    n: int | None = None  # order; None fits any number of variables
    scale: Array | float = 1.0  # the diagonal of B, whatever else it has: the units of the variables

    @abstractmethod
    def apply(self, h: Array) -> Array:
        """Return ``B h``."""

    @abstractmethod
    def solve(self, s: Array) -> Array:
        """Return ``B^{-1} s``."""

    @abstractmethod
    def norm(self, h: Array) -> float:
        """Return ``<B h, h>^{1/2}``."""

    @abstractmethod
    def dual_norm(self, s: Array) -> float:
        """Return ``<s, B^{-1} s>^{1/2}``."""

    @abstractmethod
    def add_to(self, H: Array, lam: float) -> None:
        """Add ``lam B`` to the lower triangle of `H`, in place."""

    @abstractmethod
    def whiten(self, H: Array) -> Array:
        """Return the lower triangle of ``L^{-1} H L^{-T}`` where ``B = L L'``; `H` holds a lower triangle."""

    @abstractmethod
    def to_white(self, b: Array) -> Array:
        """Return ``L^{-1} b``."""

    @abstractmethod
    def from_white(self, y: Array) -> Array:
        """Return ``L^{-T} y``."""


class DiagonalMetric(Metric):
    """``B = diag(d)``; the default metric is ``d = 1``, kept as a scalar.

    Parameters
    ----------
    d : float or ndarray of shape (n,), default=1.0
        Positive diagonal of ``B``.
    """

    def __init__(self, d: Array | float = 1.0) -> None:
        self.diagonal: Array | float = d
        self.scale = d
        self._root: Array | float = np.sqrt(d)
        self._unit = np.ndim(d) == 0 and d == 1.0
        self.n = None if np.ndim(d) == 0 else np.size(d)

    def apply(self, h: Array) -> Array:
        """Return ``d h``."""
        return h if self._unit else self.diagonal * h

    def solve(self, s: Array) -> Array:
        """Return ``s / d``."""
        return s if self._unit else s / self.diagonal

    def norm(self, h: Array) -> float:
        """Return the norm; ``dnrm2`` neither overflows nor underflows."""
        return float(blas.dnrm2(self._root * h) if self.n else blas.dnrm2(h) * self._root)

    def dual_norm(self, s: Array) -> float:
        """Return the dual norm."""
        return float(blas.dnrm2(s / self._root) if self.n else blas.dnrm2(s) / self._root)

    def add_to(self, H: Array, lam: float) -> None:
        """Add ``lam d`` to the diagonal of `H`."""
        H.flat[:: H.shape[0] + 1] += lam * self.diagonal

    def whiten(self, H: Array) -> Array:
        """Return ``H / (sqrt(d) sqrt(d)')``."""
        if self._unit:
            return H
        root = np.broadcast_to(self._root, H.shape[0])
        return H / root / root[:, None]

    def to_white(self, b: Array) -> Array:
        """Return ``b / sqrt(d)``."""
        return b if self._unit else b / self._root

    def from_white(self, y: Array) -> Array:
        """Return ``y / sqrt(d)``."""
        return self.to_white(y)


class DenseMetric(Metric):
    """``B`` a dense symmetric positive definite matrix, kept with its Cholesky factor ``B = L L'``.

    Parameters
    ----------
    B : ndarray of shape (n, n)
        The matrix; only checked for shape, symmetry and positive definiteness.
    """

    def __init__(self, B: Array) -> None:
        self._B = np.array(B, dtype=float, order="F")
        self.n = self._B.shape[0]
        if not np.isfinite(self._B).all():
            raise ValueError("metric contains NaN or infinity")
        self._L, info = lapack.dpotrf(self._B, lower=1, clean=1)
        self.scale = self._B.diagonal()
        if info != 0:
            raise ValueError(
                "metric must be symmetric positive definite: its Cholesky factorisation failed; add delta I"
            )

    def apply(self, h: Array) -> Array:
        """Return ``B h``."""
        return self._B @ h

    def solve(self, s: Array) -> Array:
        """Return ``B^{-1} s`` by the factor."""
        x: Array = lapack.dpotrs(self._L, s, lower=1)[0]
        return x

    def norm(self, h: Array) -> float:
        """Return ``|L' h|_2``."""
        return float(blas.dnrm2(blas.dtrmv(self._L, h, lower=1, trans=1)))

    def dual_norm(self, s: Array) -> float:
        """Return ``|L^{-1} s|_2``."""
        return float(blas.dnrm2(self.to_white(s)))

    def add_to(self, H: Array, lam: float) -> None:
        """Add ``lam B`` to `H`."""
        H += lam * self._B

    def whiten(self, H: Array) -> Array:
        """Return ``L^{-1} H L^{-T}`` (LAPACK ``dsygst``)."""
        W: Array = lapack.dsygst(np.array(H, order="F"), self._L, itype=1, lower=1)[0]
        return W

    def to_white(self, b: Array) -> Array:
        """Return ``L^{-1} b``."""
        y: Array = blas.dtrsv(self._L, b, lower=1)
        return y

    def from_white(self, y: Array) -> Array:
        """Return ``L^{-T} y``."""
        b: Array = blas.dtrsv(self._L, y, lower=1, trans=1)
        return b


def gram_metric(A: Any, delta: float = 0.0) -> Metric:
    """Metric ``B = A'A + delta I`` of the rows of `A`.

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        Rows whose second moments define the metric (a sum over rows, as in the papers).
    delta : float, default=0.0
        Non-negative ridge; needed when `A` lacks full column rank.

    Returns
    -------
    Metric
        The dense metric.
    """
    sparse, rows = bool(issparse(A)), A
    if sparse and A.dtype.kind in "fiub" and A.ndim == 2:
        rows = csr_array(A, dtype=float)
        as_array(rows.data, "A")
    else:
        rows = as_array(A.toarray() if sparse else A, "A")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"A has shape {rows.shape}; the Gram metric needs rows, shape (m, n)")
    delta = as_number(delta, "delta")
    if not 0 <= delta < np.inf:
        raise ValueError(f"delta={delta} must be finite and at least 0")
    with np.errstate(over="ignore"):  # what overflows is not finite, and refused
        G = (rows.T @ rows).toarray() if sparse else rows.T @ rows
    G.flat[:: G.shape[0] + 1] += delta
    try:
        return DenseMetric(G)
    except ValueError as error:
        raise ValueError(f"A has no Gram metric for delta={delta}: {error}; raise delta, or rescale A") from None


def as_metric(metric: Any, n: int) -> Metric:
    """Turn what a user gives as `metric` into a `Metric` on R^n.

    Parameters
    ----------
    metric : None, float, array of shape (n,) or (n, n), or Metric
        None is the identity; a vector a diagonal; a matrix is taken as it is.
    n : int
        Number of variables.

    Returns
    -------
    Metric
        The metric.

    Raises
    ------
    ValueError
        If the shape does not fit or the metric is not positive definite.
    """
    if isinstance(metric, Metric):
        return metric
    if metric is None:
        return DiagonalMetric()
    if isinstance(metric, str):
        raise ValueError(f"metric={metric!r} is unknown; choose 'auto', None, a vector or a matrix")
    sparse = issparse(metric)
    B = as_array(metric.toarray() if sparse else metric, "metric", finite=False)
    if B.ndim <= 1 and B.size in (1, n):
        if not (np.all(np.isfinite(B)) and np.all(B > 0)):
            raise ValueError("metric: a diagonal metric must be finite and positive in every entry")
        return DiagonalMetric(float(B) if B.ndim == 0 else B.reshape(-1).copy())
    if B.shape != (n, n):
        raise ValueError(f"metric has shape {B.shape}; give None, a vector of length {n} or a {n} x {n} matrix")
    if not np.all(np.isfinite(B)) or not np.allclose(B, B.T, rtol=1e-10, atol=0):
        raise ValueError("metric must be a finite symmetric matrix; pass (B + B.T) / 2")
    return DenseMetric(B)
