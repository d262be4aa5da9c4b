r"""Sums of rank-one terms ``F = G'G / N`` (M-FAC [1]): shifted solves, and entries of ``(F + lam I)^{-1}``.

With ``P = G G'`` and ``K = N I + P/lam = C C'`` (Cholesky), ``W = C^{-1} G / lam`` has the rows ``v_i / sqrt(q_i)`` of
[1],

    (F + lam I)^{-1} = I/lam - W'W,      diag = 1/lam - sum_i W_i^2,      entry (a, b) = [a = b]/lam - <W_a, W_b>:

the recursion of [1] over the rows is Woodbury's formula. That subtracts two terms of size ``|b|/lam``; for products
with small ``lam`` `RowsShifted` splits b along and across the rows instead, and where there are as many rows as
variables `RankOneInverse` factorises ``F + lam I = C C'`` itself: the inverse is W'W with ``W = C^{-1}``. With fewer,
both cost O(m^2 n + m^3) once; a window of gradients keeps P and replaces a row in O(m n) (`GradientWindow`).

References
----------
[1] Frantar, Kurtic, Alistarh, "M-FAC: efficient matrix-free approximations of second-order information", 2107.03356.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh, lapack, solve_triangular

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.linalg.design import DENSE_PASS
from gnsopt.linalg.forms import EPS, Form, Gram, RankOneUpdate, Shifted, noise
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.linalg.rows import OuterRows
from gnsopt.linalg.structured import Diagonal, Zero

NULL = 100 * EPS  # eigenvalues of the Gram matrix below this share of the largest belong to dependent rows


class RankOneInverse:
    """``(rows' rows / count + lam I)^{-1}``: products, diagonal, entries and pruning.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        The vectors.
    lam : float
        Positive shift.
    count : float, optional
        What the sum is divided by; m by default.

    Raises
    ------
    ValueError
        If `lam` is not finite.
    NotPositiveDefinite
        If `lam` is not positive.
    """

    def __init__(self, rows: Array, lam: float, count: float | None = None) -> None:
        if not np.isfinite(lam):
            raise ValueError(f"lam={lam} must be finite")
        if not lam > 0:
            raise NotPositiveDefinite(f"sum of rank-one terms and lam = {lam}")
        (m, self.n), self.lam = rows.shape, float(lam)
        few, N = m < self.n, float(m if count is None else count)
        K = (rows @ rows.T) / lam if few else (rows.T @ rows) / N
        K.flat[:: len(K) + 1] += N if few else lam
        C, info = lapack.dpotrf(np.asfortranarray(K), lower=1, clean=1)
        if info != 0:
            raise NotPositiveDefinite("Cholesky failed in the smaller of the spaces of rows and of columns")
        right = rows / lam if few else np.eye(self.n)
        self._W = solve_triangular(C, right, lower=True, check_finite=False)
        self._base, self._sign = (1.0 / self.lam, -1.0) if few else (0.0, 1.0)  # base I + sign W'W

    def matvec(self, b: Array) -> Array:
        """Return the inverse times `b`."""
        return np.asarray(self._base * b + self._sign * (self._W.T @ (self._W @ b)))

    def diagonal(self) -> Array:
        """Return the diagonal of the inverse, O(m n)."""
        return np.asarray(self._base + self._sign * np.einsum("ij,ij->j", self._W, self._W))

    def entries(self, i: ArrayLike, j: ArrayLike) -> Array:
        """Return the entries ``(i, j)`` of the inverse, O(m) each; negative indices count from the end."""
        a, b = (index % self.n for index in np.broadcast_arrays(self._indices(i, "i"), self._indices(j, "j")))
        inner = np.einsum("k...,k...->...", self._W[:, a], self._W[:, b])
        return np.asarray(self._base * (a == b) + self._sign * inner)

    def _indices(self, values: ArrayLike, name: str) -> IntArray:
        out = np.asarray(values)
        if out.dtype.kind not in "iu" or np.any((out < -self.n) | (out >= self.n)):
            raise IndexError(f"{name}={values!r} must hold integers from {-self.n} to {self.n - 1}")
        return out.astype(np.int64)

    def column(self, q: int) -> Array:
        """Return column `q` of the inverse, O(m n)."""
        out = self._sign * (self._W.T @ self._W[:, q])
        out[q] += self._base
        return np.asarray(out)

    def pruning_scores(self, w: Array) -> Array:
        r"""Return ``w_q^2 / (2 [F^{-1}]_qq)``: what setting w_q to zero costs, the others being adapted.

        Parameters
        ----------
        w : ndarray of shape (n,)
            Minimiser of a function of curvature ``F + lam I``; for a quadratic one the scores are exact.

        Returns
        -------
        ndarray of shape (n,)
            The increase of the function.
        """
        return np.asarray(w * w / (2.0 * self.diagonal()))

    def prune(self, w: Array, q: int) -> Array:
        """Return `w` with entry `q` zero and the others adapted, ``w - w_q F^{-1} e_q / [F^{-1}]_qq``.

        Parameters
        ----------
        w : ndarray of shape (n,)
            Minimiser, as for `pruning_scores`.
        q : int
            Which entry.

        Returns
        -------
        ndarray of shape (n,)
            The pruned vector.
        """
        column = self.column(q)
        out = w - (w[q] / column[q]) * column
        out[q] = 0.0
        return np.asarray(out)


class RankOneForm(Form):
    """``rows' rows + diag(ridge)``.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        The vectors, the root of their weights included.
    ridge : ndarray of shape (n,), optional
        Non-negative diagonal; zero by default.
    gram : ndarray of shape (m, m), optional
        ``L^{-1} rows' rows L^{-T}`` in the space of the rows, ``rows B^{-1} rows'``, where it is known for `metric`.
    metric : Metric, optional
        The ``B`` of `gram`.
    """

    def __init__(
        self, rows: Array, ridge: Array | None = None, gram: Array | None = None, metric: Metric | None = None
    ) -> None:
        self.rows, self.ridge, self._gram, self._metric = rows, ridge, gram, metric
        m, self.n = rows.shape
        self.product_price = 2 * DENSE_PASS * m * self.n
        self.dense_price = float(m) * self.n**2

    def matvec(self, v: Array) -> Array:
        """Return ``rows' (rows v) + ridge v``."""
        out = self.rows.T @ (self.rows @ v)
        return np.asarray(out if self.ridge is None else out + self.ridge * v)

    def diagonal(self) -> Array:
        """Return the diagonal."""
        d = np.einsum("ij,ij->j", self.rows, self.rows)
        return np.asarray(d if self.ridge is None else d + self.ridge)

    def lower(self) -> Array:
        """Return the dense matrix."""
        H = np.asfortranarray(self.rows.T @ self.rows)
        if self.ridge is not None:
            H.flat[:: self.n + 1] += self.ridge
        return H

    def structured(self, metric: Metric) -> Shifted | None:
        """Return solves in the space of the rows where there are fewer of them than columns."""
        if self.rows.shape[0] >= self.n:
            return None
        if self.ridge is None:
            gram = self._gram if metric is self._metric else None
            return RowsShifted(self.rows, metric, gram)
        free = np.count_nonzero(self.ridge == 0)
        return None if metric.diagonal is None or free > len(self.rows) else RidgedShifted(self, metric)


class RowsShifted(Shifted):
    r"""``(V'V + lam B)^{-1} b`` for fewer rows than columns: O(m^2 n) once, O(m n) for any `lam` and any ``B = L L'``.

    In white coordinates, ``P = V V'`` and ``c = P^+ V b`` give ``b = V'c + b_0`` with ``V b_0 = 0`` and

        x = V' (P + lam)^{-1} c + b_0 / lam.

    The projection is done twice, so that what is left in ``b_0`` of the rows is of second order in rounding.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        ``V``, m < n.
    metric : Metric
        ``B``.
    gram : ndarray of shape (m, m), optional
        ``V B^{-1} V'``, where it is known.
    """

    def __init__(self, rows: Array, metric: Metric, gram: Array | None = None) -> None:
        self._V = white_rows(rows, metric)
        P = self._V @ self._V.T if gram is None else gram
        if not np.isfinite(P).all():
            raise StepFailure("the rows of the curvature are not finite")
        theta, Q = eigh(P, check_finite=False) if P.size else (np.zeros(0), np.zeros((0, 0)))  # SciPy < 1.14 fails
        kept = theta > NULL * np.max(theta, initial=0.0)
        self._theta, self._Q, self._metric = theta[kept], Q[:, kept], metric
        self.lam_noise = 10 * EPS * float(self._theta.sum()) / rows.shape[1]

    def solve(self, lam: float, b: Array) -> Array:
        """Solve along and across the rows."""
        if not lam > 0:
            raise NotPositiveDefinite(f"fewer rank-one terms than variables and lam = {lam}")
        V, Q = self._V, self._Q
        rest = self._metric.to_white(b)
        along = np.zeros(Q.shape[1])
        for _ in range(2):
            c = (Q.T @ (V @ rest)) / self._theta
            rest = rest - V.T @ (Q @ c)
            along += c
        return self._metric.from_white(V.T @ (Q @ (along / (self._theta + lam))) + rest / lam)


class RidgedShifted(Shifted):
    r"""``(V'V + diag(ridge) + lam B)^{-1} b``: `RowsShifted` in the metric ``D = ridge + lam B``, kept for one `lam`.

    Where the ridge is a multiple of B it is a part of the shift, and one decomposition serves every `lam`. Variables
    without a ridge (intercepts), whose entries of D may be tiny, are eliminated: with ``V = [X, C]`` and the solves M
    of the others, ``S = C'(C - X M^{-1} X'C) + lam B`` is their Schur complement.

    Parameters
    ----------
    form : RankOneForm
        The matrix.
    metric : Metric
        ``B``, diagonal.
    """

    def __init__(self, form: RankOneForm, metric: Metric) -> None:
        assert form.ridge is not None
        assert metric.diagonal is not None
        self._form, self._metric = form, metric
        self._B = np.broadcast_to(metric.diagonal, form.n)
        ratio = form.ridge / self._B
        self._uniform = float(ratio[0]) if np.all(ratio == ratio[0]) else None
        self._lam: float | None = None
        if self._uniform is not None:
            self._base = RowsShifted(form.rows, metric)
        self._free = form.ridge == 0
        self.lam_noise = noise(form.diagonal(), metric.diagonal)

    def solve(self, lam: float, b: Array) -> Array:
        """Solve with the decomposition of this `lam`, or of all; refine once."""
        if self._uniform is not None:
            return self._base.solve(lam + self._uniform, b)
        if lam != self._lam:
            self._prepare(lam)
        x = self._apply(b)
        return x + self._apply(b - self._form.matvec(x) - lam * self._metric.apply(x))

    def _prepare(self, lam: float) -> None:
        assert self._form.ridge is not None
        d, free = self._form.ridge + lam * self._B, self._free
        if not np.all(d > 0):
            raise NotPositiveDefinite("ridge + lam B is not positive")
        X, self._C = self._form.rows[:, ~free], self._form.rows[:, free]
        self._base, self._lam, self._X = RowsShifted(X, DiagonalMetric(d[~free])), lam, X
        self._MC = np.stack([self._base.solve(1.0, c) for c in (X.T @ self._C).T], axis=1) if free.any() else X.T[:, :0]
        self._S = self._C.T @ (self._C - X @ self._MC) + np.diag(d[free])

    def _apply(self, b: Array) -> Array:
        free = self._free
        out = np.empty_like(b)
        y = self._base.solve(1.0, b[~free])
        out[free] = np.linalg.solve(self._S, b[free] - self._C.T @ (self._X @ y))
        out[~free] = y - self._MC @ out[free]
        return out


def white_rows(rows: Array, metric: Metric) -> Array:
    """Return ``rows L^{-T}`` where ``B = L L'``.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        The vectors.
    metric : Metric
        ``B``.

    Returns
    -------
    ndarray of shape (m, n)
        Each row in white coordinates.
    """
    if metric.diagonal is not None:
        return np.asarray(metric.to_white(rows))
    return np.stack([metric.to_white(row) for row in rows]) if len(rows) else rows


def rows_of(form: Form) -> tuple[Array, Array | None]:
    r"""Return ``(V, ridge)`` with ``V'V + diag(ridge)`` the matrix of a positive semidefinite form.

    The rows of ``A' blockdiag(L_i L_i') A`` are ``(L_i e_c)' (x) a_i``: per-sample gradients for an empirical Fisher
    matrix, ``sqrt(p_c) grad log p(c|i)`` for the Gauss-Newton matrix of softmax. Any other matrix is a sum of at most n
    terms, from its eigenpairs.

    Parameters
    ----------
    form : Form
        The matrix.

    Returns
    -------
    V : ndarray of shape (m, n)
        The vectors.
    ridge : ndarray of shape (n,) or None
        The diagonal that is no sum of few terms.
    """
    own = getattr(form, "rank_one_rows", None)
    if own is not None:
        return own()
    if isinstance(form, RankOneForm):
        return form.rows, form.ridge
    if isinstance(form, Zero):
        return np.zeros((0, form.n)), None
    if isinstance(form, Diagonal):
        return np.zeros((0, form.n)), form.d
    if isinstance(form, RankOneUpdate) and form.c >= 0:
        V, ridge = rows_of(form.base)
        return np.vstack([V, np.sqrt(form.c) * form.u]), ridge
    if isinstance(form, Gram):
        return gram_rows(form), form.ridge if form.ridge.any() else None
    H = form.dense()
    if not np.isfinite(H).all():
        raise StepFailure("the curvature is not finite")
    s, Q = eigh(H, check_finite=False)
    kept = s > NULL * max(float(s[-1]), 0.0)
    return np.ascontiguousarray((Q[:, kept] * np.sqrt(s[kept])).T), None


def rows_count(form: Form) -> int:
    """Return the number of vectors in `rows_of` at the most, before they are computed.

    Parameters
    ----------
    form : Form
        The matrix.

    Returns
    -------
    int
        The number.
    """
    own = getattr(form, "rank_one_count", None)
    if own is not None:
        return int(own)
    if isinstance(form, Gram):
        return form.design.n_samples * (1 if isinstance(form.rows, OuterRows) else form.k)
    return 0


def gram_rows(form: Gram) -> Array:
    """Return ``V`` with ``V'V = A' blockdiag(D_i) A``, the rows of weight zero left out.

    Parameters
    ----------
    form : Gram
        The matrix; its ridge is not part of the result.

    Returns
    -------
    ndarray of shape (m, n)
        m is at most the number of samples times the number of outputs.
    """
    design, k = form.design, form.k
    A = design.X.toarray() if design.sparse else design.X
    if design.intercept:
        A = np.hstack([A, np.ones((design.n_samples, 1))])
    if k == 1:
        return _nonzero(A * form.rows.half(np.ones(design.n_samples))[:, None])
    blocks = []
    basis = np.zeros((design.n_samples, k))
    for c in range(k):
        basis[:, c] = 1.0
        factor = form.rows.half(basis)  # L_i e_c
        basis[:, c] = 0.0
        blocks.append(_nonzero((A[:, :, None] * factor[:, None, :]).reshape(design.n_samples, -1)))
    return np.vstack(blocks)


def _nonzero(V: Array) -> Array:
    kept: IntArray = np.flatnonzero(V.any(axis=1))
    return np.ascontiguousarray(V[kept])


class GradientWindow:
    """The last m vectors and the Gram matrix of their white coordinates: a replacement costs O(m n).

    Parameters
    ----------
    m : int
        Length of the window.
    metric : Metric
        ``B`` of the Gram matrix.
    """

    def __init__(self, m: int, metric: Metric) -> None:
        self.m, self.metric = m, metric
        self._rows: Array | None = None
        self._white: Array | None = None
        self._P = np.zeros((m, m))
        self.pushed = 0

    def push(self, g: Array) -> None:
        """Add `g` in the place of the oldest vector."""
        if self._rows is None or self._white is None:
            self._rows, self._white = np.zeros((self.m, g.size)), np.zeros((self.m, g.size))
        j = self.pushed % self.m
        self._rows[j], self._white[j] = g, self.metric.to_white(g)
        self.pushed += 1
        p = self._white @ self._white[j]
        self._P[j], self._P[:, j] = p, p

    def form(self, count: float | None = None) -> RankOneForm:
        """Return ``sum_i g_i g_i' / count`` of the vectors in the window; their number by default."""
        assert self._rows is not None
        held = min(self.pushed, self.m)
        N = held if count is None else count
        return RankOneForm(self._rows[:held] / np.sqrt(N), None, self._P[:held, :held] / N, self.metric)
