r"""The convex program of a two-layer ReLU network (`gnsopt.problems.TwoLayerReLU`), its certificate and two solvers.

    min_v  |F v - y|^2/2 + beta sum_b |v_b|   with  G_b v_b >= 0;      F_b = s_b D_b X,  G_b = (2 D_b - I) X,  s_b = +-1

Certificate: for any residual r and multipliers ``lam >= 0``, with ``z_b = F_b'r + G_b'lam_b`` and
``t = min(1, beta / max_b |z_b|)``, no v has a lower value than ``t <r, y> - t^2 |r|^2/2``. The upper value is that of
the network of v, ``|sum_b s_b (X v_b)_+ - y|^2/2 + beta sum_b |v_b|``, whether or not v is feasible to the last digit.

``"newton"``  follows the path of the barrier ``-mu (sum log(G v) + sum log(t_b^2 - |v_b|^2))``, with the ``t_b``
              eliminated, by Newton's method. On the path the gap is mu times (constraints + 2 blocks).
``"admm"``    that of [1], with over-relaxation: one factorisation, many cheap and slow iterations.

References
----------
[1] Bai, Gautam, Sojoudi, "Efficient global optimization of two-layer ReLU networks: quadratic-time algorithms and
adversarial training", 2201.01965.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gnsopt._typing import Array

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
            Gap to reach, relative to ``max(1, |y|^2/2)``.
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
        scaled = tol * max(1.0, 0.5 * float(self.y @ self.y))
        if method == "admm":
            return self._admm(scaled, 20_000 if maxiter is None else maxiter, **settings)
        return self._newton(scaled, 500 if maxiter is None else maxiter, **settings)

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
        lower, value = self.lower(r, lam), self.value(v)
        V = v.reshape(self.blocks, -1)
        sizes = np.linalg.norm(V, axis=1)
        for part in (1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
            pruned = np.where(sizes[:, None] > part * sizes.max(), V, 0.0).ravel()
            if (there := self.value(pruned)) - lower <= 1.1 * (value - lower):
                v, value = pruned, there
                break
        return Certificate(value, lower, value - lower, v.copy(), iterations, self.complete)

    # ------------------------------------------------------------------------------------------------- barrier

    def _newton(self, tol: float, maxiter: int) -> Certificate:
        """Follow the central path; at every mu Newton steps until their decrement is small."""
        V = 1e-3 * self.h / np.linalg.norm(self.h, axis=1, keepdims=True)
        slack = self._slack(V)
        barriers = self.blocks * (int(self.rows.sum()) + 2)
        mu = max(1.0, 0.5 * float(self.y @ self.y)) / barriers
        lam, last, best, k = mu / slack, tol / (10 * barriers), None, 0
        while k < maxiter:
            for _ in range(30):
                k += 1
                try:
                    V, slack, lam, decrement = self._step(V, slack, lam, mu)
                except np.linalg.LinAlgError:
                    decrement = np.nan
                if not decrement > 1e-2 * mu or k >= maxiter:
                    break
            r = self.y - self.F @ V.ravel()
            better = max((lam, mu / slack), key=lambda multipliers: self.lower(r, multipliers))
            found = self.certify(V.ravel(), r, better, k)
            best = found if best is None or found.gap < best.gap else best
            if best.gap <= tol or mu <= last or np.isnan(decrement):
                break
            mu *= 0.1
        assert best is not None
        return best

    def _slack(self, V: Array) -> Array:
        return np.asarray(np.where(self.rows, self.E * (V @ self.X.T), np.inf))

    def _step(self, V: Array, slack: Array, lam: Array, mu: float) -> tuple[Array, Array, Array, float]:
        """Take a primal-dual Newton step; the matrix has lam/slack in place of the barrier's mu/slack^2."""
        (B, d), bX = V.shape, self.beta**2
        q = np.sqrt(mu * mu + bX * np.sum(V * V, axis=1))
        pull = bX / (mu + q)  # the gradient of the norms is pull * v
        r = self.y - self.F @ V.ravel()
        g = pull[:, None] * V - (self.F.T @ r).reshape(B, d) - mu * (self.E / slack) @ self.X
        M = np.einsum("bi,ij,ik->bjk", lam / slack, self.X, self.X) + pull[:, None, None] * np.eye(d)
        M -= (bX**2 / (q * (mu + q) ** 2))[:, None, None] * V[:, :, None] * V[:, None, :]
        H = self.F.T @ self.F
        np.einsum("bjbk->bjk", H.reshape(B, d, B, d))[...] += M
        p = -damped_solve(H, g.ravel()).reshape(B, d)
        decrement = -float(g.ravel() @ p.ravel())
        ahead = np.where(self.rows, self.E * (p @ self.X.T), 0.0)
        change = mu / slack - lam - lam * ahead / slack
        t = self._length(V, p, mu, inside(slack, ahead), decrement)
        V = V + t * p
        slack = self._slack(V)
        lam = lam + inside(lam, change) * change
        return V, slack, np.clip(lam, 1e-8 * mu / slack, 1e8 * mu / slack), decrement

    def _length(self, V: Array, p: Array, mu: float, t: float, decrement: float) -> float:
        """Halve t until the barrier's value falls enough; near the centre, where values are rounding, take it."""
        if decrement <= 0.1 * mu:
            return t
        here = self._barrier(V, mu)
        for _ in range(30):
            if self._barrier(V + t * p, mu) <= here - 0.1 * t * decrement:
                return t
            t /= 2
        return t

    def _barrier(self, V: Array, mu: float) -> float:
        slack = self.E[:, self.rows] * (V @ self.X[self.rows].T)
        if not np.all(slack > 0):
            return np.inf
        r = self.F @ V.ravel() - self.y
        q = np.sqrt(mu * mu + self.beta**2 * np.sum(V * V, axis=1))
        norms = float(np.sum(q)) - mu * float(np.sum(np.log(mu + q)))
        return 0.5 * float(r @ r) + norms - mu * float(np.sum(np.log(slack)))

    # ---------------------------------------------------------------------------------------------------- ADMM

    def _admm(self, tol: float, maxiter: int, rho: float = 0.1, relax: float = 1.6) -> Certificate:
        """The method of the paper: u for the least squares, v for the norms, s for the constraints."""
        X, y, E, (B, d) = self.X, self.y, self.E, self.h.shape
        A = np.kron(np.eye(B), np.eye(d) + X.T @ X) + self.F.T @ self.F / rho
        factor = cho_factor(A, lower=True)
        v, lam, s, nu = np.zeros((B, d)), np.zeros((B, d)), np.zeros_like(E), np.zeros_like(E)
        for k in range(1, maxiter + 1):
            b = self.F.T @ y / rho + (v - lam + (E * (s - nu)) @ X).ravel()
            u = cho_solve(factor, b).reshape(B, d)
            uh, gh = relax * u + (1 - relax) * v, relax * E * (u @ X.T) + (1 - relax) * s
            size = np.linalg.norm(uh + lam, axis=1, keepdims=True)
            v = np.maximum(1 - self.beta / (rho * np.maximum(size, 1e-300)), 0.0) * (uh + lam)
            s = np.maximum(gh + nu, 0.0)
            lam, nu = lam + uh - v, nu + gh - s
            if k % 20 == 0 or k == maxiter:
                r = y - self.F @ u.ravel()
                value, lower = self.value(v.ravel()), self.lower(r, np.maximum(-rho * nu, 0.0))
                if value - lower <= tol:
                    break
        return Certificate(value, lower, value - lower, v.ravel(), k, self.complete)


def inside(s: Array, change: Array) -> float:
    """Return the step, at most 1, that goes at most 99 % of the way to where an entry of s vanishes.

    Parameters
    ----------
    s : ndarray
        Positive numbers, or infinity.
    change : ndarray
        Their change for a step of 1.

    Returns
    -------
    float
        The step.
    """
    fastest = float(np.max(-change / np.maximum(s, 1e-300)))
    return min(1.0, 0.99 / fastest) if fastest > 0 else 1.0


def damped_solve(H: Array, b: Array) -> Array:
    """Solve with a positive definite matrix; where rounding has made it indefinite, with a little of its diagonal more.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        The matrix.
    b : ndarray of shape (n,)
        Right-hand side.

    Returns
    -------
    ndarray of shape (n,)
        The solution.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a tenth of a millionth of the diagonal is not enough.
    """
    for damping in (0.0, 1e-15, 1e-13, 1e-11, 1e-9):
        try:
            return np.asarray(cho_solve(cho_factor(H + damping * np.diag(np.diag(H)), lower=True), b))
        except (np.linalg.LinAlgError, ValueError):
            continue
    raise np.linalg.LinAlgError("the matrix is not positive definite")


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
