r"""Successive over-relaxation: the solver, its exact rate, the best omega in closed form, and SSOR as a preconditioner.

    x += (D/omega + L)^{-1} (b - A x),            M_SSOR = (D + omega L) D^{-1} (D + omega L)' / (omega (2 - omega)).

For consistently ordered positive definite A and ``beta = rho(I - D^{-1}A)`` [1, sections 4.3 and 6.2]:

    omega* = 2 / (1 + sqrt(1 - beta^2)),
    rho(omega) = (omega beta + sqrt(omega^2 beta^2 - 4 (omega - 1)))^2 / 4  for omega <= omega*,  else omega - 1.

References
----------
[1] Young, "Iterative solution of large linear systems", Academic Press 1971.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array, ArrayLike
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.kernels import relaxation as kernel
from gnsopt.linalg.forms import Form
from gnsopt.linalg.krylov import Solution
from gnsopt.linalg.lanczos import ritz
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.precond import Apply, Preconditioner, Renewal


def as_csr(A: Any) -> Any:
    """Return a square matrix in CSR format with sorted indices, float64.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        The matrix.

    Returns
    -------
    scipy.sparse.csr_array of shape (n, n)
        A copy where the format changes.
    """
    S = csr_array(A, dtype=float)
    if S.shape[0] != S.shape[1]:
        raise ValueError(f"A has shape {S.shape}; it must be square")
    S.sum_duplicates()
    return S


def positive_diagonal(A: Any, shift: float | Array = 0.0) -> Array:
    """Return the diagonal with a shift; refuse a matrix with an entry that is not positive.

    Parameters
    ----------
    A : sparse array of shape (n, n)
        The matrix.
    shift : float or ndarray of shape (n,), default=0.0
        What is added.

    Returns
    -------
    ndarray of shape (n,)
        The diagonal of the sum.
    """
    d = np.asarray(A.diagonal()) + shift
    if not np.all(d > 0):
        i = int(np.flatnonzero(~(d > 0))[0])
        raise ValueError(f"the diagonal entry in row {i} is {d[i]}; all must be positive, the shift included")
    return d


def as_vector(v: ArrayLike, n: int, name: str) -> Array:
    """Return a vector as float64; refuse another shape, in which compiled loops would read beyond its end.

    Parameters
    ----------
    v : array_like of shape (n,)
        The vector.
    n : int
        Its length.
    name : str
        How an error calls it.

    Returns
    -------
    ndarray of shape (n,)
        The vector, a copy where its type changes.
    """
    out = np.asarray(v, dtype=float)
    if out.shape != (n,):
        raise ValueError(f"{name} has shape {out.shape}; the matrix is of order {n}, pass a vector of shape ({n},)")
    return out


def best_omega(beta: float) -> float:
    """Return Young's best relaxation.

    Parameters
    ----------
    beta : float
        Spectral radius of the Jacobi iteration, in [0, 1).

    Returns
    -------
    float
        ``2 / (1 + sqrt(1 - beta^2))``, in [1, 2).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta={beta} must lie in [0, 1): the Jacobi iteration must converge")
    return 2.0 / (1.0 + np.sqrt((1.0 - beta) * (1.0 + beta)))


def sor_rate(omega: float, beta: float) -> float:
    """Return the spectral radius of the SOR iteration of a consistently ordered positive definite matrix.

    Parameters
    ----------
    omega : float
        Relaxation in (0, 2).
    beta : float
        Spectral radius of the Jacobi iteration, in [0, 1).

    Returns
    -------
    float
        Factor of the error per iteration, in the limit.
    """
    best = best_omega(beta)
    if omega >= best:
        return omega - 1.0
    other = 2.0 / (1.0 - np.sqrt((1.0 - beta) * (1.0 + beta))) if beta > 0 else np.inf
    # omega^2 beta^2 - 4 (omega - 1) by its roots: without cancellation next to the best omega
    square = beta**2 * (best - omega) * (other - omega) if beta > 0 else 4.0 * (1.0 - omega)
    return float(0.25 * (omega * beta + np.sqrt(square)) ** 2)


def jacobi_radius(A: Any, steps: int = 30, shift: float = 0.0) -> float:
    """Estimate ``rho(I - D^{-1}A)`` of a symmetric matrix from below, by a short Lanczos process.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        Symmetric with a positive diagonal.
    steps : int, default=30
        Products.
    shift : float, default=0.0
        Added to the diagonal.

    Returns
    -------
    float
        The estimate; from a fixed start vector, so that the answer is the same every time.
    """
    S = as_csr(A)
    d = positive_diagonal(S, shift)
    root = np.sqrt(d)
    start = 1.0 + 0.5 * np.sin(np.arange(1.0, d.size + 1) ** 2)  # no eigenvector of anything regular
    values = ritz(lambda v: (S @ (v / root) + shift * v / root) / root, start, min(steps, d.size)).values
    if not values.size:
        raise ValueError("A contains NaN or infinity; its entries must be finite")
    return float(np.max(np.abs(1.0 - values)))


