"""Sparse LU factorisation that says None for a singular matrix instead of raising, printing or dividing by zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.csgraph import structural_rank
from scipy.sparse.linalg import splu

SINGULAR = 1e-15  # ratio of the extreme pivots of a matrix that is singular to rounding (chosen)


def sparse_lu(K: Any) -> Any:
    """Factorise a sparse square matrix.

    Parameters
    ----------
    K : sparse array of shape (N, N)
        The matrix, CSC.

    Returns
    -------
    SuperLU or None
        The factor; None where the matrix is singular to rounding. Its pattern is asked first: SuperLU complains on
        the screen about a structurally singular matrix.
    """
    if structural_rank(K) < K.shape[0] or not np.isfinite(K.data).all():
        return None
    try:
        factor = splu(K)
    except RuntimeError:  # "Factor is exactly singular"
        return None
    pivots = np.abs(factor.U.diagonal())
    return factor if pivots.min(initial=np.inf) > SINGULAR * pivots.max(initial=0.0) else None
