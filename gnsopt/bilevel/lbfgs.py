"""Limited-memory quasi-Newton directions in a box: two-loop recursion on the free variables."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from gnsopt._typing import Array

CURVED = 1e-8  # smallest <s, y> / (|s| |y|) of a pair that is kept (chosen)


class LBFGS:
    """Memory of the last steps and changes of the gradient.

    Parameters
    ----------
    memory : int
        Pairs that are kept.
    """

    def __init__(self, memory: int) -> None:
        self._pairs: deque[tuple[Array, Array]] = deque(maxlen=memory)

    def update(self, s: Array, y: Array) -> None:
        """Remember a pair unless it shows no positive curvature.

        Parameters
        ----------
        s, y : ndarray of shape (d,)
            Step and change of the gradient.
        """
        if s @ y > CURVED * np.linalg.norm(s) * np.linalg.norm(y):
            self._pairs.append((s, y))

    def forget(self) -> None:
        """Drop all pairs."""
        self._pairs.clear()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    def direction(self, z: Array, free: Any) -> Array:
        """Return ``-B z`` on the free variables and zero elsewhere.

        Parameters
        ----------
        z : ndarray of shape (d,)
            Gradient.
        free : ndarray of bool of shape (d,)
            Variables that may move.

        Returns
        -------
        ndarray of shape (d,)
            A descent direction: pairs without positive curvature on the free variables are left out.
        """
        p = np.where(free, -z, 0.0)
        pairs = []
        for s, y in self._pairs:
            s, y = np.where(free, s, 0.0), np.where(free, y, 0.0)
            sy = float(s @ y)
            if sy > CURVED * np.linalg.norm(s) * np.linalg.norm(y):
                pairs.append((s, y, sy))
        if not pairs:
            return p
        along = []
        for s, y, sy in reversed(pairs):
            a = float(s @ p) / sy
            along.append(a)
            p = p - a * y
        s, y, sy = pairs[-1]
        p = p * (sy / float(y @ y))
        for (s, y, sy), a in zip(pairs, reversed(along), strict=True):
            p = p + (a - float(y @ p) / sy) * s
        return p
