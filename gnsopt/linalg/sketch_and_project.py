r"""Sketch-and-project [1] for a square system ``M z = b``: project z onto the solutions of ``S M z = S b``.

    z <- z - M'S' (S M M' S')^+ S (M z - b),      S of shape (q, N), drawn anew in each step.

================  ===========================================  =====================================
kind              S                                            work of a step
================  ===========================================  =====================================
``kaczmarz``      one row of the identity, uniformly           O(N) where ``M M'`` is kept (dense)
``gaussian``      q Gaussian vectors                           q products for S M, one for the residual
``rows``          q rows of the identity, no replacement       q rows, one product
``countsketch``   every equation hashed to one of q sums       one product twice
================  ===========================================  =====================================

The expected squared error contracts by at least ``1 - q/N`` only at the very best, so that these are poor solvers of
indefinite systems (1e3 to 1e6 products where MINRES takes N); blocks of rows after `equilibration` are the best.

References
----------
[1] Gower, Richtarik, "Randomized iterative methods for linear systems", SIAM J. Matrix Anal. Appl. 36, 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lstsq
from scipy.sparse import issparse

from gnsopt._typing import Array
from gnsopt.kernels import projections
from gnsopt.linalg.sketches import draw

KINDS = ("gaussian", "kaczmarz", "rows", "countsketch")
RCOND = 1e-12  # of a small system whose Cholesky factorisation fails
CHUNK = 200  # single-row steps per variable after which the residual is computed anew, against drift
NUMBERS = 1 << 18  # random numbers drawn at a time at the most


class SketchAndProject:
    """One system and the state of its iterations, which can be taken up again.

    Parameters
    ----------
    M : ndarray or sparse array of shape (N, N)
        The matrix.
    b : ndarray of shape (N,)
        Right-hand side.
    kind : {"gaussian", "kaczmarz", "rows", "countsketch"}
        The sketch.
    block : int
        q, at least 1; Kaczmarz has 1.
    rng : numpy.random.Generator
        What draws the sketches.

    Attributes
    ----------
    z, r : ndarray of shape (N,)
        Point, zero at first, and residual ``M z - b``.
    steps : int
        Steps so far.
    products : float
        Equivalent products with M so far, where q rows count as q/N.

    Raises
    ------
    ValueError
        If the kind is unknown or the block does not fit.
    """

    def __init__(self, M: Any, b: Array, kind: str, block: int, rng: np.random.Generator) -> None:
        N = b.size
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is unknown; choose one of {KINDS}")
        if not (isinstance(block, int | np.integer) and 1 <= block <= N):
            raise ValueError(f"block={block!r} must be an integer between 1 and the order {N} of the system")
        self.M, self.b, self.kind, self.rng = M, b, kind, rng
        self.block = 1 if kind == "kaczmarz" else int(block)
        self.z, self.r, self.steps, self.products = np.zeros(N), -b.copy(), 0, 0.0
        self._single = self.block == 1 and kind != "countsketch" and not issparse(M)
        if self._single:
            self.M = np.ascontiguousarray(M)
            self._square = self.M @ self.M.T if kind != "gaussian" else None

    def run(self, tol: float, cap: int) -> bool:
        """Iterate until ``|r|_2 <= tol`` or `cap` steps in all; return whether the residual is that small."""
        while float(np.linalg.norm(self.r)) > tol and self.steps < cap:
            before = self.steps
            if self._single:
                self._single_steps(tol, cap - self.steps)
            else:
                self._block_step()
            if self.steps == before:
                break
        return float(np.linalg.norm(self.r)) <= tol

    def _single_steps(self, tol: float, left: int) -> None:
        """One row at a time, compiled; the residual is refreshed after each call."""
        N = self.b.size
        chunk = int(min(left, CHUNK * N))
        if self._square is None:
            S = self.rng.standard_normal((min(chunk, max(1, NUMBERS // N)), N))
            done = projections.gaussian(self.M, S, self.z, self.r, tol)
            self.products += 2.0 * done
        else:
            index = self.rng.integers(0, N, min(chunk, NUMBERS))
            done = projections.kaczmarz(self.M, self._square, index, self.z, self.r, tol)
            self.products += done / N
        self.steps += done
        self.r = self.M @ self.z - self.b

    def _block_step(self) -> None:
        N = self.b.size
        if self.kind in ("rows", "kaczmarz"):
            index = np.sort(self.rng.choice(N, self.block, replace=False))
            rows: Any = self.M[index]
            W, s = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows), self.r[index]
            self.products += self.block / N + 1.0
        else:
            S = draw(self.kind, self.block, N, self.rng)
            W, s = S.apply(self.M), S.apply(self.r)
            self.products += (self.block if self.kind == "gaussian" else 1.0) + 1.0
        self.z = self.z - W.T @ least_squares(W @ W.T, s)
        self.r = np.asarray(self.M @ self.z - self.b)
        self.steps += 1


def least_squares(K: Array, s: Array) -> Array:
    """Return ``K^+ s`` for a positive semidefinite matrix: by Cholesky, else by singular values.

    Parameters
    ----------
    K : ndarray of shape (q, q)
        The matrix.
    s : ndarray of shape (q,)
        Right-hand side.

    Returns
    -------
    ndarray of shape (q,)
        The solution.
    """
    try:
        factor = cho_factor(K, check_finite=False)
        d = np.diagonal(factor[0])
        if d.min() > RCOND**0.5 * d.max():
            return np.asarray(cho_solve(factor, s, check_finite=False))
    except np.linalg.LinAlgError:
        pass
    return np.asarray(lstsq(K, s, cond=RCOND, check_finite=False)[0])


def equilibration(M: Any) -> Array:
    """Return ``d_j = max_i |M_ij|^{-1/2}``: ``diag(d) M diag(d)`` has rows of about equal size.

    Parameters
    ----------
    M : ndarray or sparse array of shape (N, N)
        A symmetric matrix.

    Returns
    -------
    ndarray of shape (N,)
        Factors; 1 for a row of zeros.
    """
    top: Any = abs(M).max(axis=1)
    largest = np.asarray(top.toarray() if hasattr(top, "toarray") else top, dtype=float).reshape(-1)
    return np.asarray(1.0 / np.sqrt(np.where(largest > 0, largest, 1.0)))
