r"""Per-sample curvature blocks ``D_i`` of a linear model, ``H = A' blockdiag(D_i) A + ridge``.

Each class knows ``D_i u`` for all samples at once, the weights of one pair of classes, and a factor
``D_i = L_i L_i'``, the three things that products, dense assembly and the row-space dual need.
Arrays have shape (n_samples,) for one output and (n_samples, k) for k outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from gnsopt._typing import Array, IntArray
from gnsopt.kernels import blocks as kernel


class Rows(ABC):
    """Blocks ``D_i`` (k x k, symmetric positive semidefinite), one for each sample."""

    k: int = 1
    sums_to_zero: bool = False  # whether D_i 1 = 0: one shift of all k outputs changes nothing

    @abstractmethod
    def apply(self, U: Array) -> Array:
        """Return ``D_i u_i`` for every sample."""

    @abstractmethod
    def pair(self, a: int, b: int) -> Array:
        """Return the entries ``(D_i)_{ab}``, shape (n_samples,)."""

    @abstractmethod
    def half(self, U: Array) -> Array:
        """Return ``L_i u_i`` for every sample."""

    @abstractmethod
    def half_t(self, U: Array) -> Array:
        """Return ``L_i' u_i`` for every sample."""

    @abstractmethod
    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples, times `scale`."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Classes a >= b whose entries determine the blocks; a > b where the blocks sum to zero."""
        return [(a, b) for a in range(self.k) for b in range(a + (not self.sums_to_zero))]

    def entries(self) -> Array:
        """Return ``(D_i)_{ab}`` of all `pairs`, shape (n_samples, number of pairs)."""
        return np.stack([self.pair(a, b) for a, b in self.pairs], axis=1)

    def diagonals(self) -> Array:
        """Return ``(D_i)_{aa}``, shape (n_samples, k)."""
        return np.stack([self.pair(a, a) for a in range(self.k)], axis=1)


class WeightRows(Rows):
    """``D_i = w_i`` for one output.

    Parameters
    ----------
    w : ndarray of shape (n_samples,)
        Non-negative weights.
    """

    def __init__(self, w: Array) -> None:
        self.w = w

    def apply(self, U: Array) -> Array:
        """Return ``w_i u_i``."""
        return self.w * U

    def pair(self, a: int, b: int) -> Array:
        """Return the weights."""
        return self.w

    def diagonals(self) -> Array:
        """Return the weights as a column."""
        return self.w[:, None]

    def half(self, U: Array) -> Array:
        """Return ``sqrt(w_i) u_i``."""
        return np.sqrt(self.w) * U

    def half_t(self, U: Array) -> Array:
        """Return ``sqrt(w_i) u_i``."""
        return self.half(U)

    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples, times `scale`."""
        return WeightRows(scale * self.w[index])


class DiagonalRows(Rows):
    """``D_i = diag(m_i)``: outputs that do not see each other.

    Parameters
    ----------
    M : ndarray of shape (n_samples, k)
        Non-negative weights.
    """

    def __init__(self, M: Array) -> None:
        self.M, self.k = M, M.shape[1]

    def apply(self, U: Array) -> Array:
        """Return ``m_i u_i``."""
        return self.M * U

    def pair(self, a: int, b: int) -> Array:
        """Return the weights of one output, or zero between two."""
        return self.M[:, a] if a == b else np.zeros(len(self.M))

    def diagonals(self) -> Array:
        """Return the weights."""
        return self.M

    def half(self, U: Array) -> Array:
        """Return ``sqrt(m_i) u_i``."""
        return np.sqrt(self.M) * U

    def half_t(self, U: Array) -> Array:
        """Return ``sqrt(m_i) u_i``."""
        return self.half(U)

    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples, times `scale`."""
        return DiagonalRows(scale * self.M[index])


class SoftmaxRows(Rows):
    r"""``D_i = w_i (diag(p_i) - p_i p_i')`` with the factor ``L_i = sqrt(w_i) (diag(sqrt p_i) - p_i sqrt(p_i)')``.

    Parameters
    ----------
    P : ndarray of shape (n_samples, k)
        Class probabilities.
    w : ndarray of shape (n_samples,)
        Sample weights that sum to one.
    """

    sums_to_zero = True

    def __init__(self, P: Array, w: Array) -> None:
        self.P, self.w, self.k = P, w, P.shape[1]

    def apply(self, U: Array) -> Array:
        """Return ``w (p * u - p <p, u>)``."""
        out = np.empty_like(self.P)
        kernel.softmax_apply(self.P, self.w, U, out)
        return out

    def diagonals(self) -> Array:
        """Return ``w p_a (sum of the others)``."""
        out = np.empty_like(self.P)
        kernel.softmax_diagonals(self.P, self.w, out)
        return out

    def entries(self) -> Array:
        """Return ``-w p_a p_b`` for b < a."""
        out = np.empty((len(self.w), self.k * (self.k - 1) // 2))
        kernel.softmax_pairs(self.P, self.w, out)
        return out

    def pair(self, a: int, b: int) -> Array:
        """Return ``w p_a (1[a = b] - p_b)``; on the diagonal without cancellation."""
        P = self.P
        if a == b:
            return np.asarray(self.w * P[:, a] * (P[:, :a].sum(axis=1) + P[:, a + 1 :].sum(axis=1)))
        return -self.w * P[:, a] * P[:, b]

    def half(self, U: Array) -> Array:
        """Return ``sqrt(w) (sqrt(p) * u - p <sqrt p, u>)``."""
        V = np.sqrt(self.P) * U
        return np.asarray(np.sqrt(self.w)[:, None] * (V - self.P * V.sum(axis=1, keepdims=True)))

    def half_t(self, U: Array) -> Array:
        """Return ``sqrt(w) (sqrt(p) * u - sqrt(p) <p, u>)``."""
        inner = np.einsum("ij,ij->i", self.P, U)[:, None]
        return np.asarray(np.sqrt(self.w)[:, None] * np.sqrt(self.P) * (U - inner))

    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples, times `scale`."""
        return SoftmaxRows(self.P[index], scale * self.w[index])


class OuterRows(Rows):
    """``D_i = w_i r_i r_i'``: the empirical Fisher blocks.

    Parameters
    ----------
    R : ndarray of shape (n_samples, k)
        Residuals ``r_i`` per unit of weight.
    w : ndarray of shape (n_samples,)
        Non-negative weights.
    """

    def __init__(self, R: Array, w: Array) -> None:
        self.R, self.w, self.k = R, w, R.shape[1]

    def apply(self, U: Array) -> Array:
        """Return ``w r <r, u>``."""
        inner = self.w * np.einsum("ij,ij->i", self.R, U)
        return self.R * inner[:, None]

    def pair(self, a: int, b: int) -> Array:
        """Return ``w r_a r_b``."""
        return np.asarray(self.w * self.R[:, a] * self.R[:, b])

    def half(self, U: Array) -> Array:
        """Return ``L_i u_i`` with ``L_i = sqrt(w_i) r_i e_1'``: only the first entry of each row is read."""
        return np.asarray(self.R * (np.sqrt(self.w) * U[:, 0])[:, None])

    def half_t(self, U: Array) -> Array:
        """Return ``L_i' u_i``: ``sqrt(w) <r, u>`` in the first entry, zeros behind it."""
        out = np.zeros_like(U)
        out[:, 0] = np.sqrt(self.w) * np.einsum("ij,ij->i", self.R, U)
        return out

    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples, times `scale`."""
        return OuterRows(self.R[index], scale * self.w[index])
