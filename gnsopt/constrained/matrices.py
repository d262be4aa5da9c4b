"""Matrices of any kind: an array, a sparse array, or a LinearOperator that knows products only."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from gnsopt._typing import Array
from gnsopt.exceptions import StepFailure


def add(A: Any, B: Any) -> Any:
    """Add two symmetric matrices of any kind; None stands for zero.

    Parameters
    ----------
    A, B : ndarray, sparse array, LinearOperator or None
        Of one shape.

    Returns
    -------
    ndarray, sparse array, LinearOperator or None
        Sparse where both are, products where one is known by products only.
    """
    if A is None or B is None:
        return B if A is None else A
    if isinstance(A, LinearOperator) or isinstance(B, LinearOperator):
        return aslinearoperator(A) + aslinearoperator(B)
    if issparse(A) and issparse(B):
        return csr(A) + csr(B)
    return dense(A) + dense(B)


def dense(A: Any) -> Array:
    """Return a matrix as an array; one known by products is assembled, and symmetric.

    Parameters
    ----------
    A : ndarray, sparse array or LinearOperator
        The matrix.

    Returns
    -------
    ndarray
        The same.
    """
    if isinstance(A, LinearOperator):
        H = np.column_stack([A @ e for e in np.eye(A.shape[1])])
        if not np.isfinite(H).all():
            raise StepFailure("the Hessian is not finite")
        return np.asarray((H + H.T) / 2)
    return np.asarray(A.toarray() if hasattr(A, "toarray") else A)


def csr(A: Any) -> Any:
    """Return a CSR array of a sparse or dense matrix.

    Parameters
    ----------
    A : ndarray, sparse array or LinearOperator
        The matrix.

    Returns
    -------
    csr_array
        The same.
    """
    return csr_array(dense(A) if isinstance(A, LinearOperator) else A)


def entries(A: Any) -> Array:
    """Return the stored entries, to ask whether they are finite.

    Parameters
    ----------
    A : ndarray or sparse array
        The matrix.

    Returns
    -------
    ndarray
        All of an array, those kept of a sparse one.
    """
    return np.asarray(A.data if hasattr(A, "indptr") else A)


def row_norms(A: Any) -> Array:
    """Return the Euclidean norms of the rows.

    Parameters
    ----------
    A : ndarray or sparse array of shape (m, n)
        The matrix.

    Returns
    -------
    ndarray of shape (m,)
        The norms.
    """
    squares = A.multiply(A) if hasattr(A, "multiply") else A * A
    return np.asarray(np.sqrt(np.asarray(squares.sum(axis=1)).reshape(-1)))


def size(A: Any) -> float:
    """Return the largest row sum of ``|A|``, a bound of its norm; for products an estimate from a fixed vector.

    Parameters
    ----------
    A : ndarray, sparse array or LinearOperator of shape (n, n)
        A symmetric matrix.

    Returns
    -------
    float
        The size.
    """
    if isinstance(A, LinearOperator):
        probe = np.cos(np.arange(A.shape[0]) + 1.0)
        return float(np.linalg.norm(A @ probe) / np.linalg.norm(probe)) * float(np.sqrt(A.shape[0]))
    return float(np.asarray(abs(A).sum(axis=1)).max(initial=0.0))
