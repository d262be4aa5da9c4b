r"""Quasi-Newton quadratic model in a box: the step of an outer method whose trust region is a cube.

    m(s) = <z, s> + <s, B s>/2   over   low <= s <= high,    B = D - W' K^{-1} W

B is the limited-memory BFGS matrix of the last pairs (s, y) in compact form [1], with rows ``W = [S D; Y]``, and
``K = [S D S', L; L', -diag(<s_i, y_i>)]``, L the part of S Y' below its diagonal. D is a diagonal matrix with a memory
of all pairs: the diagonal BFGS update of a scaled D [2],

    D <- a D,   a = <y, D^{-1} y> / <s, y>,      D_i <- D_i + y_i^2 / <s, y> - (D_i s_i)^2 / <s, D s>,

since variables of a bilevel problem (penalties of rare and of frequent features) differ by orders of magnitude in
their curvature. The box is that of the problem cut with the cube ``|s_i| <= radius``, so a variable that runs to a
bound stops neither the others nor the descent: m is minimised by projected Newton steps [3] on the free variables F,

    s <- clip(s - t B_FF^{-1} grad m_F),   t = 1, 0.3, ...   until m falls.

Clipping ``-B^{-1} z`` variable by variable instead need not be a descent direction at all.

References
----------
[1] Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods", Math.
    Program. 63 (1994).
[2] Gilbert, Lemarechal, "Some numerical experiments with variable-storage quasi-Newton algorithms", Math. Program. 45
    (1989).
[3] Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM J. Control Optim. 20
    (1982).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from gnsopt._typing import Array

CURVED = 1e-8  # smallest <s, y> / (|s| |y|) of a pair that is kept (chosen)
SPREAD = 1e-10  # least entry of D relative to its largest one: what rounding may make of a difference (chosen)
ENOUGH = 1e-2  # reduced gradient of m, relative to the first one, at which m is minimised enough (chosen)
PASSES, CUTS = 10, 12  # projected Newton steps, and cuts of one, at the most (chosen)


class BoxModel:
    """Memory of the last steps and changes of the gradient, and the model that they give.

    Parameters
    ----------
    memory : int
        Pairs that are kept; 0 keeps none.
    """

    def __init__(self, memory: int) -> None:
        self._pairs: deque[tuple[Array, Array]] = deque(maxlen=memory)
        self._D: Array | None = None

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    def forget(self) -> None:
        """Drop all pairs and the diagonal."""
        self._pairs.clear()
        self._D = None

    def update(self, s: Array, y: Array) -> None:
        """Remember a pair unless it shows no positive curvature.

        Parameters
        ----------
        s, y : ndarray of shape (d,)
            Step and change of the gradient.
        """
        sy = float(s @ y)
        if not sy > CURVED * np.linalg.norm(s) * np.linalg.norm(y) or self._pairs.maxlen == 0:
            return
        self._pairs.append((s, y))
        if self._D is None:
            self._D = np.full(s.size, float(y @ y) / sy)
        else:
            D = self._D * (float(y @ (y / self._D)) / sy)
            D += y**2 / sy - (D * s) ** 2 / float(s @ (D * s))
            self._D = np.maximum(D, SPREAD * D.max())
        S, Y = (np.array(rows) for rows in zip(*self._pairs, strict=True))
        SD, SY = S * self._D, S @ Y.T
        self._W = np.vstack([SD, Y])
        self._K = np.block([[SD @ S.T, np.tril(SY, -1)], [np.tril(SY, -1).T, -np.diag(SY.diagonal())]])

    def times(self, v: Array) -> Array:
        """Return ``B v``.

        Parameters
        ----------
        v : ndarray of shape (d,)
            Vector.

        Returns
        -------
        ndarray of shape (d,)
            The product.
        """
        assert self._D is not None
        return np.asarray(self._D * v - self._W.T @ np.linalg.solve(self._K, self._W @ v))

    def newton(self, r: Array, free: Any) -> Array:
        """Return ``-B_FF^{-1} r_F`` on the free variables, by Woodbury's formula, and zero elsewhere.

        Parameters
        ----------
        r : ndarray of shape (d,)
            Gradient of the model.
        free : ndarray of bool of shape (d,)
            The variables F.

        Returns
        -------
        ndarray of shape (d,)
            A descent direction.
        """
        assert self._D is not None
        inverse = np.where(free, 1.0 / self._D, 0.0)
        scaled = self._W * inverse
        return -(inverse * r + scaled.T @ np.linalg.solve(self._K - scaled @ self._W.T, scaled @ r))

    def minimize(self, z: Array, low: Array, high: Array) -> tuple[Array, float]:
        """Return a step in a box that makes m small, and by how much m falls.

        Parameters
        ----------
        z : ndarray of shape (d,)
            Gradient at ``s = 0``.
        low, high : ndarray of shape (d,)
            The box, ``low <= 0 <= high``.

        Returns
        -------
        s : ndarray of shape (d,)
            The step.
        fall : float
            ``-m(s)``; zero if rounding left no descent.
        """
        s, r, fall, first = np.zeros_like(z), z, 0.0, 0.0
        for _ in range(PASSES):
            free = ~((s <= low) & (r > 0) | (s >= high) & (r < 0))
            size = float(np.linalg.norm(r[free]))
            if size <= ENOUGH * first:
                break
            first = max(first, size)
            try:
                p, t = self.newton(r, free), 1.0
                for _ in range(CUTS):
                    step = np.clip(s + t * p, low, high) - s
                    change, slope = self.times(step), float(r @ step)
                    gain = -slope - 0.5 * float(step @ change)
                    if slope < 0 and gain >= -1e-4 * slope:
                        break
                    t *= 0.3
                else:
                    break
            except np.linalg.LinAlgError:  # pairs that depend on each other
                break
            s, r, fall = s + step, r + change, fall + gain
        return s, fall


def steepest(z: Array, error: float, low: Array, high: Array) -> tuple[Array, float]:
    r"""Return the steepest step in a box without a model: all move as far as they may, unless z is too rough.

    ``s_i = -r_i z_i / max(|z_i|, error)``, r_i the room there is: in the norm of the largest entry the steepest
    direction is ``-sign(z)``, and it does not depend on the scales of the variables, where ``-z`` would move one of
    them and hardly the others. Where only ``|z - grad f| <= error`` is known, small entries move less: then s is a
    descent direction of f in any cube if ``error <= |z|/2``. (In units of the error let k entries be larger than 1,
    with the sum a, and b the norm of the others: ``-<z, s> = r (a + b^2)`` and ``|s| = r sqrt(k + b^2)``, and the
    former is larger as ``a >= k``, ``a^2 + b^2 >= 4`` for k = 1, and ``b >= 2`` for k = 0.)

    Parameters
    ----------
    z : ndarray of shape (d,)
        Approximate gradient.
    error : float
        Its error.
    low, high : ndarray of shape (d,)
        The box, ``low <= 0 <= high``.

    Returns
    -------
    s : ndarray of shape (d,)
        The step.
    fall : float
        ``-<z, s>``.
    """
    share = z / np.maximum(np.maximum(np.abs(z), error), 1e-300)
    s = np.where(share > 0, share * low, -share * high)
    return s, -float(z @ s)
