r"""Passes over blocks of a Gibbs kernel ``E_ij = exp(y_j - (C_ij - p_i - q_j)/reg - top_i)``, each row once.

A pass reads a row, uses it twice (``s = E_i v``, then ``c += u_i E_i``) while it is in cache, and so halves the traffic
of two matrix-vector products. The exponential is a polynomial (Cody and Waite's reduction, Taylor to degree 13,
relative error 4e-16), which LLVM vectorises, where ``math.exp`` in a loop is scalar. Sums may be reassociated, which
is what lets them use vector registers; their order is fixed, so that results are the same each time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array, IntArray

SUMS = {"reassoc", "contract"}  # sums in vector registers
EXACT = {"contract"}  # where the order of operations matters: exponents, and the reduction of exp's argument
LARGEST = {"nnan", "nsz", "contract"}  # maxima in vector registers: nothing here is NaN
UNDERFLOW = -700.0  # exponents below are zero: exp(-700) is 1e-304
LOG2E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01  # ln 2 in two parts [fdlibm e_exp.c]
LN2_LOW = 1.90821492927058770002e-10
SHIFTER = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer
FAR = 1_500_000  # entries that no cache holds: four rows at a time then wait less (measured: 1.4 times as fast)


@njit(cache=True, fastmath=LARGEST)  # type: ignore[misc, unused-ignore]
def _largest(t: Array) -> float:
    """Return the maximum of a row; eight at a time hide the latency of the comparison (measured: 3 times faster)."""
    whole = t.shape[0] // 8 * 8
    m0 = m1 = m2 = m3 = m4 = m5 = m6 = m7 = -np.inf
    for j in range(0, whole, 8):
        m0 = t[j] if t[j] > m0 else m0
        m1 = t[j + 1] if t[j + 1] > m1 else m1
        m2 = t[j + 2] if t[j + 2] > m2 else m2
        m3 = t[j + 3] if t[j + 3] > m3 else m3
        m4 = t[j + 4] if t[j + 4] > m4 else m4
        m5 = t[j + 5] if t[j + 5] > m5 else m5
        m6 = t[j + 6] if t[j + 6] > m6 else m6
        m7 = t[j + 7] if t[j + 7] > m7 else m7
    most = max(max(max(m0, m1), max(m2, m3)), max(max(m4, m5), max(m6, m7)))
    for j in range(whole, t.shape[0]):
        most = max(most, t[j])
    return most


@njit(cache=True, nogil=True, fastmath=LARGEST)  # type: ignore[misc, unused-ignore]
def offsets(C: Array, p: Array, q: Array) -> None:
    """Fill `p` with the minima of the rows, and lower `q` to the minima of the columns of what they leave.

    Parameters
    ----------
    C : ndarray of shape (k, m)
        Rows of the cost.
    p : ndarray of shape (k,)
        Written; 0 for a row without a finite cost.
    q : ndarray of shape (m,)
        Begins as +inf; updated.
    """
    negative = np.empty(C.shape[1])
    for i in range(C.shape[0]):
        Ci = C[i]
        for j in range(C.shape[1]):
            negative[j] = -Ci[j]
        least = -_largest(negative)
        least = least if least < np.inf else 0.0
        p[i] = least
        for j in range(C.shape[1]):
            q[j] = min(q[j], Ci[j] - least)


@njit(cache=True, nogil=True, fastmath=LARGEST)  # type: ignore[misc, unused-ignore]
def largest(C: Array, p: Array, q: Array) -> float:
    """Return the largest finite ``C_ij - p_i - q_j``, at least 0.

    Parameters
    ----------
    C : ndarray of shape (k, m)
        Rows of the cost.
    p, q : ndarray of shape (k,), (m,)
        Offsets.

    Returns
    -------
    float
        The maximum.
    """
    most, left = 0.0, np.empty(C.shape[1])
    for i in range(C.shape[0]):
        Ci, pi = C[i], p[i]
        for j in range(C.shape[1]):
            t = (Ci[j] - pi) - q[j]
            left[j] = t if t < np.inf else 0.0
        most = max(most, _largest(left))
    return most


@njit(cache=True, nogil=True, fastmath=EXACT)  # type: ignore[misc, unused-ignore]
def distances(X: Array, Y: Array, root: bool, D: Array) -> None:
    """Fill ``D_ij = sum_k (X_ik - Y_kj)^2``, or its root.

    Parameters
    ----------
    X : ndarray of shape (k, d)
        Points, a row each.
    Y : ndarray of shape (d, m)
        Points, a column each.
    root : bool
        Whether to take the square root.
    D : ndarray of shape (k, m)
        Written.
    """
    for i in range(X.shape[0]):
        Di = D[i]
        Di[:] = 0.0
        for k in range(X.shape[1]):
            x, Yk = X[i, k], Y[k]
            for j in range(Di.shape[0]):
                t = x - Yk[j]
                Di[j] += t * t
        if root:
            for j in range(Di.shape[0]):
                Di[j] = np.sqrt(Di[j])


@njit(cache=True, fastmath=EXACT)  # type: ignore[misc, unused-ignore]
def _exp_row(t: Array, top: float) -> None:
    """Overwrite ``t_j <= top`` by ``exp(t_j - top)``."""
    for j in range(t.shape[0]):
        x = max(t[j] - top, UNDERFLOW)
        k = (x * LOG2E + SHIFTER) - SHIFTER
        r = (x - k * LN2_HIGH) - k * LN2_LOW
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        scale = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
        t[j] = p * scale if t[j] - top > UNDERFLOW else 0.0


@njit(cache=True, nogil=True, fastmath=LARGEST)  # type: ignore[misc, unused-ignore]
def exponents(C: Array, p: Array, q: Array, inv: float, y: Array, E: Array, top: Array) -> None:
    """Fill ``E_ij = y_j - (C_ij - p_i - q_j) inv`` and its row maxima.

    Parameters
    ----------
    C : ndarray of shape (k, m)
        Rows of the cost; +inf forbids a pair.
    p : ndarray of shape (k,)
        Offsets of the rows.
    q : ndarray of shape (m,)
        Offsets of the columns.
    inv : float
        ``1/reg``.
    y : ndarray of shape (m,)
        Column potentials over reg.
    E : ndarray of shape (k, m)
        Written.
    top : ndarray of shape (k,)
        Written.
    """
    for i in range(C.shape[0]):
        Ci, Ei, pi = C[i], E[i], p[i]
        for j in range(C.shape[1]):
            Ei[j] = y[j] - ((Ci[j] - pi) - q[j]) * inv
        top[i] = _largest(Ei)


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def exponentials(E: Array, top: Array) -> None:
    """Overwrite ``E_ij <= top_i`` by ``exp(E_ij - top_i)``.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Exponents; overwritten.
    top : ndarray of shape (k,)
        Row maxima, or anything above.
    """
    for i in range(E.shape[0]):
        _exp_row(E[i], top[i])


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def scale(E: Array, v: Array, a: Array, s: Array, c: Array) -> None:
    """Fill ``s = E v`` and add ``E'(a/s)`` to `c`.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Kernel rows.
    v : ndarray of shape (m,)
        Column scalings.
    a : ndarray of shape (k,)
        Row marginals.
    s : ndarray of shape (k,)
        Written.
    c : ndarray of shape (m,)
        Added to.
    """
    fours = E.shape[0] // 4 * 4 if E.size > FAR else 0
    for i in range(0, fours, 4):
        E0, E1, E2, E3 = E[i], E[i + 1], E[i + 2], E[i + 3]
        s0 = s1 = s2 = s3 = 0.0
        for j in range(E.shape[1]):
            vj = v[j]
            s0 += E0[j] * vj
            s1 += E1[j] * vj
            s2 += E2[j] * vj
            s3 += E3[j] * vj
        s[i], s[i + 1], s[i + 2], s[i + 3] = s0, s1, s2, s3
        u0, u1, u2, u3 = a[i] / s0, a[i + 1] / s1, a[i + 2] / s2, a[i + 3] / s3
        for j in range(E.shape[1]):
            c[j] += u0 * E0[j] + u1 * E1[j] + u2 * E2[j] + u3 * E3[j]
    for i in range(fours, E.shape[0]):
        Ei, total = E[i], 0.0
        for j in range(E.shape[1]):
            total += Ei[j] * v[j]
        s[i] = total
        u = a[i] / total
        for j in range(E.shape[1]):
            c[j] += u * Ei[j]


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def gram(E: Array, d: Array, w: Array, c: Array) -> None:
    """Add ``E'(w (E d))`` to `c`.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Kernel rows.
    d : ndarray of shape (m,)
        Vector.
    w : ndarray of shape (k,)
        Weights of the rows.
    c : ndarray of shape (m,)
        Added to.
    """
    fours = E.shape[0] // 4 * 4 if E.size > FAR else 0
    for i in range(0, fours, 4):
        E0, E1, E2, E3 = E[i], E[i + 1], E[i + 2], E[i + 3]
        s0 = s1 = s2 = s3 = 0.0
        for j in range(E.shape[1]):
            dj = d[j]
            s0 += E0[j] * dj
            s1 += E1[j] * dj
            s2 += E2[j] * dj
            s3 += E3[j] * dj
        u0, u1, u2, u3 = w[i] * s0, w[i + 1] * s1, w[i + 2] * s2, w[i + 3] * s3
        for j in range(E.shape[1]):
            c[j] += u0 * E0[j] + u1 * E1[j] + u2 * E2[j] + u3 * E3[j]
    for i in range(fours, E.shape[0]):
        Ei, total = E[i], 0.0
        for j in range(E.shape[1]):
            total += Ei[j] * d[j]
        total *= w[i]
        for j in range(E.shape[1]):
            c[j] += total * Ei[j]


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def squares(E: Array, w: Array, c: Array) -> None:
    """Add ``(E o E)' w`` to `c`.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Kernel rows.
    w : ndarray of shape (k,)
        Weights.
    c : ndarray of shape (m,)
        Added to.
    """
    for i in range(E.shape[0]):
        Ei, wi = E[i], w[i]
        for j in range(E.shape[1]):
            c[j] += wi * Ei[j] * Ei[j]


@njit(cache=True, nogil=True, fastmath=LARGEST)  # type: ignore[misc, unused-ignore]
def columns(C: Array, p: Array, q: Array, inv: float, x: Array, top: Array, total: Array, T: Array) -> None:
    """Update the log-sum-exp ``top_j + log total_j`` of the columns of ``x_i - (C_ij - p_i - q_j) inv`` by a block.

    Parameters
    ----------
    C : ndarray of shape (k, m)
        Rows of the cost.
    p, q, inv : ndarray, ndarray, float
        As in `exponents`.
    x : ndarray of shape (k,)
        Row potentials over reg.
    top, total : ndarray of shape (m,)
        Running maximum (begins as -inf) and sum (begins as 0); updated.
    T : ndarray of shape (2, m)
        Work space.
    """
    for i in range(C.shape[0]):
        Ci = C[i]
        for j in range(C.shape[1]):
            t = x[i] - ((Ci[j] - p[i]) - q[j]) * inv
            most = max(top[j], t)
            shift = max(most, -1e300)  # while a column has met nothing but +inf, most is -inf
            T[0, j] = t - shift
            T[1, j] = top[j] - shift
            top[j] = most
        _exp_row(T[0], 0.0)
        _exp_row(T[1], 0.0)
        for j in range(C.shape[1]):
            total[j] = total[j] * T[1, j] + T[0, j]


@njit(cache=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def burst(E: Array, v: Array, a: Array, b: Array, steps: int, low: float, high: float, c: Array, s: Array) -> int:
    """Do up to `steps` Sinkhorn iterations ``v <- b / (E'(a / (E v)))`` in place; return how many were done.

    It ends before a step that would take a scaling out of ``[low, high]``: then the kernel has to be anchored anew.

    Parameters
    ----------
    E : ndarray of shape (n, m)
        Kernel.
    v : ndarray of shape (m,)
        Column scalings; overwritten.
    a, b : ndarray of shape (n,), (m,)
        Marginals.
    steps : int
        Iterations at the most.
    low, high : float
        Range of the scalings.
    c, s : ndarray of shape (m,), (n,)
        Work space.

    Returns
    -------
    int
        Iterations done.
    """
    for step in range(steps):
        c[:] = 0.0
        scale(E, v, a, s, c)
        least, most = np.inf, -np.inf
        for j in range(v.shape[0]):
            c[j] = b[j] / c[j] if c[j] > 0.0 else np.inf
            least, most = min(least, c[j]), max(most, c[j])
        if not (least >= low and most <= high):
            return step
        v[:] = c
    return steps


# --------------------------------------------------------------------------------------- rows kept sparse (CSR)


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def count_above(E: Array, top: Array, cut: float, counts: IntArray) -> None:
    """Count the exponents ``E_ij >= top_i - cut`` of each row: the largest one also where rounding leaves no cut.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Exponents.
    top : ndarray of shape (k,)
        Row maxima.
    cut : float
        Width.
    counts : ndarray of shape (k,)
        Written.
    """
    for i in range(E.shape[0]):
        Ei, least, number = E[i], top[i] - cut, 0
        for j in range(E.shape[1]):
            number += Ei[j] >= least
        counts[i] = number


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def gather_above(E: Array, top: Array, cut: float, data: Array, indices: Array, start: int) -> int:
    """Store the columns and the exponentials of the exponents ``E_ij >= top_i - cut``; return the next free place.

    Parameters
    ----------
    E : ndarray of shape (k, m)
        Exponents.
    top : ndarray of shape (k,)
        Row maxima.
    cut : float
        Width.
    data, indices : ndarray
        Written from `start` on.
    start : int
        First place.

    Returns
    -------
    int
        First place after the last entry.
    """
    place = start
    for i in range(E.shape[0]):
        Ei, least, first = E[i], top[i] - cut, place
        for j in range(E.shape[1]):
            if Ei[j] >= least:
                data[place] = Ei[j]
                indices[place] = j
                place += 1
        _exp_row(data[first:place], top[i])
    return place


@njit(cache=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def sparse_scale(indptr: IntArray, indices: Array, data: Array, v: Array, a: Array, s: Array, c: Array) -> None:
    """`scale` for CSR rows.

    Parameters
    ----------
    indptr, indices, data : ndarray
        The rows.
    v, a, s, c : ndarray
        As in `scale`.
    """
    for i in range(a.shape[0]):
        lo, hi, total = indptr[i], indptr[i + 1], 0.0
        for p in range(lo, hi):
            total += data[p] * v[indices[p]]
        s[i] = total
        u = a[i] / total
        for p in range(lo, hi):
            c[indices[p]] += u * data[p]


@njit(cache=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def sparse_gram(indptr: IntArray, indices: Array, data: Array, d: Array, w: Array, c: Array) -> None:
    """`gram` for CSR rows.

    Parameters
    ----------
    indptr, indices, data : ndarray
        The rows.
    d, w, c : ndarray
        As in `gram`.
    """
    for i in range(w.shape[0]):
        lo, hi, total = indptr[i], indptr[i + 1], 0.0
        for p in range(lo, hi):
            total += data[p] * d[indices[p]]
        total *= w[i]
        for p in range(lo, hi):
            c[indices[p]] += total * data[p]


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def sparse_squares(indptr: IntArray, indices: Array, data: Array, w: Array, c: Array) -> None:
    """`squares` for CSR rows.

    Parameters
    ----------
    indptr, indices, data : ndarray
        The rows.
    w, c : ndarray
        As in `squares`.
    """
    for i in range(w.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            c[indices[p]] += w[i] * data[p] * data[p]


@njit(cache=True, fastmath=SUMS, error_model="numpy")  # type: ignore[misc, unused-ignore]
def sparse_burst(
    indptr: IntArray,
    indices: Array,
    data: Array,
    v: Array,
    a: Array,
    b: Array,
    steps: int,
    low: float,
    high: float,
    c: Array,
    s: Array,
) -> int:
    """`burst` for CSR rows.

    Parameters
    ----------
    indptr, indices, data : ndarray
        The rows.
    v, a, b : ndarray
        As in `burst`.
    steps : int
        As in `burst`.
    low, high : float
        As in `burst`.
    c, s : ndarray
        As in `burst`.

    Returns
    -------
    int
        Iterations done.
    """
    for step in range(steps):
        c[:] = 0.0
        sparse_scale(indptr, indices, data, v, a, s, c)
        least, most = np.inf, -np.inf
        for j in range(v.shape[0]):
            c[j] = b[j] / c[j] if c[j] > 0.0 else np.inf
            least, most = min(least, c[j]), max(most, c[j])
        if not (least >= low and most <= high):
            return step
        v[:] = c
    return steps
