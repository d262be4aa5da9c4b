r"""What the noise of a batch does to the eigenvalues that stand out, by the spiked Wigner law.

A batch Hessian is the full one plus noise N. For a symmetric N with independent entries and ``E |N|_F^2 = n s^2`` the
bulk of the eigenvalues fills ``[-2 s, 2 s]``, and an eigenvalue ``lambda`` of the full matrix appears [1] at

    lambda + s^2/lambda   where |lambda| > s,      the edge +-2 s   otherwise.

Hence the largest step of gradient descent on batches, ``2/(lambda + s^2/lambda)``: proportional to the batch size where
the noise dominates [2].

References
----------
[1] Baik, Ben Arous, Peche, Ann. Probab. 33 (2005); Capitaine, Donati-Martin, Feral, Ann. Probab. 37 (2009).
[2] Granziol, Zohren, Roberts, "Learning rates as a function of batch size", JMLR 23 (2022).
"""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_count, as_number


def noise_scale(rows: ArrayLike, batch: int) -> float:
    r"""Return s for batches of samples whose matrices are ``g_i g_i'``, drawn with replacement.

    ``n s^2 = E |F_b - F|_F^2 = (mean_i |g_i|^4 - |F|_F^2) / b`` with ``F = mean_i g_i g_i'``.

    Parameters
    ----------
    rows : array_like of shape (m, n)
        The vectors ``g_i``: gradients of samples, or roots of their Gauss-Newton terms.
    batch : int
        Samples in a batch.

    Returns
    -------
    float
        The scale.

    Raises
    ------
    ValueError
        If the rows are not a matrix or ``batch < 1``.
    """
    G = as_array(rows, "rows")
    if G.ndim != 2 or G.size == 0 or as_count(batch, "batch") < 1:
        raise ValueError(f"rows has shape {G.shape} and batch={batch}: rows must be a matrix, batch at least 1")
    m, n = G.shape
    size = max(float(np.abs(G).max()), float(np.finfo(float).tiny))  # fourth powers may leave the floats
    G = G / size
    gram = (G @ G.T if m <= n else G.T @ G) / m
    spread = float(np.mean(np.sum(G * G, axis=1) ** 2) - np.sum(gram**2))
    with np.errstate(over="ignore"):
        scale = float(np.sqrt(max(spread, 0.0) / (batch * n)) * np.square(size))
    if not np.isfinite(scale):
        raise ValueError(f"rows has entries of size {size:.3g}, whose squares leave float64; rescale them")
    return scale


def predicted_outliers(eigenvalues: ArrayLike, s: float) -> Array:
    """Return where eigenvalues of the full matrix appear in a batch.

    Parameters
    ----------
    eigenvalues : array_like
        Of the full matrix.
    s : float
        Scale of the noise, see `noise_scale`.

    Returns
    -------
    ndarray
        ``lambda + s^2/lambda`` above the threshold s in absolute value, else the edge on its side (2 s for zero).

    Raises
    ------
    ValueError
        If ``s < 0``.
    """
    s = as_number(s, "s")
    if not 0 <= s <= 1e150:  # its square is a float
        raise ValueError(f"s={s} must be at least 0 and finite, at most 1e150")
    values = as_array(eigenvalues, "eigenvalues")
    out = np.where(values < 0, -2 * s, 2 * s)
    seen = np.abs(values) > s
    return np.asarray(np.where(seen, values + s * (s / np.where(seen, values, 1.0)), out))
