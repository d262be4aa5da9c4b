r"""Incomplete Cholesky factors ``A ~ L L'`` on the pattern of A, without its small entries.

References
----------
[1] Meijerink, van der Vorst, "An iterative solution method for linear systems of which the coefficient matrix is a
   symmetric M-matrix", Math. Comp. 31 (1977), 148-162.
[2] Manteuffel, "An incomplete factorization technique for positive definite linear systems", Math. Comp. 34 (1980),
   473-497.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, tril

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.kernels import relaxation as kernel
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.precond import Apply, Factored, Preconditioner, Renewal
from gnsopt.linalg.relaxation import as_csr, matrix_of, positive_diagonal

FIRST_LIFT = 1e-3  # of the diagonal, where a pivot is not positive; doubled until all are [2]


def incomplete_cholesky(A: Any, drop: float = 0.0, shift: float | Array = 0.0) -> tuple[Any, float]:
    r"""Factorise ``A + shift I ~ L L'`` on the pattern of A.

    Parameters
    ----------
    A : ndarray or sparse array of shape (n, n)
        Symmetric with a positive diagonal.
    drop : float, default=0.0
        Entries with ``|a_ij| <= drop sqrt(a_ii a_jj)`` are left out before.
    shift : float or ndarray of shape (n,), default=0.0
        Added to the diagonal.

    Returns
    -------
    L : scipy.sparse.csr_array of shape (n, n)
        Lower triangular.
    lift : float
        What share of the diagonal had to be added for positive pivots: zero for M-matrices.
    """
    S = as_csr(A)
    total = positive_diagonal(S, shift)
    L = csr_array(tril(S, -1))
    L.sort_indices()
    root = np.sqrt(total)
    row = np.repeat(np.arange(total.size), np.diff(L.indptr))
    kept = np.abs(L.data) > drop * root[row] * root[L.indices]
    off = csr_array((L.data[kept], (row[kept], L.indices[kept])), shape=S.shape)
    pattern = csr_array(off + csr_array((total, (np.arange(total.size), np.arange(total.size))), shape=S.shape))
    pattern.sort_indices()
    last = pattern.indptr[1:] - 1
    lift = 0.0
    while True:
        values = pattern.data.copy()
        values[last] *= 1.0 + lift
        if kernel.incomplete_cholesky(pattern.indptr, pattern.indices, values):
            return csr_array((values, pattern.indices, pattern.indptr), shape=S.shape), lift
        lift = max(FIRST_LIFT, 2 * lift)


@dataclass(frozen=True)
class IncompleteCholesky:
    """Incomplete Cholesky factor of the assembled curvature, as ``preconditioner=``.

    Parameters
    ----------
    drop : float, default=0.0
        Entries with ``|a_ij| <= drop sqrt(a_ii a_jj)`` are left out before the factorisation.
    """

    drop: float = 0.0

    def __post_init__(self) -> None:
        """Refuse drop tolerances outside [0, 1)."""
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop={self.drop} must lie in [0, 1)")

    def start(self) -> Renewal:
        """Begin a run."""
        return _Factors(self.drop)


class _Factors(Renewal):
    assembles = True

    def __init__(self, drop: float) -> None:
        self._drop, self.name = drop, f"incomplete Cholesky, drop {drop:g}"

    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        if metric.diagonal is None:
            raise ValueError("metric: incomplete Cholesky needs a diagonal metric; use NystromPreconditioner()")
        return _Factor(matrix_of(form), self._drop)


class _Factor(Factored):
    """Factors of one matrix, renewed where the shift moves too far."""

    def __init__(self, A: Any, drop: float) -> None:
        super().__init__()
        self._A, self._drop = A, drop

    def factor(self, lam: float, metric: Metric) -> Apply:
        shift = lam * np.asarray(metric.diagonal)
        if not np.all(self._A.diagonal() + shift > 0):
            raise NotPositiveDefinite("a diagonal entry is not positive")
        L, _ = incomplete_cholesky(self._A, self._drop, shift)

        def apply(r: Array) -> Array:
            x = r.copy()
            kernel.lower_solves(L.indptr, L.indices, L.data, x)
            return x

        return apply
