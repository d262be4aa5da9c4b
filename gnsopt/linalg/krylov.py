r"""Conjugate gradients as functions: preconditioned, flexible with a window, deflated by recycled Ritz vectors.

With directions made A-orthogonal to the `window` last ones, the same recurrence is steepest descent (0), CG or PCG
(1, for a fixed symmetric preconditioner), DCDM (2) and full orthogonalisation (None). A window of two or more is for
preconditioners that are not linear, not symmetric or not exact: sweeps, sketches, learned maps [1, 2].

References
----------
[1] Notay, "Flexible conjugate gradients", SIAM J. Sci. Comput. 22 (2000), 1444-1460.
[2] Kaneda et al., "A deep conjugate direction method for iteratively solving linear systems", ICML 2023, 2205.10763.
[3] Saad, Yeung, Erhel, Guyomarc'h, "A deflated version of the conjugate gradient algorithm", SIAM J. Sci. Comput. 21
   (2000), 1909-1926.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh

from gnsopt._typing import Array

Apply = Callable[[Array], Array]


class Solution(NamedTuple):
    """What an iterative linear solver found.

    Parameters
    ----------
    x : ndarray of shape (n,)
        The last finite iterate.
    converged : bool
        Whether the residual met the tolerance.
    iterations : int
        Iterations, sweeps or steps, as the solver counts.
    products : int
        Products with the matrix, or passes over it.
    residuals : ndarray of shape (iterations + 1,)
        Residual norms, the first one included.
    """

    x: Array
    converged: bool
    iterations: int
    products: int
    residuals: Array


def as_product(A: Any) -> Apply:
    """Return ``v -> A v``.

    Parameters
    ----------
    A : callable, ndarray, sparse array or LinearOperator
        The matrix.

    Returns
    -------
    callable
        The product.
    """
    if callable(A) and not hasattr(A, "shape"):
        return A
    return lambda v: np.asarray(A @ v)


def conjugate_gradients(
    A: Any,
    b: Array,
    *,
    preconditioner: Apply | None = None,
    x0: Array | None = None,
    window: int | None = 1,
    deflation: Deflation | None = None,
    recompute: bool = False,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int | None = None,
    watch: Callable[[Array, Array], None] | None = None,
) -> Solution:
    r"""Solve ``A x = b`` for a symmetric positive definite A by (flexible, deflated) conjugate gradients.

        q = z - sum_{i in window} p_i <p_i, A z> / <p_i, A p_i>,   z = M(r),      x += q <q, r> / <q, A q>.

    Parameters
    ----------
    A : callable, ndarray, sparse array or LinearOperator of order n
        The matrix.
    b : ndarray of shape (n,)
        Right-hand side.
    preconditioner : callable, optional
        ``r -> M(r)``, an approximation of ``A^{-1} r``; need not be linear with a window of two or more.
    x0 : ndarray of shape (n,), optional
        Start; zero by default.
    window : int or None, default=1
        How many former directions the next one is made A-orthogonal to; None for all.
    deflation : Deflation, optional
        Directions that the start is corrected by and that all others are made A-orthogonal to.
    recompute : bool, default=False
        Compute each residual as ``b - A x`` with a product more, in place of the recurrence.
    rtol, atol : float, default=1e-8, 0.0
        Stop at ``|r| <= max(rtol |b|, atol)``.
    maxiter : int, optional
        Iterations at the most; 10 n by default.
    watch : callable, optional
        ``watch(q, A q)`` is told of each direction: what Ritz vectors are recycled from.

    Returns
    -------
    Solution
        Not converged also where a direction shows that A is not positive definite.
    """
    product = as_product(A)
    x = np.zeros_like(b, dtype=float) if x0 is None else np.array(x0, dtype=float)
    products = 0
    r = np.array(b, dtype=float)
    if x0 is not None:
        r, products = b - product(x), 1
    if deflation is not None:  # the products AW may be inexact: the residual must not be
        x += deflation.coarse(r)
        r, products = b - product(x), products + 1
    target = max(rtol * float(np.linalg.norm(b)), atol)
    sizes = [float(np.linalg.norm(r))]
    directions: deque[tuple[Array, Array, float]] = deque(maxlen=window)
    limit = 10 * b.size if maxiter is None else maxiter
    while sizes[-1] > target and len(sizes) <= limit:
        q = r.copy() if preconditioner is None else np.array(preconditioner(r))
        if deflation is not None:
            q = deflation.project(q)
        z = q.copy()
        for p, Ap, pAp in directions:
            q -= (float(Ap @ z) / pAp) * p
        Aq = product(q)
        products += 1
        curvature = float(q @ Aq)
        if not (curvature > 0 and np.isfinite(curvature)):
            break
        if watch is not None:
            watch(q, Aq)
        alpha = float(q @ r) / curvature
        x += alpha * q
        if recompute:
            r = b - product(x)
            products += 1
        else:
            r = r - alpha * Aq
        if window != 0:
            directions.append((q, Aq, curvature))
        sizes.append(float(np.linalg.norm(r)))
    return Solution(x, sizes[-1] <= target, len(sizes) - 1, products, np.array(sizes))


class Deflation:
    r"""A subspace W in which A is known: coarse solutions ``W (W'AW)^{-1} W' r`` and A-orthogonal projections.

    Parameters
    ----------
    W : ndarray of shape (n, k)
        Columns; what depends on others is left out.
    AW : ndarray of shape (n, k)
        Their products with the matrix.
    """

    def __init__(self, W: Array, AW: Array) -> None:
        size = np.linalg.norm(W, axis=0)
        Q, s, Zt = np.linalg.svd(W / size, full_matrices=False)
        independent = s > 1e-8 * s[0]
        W, AW = Q[:, independent], (AW / size) @ (Zt[independent].T / s[independent])
        G = W.T @ AW
        theta, U = eigh((G + G.T) / 2)
        kept = theta > np.finfo(float).eps * max(float(theta[-1]), 0.0) * W.shape[0]
        scaled = U[:, kept] / np.sqrt(theta[kept])
        self.W, self.AW = W @ scaled, AW @ scaled  # now W'AW = I

    def coarse(self, r: Array) -> Array:
        """Return the Galerkin solution in the subspace."""
        return np.asarray(self.W @ (self.W.T @ r))

    def project(self, z: Array) -> Array:
        """Return `z` made A-orthogonal to the subspace."""
        return np.asarray(z - self.W @ (self.AW.T @ z))

    def shifted(self, change: float) -> Deflation:
        """Return the same subspace for ``A + change I``.

        Parameters
        ----------
        change : float
            What is added to the diagonal.

        Returns
        -------
        Deflation
            No product is needed.
        """
        return Deflation(self.W, self.AW + change * self.W)


class RitzCollector:
    r"""Ritz vectors out of the directions of CG, of one system for the next: ``watch=`` of `conjugate_gradients`.

    Directions (with those of a former deflation) span a space on which A is known; its extreme Ritz vectors are those
    that slow CG down.

    Parameters
    ----------
    k : int
        Ritz vectors to keep.
    most : int, default=60
        Directions of one solve that are kept: the first ones, which see the extreme eigenvalues.
    which : {"smallest", "largest"}, default="smallest"
        End of the spectrum. Small eigenvalues are what deflation is for.
    """

    def __init__(self, k: int, most: int = 60, which: str = "smallest") -> None:
        if k < 1 or most < 1:
            raise ValueError(f"k={k} and most={most} must be at least 1")
        if which not in ("smallest", "largest"):
            raise ValueError(f"which={which!r} is unknown; choose 'smallest' or 'largest'")
        self.k, self.most, self.which = k, most, which
        self._pairs: list[tuple[Array, Array]] = []

    def watch(self, q: Array, Aq: Array) -> None:
        """Take note of a direction and its product."""
        if len(self._pairs) < self.most:
            size = float(np.linalg.norm(q))
            self._pairs.append((q / size, Aq / size))

    def forget(self) -> None:
        """Drop the directions of this matrix."""
        self._pairs = []

    def ritz(self, former: Deflation | None = None) -> tuple[Array, Array]:
        """Return Ritz values and vectors, and forget the directions.

        Parameters
        ----------
        former : Deflation, optional
            The subspace of the solve, for the same matrix.

        Returns
        -------
        theta : ndarray of shape (k,)
            Ritz values, from the chosen end.
        W : ndarray of shape (n, k)
            Orthonormal Ritz vectors. A sequence needs fresh products with them: those of the directions lose digits,
            more with each system.
        """
        V = np.stack([q for q, _ in self._pairs], axis=1)
        AV = np.stack([Aq for _, Aq in self._pairs], axis=1)
        if former is not None:
            V, AV = np.hstack([former.W, V]), np.hstack([former.AW, AV])
        self._pairs = []
        size = np.linalg.norm(V, axis=0)
        U, s, Zt = np.linalg.svd(V / size, full_matrices=False)
        kept = s > 1e-6 * s[0]  # what is nearly dependent would magnify the rounding of the products
        Z = Zt[kept].T / s[kept]
        Q, AQ = U[:, kept], (AV / size) @ Z
        H = Q.T @ AQ
        theta, Y = eigh((H + H.T) / 2)
        order = np.argsort(theta if self.which == "smallest" else -theta, kind="stable")[: self.k]
        return theta[order], Q @ Y[:, order]
