r"""Quadratic models in a ball: exactly in an eigenbasis, and over the Krylov space of a projected Hessian.

    min b'u + u' diag(lam) u / 2   subject to |u| <= radius:   u = -b / (lam + mu),  mu >= max(0, -min lam)

with the root of ``1/|u(mu)| = 1/radius`` by Newton's method inside a bracket; the hard case is met [1].

References
----------
[1] More, Sorensen, "Computing a trust region step", SIAM J. Sci. Stat. Comput. 4, 1983.
[2] Gould, Lucidi, Roma, Toint, "Solving the trust-region subproblem using the Lanczos method", SIAM J. Optim. 9, 1999.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnsopt._typing import Array

EPS = float(np.finfo(float).eps)
KRYLOV = 60  # dimension of the Krylov space at the most (chosen)
ACCURATE = 0.01  # residual of the model's gradient, relative, at which the space is large enough (chosen)


def trust_region(lam: Array, b: Array, radius: float) -> Array:
    """Return the minimiser of ``b'u + u' diag(lam) u / 2`` with ``|u| <= radius``.

    Parameters
    ----------
    lam : ndarray of shape (k,)
        Eigenvalues, ascending.
    b : ndarray of shape (k,)
        Linear term.
    radius : float
        Positive; may be infinite where all eigenvalues are positive.

    Returns
    -------
    ndarray of shape (k,)
        The minimiser, to a relative 1e-10 of the radius.
    """
    if lam.size == 0:
        return np.zeros(0)
    scale = max(float(np.abs(lam).max()), 1e-300)
    low, size = float(lam[0]), float(np.linalg.norm(b))
    if low > 10 * EPS * scale:
        u = -b / lam
        if np.linalg.norm(u) <= radius:
            return np.asarray(u)
    least = max(0.0, -low)
    bottom = lam - low <= 1e-12 * scale
    if float(np.linalg.norm(b[bottom])) <= 10 * EPS * size or size == 0.0:  # hard case: b has no part at the bottom
        u = np.where(bottom, 0.0, -b / np.where(bottom, 1.0, lam + least))
        length = float(np.linalg.norm(u))
        if length <= radius:
            if low < -10 * EPS * scale and np.isfinite(radius):
                u[0] += np.sqrt(radius**2 - length**2)
            return np.asarray(u)
    below, above = least, least + size / radius + EPS * scale
    mu, u = 0.5 * (below + above), b
    for _ in range(200):
        d = np.maximum(lam + mu, EPS * scale)
        u = -b / d
        length = float(np.linalg.norm(u))
        if abs(length - radius) <= 1e-10 * radius:
            break
        below, above = (mu, above) if length > radius else (below, mu)
        bend = float((u * u / d).sum())  # may underflow; the bracket bisects then
        new = mu + (length - radius) / radius * length * length / bend if bend > 0 else np.inf
        mu = new if below < new < above else 0.5 * (below + above)
    else:
        rest = float(np.linalg.norm(u[1:]))
        if low < -10 * EPS * scale and rest < radius:  # lam + mu is lost in the rounding of lam: nearly the hard case
            u[0] = np.copysign(np.sqrt(radius**2 - rest**2), -b[0])
    return np.asarray(u)


def projected_lanczos(H: Any, project: Callable[[Array], Array], q: Array, radius: float) -> Array:
    """Return the minimiser of ``q'u + u'Hu/2`` over ``|u| <= radius`` in a Krylov space of the projected Hessian.

    Parameters
    ----------
    H : ndarray, sparse array or LinearOperator of shape (n, n)
        The Hessian.
    project : callable
        Orthogonal projection onto the subspace of the step.
    q : ndarray of shape (n,)
        Linear term.
    radius : float
        Positive.

    Returns
    -------
    ndarray of shape (n,)
        The step; zero where the projection of `q` is.
    """
    r = project(q)
    size = float(np.linalg.norm(r))
    if size <= EPS * float(np.linalg.norm(q)):
        return np.zeros_like(q)
    V = [r / size]
    T = np.zeros((KRYLOV + 1, KRYLOV + 1))
    u = np.zeros(1)
    for k in range(min(KRYLOV, q.size)):
        w = project(np.asarray(H @ V[k]))
        basis = np.array(V)
        T[: k + 1, k] = T[k, : k + 1] = basis @ w
        for _ in range(2):
            w = w - basis.T @ (basis @ w)
        values, W = np.linalg.eigh(T[: k + 1, : k + 1])
        u = W @ trust_region(values, size * W[0], radius)
        beta = float(np.linalg.norm(w))
        if beta * abs(u[-1]) <= ACCURATE * size or beta <= 1e-12 * float(np.abs(values).max()):
            break
        V.append(w / beta)
    return np.asarray(np.array(V[: u.size]).T @ u)
