r"""Kaczmarz and coordinate descent as linear solvers: one row, one column or one block at a time.

================  ==================================  =================================================================
solver            step                                mean, with the default probabilities
================  ==================================  =================================================================
Kaczmarz          ``x += a_i (b_i - a_i'x)/|a_i|^2``  ``E|e_+|^2 = |e|^2 - |A e|^2/|A|_F^2``, ``p_i ~ |a_i|^2`` [1]
coordinate (spd)  ``x_i += r_i / a_ii``               ``E|e_+|_A^2 <= (1 - lambda_min/tr A) |e|_A^2``, ``p_i ~ a_ii``
coordinate (LS)   ``x_j += a_j'r/|a_j|^2``            Kaczmarz on ``A'``: ``p_j ~ |a_j|^2`` [2]
extended          Kaczmarz on ``Ax = b - z``, with    least squares where the system is inconsistent [3]
                  ``z -= a_j a_j'z/|a_j|^2``
================  ==================================  =================================================================

Coordinate descent is for definite matrices; for indefinite (KKT) systems use Kaczmarz, or least squares.

References
----------
[1] Strohmer, Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", J. Fourier Anal. Appl. 15
   (2009), math/0702226.
[2] Leventhal, Lewis, "Randomized methods for linear constraints", Math. Oper. Res. 35 (2010), 0806.3015.
[3] Zouzias, Freris, "Randomized extended Kaczmarz for solving least squares", SIMAX 34 (2013), 1205.5770.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import eigh, lapack
from scipy.sparse import csr_array

from gnsopt._typing import Array, IntArray
from gnsopt.kernels import relaxation as kernel
from gnsopt.linalg.krylov import Solution
from gnsopt.linalg.relaxation import as_csr, positive_diagonal
from gnsopt.linalg.sketches import keyed

CHOICES = ("random", "uniform", "cyclic", "greedy")
EPS = float(np.finfo(float).eps)
GROWTH = 1e10  # for definite A the residual grows by sqrt(cond A) at the most, below 1e8 in float64 (chosen)


def kaczmarz(
    A: Any,
    b: Array,
    *,
    choice: str = "random",
    block: int = 1,
    extended: bool = False,
    x0: Array | None = None,
    rtol: float = 1e-8,
    sweeps: int = 1000,
    seed: int = 0,
) -> Solution:
    r"""Solve ``A x = b`` by projections onto the hyperplanes of single rows, or of blocks of rows.

    Parameters
    ----------
    A : ndarray or sparse array of shape (m, n)
        Any matrix.
    b : ndarray of shape (m,)
        Right-hand side.
    choice : {"random", "uniform", "cyclic", "greedy"}, default="random"
        Rows with probabilities ``|a_i|^2``, uniformly, in turn, or the largest ``|r_i| / |a_i|`` (for single rows; each
        choice costs a product).
    block : int, default=1
        Rows that are projected onto together; blocks are drawn without replacement.
    extended : bool, default=False
        Remove the part of b outside of the range of A by column projections alongside: least squares.
    x0 : ndarray of shape (n,), optional
        Start; zero by default, from which the solution of least norm is found.
    rtol : float, default=1e-8
        Stop at ``|A x - b| <= rtol |b|`` (of ``|A'(A x - b)| <= rtol |A|_F |b|`` when extended), looked at after each
        sweep.
    sweeps : int, default=1000
        Sweeps of m rows at the most.
    seed : int, default=0
        Seed of the choices.

    Returns
    -------
    Solution
        Iterations are sweeps.

    Raises
    ------
    ValueError
        If the choice is unknown or does not go with blocks or `extended`, b or x0 does not fit A, or A is zero and b
        is not.
    """
    _check(choice, block)
    if extended and (block > 1 or choice == "greedy"):
        raise ValueError("extended=True is for single rows with choice 'random', 'uniform' or 'cyclic'")
    S = csr_array(A, dtype=float)
    m, n = S.shape
    b, x = _vectors(b, x0, m, n)
    squares = np.asarray(S.multiply(S).sum(axis=1), dtype=float).ravel()
    if not (squares.any() or extended) and b.any():
        raise ValueError("A is zero and b is not: there is no row to project onto, and no solution")
    T = S.T.tocsr() if extended else None
    columns = np.asarray(S.multiply(S).sum(axis=0), dtype=float).ravel()
    z = b.copy()
    rng = keyed(seed, "kaczmarz")
    scale = np.sqrt(squares.sum()) if extended else 1.0
    target = rtol * scale * float(np.linalg.norm(b))

    def size() -> float:
        r = S @ x - b
        return float(np.linalg.norm(S.T @ r if extended else r))

    sizes = [size()]
    while sizes[-1] > target and len(sizes) <= sweeps:
        if block > 1:
            for index in _blocks(choice, squares, block, rng):
                _project(S[index], b[index], x)
        elif choice == "greedy":
            for _ in range(m):
                r = b - S @ x
                best = np.array([np.argmax(np.where(squares > 0, r * r, 0.0) / np.where(squares > 0, squares, 1.0))])
                kernel.kaczmarz(S.indptr, S.indices, S.data, squares, best, b, x)
        elif T is not None:
            kernel.kaczmarz(T.indptr, T.indices, T.data, columns, _order(choice, columns, n, rng), np.zeros(n), z)
            kernel.kaczmarz(S.indptr, S.indices, S.data, squares, _order(choice, squares, m, rng), b - z, x)
        else:
            kernel.kaczmarz(S.indptr, S.indices, S.data, squares, _order(choice, squares, m, rng), b, x)
        sizes.append(size())
    return Solution(x, sizes[-1] <= target, len(sizes) - 1, 2 * (len(sizes) - 1), np.array(sizes))


def coordinate_descent(
    A: Any,
    b: Array,
    *,
    choice: str = "random",
    block: int = 1,
    x0: Array | None = None,
    rtol: float = 1e-8,
    sweeps: int = 1000,
    seed: int = 0,
) -> Solution:
    """Solve ``A x = b`` for a symmetric positive definite A by exact steps along coordinates, or blocks of them.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        Symmetric positive definite.
    b : ndarray of shape (n,)
        Right-hand side.
    choice : {"random", "uniform", "cyclic", "greedy"}, default="random"
        Coordinates with probabilities ``a_ii``, uniformly, in turn, or the largest ``r_i^2 / a_ii`` (single ones).
    block : int, default=1
        Coordinates that are solved for together.
    x0 : ndarray of shape (n,), optional
        Start; zero by default.
    rtol : float, default=1e-8
        Stop at ``|r| <= rtol |b|``, looked at after each sweep.
    sweeps : int, default=1000
        Sweeps of n coordinates at the most.
    seed : int, default=0
        Seed of the choices.

    Returns
    -------
    Solution
        Iterations are sweeps. It has not converged where the residual grows `GROWTH`-fold: A is not definite.

    Raises
    ------
    ValueError
        If the choice is unknown or does not go with blocks, b or x0 does not fit A, or a diagonal entry of A is not
        positive.
    """
    _check(choice, block)
    S = as_csr(A)
    d = positive_diagonal(S)
    n = d.size
    b, x = _vectors(b, x0, n, n)
    rng = keyed(seed, "coordinate descent")
    r = b - S @ x
    target = rtol * float(np.linalg.norm(b))
    sizes = [float(np.linalg.norm(r))]
    while sizes[-1] > target and len(sizes) <= sweeps and sizes[-1] <= GROWTH * sizes[0]:
        if block > 1:
            for index in _blocks(choice, d, block, rng):
                rows = S[index]
                step = solve_small(rows[:, index].toarray(), r[index])
                x[index] += step
                r -= rows.T @ step
        else:
            order = np.full(n, -1) if choice == "greedy" else _order(choice, d, n, rng)
            kernel.coordinate_steps(S.indptr, S.indices, S.data, d, order, x, r)
        r = b - S @ x  # a fresh residual each sweep: the updated one drifts
        sizes.append(float(np.linalg.norm(r)))
    return Solution(x, sizes[-1] <= target, len(sizes) - 1, 2 * (len(sizes) - 1), np.array(sizes))


def solve_small(G: Array, b: Array) -> Array:
    """Solve with a small positive semidefinite matrix: Cholesky, and eigenpairs above rounding where that fails.

    Parameters
    ----------
    G : ndarray of shape (q, q)
        Symmetric.
    b : ndarray of shape (q,)
        Right-hand side.

    Returns
    -------
    ndarray of shape (q,)
        ``G^{-1} b``, or ``G^+ b`` without eigenvalues below ``q eps`` of the largest.
    """
    L, info = lapack.dpotrf(G, lower=1, clean=0)
    if info == 0 and float(np.min(L.diagonal())) ** 2 > G.shape[0] * EPS * float(np.max(G.diagonal())):
        return np.asarray(lapack.dpotrs(L, b, lower=1)[0])
    s, V = eigh(G)
    kept = s > G.shape[0] * EPS * s[-1]
    return np.asarray(V[:, kept] @ ((V[:, kept].T @ b) / s[kept]))


def _project(rows: Any, b: Array, x: Array) -> None:
    """``x += rows^+ (b - rows x)``, in place."""
    G = (rows @ rows.T).toarray()
    x += rows.T @ solve_small(G, b - rows @ x)


def _check(choice: str, block: int) -> None:
    if choice not in CHOICES:
        raise ValueError(f"choice={choice!r} is unknown; choose one of {CHOICES}")
    if not (isinstance(block, int | np.integer) and block >= 1):
        raise ValueError(f"block={block!r} must be an integer of at least 1")
    if block > 1 and choice == "greedy":
        raise ValueError("choice='greedy' is for block=1")


def _vectors(b: Any, x0: Any, m: int, n: int) -> tuple[Array, Array]:
    """The right-hand side, and a copy of the start."""
    b = np.asarray(b, dtype=float)
    x = np.zeros(n) if x0 is None else np.array(x0, dtype=float)
    for name, v, size in (("b", b, m), ("x0", x, n)):
        if v.shape != (size,):
            raise ValueError(f"{name} has shape {v.shape}; A of shape ({m}, {n}) wants ({size},)")
    return b, x


def _order(choice: str, weight: Array, count: int, rng: np.random.Generator) -> IntArray:
    """The rows of one sweep."""
    if choice == "cyclic":
        return np.arange(count)
    if choice == "uniform":
        return rng.integers(0, count, count)
    return np.asarray(rng.choice(count, count, p=weight / weight.sum()))


def _blocks(choice: str, weight: Array, block: int, rng: np.random.Generator) -> list[IntArray]:
    """The blocks of one sweep; random ones without replacement."""
    count = weight.size
    q = min(block, count)
    number = -(-count // q)
    if choice == "cyclic":
        return [np.arange(lo, min(lo + q, count)) for lo in range(0, count, q)]
    p = weight / weight.sum() if choice == "random" else None
    most = count if p is None else int(np.count_nonzero(p))
    return [np.sort(rng.choice(count, min(q, most), replace=False, p=p)) for _ in range(number)]