def sor(
    A: Any,
    b: Array,
    omega: float | None = None,
    *,
    shift: float = 0.0,
    x0: Array | None = None,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int = 10_000,
) -> Solution:
    """Solve ``(A + shift I) x = b`` by successive over-relaxation; Gauss-Seidel with ``omega=1``.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        Matrix with a positive diagonal; for symmetric positive definite ones the iteration converges.
    b : ndarray of shape (n,)
        Right-hand side.
    omega : float, optional
        Relaxation in (0, 2); by default the closed form, with `jacobi_radius`.
    shift : float, default=0.0
        Added to the diagonal.
    x0 : ndarray of shape (n,), optional
        Start; zero by default.
    rtol, atol : float, default=1e-8, 0.0
        Stop at ``|r| <= max(rtol |r_0|, atol)``.
    maxiter : int, default=10000
        Iterations at the most.

    Returns
    -------
    Solution
        Not converged also where the iterates leave the range of floating-point numbers.

    Raises
    ------
    ValueError
        If the diagonal, a shape or a number does not fit.
    """
    S = as_csr(A)
    d = positive_diagonal(S, shift)
    b = as_vector(b, d.size, "b")
    if not (isinstance(maxiter, int | np.integer) and maxiter >= 0):
        raise ValueError(f"maxiter={maxiter!r} must be an integer of at least 0")
    if omega is None:
        omega = best_omega(min(jacobi_radius(S, shift=shift), 1.0 - 1e-12))
    if not 0 < omega < 2:
        raise ValueError(f"omega={omega} must lie in (0, 2)")
    x = np.zeros(d.size) if x0 is None else as_vector(x0, d.size, "x0").copy()
    first = float(np.linalg.norm(b if x0 is None else b - S @ x - shift * x))
    target = max(rtol * first, atol)
    sizes = np.empty(maxiter + 1)
    k = kernel.sor(S.indptr, S.indices, S.data, shift, omega, b, x, target, sizes)
    return Solution(x, bool(sizes[k] <= target), k, k, sizes[: k + 1].copy())


def ssor_inverse(A: Any, omega: float, shift: float | Array = 0.0) -> Apply:
    """Return ``r -> M^{-1} r`` with the SSOR matrix of ``A + shift I``.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        Symmetric with a positive diagonal.
    omega : float
        Relaxation in (0, 2).
    shift : float or ndarray of shape (n,), default=0.0
        Added to the diagonal.

    Returns
    -------
    callable
        Two triangular solves; symmetric positive definite. It refuses what is no vector of shape (n,).
    """
    if not 0 < omega < 2:
        raise ValueError(f"omega={omega} must lie in (0, 2)")
    S = as_csr(A)
    d = positive_diagonal(S, shift)

    def apply(r: Array) -> Array:
        r = as_vector(r, d.size, "r")
        z = np.empty_like(r)
        kernel.ssor(S.indptr, S.indices, S.data, d, omega, r, z)
        return z

    return apply


def matrix_of(form: Form) -> Any:
    """Return a form's matrix in CSR format: assembled, for what needs its entries.

    Parameters
    ----------
    form : Form
        The curvature.

    Returns
    -------
    scipy.sparse.csr_array of shape (n, n)
        The symmetric matrix.
    """
    matrix = getattr(form, "matrix", None)
    sparse = issparse(matrix)
    return as_csr(matrix if sparse else form.dense())


@dataclass(frozen=True)
class SSOR:
    """SSOR of the assembled curvature: ``exact.using("cg", preconditioner=SSOR(1.5))``.

    Parameters
    ----------
    omega : float, default=1.0
        Relaxation in (0, 2).
    tune : callable, optional
        ``tune() -> tuner`` with ``tuner.propose(context)`` and ``tuner.report(cost)``, see `gnsopt.linalg.tuning`:
        omega is then chosen for each solve, the context is ``log10(lam)``, the cost its products.
    """

    omega: float = 1.0
    tune: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        """Refuse relaxations outside (0, 2)."""
        if not 0 < self.omega < 2:
            raise ValueError(f"omega={self.omega} must lie in (0, 2)")

    def start(self) -> Renewal:
        """Begin a run."""
        return _Relaxed(self)


class _Relaxed(Renewal, Preconditioner):
    assembles = True

    def __init__(self, settings: SSOR) -> None:
        self._omega = settings.omega
        self._tuner = None if settings.tune is None else settings.tune()
        self._used = 0
        self.name = f"SSOR({settings.omega})" if self._tuner is None else "SSOR, omega tuned"

    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        if metric.diagonal is None:
            raise ValueError("metric: SSOR needs a diagonal metric; use preconditioner=NystromPreconditioner()")
        self._A = matrix_of(form)
        return self

    def at(self, lam: float, metric: Metric) -> Apply:
        if self._tuner is not None:
            if self._used:
                self._tuner.report(float(self._used))
            self._omega, self._used = self._tuner.propose(float(np.log10(max(lam, 1e-300)))), 0
        shift = lam * np.asarray(metric.diagonal)
        if not np.all(self._A.diagonal() + shift > 0):
            raise NotPositiveDefinite("a diagonal entry is not positive")
        return ssor_inverse(self._A, self._omega, shift)

    def spend(self, lam: float) -> Preconditioner | None:
        self._used += 1
        return None
