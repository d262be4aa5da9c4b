r"""The methods that the paper compares with: augmented Lagrangian, and inexact SQP on the l1 penalty by GMRES [1].

They share the matrix B of paper mode and step halving. Departure: GMRES is not restarted; its acceptance tests are
asked after every second iteration, as in the authors' code, of one growing Krylov space.

References
----------
[1] Byrd, Curtis, Nocedal, "An inexact SQP method for equality constrained optimization", SIAM J. Optim. 19, 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gnsopt._typing import Array
from gnsopt.constrained import KKTPoint
from gnsopt.constrained.matrices import dense
from gnsopt.constrained.paper import definite, kkt_matrix
from gnsopt.exceptions import StepFailure

Steps = Iterator[tuple[KKTPoint, dict[str, float]]]
BURST, HALVINGS, MU_MAX = 2, 60, 1e8


def gmres(K: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Yield solution and residual ``K z - b`` of GMRES after every second iteration, and at the end."""
    N, size = b.size, float(np.linalg.norm(b))
    Q, Hess = np.zeros((N, N + 1)), np.zeros((N + 1, N))
    Q[:, 0] = b / size
    for k in range(N):
        w = K @ Q[:, k]
        for _ in range(2):
            h = Q[:, : k + 1].T @ w
            Hess[: k + 1, k] += h
            w = w - Q[:, : k + 1] @ h
        Hess[k + 1, k] = float(np.linalg.norm(w))
        last = k == N - 1 or Hess[k + 1, k] <= 1e-14 * float(np.linalg.norm(Hess[:, k]))
        if last or k % BURST == BURST - 1:
            target = np.zeros(k + 2)
            target[0] = size
            z = Q[:, : k + 1] @ np.linalg.lstsq(Hess[: k + 2, : k + 1], target, rcond=None)[0]
            yield z, K @ z - b
        if last:
            return
        Q[:, k + 1] = w / Hess[k + 1, k]


def halving(p: KKTPoint, dx: Array, dy: Array, accept: Callable[[KKTPoint, float], bool]) -> tuple[KKTPoint, float]:
    """Return the first of ``t = 1, 1/2, ...`` that `accept` takes."""
    t = 1.0
    for _ in range(HALVINGS):
        q = p.at(p.x + t * dx, p.y + t * dy)
        if q.finite and accept(q, t):
            return q, t
        t /= 2
    raise StepFailure("no step was accepted", promised=0.0)


def l1_sqp(p: KKTPoint, *, adaptive: bool) -> Steps:
    """Inexact SQP on ``f + mu |c|_1``; adaptive: one test with a factor that falls with each rise of mu."""
    mu, kappa, eps, tau, nu = 1.0, 0.1 if adaptive else 1.0, 0.1, 0.1, 1.5
    sigma = tau * (1 - eps)
    while True:
        G = dense(p.G)
        B = definite(dense(p.H), G, 1e-6, 0.1)
        n, F = p.problem.n, np.concatenate([p.gL, p.c])
        c1 = float(np.abs(p.c).sum())
        loose = max(float(np.abs(p.gL).sum()) / (c1 + 1.0), 1.0)

        def reduction(dx: Array, mu: float, p: KKTPoint = p, B: Array = B, G: Array = G, c1: float = c1) -> float:
            left = float(np.abs(p.c + G @ dx).sum())
            return -float(p.g @ dx) - max(0.5 * float(dx @ B @ dx), 0.0) + mu * (c1 - left)

        for z, r in gmres(kkt_matrix(B, G), -F):
            dx, dy = z[:n], z[n:]
            r1, rx, rc = (float(np.abs(part).sum()) for part in (r, r[:n], r[n:]))
            left = float(np.abs(p.c + G @ dx).sum())
            p.work.nmatvec += BURST
            enough = sigma * mu * max(c1, left - c1)
            if adaptive:
                if r1 <= kappa * float(np.abs(F).sum()):
                    if reduction(dx, mu) >= enough:
                        break
                    mu, kappa = min(nu * mu, MU_MAX), kappa / nu**2
                continue
            first = r1 <= kappa * float(np.abs(F).sum()) and rc <= max(eps * float(np.abs(p.gL).sum()), loose * c1)
            if first and reduction(dx, mu) >= enough:
                break
            if rx <= eps * c1 and rc <= loose * c1 and c1 > left:
                curved = max(0.5 * float(dx @ B @ dx), 0.0)
                mu = min(max(mu, (float(p.g @ dx) + curved) / ((1 - tau) * (c1 - left)) + 1e-4), MU_MAX)
                break
        before, D = p.f + mu * c1, reduction(dx, mu)
        noise = 1e-14 * abs(before)

        def decreases(
            q: KKTPoint, t: float, before: float = before, D: float = D, mu: float = mu, noise: float = noise
        ) -> bool:
            return q.f + mu * float(np.abs(q.c).sum()) <= before - 1e-8 * t * D + noise

        p, t = halving(p, dx, dy, decreases)
        yield p, {"t": t, "mu": mu}


def augmented_lagrangian(p: KKTPoint) -> Steps:
    """The classical method of multipliers, each subproblem by shifted Newton steps with GMRES."""
    mu, tol = 1.0, 0.1
    while True:
        for _ in range(100):
            G = dense(p.G)
            shifted = p.with_multipliers(p.y + mu * p.c)
            g = shifted.gL
            if np.linalg.norm(g) <= tol:
                break
            H = dense(shifted.H) + mu * G.T @ G
            H = H + max(0.0, 1.0 - float(np.linalg.eigvalsh(H)[0])) * np.eye(p.problem.n)
            for dx, r in gmres(H, -g):  # noqa: B007
                p.work.nmatvec += BURST
                if np.linalg.norm(r) <= 1e-4 * np.linalg.norm(g):
                    break
            before, slope = value(p, mu), float(g @ dx)

            def decreases(q: KKTPoint, t: float, before: float = before, slope: float = slope, mu: float = mu) -> bool:
                return value(q, mu) <= before + 0.1 * t * slope + 1e-14 * abs(before)

            p, _ = halving(p, dx, np.zeros_like(p.y), decreases)
        p = p.with_multipliers(p.y + mu * p.c)
        yield p, {"t": 1.0, "mu": mu}
        mu, tol = 1.5 * mu, max(0.1 * tol, 1e-10)


def value(p: KKTPoint, mu: float) -> float:
    """Return ``f + y'c + mu/2 |c|^2``."""
    return float(p.f + p.y @ p.c + 0.5 * mu * (p.c @ p.c))


BASELINES: dict[str, Callable[[KKTPoint], Steps]] = {
    "al": augmented_lagrangian,
    "gmres-l1": lambda p: l1_sqp(p, adaptive=False),
    "adaptive-gmres-l1": lambda p: l1_sqp(p, adaptive=True),
}
