r"""Random sketches ``S`` of shape (m, n) with ``E[S'S] = I``, and their compiled application to dense and CSR rows.

===============  =============================================================  ==============  ======================
kind             S                                                              work of S A     needs, note
===============  =============================================================  ==============  ======================
``gaussian``     entries N(0, 1/m)                                              m nnz(A)        the exact theory
``countsketch``  one sign per column, in a row drawn uniformly                  nnz(A)          m about d^2 in theory
``sparse-sign``  8 signs per column over sqrt 8, one in each of 8 strips        8 nnz(A)        the default
``srht``         ``sqrt(n'/m) R H D``: signs, orthonormal Walsh-Hadamard        n' d log n'     dense; n' = 2^k >= n
                 transform, rows without replacement
``rows``         rows without replacement times sqrt(n/m)                       m d             fails on coherent rows
``leverage``     rows with replacement, ``p_i`` by leverage, over sqrt(m p_i)   nnz + n d^2     needs the rows of A
===============  =============================================================  ==============  ======================

Entries of ``sparse-sign`` are spread over strips of rows, one each, so that they are distinct without a search: each
strip is a CountSketch, and so ``E[S'S] = I`` holds exactly.

References
----------
[1] Woodruff, "Sketching as a tool for numerical linear algebra", 1411.4357.
[2] Martinsson, Tropp, "Randomized numerical linear algebra", 2002.01387, sections 8 and 9.
[3] Tropp, "Improved analysis of the subsampled randomized Hadamard transform", 1011.1595.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg import svd
from scipy.sparse import issparse

from gnsopt._typing import Array, IntArray, Matrix
from gnsopt.kernels import sketch as kernel

KINDS = ("gaussian", "countsketch", "sparse-sign", "srht", "rows", "leverage")
SIGNS = 8  # entries of each column of a sparse sign sketch
OVERSAMPLING = 4  # rows of the CountSketch behind approximate leverage scores, per column
STRIP = 64  # columns that are transformed at a time
EPS = float(np.finfo(float).eps)


def keyed(seed: int, purpose: str, k: int = 0) -> np.random.Generator:
    """Return the generator of one purpose and one step: what it draws depends on nothing else.

    Parameters
    ----------
    seed : int
        Seed of the run, non-negative.
    purpose : str
        What is drawn; other purposes draw independently.
    k : int, default=0
        The step.

    Returns
    -------
    numpy.random.Generator
        The same one for the same arguments.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), k])


class Sketch(ABC):
    """A random m x n matrix ``S`` that is applied without being formed.

    Parameters
    ----------
    m : int
        Rows.
    n : int
        Columns.
    """

    def __init__(self, m: int, n: int) -> None:
        self.m, self.n = m, n

    def apply(self, A: Matrix, scale: Array | None = None) -> Array:
        """Return ``S diag(scale) A``.

        Parameters
        ----------
        A : ndarray of shape (n,) or (n, d), or CSR array of shape (n, d)
            What is sketched.
        scale : ndarray of shape (n,), optional
            Factors of the rows; ones by default.

        Returns
        -------
        ndarray of shape (m,) or (m, d)
            Dense.
        """
        if A.shape[0] != self.n:
            raise ValueError(f"A has {A.shape[0]} rows; the sketch has {self.n} columns")
        w = np.ones(self.n) if scale is None else np.ascontiguousarray(scale, dtype=float)
        sparse = issparse(A)
        if sparse:
            return np.ascontiguousarray(self._sparse(A.tocsr(), w))
        B = np.ascontiguousarray(A, dtype=float)
        out = self._dense(B.reshape(self.n, -1), w)
        return out.reshape(self.m, *B.shape[1:])

    def adjoint(self, U: Array) -> Array:
        """Return ``S' U`` for `U` of shape (m,) or (m, d)."""
        if U.shape[0] != self.m:
            raise ValueError(f"U has {U.shape[0]} rows; the sketch has {self.m}")
        B = np.ascontiguousarray(U, dtype=float)
        return self._adjoint(B.reshape(self.m, -1)).reshape(self.n, *B.shape[1:])

    def dense(self) -> Array:
        """Return ``S``."""
        return self.apply(np.eye(self.n))

    @abstractmethod
    def _dense(self, A: Array, w: Array) -> Array:
        """``S diag(w) A`` for dense `A` of shape (n, d)."""

    @abstractmethod
    def _sparse(self, A: Matrix, w: Array) -> Array:
        """``S diag(w) A`` for CSR."""

    @abstractmethod
    def _adjoint(self, U: Array) -> Array:
        """``S' U`` for `U` of shape (m, d)."""


