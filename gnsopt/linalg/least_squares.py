r"""Least squares with a ridge, ``min |A x - b|^2 / 2 + ridge |x|^2 / 2``, by sketching the rows.

Iterative Hessian sketch [1, 2]: ``x += mu H_S^{-1} (A'(b - A x) - ridge x)``, ``H_S = A'S'SA + ridge I``. With Gaussian
sketches and ``rho = d/m`` the error ``|A (x - x*)|^2`` contracts by rho per step for large d, both with a new sketch
each step and ``mu = (1 - rho)^2``, and with one sketch, the same mu and heavy-ball momentum rho.

Sketch-preconditioned CG [3]: the triangular factor R of ``S A`` makes the condition of ``A R^{-1}`` about
``(1 + sqrt rho) / (1 - sqrt rho)``, 3 for m = 4 d, whatever A.

References
----------
[1] Pilanci, Wainwright, "Iterative Hessian sketch", JMLR 17 (2016), 1411.0347.
[2] Lacotte, Pilanci, "Faster least squares optimization", 1911.02675.
[3] Rokhlin, Tygert, "A fast randomized algorithm for overdetermined linear least-squares regression", PNAS 105 (2008);
   Avron, Maymounkov, Toledo, "Blendenpik", SIAM J. Sci. Comput. 32 (2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from gnsopt._typing import Array
from gnsopt.linalg.krylov import Solution
from gnsopt.linalg.sketches import draw, keyed

FEW = 4  # rows of the sketch per column, where nothing else is asked for


def iterative_hessian_sketch(
    A: Any,
    b: Array,
    m: int | None = None,
    *,
    ridge: float = 0.0,
    refresh: bool = True,
    average: int = 1,
    sketch: str = "gaussian",
    x0: Array | None = None,
    rtol: float = 1e-10,
    maxiter: int = 200,
    seed: int = 0,
) -> Solution:
    r"""Solve a least-squares problem by the iterative Hessian sketch.

    Parameters
    ----------
    A : ndarray or CSR array of shape (n, d)
        Matrix with more rows than columns.
    b : ndarray of shape (n,)
        Right-hand side.
    m : int, optional
        Rows of each sketch, more than d; 4 d by default.
    ridge : float, default=0.0
        Penalty on ``|x|^2 / 2``.
    refresh : bool, default=True
        A new sketch at each step; False keeps the first one and adds heavy-ball momentum.
    average : int, default=1
        Sketches whose steps are averaged, with ``mu = q / (g (g - 1 + q))``, ``g = m / (m - d)``.
    sketch : str, default="gaussian"
        Kind; the step lengths are those of Gaussian ones.
    x0 : ndarray of shape (d,), optional
        Start; zero by default.
    rtol : float, default=1e-10
        Stop where the gradient has fallen to this share of its first norm.
    maxiter : int, default=200
        Steps at the most.
    seed : int, default=0
        Seed of the sketches; each has a generator of its own.

    Returns
    -------
    Solution
        Residuals are norms of the gradient.

    Raises
    ------
    ValueError
        If m is not larger than d, or momentum is asked for together with averaging.
    """
    n, d = A.shape
    m = FEW * d if m is None else m
    if not m > d:
        raise ValueError(f"m={m} must be larger than the number of columns, {d}")
    if average < 1 or (average > 1 and not refresh):
        raise ValueError(f"average={average} must be at least 1, and 1 with refresh=False")
    rho = d / m
    g = 1.0 / (1.0 - rho)
    mu = (1.0 - rho) ** 2 if average == 1 else average / (g * (g - 1.0 + average))
    x = np.zeros(d) if x0 is None else np.array(x0, dtype=float)
    previous, drawn = x, 0
    factors: list[Array] = []
    sizes: list[float] = []
    for k in range(maxiter + 1):
        gradient = A.T @ (A @ x - b) + ridge * x
        sizes.append(float(np.linalg.norm(gradient)))
        if sizes[-1] <= rtol * sizes[0] or not np.isfinite(sizes[-1]) or k == maxiter:
            break
        if refresh or not factors:
            rngs = [keyed(seed, "iterative hessian sketch", drawn + j) for j in range(average)]
            factors, drawn = [_factor(A, sketch, m, rng, ridge) for rng in rngs], drawn + average
        step = sum(lapack.dpotrs(L, gradient, lower=1)[0] for L in factors) / average
        momentum = 0.0 if refresh else rho
        x, previous = x - mu * step + momentum * (x - previous), x
    return Solution(x, sizes[-1] <= rtol * sizes[0], len(sizes) - 1, 2 * len(sizes), np.array(sizes))


def _factor(A: Any, kind: str, m: int, rng: np.random.Generator, ridge: float) -> Array:
    Y = draw(kind, m, A.shape[0], rng, A).apply(A)
    G = Y.T @ Y
    G.flat[:: G.shape[0] + 1] += ridge
    L, info = lapack.dpotrf(G, lower=1)
    if info != 0:
        raise ValueError("A has columns that depend on each other; use ridge= or sketched_least_squares")
    return np.asarray(L)


def sketched_least_squares(
    A: Any,
    b: Array,
    m: int | None = None,
    *,
    ridge: float = 0.0,
    sketch: str = "sparse-sign",
    rtol: float = 1e-12,
    maxiter: int = 200,
    seed: int = 0,
) -> Solution:
    r"""Solve a least-squares problem by conjugate gradients with a sketched QR factor as preconditioner.

    Parameters
    ----------
    A : ndarray or CSR array of shape (n, d)
        Any matrix; of dependent columns the least-norm combination in the coordinates of the factor is taken.
    b : ndarray of shape (n,)
        Right-hand side.
    m : int, optional
        Rows of the sketch; 4 d by default.
    ridge : float, default=0.0
        Penalty on ``|x|^2 / 2``.
    sketch : str, default="sparse-sign"
        Kind.
    rtol : float, default=1e-12
        Stop where the preconditioned gradient has fallen to this share of its first norm.
    maxiter : int, default=200
        Iterations at the most.
    seed : int, default=0
        Seed of the sketch.

    Returns
    -------
    Solution
        Residuals are norms of the preconditioned gradient; products count A and A' each.

    Notes
    -----
    CG on the normal equations of ``A R^{-1}`` (CGLS), whose residual of the rows is kept by itself, so that nothing is
    squared; started at the sketched solution.
    """
    n, d = A.shape
    m = min(FEW * d, n) if m is None else m
    whole = m >= n
    S = draw("rows" if whole else sketch, n if whole else m, n, keyed(seed, "least squares"), A)
    top = S.apply(A)
    right = S.apply(np.asarray(b, dtype=float))
    if ridge > 0:
        top, right = np.vstack([top, np.sqrt(ridge) * np.eye(d)]), np.append(right, np.zeros(d))
    Q, R, order = qr(top, mode="economic", pivoting=True, check_finite=False)
    rank = int(np.count_nonzero(np.abs(R.diagonal()) > max(top.shape) * np.finfo(float).eps * abs(R[0, 0])))
    R, kept = R[:rank, :rank], order[:rank]

    def forward(y: Array) -> Array:  # R^{-1} y in the coordinates of x
        x = np.zeros(d)
        x[kept] = solve_triangular(R, y, check_finite=False)
        return x

    def backward(v: Array) -> Array:
        return np.asarray(solve_triangular(R, v[kept], trans="T", check_finite=False))

    x = forward(Q[:, :rank].T @ right)
    r = b - A @ x
    s = backward(A.T @ r - ridge * x)
    first = max(float(np.linalg.norm(backward(A.T @ b))), np.finfo(float).tiny)
    p, sizes = s.copy(), [float(np.linalg.norm(s))]
    products = 3
    while sizes[-1] > rtol * first and len(sizes) <= maxiter:
        t = forward(p)
        q = A @ t
        curvature = float(q @ q) + ridge * float(t @ t)
        if not curvature > 0:
            break
        alpha = sizes[-1] ** 2 / curvature
        x += alpha * t
        r = r - alpha * q
        s = backward(A.T @ r - ridge * x)
        products += 2
        sizes.append(float(np.linalg.norm(s)))
        p = s + (sizes[-1] / sizes[-2]) ** 2 * p
    return Solution(x, sizes[-1] <= rtol * first, len(sizes) - 1, products, np.array(sizes))
