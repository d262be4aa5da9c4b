"""The minimum of a problem, by Newton's method on the independent oracle, to the limit of float64 or close to it.

Directions come from the dense Hessian where that is affordable, otherwise from conjugate gradients with the diagonal of
the Hessian. With fewer samples than features the weights lie in the span of the samples: with ``X' = Q R`` the problem
in ``v``, ``w = Q v``, has the design ``R'`` and the same norm, so it is the same problem in fewer variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr

from experiments.benchmarks.glm.oracle import Oracle, Vector

GOAL = 1e-13  # gradient norm to stop at; most problems end a little above, on rounding
DENSE = 2700  # variables up to which the Hessian is factorised (chosen: softmax on usps has 2560)
SPAN = 50_000_000  # entries of X up to which fewer samples than features are reduced to their span
PATIENCE = 4  # iterations without a smaller gradient that end the run
PRODUCTS = 5000  # of conjugate gradients for one direction


def minimum(oracle: Oracle, goal: float = GOAL) -> tuple[Vector, dict[str, Any]]:
    """Return the minimiser, flat, and what is known of it: value, norm of the gradient, the way there."""
    if oracle.n < oracle.d and oracle.n * oracle.d <= SPAN:
        X = oracle.X.toarray() if sparse.issparse(oracle.X) else oracle.X
        Q, R = qr(X.T, mode="economic")
        small = Oracle(np.ascontiguousarray(R.T), oracle.codes, oracle.k, oracle.l2, oracle.intercept)
        v, route = _newton(small, goal)
        V = v.reshape(small.shape)
        x = np.concatenate([Q @ V[: oracle.n], V[oracle.n :]]).ravel()
        route += ", in the span of the samples"
    else:
        x, route = _newton(oracle, goal)
    return x, {"f_star": oracle.fun(x), "gnorm": float(np.linalg.norm(oracle.grad(x))), "route": route}


def _newton(oracle: Oracle, goal: float) -> tuple[Vector, str]:
    x = best = np.zeros(oracle.size)
    least = first = float(np.linalg.norm(oracle.grad(x)))
    idle = 0
    for _ in range(300):
        g = oracle.grad(x)
        gnorm = float(np.linalg.norm(g))
        if gnorm < least:
            best, least, idle = x, gnorm, 0
        else:
            idle += 1
        if gnorm <= goal or idle > PATIENCE:
            break
        if oracle.size <= DENSE:
            p, route = _direct(oracle.hess(x), g), "Newton with Cholesky"
        else:
            p, route = _conjugate(oracle, x, g, min(0.1, np.sqrt(gnorm / first))), "Newton with conjugate gradients"
        x = _search(oracle, x, p)
    return best, f"{route}, {oracle.counts['njev']} gradients"


def _direct(H: Vector, g: Vector) -> Vector:
    """Return ``-H^-1 g``, with as little on the diagonal as Cholesky wants (softmax has a null direction)."""
    diagonal = np.diag_indices_from(H)
    scale = float(H[diagonal].max())
    for shift in (0.0, 1e-15, 1e-13, 1e-11, 1e-9):
        try:
            shifted = H.copy()
            shifted[diagonal] += shift * scale
            return -np.asarray(cho_solve(cho_factor(shifted, overwrite_a=True), g))
        except LinAlgError:
            continue
    return -np.asarray(np.linalg.lstsq(H, g, rcond=None)[0])


def _conjugate(oracle: Oracle, x: Vector, g: Vector, tolerance: float) -> Vector:
    """Return ``-H^-1 g`` with a residual of `tolerance` relative to g."""
    M = oracle.diagonal(x)
    M = np.where(M > 0, M, 1.0)
    p, r = np.zeros_like(g), -g
    s = r / M
    direction, rs = s, r @ s
    end = tolerance * np.linalg.norm(g)
    for _ in range(PRODUCTS):
        Hd = oracle.product(x, direction)
        curvature = direction @ Hd
        if curvature <= 0:
            break
        step = rs / curvature
        p = p + step * direction
        r = r - step * Hd
        if np.linalg.norm(r) <= end:
            break
        s = r / M
        rs, before = r @ s, rs
        direction = s + (rs / before) * direction
    return p


def _search(oracle: Oracle, x: Vector, p: Vector) -> Vector:
    """Halve the step until f falls enough, rounding allowed for."""
    f, slope = oracle.fun(x), float(oracle.grad(x) @ p)
    step = 1.0
    while step > 1e-10 and not oracle.fun(x + step * p) <= f + 1e-4 * step * slope + 1e-13 * abs(f):
        step *= 0.5
    return x + step * p
