r"""Two solvers of the convex program of a ReLU network, `gnsopt.problems.relu_convex.ConvexProgram`.

`newton`   follows the path of the barrier ``-mu (sum log(G v) + sum log(t_b^2 - |v_b|^2))``, with the ``t_b``
           eliminated, by Newton's method with multipliers. On the path the gap is mu times (constraints + 2 blocks).
`admm`     that of [1], with over-relaxation: one factorisation, many cheap and slow iterations.

References
----------
[1] Bai, Gautam, Sojoudi, "Efficient global optimization of two-layer ReLU networks: quadratic-time algorithms and
adversarial training", 2201.01965.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gnsopt._typing import Array

if TYPE_CHECKING:
    from gnsopt.problems.relu_convex import Certificate, ConvexProgram


def newton(program: ConvexProgram, tol: float, maxiter: int) -> Certificate:
    """Follow the central path; at every mu Newton steps until their decrement is small.

    Parameters
    ----------
    program : ConvexProgram
        What to solve.
    tol : float
        Gap to reach.
    maxiter : int
        Newton steps at the most.

    Returns
    -------
    Certificate
        The solution of the least gap.
    """
    y, path = program.y, _Path(program)
    V = 1e-3 * program.h / np.linalg.norm(program.h, axis=1, keepdims=True)
    slack = path.slack(V)
    barriers = program.blocks * (int(program.rows.sum()) + 2)
    mu = max(1.0, 0.5 * float(y @ y)) / barriers
    lam, last, best, k = mu / slack, tol / (10 * barriers), None, 0
    while k < maxiter:
        for _ in range(30):
            k += 1
            try:
                V, slack, lam, decrement = path.step(V, slack, lam, mu)
            except np.linalg.LinAlgError:
                decrement = np.nan
            if not decrement > 1e-2 * mu or k >= maxiter:
                break
        r = y - program.F @ V.ravel()
        better = max((lam, mu / slack), key=lambda multipliers: program.lower(r, multipliers))
        found = program.certify(V.ravel(), r, better, k)
        best = found if best is None or found.gap < best.gap else best
        if best.gap <= tol or mu <= last or np.isnan(decrement):
            break
        mu *= 0.1
    assert best is not None
    return best


class _Path:
    """The barrier problem of a program."""

    def __init__(self, program: ConvexProgram) -> None:
        self.X, self.y, self.E, self.F = program.X, program.y, program.E, program.F
        self.rows, self.beta = program.rows, program.beta
        self.FF = self.F.T @ self.F

    def slack(self, V: Array) -> Array:
        """Return ``G_b v_b``; infinite where a row constrains nothing."""
        return np.asarray(np.where(self.rows, self.E * (V @ self.X.T), np.inf))

    def step(self, V: Array, slack: Array, lam: Array, mu: float) -> tuple[Array, Array, Array, float]:
        """Take a primal-dual Newton step; the matrix has lam/slack in place of the barrier's mu/slack^2."""
        (B, d), beta = V.shape, self.beta
        q = np.sqrt(mu * mu + beta**2 * np.sum(V * V, axis=1))
        pull = beta**2 / (mu + q)  # the gradient of the norms is pull * v
        r = self.y - self.F @ V.ravel()
        g = pull[:, None] * V - (self.F.T @ r).reshape(B, d) - mu * (self.E / slack) @ self.X
        M = np.einsum("bi,ij,ik->bjk", lam / slack, self.X, self.X) + pull[:, None, None] * np.eye(d)
        M -= (beta**4 / (q * (mu + q) ** 2))[:, None, None] * V[:, :, None] * V[:, None, :]
        H = self.FF.copy()
        np.einsum("bjbk->bjk", H.reshape(B, d, B, d))[...] += M
        p = -damped_solve(H, g.ravel()).reshape(B, d)
        decrement = -float(g.ravel() @ p.ravel())
        ahead = np.where(self.rows, self.E * (p @ self.X.T), 0.0)
        change = mu / slack - lam - lam * ahead / slack
        V = V + self.length(V, p, mu, inside(slack, ahead), decrement) * p
        slack = self.slack(V)
        if not np.all(slack > 0):
            raise np.linalg.LinAlgError("rounding has reached the border")
        lam = lam + inside(lam, change) * change
        return V, slack, np.clip(lam, 1e-8 * mu / slack, 1e8 * mu / slack), decrement

    def length(self, V: Array, p: Array, mu: float, t: float, decrement: float) -> float:
        """Halve t until the barrier's value falls enough; near the centre, where values are rounding, take it."""
        if decrement <= 0.1 * mu:
            return t
        here = self.value(V, mu)
        for _ in range(30):
            if self.value(V + t * p, mu) <= here - 0.1 * t * decrement:
                return t
            t /= 2
        return t

    def value(self, V: Array, mu: float) -> float:
        """Return the value of the barrier problem; infinite outside."""
        slack = self.E[:, self.rows] * (V @ self.X[self.rows].T)
        if not np.all(slack > 0):
            return np.inf
        r = self.F @ V.ravel() - self.y
        q = np.sqrt(mu * mu + self.beta**2 * np.sum(V * V, axis=1))
        norms = float(np.sum(q)) - mu * float(np.sum(np.log(mu + q)))
        return 0.5 * float(r @ r) + norms - mu * float(np.sum(np.log(slack)))


def admm(program: ConvexProgram, tol: float, maxiter: int, rho: float = 0.1, relax: float = 1.6) -> Certificate:
    """Run the method of the paper: u for the least squares, v for the norms, s for the constraints.

    Parameters
    ----------
    program : ConvexProgram
        What to solve.
    tol : float
        Gap to reach.
    maxiter : int
        Iterations at the most.
    rho : float, default=0.1
        Weight of the copies.
    relax : float, default=1.6
        Over-relaxation.

    Returns
    -------
    Certificate
        The last iterate.
    """
    X, y, E, F, (B, d) = program.X, program.y, program.E, program.F, program.h.shape
    factor = cho_factor(np.kron(np.eye(B), np.eye(d) + X.T @ X) + F.T @ F / rho, lower=True)
    v, lam, s, nu = np.zeros((B, d)), np.zeros((B, d)), np.zeros_like(E), np.zeros_like(E)
    for k in range(1, maxiter + 1):
        b = F.T @ y / rho + (v - lam + (E * (s - nu)) @ X).ravel()
        u = cho_solve(factor, b).reshape(B, d)
        uh, gh = relax * u + (1 - relax) * v, relax * E * (u @ X.T) + (1 - relax) * s
        size = np.linalg.norm(uh + lam, axis=1, keepdims=True)
        v = np.maximum(1 - program.beta / (rho * np.maximum(size, 1e-300)), 0.0) * (uh + lam)
        s = np.maximum(gh + nu, 0.0)
        lam, nu = lam + uh - v, nu + gh - s
        if k % 20 == 0 or k == maxiter:
            found = program.certify(v.ravel(), y - F @ u.ravel(), np.maximum(-rho * nu, 0.0), k)
            if found.gap <= tol:
                break
    return found


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
