r"""Limited-memory BFGS in its compact form, over any preconditioner.

With the m last steps in the rows of S, the changes of the gradient along them in those of Y, ``R_ij = <s_i, y_j>`` for
i <= j (0 below), ``D = diag(R)`` and a first approximation ``M`` of the inverse Hessian, the BFGS inverse is [1, (2.6)]

    G g = M q + S' R^{-T} (D a - Y M q),     a = R^{-1} S g,     q = g - Y' a,

the two loops [2] as four products with m x n matrices and two triangular solves of order m.

References
----------
[1] Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods", Math.
   Program. 63 (1994), 129-156.
[2] Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35 (1980), 773-782.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array

EPS = float(np.finfo(float).eps)


class Pairs:
    """The last steps of a run and the changes of its gradient along them.

    Parameters
    ----------
    memory : int
        Number m of pairs at the most, at least 1.
    n : int
        Their length.
    """

    def __init__(self, memory: int, n: int) -> None:
        self._S, self._Y = np.empty((memory, n)), np.empty((memory, n))
        self._SY = np.zeros((memory, memory))
        self._slots: list[int] = []  # from the oldest pair to the newest one

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._slots)

    def add(self, s: Array, y: Array) -> None:
        """Take a pair in, for the oldest one where there is no room; one without curvature above rounding is left out.

        Parameters
        ----------
        s : ndarray of shape (n,)
            A step.
        y : ndarray of shape (n,)
            The gradient behind it minus the one before it.
        """
        curvature, least = float(s @ y), EPS * math.sqrt(float(s @ s) * float(y @ y))
        if not least < curvature < np.inf:
            return
        slot = self._slots.pop(0) if len(self._slots) == len(self._S) else len(self._slots)
        self._slots.append(slot)
        self._S[slot], self._Y[slot] = s, y
        used = len(self._slots)
        self._SY[:used, slot] = self._S[:used] @ y

    def apply(self, M: Callable[[Array], Array], g: Array, scaled: bool = False) -> Array:
        """Return ``G g``.

        Parameters
        ----------
        M : callable
            ``M(r)``, linear, symmetric and positive definite.
        g : ndarray of shape (n,)
            A vector.
        scaled : bool, default=False
            Whether `M` has the scale of the inverse Hessian; else it is multiplied by ``<s, y> / <y, M y>`` of the
            newest pair.

        Returns
        -------
        ndarray of shape (n,)
            The product.
        """
        if not self._slots:
            return M(g)
        order, used = self._slots, len(self._slots)
        S, Y = self._S[:used], self._Y[:used]
        R = self._SY[np.ix_(order, order)]  # what is below its diagonal is not read
        newest = Y[order[-1]]
        a = _solved(R, (S @ g)[order], 0)
        h = M(g - _placed(a, order) @ Y)
        if not scaled:
            h *= R[-1, -1] / float(newest @ M(newest))
        c = _solved(R, R.diagonal() * a - (Y @ h)[order], 1)
        h += _placed(c, order) @ S
        return h


def _solved(R: Array, b: Array, transposed: int) -> Array:
    """Return ``R^{-1} b`` or ``R^{-T} b`` for the upper triangle of `R`."""
    return np.asarray(lapack.dtrtrs(R, b, trans=transposed)[0]).reshape(-1)


def _placed(values: Array, order: list[int]) -> Array:
    """Return the values of the pairs, from the oldest to the newest one, in the order of their rows."""
    out = np.empty_like(values)
    out[order] = values
    return out