class Gaussian(Sketch):
    """Independent entries N(0, 1/m).

    Parameters
    ----------
    m, n : int
        Shape.
    rng : numpy.random.Generator
        What draws them.
    """

    def __init__(self, m: int, n: int, rng: np.random.Generator) -> None:
        super().__init__(m, n)
        self._S = rng.standard_normal((m, n)) / np.sqrt(m)

    def _dense(self, A: Array, w: Array) -> Array:
        return np.asarray((self._S * w) @ A)

    def _sparse(self, A: Matrix, w: Array) -> Array:
        return np.asarray((A.T @ (self._S * w).T).T)

    def _adjoint(self, U: Array) -> Array:
        return np.asarray(self._S.T @ U)


class SparseSign(Sketch):
    """`zeta` signs per column over ``sqrt(zeta)``, one in each of `zeta` strips of rows; CountSketch with one.

    Parameters
    ----------
    m, n : int
        Shape.
    rng : numpy.random.Generator
        What draws rows and signs.
    zeta : int, default=8
        Signs per column; m at the most are taken.
    """

    def __init__(self, m: int, n: int, rng: np.random.Generator, zeta: int = SIGNS) -> None:
        super().__init__(m, n)
        zeta = min(zeta, m)
        ends = [m * z // zeta for z in range(zeta + 1)]
        strips = [rng.integers(lo, hi, n) for lo, hi in zip(ends[:-1], ends[1:], strict=True)]
        self._rows = np.ascontiguousarray(np.stack(strips, axis=1))
        self._signs = 2 * rng.integers(0, 2, (n, zeta)) - 1
        self._factor = 1.0 / np.sqrt(zeta)

    def _dense(self, A: Array, w: Array) -> Array:
        out = np.zeros((self.m, A.shape[1]))
        kernel.signed_dense(self._rows, self._signs, self._factor * w, A, out)
        return out

    def _sparse(self, A: Matrix, w: Array) -> Array:
        out = np.zeros((self.m, A.shape[1]))
        kernel.signed_csr(self._rows, self._signs, self._factor * w, A.indptr, A.indices, A.data, out)
        return out

    def _adjoint(self, U: Array) -> Array:
        out = np.zeros((self.n, U.shape[1]))
        kernel.signed_adjoint(self._rows, self._signs, self._factor * U, out)
        return out


class SRHT(Sketch):
    """Subsampled randomised Hadamard transform ``sqrt(n'/m) R H D`` of rows padded with zeros to ``n' = 2^k``.

    Parameters
    ----------
    m, n : int
        Shape; m is at the most n'.
    rng : numpy.random.Generator
        What draws signs and rows.
    """

    def __init__(self, m: int, n: int, rng: np.random.Generator) -> None:
        super().__init__(m, n)
        self._padded = 1 << (n - 1).bit_length()
        if m > self._padded:
            raise ValueError(f"m={m}: a Hadamard sketch of {n} rows has {self._padded} rows at the most")
        self._signs = 2.0 * rng.integers(0, 2, n) - 1.0
        self._index = np.sort(rng.choice(self._padded, m, replace=False))

    def _dense(self, A: Array, w: Array) -> Array:
        out = np.empty((self.m, A.shape[1]))
        for lo in range(0, A.shape[1], STRIP):
            part = A[:, lo : lo + STRIP]
            B = np.zeros((self._padded, part.shape[1]))
            np.multiply(part, (self._signs * w)[:, None], out=B[: self.n])
            kernel.hadamard(B)  # the orthonormal transform is this one over sqrt(n')
            out[:, lo : lo + STRIP] = B[self._index]
        out /= np.sqrt(self.m)
        return out

    def _sparse(self, A: Matrix, w: Array) -> Array:
        columns = A.tocsc()
        strips = [columns[:, lo : lo + STRIP].toarray() for lo in range(0, A.shape[1], STRIP)]
        return np.concatenate([self._dense(strip, w) for strip in strips], axis=1)

    def _adjoint(self, U: Array) -> Array:
        B = np.zeros((self._padded, U.shape[1]))
        B[self._index] = U / np.sqrt(self.m)
        kernel.hadamard(B)
        return np.asarray(B[: self.n] * self._signs[:, None])


class Rows(Sketch):
    """Chosen rows times factors.

    Parameters
    ----------
    index : ndarray of shape (m,)
        Rows, in any order and number.
    factor : ndarray of shape (m,)
        What each is multiplied by.
    n : int
        Rows there are.
    """

    def __init__(self, index: IntArray, factor: Array, n: int) -> None:
        super().__init__(index.size, n)
        self.index, self.factor = index, factor

    def _dense(self, A: Array, w: Array) -> Array:
        return np.asarray(A[self.index] * (self.factor * w[self.index])[:, None])

    def _sparse(self, A: Matrix, w: Array) -> Array:
        return np.asarray(A[self.index].toarray() * (self.factor * w[self.index])[:, None])

    def _adjoint(self, U: Array) -> Array:
        out = np.zeros((self.n, U.shape[1]))
        np.add.at(out, self.index, self.factor[:, None] * U)
        return out


def leverage_scores(
    A: Matrix, rng: np.random.Generator | None = None, scale: Array | None = None, rcond: float = 1e-10
) -> Array:
    r"""Leverage scores of the rows of ``diag(scale) A``: squared row norms of an orthonormal basis of its range.

    Parameters
    ----------
    A : ndarray or CSR array of shape (n, d)
        Rows.
    rng : numpy.random.Generator, optional
        With one, the basis is ``A V / s`` with ``U s V'`` a CountSketch of 4 d rows: scores within a factor, at the
        cost of one pass. Without one the scores are exact.
    scale : ndarray of shape (n,), optional
        Factors of the rows.
    rcond : float, default=1e-10
        Directions of smaller relative singular value are left out.

    Returns
    -------
    ndarray of shape (n,)
        Exact ones sum to the rank.
    """
    n, d = A.shape
    w = np.ones(n) if scale is None else scale
    sparse = issparse(A)
    if rng is None or OVERSAMPLING * d >= n:
        B = (A.toarray() if sparse else A) * w[:, None]
    else:
        B = SparseSign(OVERSAMPLING * d, n, rng, zeta=1).apply(A, w)
    _, s, Vt = svd(B, full_matrices=False, check_finite=False)
    kept = s > rcond * s[0] if s.size else s > 0
    Q = np.asarray(A @ (Vt[kept].T / s[kept]))
    return np.asarray(w**2 * np.einsum("ij,ij->i", Q, Q))


def draw(
    kind: str, m: int, n: int, rng: np.random.Generator, A: Matrix | None = None, scale: Array | None = None
) -> Sketch:
    """Draw a sketch.

    Parameters
    ----------
    kind : {"gaussian", "countsketch", "sparse-sign", "srht", "rows", "leverage"}
        Distribution, see `gnsopt.linalg.sketches`.
    m : int
        Rows of the sketch, at least 1.
    n : int
        Columns: the rows that it is applied to.
    rng : numpy.random.Generator
        What draws; `keyed` makes one.
    A : ndarray or CSR array of shape (n, d), optional
        The rows whose leverage counts; for ``"leverage"`` alone.
    scale : ndarray of shape (n,), optional
        Factors of these rows.

    Returns
    -------
    Sketch
        ``S`` of shape (m, n).

    Raises
    ------
    ValueError
        If the kind is unknown, m does not fit, or ``"leverage"`` has no rows to measure.
    """
    if not (isinstance(m, int | np.integer) and m >= 1):
        raise ValueError(f"m={m!r} must be an integer of at least 1")
    if kind == "gaussian":
        return Gaussian(m, n, rng)
    if kind in ("countsketch", "sparse-sign"):
        return SparseSign(m, n, rng, 1 if kind == "countsketch" else SIGNS)
    if kind == "srht":
        return SRHT(m, n, rng)
    if kind == "rows":
        if m > n:
            raise ValueError(f"m={m}: there are {n} rows to choose from")
        return Rows(np.sort(rng.choice(n, m, replace=False)), np.full(m, np.sqrt(n / m)), n)
    if kind == "leverage":
        if A is None:
            raise ValueError("kind='leverage' needs A=, the rows whose leverage counts")
        p = leverage_scores(A, rng, scale)
        total = float(p.sum())
        p = p / total if total > 0 else np.full(n, 1.0 / n)
        index = np.sort(rng.choice(n, m, p=p))
        return Rows(index, 1.0 / np.sqrt(m * p[index]), n)
    raise ValueError(f"kind={kind!r} is unknown; choose one of {KINDS}")
