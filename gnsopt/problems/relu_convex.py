r"""The convex program of a two-layer ReLU network (`gnsopt.problems.TwoLayerReLU`) and its certificate.

    min_v  |F v - y|^2/2 + beta sum_b |v_b|   with  G_b v_b >= 0;      F_b = s_b D_b X,  G_b = (2 D_b - I) X,  s_b = +-1

Certificate: for any residual r and multipliers ``lam >= 0``, with ``z_b = F_b'r + G_b'lam_b`` and
``t = min(1, beta / max_b |z_b|)``, no v has a lower value than ``t <r, y> - t^2 |r|^2/2``. The upper value is that of
the network of v, ``|sum_b s_b (X v_b)_+ - y|^2/2 + beta sum_b |v_b|``, whether or not v is feasible to the last digit.

It is solved by `gnsopt.problems.relu_solvers`, by ADMM as in [1] or by Newton steps.

References
----------
[1] Bai, Gautam, Sojoudi, "Efficient global optimization of two-layer ReLU networks: quadratic-time algorithms and
adversarial training", 2201.01965.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.problems.relu_solvers import admm, newton

METHODS = ("newton", "admm")


@dataclass(frozen=True)
class Certificate:
    """A solution and what proves it.

    Parameters
    ----------
    value : float
        f of the network of the solution: an upper bound of the minimum.
    lower : float
        A lower bound of the minimum over the patterns of the program.
    gap : float
        Their difference.
    v : ndarray of shape (2 P d,)
        The solution, block by block; first the blocks of positive outer weight.
    iterations : int
        Newton steps, or iterations of the method.
    complete : bool
        Whether the program has all patterns: then `lower` holds for every two-layer network on these data.
    """

    value: float
    lower: float
    gap: float
    v: Array
    iterations: int
    complete: bool


class ConvexProgram:
    """The convex program over a list of activation patterns.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Samples.
    y : ndarray of shape (n,)
        Targets.
    beta : float
        Penalty, positive.
    patterns : int, optional
        Normal vectors drawn to sample patterns; by default all patterns are enumerated, for d at most 2.
    seed : int, default=0
        Seed of the sample.

    Raises
    ------
    ValueError
        If all patterns are asked for with d > 2, or ``patterns < 1``.
    """

    def __init__(self, X: Array, y: Array, beta: float, patterns: int | None = None, seed: int = 0) -> None:
        if patterns is None and X.shape[1] > 2:
            raise ValueError(
                f"patterns=None: with {X.shape[1]} columns patterns are sampled; say how many vectors to draw"
            )
        if patterns is not None and not patterns >= 1:
            raise ValueError(f"patterns={patterns} must be at least 1")
        self.X, self.y, self.beta = X, y, beta
        self.complete = patterns is None
        H = (
            plane_vectors(X)
            if patterns is None
            else np.random.default_rng(seed).standard_normal((patterns, X.shape[1]))
        )
        D, first = np.unique(H @ X.T >= 0, axis=0, return_index=True)
        self.D: Array = np.concatenate([D, D]).astype(float)  # (2 P, n)
        self.h = np.concatenate([H[first], H[first]])  # inside the cone of each pattern
        self.sign = np.repeat([1.0, -1.0], len(D))
        self.E: Array = 2 * self.D - 1
        self.rows = np.any(X != 0, axis=1)  # the others constrain nothing
        self.F: Array = ((self.sign[:, None] * self.D)[:, :, None] * X).transpose(1, 0, 2).reshape(len(X), -1)

    @property
    def blocks(self) -> int:
        """Number of blocks, two for each pattern."""
        return len(self.sign)

    def neurons(self, v: Array) -> int:
        """Return how many blocks are not zero.

        Parameters
        ----------
        v : ndarray of shape (2 P d,)
            A solution.

        Returns
        -------
        int
            The count.
        """
        return int(np.sum(np.any(v.reshape(self.blocks, -1) != 0, axis=1)))

    def value(self, v: Array) -> float:
        """Return f of the network of v.

        Parameters
        ----------
        v : ndarray of shape (2 P d,)
            Any vector.

        Returns
        -------
        float
            The value; for feasible v that of the convex program.
        """
        V = v.reshape(self.blocks, -1)
        r = np.maximum(V @ self.X.T, 0.0).T @ self.sign - self.y
        return 0.5 * float(r @ r) + self.beta * float(np.sum(np.linalg.norm(V, axis=1)))

    def lower(self, r: Array, lam: Array) -> float:
        """Return the lower bound of a residual ``y - F v`` and multipliers.

        Parameters
        ----------
        r : ndarray of shape (n,)
            Any vector.
        lam : ndarray of shape (2 P, n)
            Multipliers, not negative.

        Returns
        -------
        float
            The bound.
        """
        Z = (self.F.T @ r).reshape(self.blocks, -1) + (self.E * lam) @ self.X
        largest = float(np.max(np.linalg.norm(Z, axis=1)))
        t = min(1.0, self.beta / largest) if largest > 0 else 1.0
        return t * float(r @ self.y) - 0.5 * t * t * float(r @ r)

    def solve(
        self, method: str = "newton", tol: float = 1e-10, maxiter: int | None = None, **settings: Any
    ) -> Certificate:
        """Solve the program.

        Parameters
        ----------
        method : {"newton", "admm"}, default="newton"
            Which solver.
        tol : float, default=1e-10
            Gap to reach, relative to ``|y|^2/2``, the value of the network of zeros.
        maxiter : int, optional
            Iterations at the most: 500 Newton steps, or 20 000 of ADMM.
        **settings : dict
            For ``"admm"``: ``rho`` (0.1) and ``relax`` (1.6).

        Returns
        -------
        Certificate
            The solution; its gap says how good it is.

        Raises
        ------
        ValueError
            If `method` is unknown.
        """
        if method not in METHODS:
            raise ValueError(f"method={method!r} is unknown; choose one of {METHODS}")
        scaled = tol * (0.5 * float(self.y @ self.y) or 1.0)
        solve: Callable[..., Certificate]
        solve, most = (newton, 500) if method == "newton" else (admm, 20_000)
        return solve(self, scaled, most if maxiter is None else maxiter, **settings)

    def certify(self, v: Array, r: Array, lam: Array, iterations: int) -> Certificate:
        """Return the certificate of v, with its smallest blocks set to zero where that costs no more than a tenth.

        Parameters
        ----------
        v : ndarray of shape (2 P d,)
            Approximate solution.
        r, lam : ndarray
            Residual and multipliers of the lower bound.
        iterations : int
            What it took.

        Returns
        -------
        Certificate
            Value, bound and gap.
        """
        lower, value = max(0.0, self.lower(r, lam)), self.value(v)  # f is never negative
        V = v.reshape(self.blocks, -1)
        sizes = np.linalg.norm(V, axis=1)
        for part in (1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
            pruned = np.where(sizes[:, None] > part * sizes.max(), V, 0.0).ravel()
            if (there := self.value(pruned)) - lower <= 1.1 * (value - lower):
                v, value = pruned, there
                break
        return Certificate(value, lower, value - lower, v.copy(), iterations, self.complete)


def plane_vectors(X: Array) -> Array:
    """Return one vector inside each cone of constant signs of ``X h``, for rows in the plane or on a line.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows, d = 1 or 2.

    Returns
    -------
    ndarray of shape (cones, d)
        The vectors: at most 2 n, by the bisectors of the sorted angles at which a sign changes.
    """
    if X.shape[1] == 1:
        return np.array([[1.0], [-1.0]])
    lines = X[np.any(X != 0, axis=1)]
    angles = np.arctan2(lines[:, 1], lines[:, 0]) + np.pi / 2
    critical = np.unique(np.concatenate([angles, angles + np.pi]) % (2 * np.pi))
    if critical.size == 0:
        return np.array([[1.0, 0.0]])
    middle = (critical + np.append(critical[1:], critical[0] + 2 * np.pi)) / 2
    return np.stack([np.cos(middle), np.sin(middle)], axis=1)
