"""Checks of what users pass as data: one clear line each, before any work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array, IntArray, Matrix
from gnsopt.arguments import as_array, shown
from gnsopt.kernels.entries import largest

DENSE_ABOVE = (
    0.3  # share of non-zeros above which rows are kept dense: products and Hessians are then faster (measured)
)
LARGEST = 1e150  # squares of larger entries leave the range of float64
DENSE_BYTES = 4e9  # but only up to this size


def check_design(X: Any, name: str = "X") -> Matrix:
    """Return rows as C-ordered float64 or as CSR with sorted indices.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Any real dtype; not modified.
    name : str, default="X"
        How the argument is called in errors.

    Returns
    -------
    ndarray or csr_array
        The rows; sparse input with more than 30 % non-zeros comes back dense.

    Raises
    ------
    ValueError
        If it is not a finite, real, non-empty matrix.
    """
    sparse = issparse(X)
    if sparse:
        if X.ndim != 2:
            raise ValueError(f"{name} must have two dimensions, not {X.ndim}")
        rows, columns = X.shape
        if X.dtype.kind not in "fiub":
            raise ValueError(f"{name} has dtype {X.dtype}; it must be real")
        S = csr_array(X, dtype=np.float64)
        if not S.has_canonical_format:
            S = S.copy()
            S.sum_duplicates()
        values: Any = S.data
        dense = S.nnz > DENSE_ABOVE * rows * columns and 8.0 * rows * columns <= DENSE_BYTES
        out: Any = S
    else:
        out = np.asarray(as_array(X, name, finite=False), order="C")
        if out.ndim != 2:
            raise ValueError(f"{name} has shape {out.shape}; it must be (n_samples, n_features); reshape it")
        values, dense = out, False
    if 0 in out.shape:
        raise ValueError(f"{name} has shape {tuple(out.shape)}: it holds no samples or no features")
    top = largest(values)
    if not math.isfinite(top):
        raise ValueError(f"{name} contains NaN or infinity; remove or impute those entries first")
    if top > LARGEST:
        raise ValueError(f"{name} holds entries above {LARGEST:g}, whose squares overflow; rescale its features")
    if not dense:
        return out
    return out.data.reshape(out.shape) if out.nnz == rows * columns else np.ascontiguousarray(out.toarray())


def check_rows(X: Any, n_features: int) -> Matrix:
    """Return further rows as `check_design` does.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_rows, n_features)
        The rows.
    n_features : int
        Columns of the rows that the model was made of.

    Returns
    -------
    ndarray or csr_array
        The rows.

    Raises
    ------
    ValueError
        If it is not a finite, real matrix of so many columns.
    """
    rows = check_design(X)
    if rows.shape[1] != n_features:
        raise ValueError(f"X has {rows.shape[1]} columns; the model has {n_features} features")
    return rows


def check_variables(x: Any, n: int) -> Array:
    """Return the variables of a model as a float64 vector.

    Parameters
    ----------
    x : array_like of shape (n,)
        As in a result.
    n : int
        Their number.

    Returns
    -------
    ndarray of shape (n,)
        The vector.

    Raises
    ------
    ValueError
        If it is no vector of so many finite real numbers.
    """
    v = as_array(x, "x")
    if v.shape != (n,):
        raise ValueError(f"x has shape {v.shape}; it must be ({n},), the variables of the problem, as in a result")
    return v


def check_labels(y: Any, n_samples: int) -> tuple[IntArray, Any]:
    """Return the class of each sample as an index and the sorted label values.

    Parameters
    ----------
    y : array_like of shape (n_samples,)
        Labels of any sortable kind.
    n_samples : int
        Expected length.

    Returns
    -------
    codes : ndarray of shape (n_samples,)
        Index of the class.
    classes : ndarray of shape (n_classes,)
        Sorted labels.

    Raises
    ------
    ValueError
        If the shape does not fit or a label is NaN.
    """
    if np.ma.is_masked(y):
        raise ValueError("y has masked entries; every sample needs a label")
    try:
        labels = np.asarray(y)
    except ValueError:
        raise ValueError("y is ragged: it must hold one label per sample") from None
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.shape != (n_samples,):
        raise ValueError(f"y has shape {labels.shape}; X has {n_samples} rows, so it must be ({n_samples},)")
    if labels.dtype.kind in "cV":
        raise ValueError(f"y has dtype {labels.dtype}; labels cannot be complex, nor records")
    kind = labels.dtype.kind
    if (kind == "f" and not np.isfinite(labels).all()) or (kind == "O" and np.any(labels != labels)):  # NaN != NaN
        raise ValueError("y contains NaN or infinity; every sample needs a label")
    if kind in "fiub":
        low, high = labels.min(), labels.max()
        larger = labels == high
        if low < high and (larger | (labels == low)).all():  # two classes need no sort
            return larger.astype(np.int64), np.array([low, high])
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError:
        raise ValueError(
            "y mixes labels that cannot be sorted (None, numbers, strings); give all of one kind"
        ) from None
    return codes.astype(np.int64), classes


def check_weights(sample_weight: Any, n_samples: int) -> Array:
    """Return non-negative weights that sum to one.

    Parameters
    ----------
    sample_weight : None or array_like of shape (n_samples,)
        None weighs all samples alike.
    n_samples : int
        Expected length.

    Returns
    -------
    ndarray of shape (n_samples,)
        ``w / sum(w)``.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are zero, or the shape does not fit.
    """
    if sample_weight is None:
        return np.full(n_samples, 1.0 / n_samples)
    w = as_array(sample_weight, "sample_weight", finite=False)
    if w.ndim == 0:
        w = np.full(n_samples, float(w))
    if w.shape != (n_samples,):
        raise ValueError(f"sample_weight has shape {w.shape}; it must be ({n_samples},)")
    if not np.isfinite(w).all() or np.any(w < 0):
        raise ValueError("sample_weight must be finite and non-negative")
    top = float(w.max())
    if not top > 0:
        raise ValueError("sample_weight is zero for every sample; at least one must be positive")
    w = w / top
    return np.asarray(w / w.sum())


def unit_scale(w: Array) -> tuple[Array, int]:
    """Return weights by a power of two of which the largest is between 1 and 2: their sums cannot overflow.

    Parameters
    ----------
    w : ndarray
        Non-negative.

    Returns
    -------
    weights : ndarray
        ``w / 2^exponent``, exact unless it underflows.
    exponent : int
        0 where no weight is positive, or one is not finite.
    """
    top = float(w.max(initial=0.0))
    exponent = math.frexp(top)[1] - 1 if 0 < top < math.inf else 0
    return (np.ldexp(w, -exponent) if exponent else w), exponent


def unscaled(total: float, exponent: int) -> float:
    """Return ``2^exponent total``, inf where it is above float64.

    Parameters
    ----------
    total : float
        Sum of weights that were divided by the power of two.
    exponent : int
        The power.

    Returns
    -------
    float
        The sum of the weights.
    """
    with np.errstate(over="ignore"):
        return float(np.ldexp(total, exponent))


def check_l2(l2: Any, n_features: int) -> Array:
    """Return the penalty of each feature.

    Parameters
    ----------
    l2 : float or array_like of shape (n_features,)
        Non-negative.
    n_features : int
        Number of features.

    Returns
    -------
    ndarray of shape (n_features,)
        The penalties.

    Raises
    ------
    ValueError
        If a penalty is negative or not finite, or the shape does not fit.
    """
    try:
        penalty = as_array(l2, "l2", finite=False)
    except ValueError:
        raise ValueError(f"l2={shown(l2)} must be a number or one number per feature") from None
    if penalty.shape not in ((), (1,), (n_features,)):
        raise ValueError(
            f"l2 has shape {penalty.shape}; it must be a number or have one value per feature, ({n_features},)"
        )
    if not (penalty.min() >= 0 and penalty.max() < np.inf):  # NaN is neither
        raise ValueError(f"l2={shown(l2)} must be finite and non-negative")
    return np.full(n_features, penalty)
