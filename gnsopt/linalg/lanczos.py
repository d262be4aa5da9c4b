r"""The Lanczos process with full reorthogonalisation: ``A V = V T + beta_m v_{m+1} e_m'`` with T tridiagonal.

The eigenvalues of T (Ritz values) and the squared first components of its eigenvectors are the nodes and weights of
the Gauss quadrature of the spectral measure of A at the first vector: ``sum_i w_i mu_i^k = v'A^k v`` for
``k <= 2m - 1``. The residual of a Ritz pair is ``beta_m`` times the last component of its eigenvector, so that an
eigenvalue of A lies within that distance of the Ritz value [1].

References
----------
[1] Golub, Meurant, "Matrices, moments and quadrature with applications", Princeton 2010, chapters 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from gnsopt._typing import Array

EPS = float(np.finfo(float).eps)
LARGEST = 1e150  # entries of a product whose squares leave the range of float64


class Ritz(NamedTuple):
    """What m steps of the Lanczos process tell of a symmetric matrix.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Ritz values, rising.
    weights : ndarray of shape (m,)
        Their weights in the spectral measure of the first vector; they add up to 1.
    errors : ndarray of shape (m,)
        Residual norms: an eigenvalue of the matrix lies within each of them of its Ritz value.
    """

    values: Array
    weights: Array
    errors: Array


def ritz(product: Callable[[Array], Array], v: Array, m: int) -> Ritz:
    """Run m steps of the Lanczos process from `v`; fewer where the Krylov space is exhausted.

    Parameters
    ----------
    product : callable
        ``v -> A v`` for a symmetric A.
    v : ndarray of shape (n,)
        First vector, not zero.
    m : int
        Steps at the most.

    Returns
    -------
    Ritz
        Values, weights and errors; none where a product is not finite, or next to it.
    """
    basis = [v / np.linalg.norm(v)]
    alpha: list[float] = []
    beta: list[float] = []
    size = 0.0  # of the matrix, so far
    while True:
        w = np.array(product(basis[-1]), dtype=float)
        if not np.abs(w).max() < LARGEST:  # NaN, too
            return Ritz(np.empty(0), np.empty(0), np.empty(0))
        alpha.append(float(w @ basis[-1]))
        V = np.array(basis)
        for _ in range(2):  # twice is enough
            w -= V.T @ (V @ w)
        rest = float(np.linalg.norm(w))
        size = max(size, abs(alpha[-1]), rest)
        if not rest > 10 * EPS * size * np.sqrt(v.size):
            rest = 0.0
        if len(alpha) == min(m, v.size) or rest == 0.0:
            break
        beta.append(rest)
        basis.append(w / rest)
    values, vectors = (np.array(part, dtype=np.float64) for part in eigh_tridiagonal(np.array(alpha), np.array(beta)))
    return Ritz(values, vectors[0] ** 2, rest * np.abs(vectors[-1]))
