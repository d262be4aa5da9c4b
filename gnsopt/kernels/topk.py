r"""Columns of sparsity-constrained transport: the k largest entries by a heap, then the threshold that gives the mass.

For one column of scores ``s = alpha - c`` and mass b the kernel maximises, over ``t >= 0`` with ``sum t = b``,

    <s, t> - gamma/2 |t|_(k)^2 - eps/2 |t|^2,
    |t|_(k)^2 = min { sum_i t_i^2/theta_i : 0 <= theta <= 1, sum theta <= k },

where ``|.|_(k)`` is the k-support norm. With eps = 0 the maximum is that over vectors of at most k nonzeros, and the
first k of the sorted scores attain it. With eps > 0 scores that (nearly) tie at the k-th place share the places left:

    t_i = (s_i - tau)/(gamma + eps)          where  s_i >= U = tau + nu (gamma + eps)    (the p top ones, theta = 1),
    t_i = (s_i - L)/eps, theta_i = t_i/nu    where  L = tau + nu gamma < s_i < U         (the q shared ones).

Ties are broken by the smaller row, so that the answer is the same everywhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def _sift(value: Array, row: IntArray, at: int, size: int) -> None:
    """Let the entry `at` of a heap sink to its place: larger values, then smaller rows, are nearer to the root."""
    v, i = value[at], row[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (value[other] > value[child] or (value[other] == value[child] and row[other] < row[child])):
            child = other
        if value[child] < v or (value[child] == v and row[child] > i):
            break
        value[at], row[at] = value[child], row[child]
        at = child
    value[at], row[at] = v, i


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def _pop(value: Array, row: IntArray, size: int) -> None:
    """Move the largest of `size` entries behind the others: what has been popped stands in rising order."""
    last = size - 1
    v, i = value[last], row[last]
    value[last], row[last] = value[0], row[0]
    value[0], row[0] = v, i
    _sift(value, row, 0, last)


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def _heap(value: Array, row: IntArray, size: int) -> None:
    for at in range(size // 2 - 1, -1, -1):
        _sift(value, row, at, size)


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def _longer(old: Array, used: int, size: int) -> Array:
    new = np.empty(size, old.dtype)
    new[:used] = old[:used]
    return new


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def semi_dual(
    Ct: Array, alpha: Array, b: Array, gamma: float, eps: float, k: int
) -> tuple[IntArray, IntArray, Array, IntArray, Array, Array, Array, Array]:
    """Return the maximiser of every column, and the maxima.

    Parameters
    ----------
    Ct : ndarray of shape (m, n)
        Costs, a row for each column of the plan; +inf forbids a pair, but not all of a column with mass.
    alpha : ndarray of shape (n,)
        Potential, finite.
    b : ndarray of shape (m,)
        Masses, non-negative.
    gamma, eps : float
        Weights, positive and non-negative.
    k : int
        Nonzeros of a column, at least 1.

    Returns
    -------
    indptr : ndarray of shape (m + 1,)
        Where the columns of the plan begin.
    rows, t : ndarray of shape (nnz,)
        Rows and values of the plan, by falling score: first the top ones, then those that share.
    top : ndarray of shape (m,)
        How many are top ones, p.
    tau, nu : ndarray of shape (m,)
        Thresholds; nu is 0 where nothing is shared.
    value : ndarray of shape (m,)
        The maxima.
    margin : ndarray of shape (m,)
        Score of place k minus that of place k + 1 where both are above tau, infinity elsewhere.
    """
    m, n = Ct.shape
    G = gamma + eps
    indptr, top = np.zeros(m + 1, np.int64), np.zeros(m, np.int64)
    tau, nu, value, margin = np.zeros(m), np.zeros(m), np.zeros(m), np.full(m, np.inf)
    room = m * min(n, k + 2)
    rows, t = np.empty(room, np.int64), np.empty(room)
    s, u, at = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for j in range(m):
        begin = indptr[j]
        largest = -np.inf
        for i in range(n):
            s[i] = alpha[i] - Ct[j, i]
            largest = max(largest, s[i])
        tau[j], indptr[j + 1] = largest, begin
        if b[j] == 0.0:
            continue
        floor, size = largest - G * b[j], 0  # tau is not below it
        for i in range(n):
            if s[i] >= floor:
                u[size], at[size] = s[i] - largest, i
                size += 1
        _heap(u, at, size)
        end, total, p, q, level = size, 0.0, 0, 0, 0.0  # sorted: u[end - 1], u[end - 2], ...
        while size > 0 and p < k and (p == 0 or u[0] * p > total - G * b[j]):
            total += u[0]
            _pop(u, at, size)
            p, size = p + 1, size - 1
        threshold = (total - G * b[j]) / p
        if p == k and size > 0 and u[0] > threshold:
            margin[j] = u[end - k] - u[0]
            if (u[0] - threshold) * G > (u[end - k] - threshold) * gamma:  # no nu separates the places k and k + 1
                p, q, shared = k - 1, 1, u[end - k]
                total -= shared
                while True:  # as L falls from the k-th score U rises, so that entries only join the shared ones
                    left = k - p
                    e = eps * left + gamma * q
                    threshold = (total / G + left * shared / e - b[j]) / (p / G + left * q / e)
                    level = (shared - q * threshold) / e
                    below = u[0] if size > 0 else -np.inf
                    above = u[end - p] if p > 0 else np.inf
                    if threshold + level * gamma >= below and threshold + level * G <= above:
                        break
                    down = (left * above - shared) / (left - q) if p > 0 and q > left else -np.inf  # L where U = above
                    if below >= down:
                        if size == 0:
                            break
                        shared += below
                        _pop(u, at, size)
                        size -= 1
                    else:
                        shared += above
                        total -= above
                        p -= 1
                    q += 1
        if begin + p + q > room:
            room = max(2 * room, begin + p + q)
            rows, t = _longer(rows, begin, room), _longer(t, begin, room)
        half = 0.0
        for place in range(p + q):
            w = u[end - 1 - place] - threshold
            x = max(w / G if place < p else (w - level * gamma) / eps, 0.0)
            half += x * w
            rows[begin + place], t[begin + place] = at[end - 1 - place], x
        tau[j], nu[j], top[j] = threshold + largest, level, p
        value[j] = 0.5 * half + tau[j] * b[j]
        indptr[j + 1] = begin + p + q
    return indptr, rows[: indptr[m]], t[: indptr[m]], top, tau, nu, value, margin


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def dual(Ct: Array, alpha: Array, beta: Array, gamma: float, k: int) -> tuple[IntArray, IntArray, Array, Array, Array]:
    """Return ``t = [s]_+ / gamma`` on the k largest of ``s = alpha + beta_j - c_j``, for every column.

    Parameters
    ----------
    Ct : ndarray of shape (m, n)
        Costs, a row for each column of the plan; +inf forbids a pair.
    alpha : ndarray of shape (n,)
        Potential of the rows.
    beta : ndarray of shape (m,)
        Potential of the columns.
    gamma : float
        Weight, positive.
    k : int
        Nonzeros of a column, at least 1.

    Returns
    -------
    indptr : ndarray of shape (m + 1,)
        Where the columns of the plan begin.
    rows, t : ndarray of shape (nnz,)
        Rows and values of the plan, by falling score.
    value : ndarray of shape (m,)
        ``gamma/2 |t|^2``, the maxima of ``<s, t> - gamma/2 |t|^2``.
    margin : ndarray of shape (m,)
        Score of place k minus that of place k + 1 where both are positive, infinity elsewhere.
    """
    m, n = Ct.shape
    indptr, value, margin = np.zeros(m + 1, np.int64), np.zeros(m), np.full(m, np.inf)
    room = m * min(n, k)
    rows, t = np.empty(room, np.int64), np.empty(room)
    u, at = np.empty(n), np.empty(n, np.int64)
    for j in range(m):
        size, place = 0, indptr[j]
        for i in range(n):
            s = alpha[i] + beta[j] - Ct[j, i]
            if s > 0.0:
                u[size], at[size] = s, i
                size += 1
        _heap(u, at, size)
        last = 0.0
        while size > 0 and place < indptr[j] + k:
            last = u[0]
            rows[place], t[place] = at[0], last / gamma
            value[j] += 0.5 * last * last / gamma
            _pop(u, at, size)
            size, place = size - 1, place + 1
        if size > 0:
            margin[j] = last - u[0]
        indptr[j + 1] = place
    return indptr, rows[: indptr[m]], t[: indptr[m]], value, margin


# ------------------------------------------------------------------------------------ the derivative of the row sums
#
# Column j contributes  diag(1/G on its top, 1/eps on its shared rows) - W_j' X_j W_j, where W_j has the indicators of
# the two sets as rows and X_j is symmetric of order 2: weights[j] = (x_pp, x_pq, x_qq).


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def laplacian_product(
    indptr: IntArray, rows: IntArray, top: IntArray, weights: Array, d: Array, v: Array, out: Array
) -> None:
    """Fill ``out = d v - sum_j W_j' X_j W_j v``.

    Parameters
    ----------
    indptr, rows : ndarray
        Support of the plan, by columns.
    top : ndarray of shape (m,)
        How many rows of each column are top ones.
    weights : ndarray of shape (m, 3)
        ``X_j``.
    d : ndarray of shape (n,)
        The diagonal part.
    v : ndarray of shape (n,)
        What is multiplied.
    out : ndarray of shape (n,)
        Written.
    """
    out[:] = d * v
    for j in range(top.shape[0]):
        lo, mid, hi = indptr[j], indptr[j] + top[j], indptr[j + 1]
        one, other = 0.0, 0.0
        for e in range(lo, mid):
            one += v[rows[e]]
        for e in range(mid, hi):
            other += v[rows[e]]
        for_top = weights[j, 0] * one + weights[j, 1] * other
        for_shared = weights[j, 1] * one + weights[j, 2] * other
        for e in range(lo, mid):
            out[rows[e]] -= for_top
        for e in range(mid, hi):
            out[rows[e]] -= for_shared


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def laplacian_lower(indptr: IntArray, rows: IntArray, top: IntArray, weights: Array, H: Array) -> None:
    """Subtract ``sum_j W_j' X_j W_j`` from the lower triangle of `H`.

    Parameters
    ----------
    indptr, rows, top, weights : ndarray
        As in `laplacian_product`.
    H : ndarray of shape (n, n)
        Written at (row, column) with row >= column.
    """
    for j in range(top.shape[0]):
        lo, mid, hi = indptr[j], indptr[j] + top[j], indptr[j + 1]
        for e in range(lo, hi):
            for f in range(lo, e + 1):
                x = weights[j, (0 if e < mid else 1) + (0 if f < mid else 1)]
                if rows[e] >= rows[f]:
                    H[rows[e], rows[f]] -= x
                else:
                    H[rows[f], rows[e]] -= x
