"""Forms whose structure makes every shifted solve cheap: zero, diagonal, banded, low rank, banded plus rank one.

=================  =====================================================  ==========================================
form               one shifted solve                                      metrics
=================  =====================================================  ==========================================
`Zero`             one solve with the metric, kept while `b` is the same  any
`Diagonal`         O(n)                                                   diagonal
`Banded`           O(n w^2) for bandwidth w; O(n) when tridiagonal        diagonal
`BandedRankOne`    two of these, one where `b` is the vector itself       diagonal
`LowRank`          one solve with the metric and O(n k)                   any
=================  =====================================================  ==========================================

`Sum` is the plain sum of two forms; `plus` and `with_rank_one` keep a banded structure where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import eigvals_banded, lapack, solve_banded

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.design import DENSE_PASS, SPARSE_PASS
from gnsopt.linalg.forms import Form, RankOneUpdate, ShermanMorrison, Shifted, noise
from gnsopt.linalg.metric import Metric

EPS = float(np.finfo(float).eps)


class Zero(Form):
    """The zero matrix: regularised steps become normalised gradient steps, ``B^{-1} b / lam``.

    Parameters
    ----------
    n : int
        Order.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def matvec(self, v: Array) -> Array:
        """Return zeros."""
        return np.zeros_like(v)

    def diagonal(self) -> Array:
        """Return zeros."""
        return np.zeros(self.n)

    def structured(self, metric: Metric) -> Shifted:
        """Return solves with the metric."""
        return MetricShifted(metric)


class MetricShifted(Shifted):
    """``(lam B)^{-1} b``; ``B^{-1} b`` is kept for the next shift, since all trials of an iteration lie on its ray.

    Parameters
    ----------
    metric : Metric
        ``B``.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._b: Array | None = None
        self._y: Array | None = None

    def solve(self, lam: float, b: Array) -> Array:
        """Return ``B^{-1} b / lam``."""
        if not lam > 0:
            raise NotPositiveDefinite(f"zero Hessian and lam = {lam}")
        if self._y is None or not np.array_equal(b, self._b):  # type: ignore[arg-type]
            self._b, self._y = b.copy(), self._metric.solve(b)
        return np.asarray(self._y / lam)


class Diagonal(Form):
    """``diag(d)``.

    Parameters
    ----------
    d : ndarray of shape (n,)
        The diagonal.
    """

    def __init__(self, d: Array) -> None:
        self.d, self.n = d, d.shape[0]

    def matvec(self, v: Array) -> Array:
        """Return ``d v``."""
        return self.d * v

    def diagonal(self) -> Array:
        """Return ``d``."""
        return self.d

    def structured(self, metric: Metric) -> Shifted | None:
        """Return elementwise solves where the metric is diagonal too."""
        return None if metric.diagonal is None else DiagonalShifted(self.d, metric.diagonal)


class DiagonalShifted(Shifted):
    """``b / (d + lam diag(B))``.

    Parameters
    ----------
    d : ndarray of shape (n,)
        Diagonal of ``H``.
    metric : ndarray of shape (n,) or float
        Diagonal of ``B``.
    """

    def __init__(self, d: Array, metric: Array | float) -> None:
        self._d, self._metric = d, metric
        self.lam_noise = noise(d, metric)

    def solve(self, lam: float, b: Array) -> Array:
        """Divide elementwise."""
        total = self._d + lam * self._metric
        if not np.all(total > 0):
            raise NotPositiveDefinite("a diagonal entry is not positive")
        return np.asarray(b / total)


# ------------------------------------------------------------------------------------------------------ banded


class BandedMatrix:
    """A rectangular matrix by its diagonals, in the layout of SciPy's ``dia_array``: ``data[k, j] = J[j - o_k, j]``.

    Parameters
    ----------
    offsets : sequence of int
        The diagonals ``o_k``: 0 is the main one, negative ones lie below it.
    data : ndarray of shape (n_offsets, any)
        The diagonals, aligned by columns; what lies outside the matrix is not read.
    shape : tuple of int
        ``(m, n)``.
    """

    def __init__(self, offsets: Sequence[int], data: Array, shape: tuple[int, int]) -> None:
        m, n = shape
        self.shape = shape
        self.offsets = tuple(int(o) for o in offsets)
        self.data = np.zeros((len(self.offsets), n))
        for row, o, given in zip(self.data, self.offsets, data, strict=True):
            inside = slice(max(0, o), max(0, min(n, m + o, len(given))))
            row[inside] = given[inside]

    def rmatvec(self, u: Array) -> Array:
        """Return ``J' u``."""
        m, n = self.shape
        out = np.zeros(n)
        for o, row in zip(self.offsets, self.data, strict=True):
            lo, hi = max(0, o), min(n, m + o)
            if lo < hi:
                out[lo:hi] += row[lo:hi] * u[lo - o : hi - o]
        return out

    def gram(self) -> Array:
        """Return the diagonals of ``J'J`` from the main one down, as `Banded` takes them."""
        n = self.shape[1]
        width = min(n - 1, max(self.offsets, default=0) - min(self.offsets, default=0))
        bands = np.zeros((width + 1, n))
        for left, one in zip(self.offsets, self.data, strict=True):
            for right, other in zip(self.offsets, self.data, strict=True):
                d = left - right  # J[k, j + d] J[k, j] belongs to the entry (j + d, j)
                if 0 <= d <= width:
                    bands[d, : n - d] += one[d:] * other[: n - d]
        return bands


class Banded(Form):
    """A symmetric matrix with few diagonals around the main one.

    Parameters
    ----------
    bands : ndarray of shape (w + 1, n)
        ``bands[k, j] = H[j + k, j]``, the lower triangle as LAPACK stores it; the last k entries of row k are not read.
    """

    def __init__(self, bands: Array) -> None:
        self.bands, self.n = bands, bands.shape[1]
        self.product_price = SPARSE_PASS * (2.0 * bands.shape[0] - 1) * self.n
        self.dense_price = float(self.n) ** 2

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        out = self.bands[0] * v
        for k, band in enumerate(self.bands[1:], start=1):
            out[k:] += band[:-k] * v[:-k]
            out[:-k] += band[:-k] * v[k:]
        return np.asarray(out)

    def diagonal(self) -> Array:
        """Return the main diagonal."""
        return self.bands[0]

    def lower(self) -> Array:
        """Return the lower triangle as a dense array."""
        H = np.zeros((self.n, self.n), order="F")
        for k, band in enumerate(self.bands):
            j = np.arange(self.n - k)
            H[j + k, j] = band[: self.n - k]
        return H

    def structured(self, metric: Metric) -> Shifted | None:
        """Return banded solves where the metric is diagonal."""
        return None if metric.diagonal is None else BandedShifted(self.bands, metric.diagonal)


class BandedShifted(Shifted):
    """Banded Cholesky (tridiagonal: ``L D L'``) of ``H + lam B``, kept while `lam` is the same.

    Parameters
    ----------
    bands : ndarray of shape (w + 1, n)
        ``H`` as in `Banded`.
    metric : ndarray of shape (n,) or float
        Diagonal of ``B``.
    """

    def __init__(self, bands: Array, metric: Array | float) -> None:
        self._bands, self._metric = bands, metric
        self._lam: float | None = None
        self._factor: tuple[Array, ...] = ()
        self.lam_noise = noise(bands[0], metric)

    def shifted(self, lam: float) -> Array:
        """Return the diagonals of ``H + lam B``."""
        M = self._bands.copy()
        M[0] += lam * self._metric
        return M

    def solve(self, lam: float, b: Array) -> Array:
        """Solve by the factor of this `lam`."""
        if lam != self._lam:
            self._factorise(lam)
        if len(self._factor) == 2:
            x: Array = lapack.dpttrs(*self._factor, b)[0]
        else:
            x = lapack.dpbtrs(*self._factor, b, lower=1)[0]
        return x

    def _factorise(self, lam: float) -> None:
        M, self._lam = self.shifted(lam), None
        if M.shape[0] == 2:
            d, e, info = lapack.dpttrf(M[0], M[1, :-1], overwrite_d=1)
            self._factor = (d, e)
        else:
            L, info = lapack.dpbtrf(np.asfortranarray(M), lower=1, overwrite_ab=1)
            self._factor = (L,)
        if info != 0:
            raise NotPositiveDefinite(f"banded factorisation failed at row {info}")
        self._lam = lam


class BandedRankOne(RankOneUpdate):
    """``H + c u u'`` with a banded `H`, which may be indefinite where the sum is not.

    Parameters
    ----------
    base : Banded
        ``H``.
    c : float
        Any sign.
    u : ndarray of shape (n,)
        The vector.
    """

    base: Banded

    def __init__(self, base: Banded, c: float, u: Array) -> None:
        super().__init__(base, c, u)

    def structured(self, metric: Metric) -> Shifted | None:
        """Return banded solves with the Sherman-Morrison formula on top, where the metric is diagonal."""
        if metric.diagonal is None:
            return None
        return BandedRankOneShifted(self, BandedShifted(self.base.bands, metric.diagonal))


class BandedRankOneShifted(ShermanMorrison):
    r"""``(M + c u u')^{-1} b``, ``M = H + lam B`` banded: positive definite, or with one eigenvalue that c u u' lifts.

    By interlacing, ``M + c u u'`` with c > 0 is positive definite exactly when M is, or when M has one negative
    eigenvalue and ``det(M + c u u') = det(M) (1 + c u'M^{-1}u) > 0``. Then M is solved by LU with pivoting.

    Parameters
    ----------
    form : BandedRankOne
        The sum.
    base : BandedShifted
        Solves with M.
    """

    def __init__(self, form: BandedRankOne, base: BandedShifted) -> None:
        super().__init__(base, form.c, form.u)
        self._form, self._banded = form, base

    def solve(self, lam: float, b: Array) -> Array:
        """Solve by the Cholesky factor of M, or by its LU factors where only the sum is positive definite."""
        try:
            return super().solve(lam, b)
        except NotPositiveDefinite:
            if not self._c > 0:
                raise
        return self._lifted(lam, b)

    def _lifted(self, lam: float, b: Array) -> Array:
        c, u, M = self._c, self._u, self._banded.shifted(lam)
        if not np.all(M[0] + c * u**2 > 0):  # needs no factors and settles most cases
            raise NotPositiveDefinite("a diagonal entry is not positive")
        v = _solve_indefinite(M, u)
        pivot = 1.0 + c * float(u @ v)
        if not (pivot < 0 and _second_eigenvalue(M) > 0):
            raise NotPositiveDefinite("banded plus rank one")

        def apply(r: Array) -> Array:
            y = _solve_indefinite(M, r)
            return np.asarray(y - (c * float(u @ y) / pivot) * v)

        x = apply(b)
        product = Banded(M).matvec(x) + (c * float(u @ x)) * u
        return x + apply(b - product)  # one refinement: M may be worse conditioned than the sum


def _solve_indefinite(M: Array, b: Array) -> Array:
    """Solve with the symmetric banded matrix of lower diagonals `M` by LU with partial pivoting."""
    w, n = M.shape[0] - 1, M.shape[1]
    if n == 1:  # which solve_banded of SciPy 1.12 cannot
        if M[0, 0] == 0:
            raise NotPositiveDefinite("singular banded matrix")
        return b / M[0, 0]
    full = np.zeros((2 * w + 1, n))
    for k, band in enumerate(M):
        full[w + k, : n - k] = band[: n - k]
        full[w - k, k:] = band[: n - k]
    try:
        return np.asarray(solve_banded((w, w), full, b, check_finite=False))
    except np.linalg.LinAlgError:
        raise NotPositiveDefinite("singular banded matrix") from None


def _second_eigenvalue(M: Array) -> float:
    """Second smallest eigenvalue of the matrix of lower diagonals `M`; inf for order 1."""
    if M.shape[1] == 1:
        return np.inf
    return float(eigvals_banded(M, lower=True, select="i", select_range=(1, 1), check_finite=False)[0])


# ---------------------------------------------------------------------------------------------------- low rank


class LowRank(Form):
    """``U diag(s) U'``: spectral, sketched and secant approximations.

    Parameters
    ----------
    U : ndarray of shape (n, k)
        Any columns, k <= n; they need not be orthogonal.
    s : ndarray of shape (k,)
        Weights of any sign.
    """

    def __init__(self, U: Array, s: Array) -> None:
        self.U, self.s = U, s
        self.n, k = U.shape
        if k > self.n or s.shape != (k,):
            raise ValueError(f"U has shape {U.shape} and s {s.shape}; they must be (n, k) and (k,) with k <= n")
        self.product_price = 2 * DENSE_PASS * self.n * k
        self.dense_price = float(k) * self.n**2

    def matvec(self, v: Array) -> Array:
        """Return ``U (s (U'v))``."""
        return np.asarray(self.U @ (self.s * (self.U.T @ v)))

    def diagonal(self) -> Array:
        """Return ``sum_k s_k U_jk^2``."""
        return np.asarray(self.U**2 @ self.s)

    def lower(self) -> Array:
        """Return the dense matrix."""
        return np.asfortranarray((self.U * self.s) @ self.U.T)

    def structured(self, metric: Metric) -> Shifted:
        """Return solves in the eigenbasis of the whitened matrix."""
        return LowRankShifted(self.U, self.s, metric)


class LowRankShifted(Shifted):
    r"""``(U S U' + lam B)^{-1} b`` for any ``B = L L'``: O(n k^2) once, then a metric solve and O(n k) for any `lam`.

    With ``L^{-1} U = Q R`` and ``R S R' = V Theta V'``, the columns of ``E = L^{-T} Q V`` are B-orthonormal and

        x = E (Theta + lam)^{-1} E'b + B^{-1} b_0 / lam,      b_0 = b - B E E'b.

    This is Woodbury's formula without its cancellation: that one subtracts two terms of size ``|b|/lam``. The
    projection ``b_0`` is done twice, so that what is left of it in the span of ``B E`` is of second order in rounding.

    Parameters
    ----------
    U : ndarray of shape (n, k)
        Columns.
    s : ndarray of shape (k,)
        Weights.
    metric : Metric
        ``B``.
    """

    def __init__(self, U: Array, s: Array, metric: Metric) -> None:
        Q, R = np.linalg.qr(_columns(metric.to_white, U))
        self._theta, V = np.linalg.eigh((R * s) @ R.T)
        self._E = _columns(metric.from_white, Q @ V)
        self._BE = _columns(metric.apply, self._E)
        self._metric = metric
        self.lam_noise = 10 * EPS * float(np.abs(self._theta).sum()) / U.shape[0]

    def solve(self, lam: float, b: Array) -> Array:
        """Solve inside and outside of the span; refuse an indefinite sum."""
        total = self._theta + lam
        if not (np.all(total > 0) and (lam > 0 or self._theta.size == b.size)):
            raise NotPositiveDefinite(f"low rank and lam = {lam}")
        inside = self._E.T @ b
        x: Array = self._E @ (inside / total)
        if self._theta.size < b.size:
            outside = b - self._BE @ inside
            outside -= self._BE @ (self._E.T @ outside)
            x += self._metric.solve(outside) / lam
        return x


def _columns(function: Callable[[Array], Array], U: Array) -> Array:
    """Apply `function` to each column."""
    return np.stack([function(np.ascontiguousarray(u)) for u in U.T], axis=1) if U.shape[1] else U


# -------------------------------------------------------------------------------------------------------- sums


class Sum(Form):
    """``H + w K``.

    Parameters
    ----------
    H : Form
        The first matrix.
    w : float
        Weight of the second, of any sign.
    K : Form
        The second matrix.
    """

    def __init__(self, H: Form, w: float, K: Form) -> None:
        self.H, self.w, self.K, self.n = H, w, K, H.n
        self.product_price = H.product_price + K.product_price
        self.dense_price = H.dense_price + K.dense_price

    def matvec(self, v: Array) -> Array:
        """Return ``H v + w (K v)``."""
        return self.H.matvec(v) + self.w * self.K.matvec(v)

    def diagonal(self) -> Array | None:
        """Return the sum of the diagonals, where both are known."""
        one, other = self.H.diagonal(), self.K.diagonal()
        return None if one is None or other is None else one + self.w * other

    def lower(self) -> Array:
        """Return the sum of the lower triangles."""
        return np.asfortranarray(self.H.lower() + self.w * self.K.lower())


def plus(H: Form, w: float, K: Form) -> Form:
    """Return ``H + w K``: `H` itself when `K` is zero, banded where both are, a `Sum` elsewhere.

    Parameters
    ----------
    H : Form
        The first matrix.
    w : float
        Weight of the second.
    K : Form
        The second matrix, of the same order.

    Returns
    -------
    Form
        The sum.
    """
    if isinstance(K, Zero):
        return H
    if not (isinstance(H, Banded) and isinstance(K, Banded | Diagonal)):
        return Sum(H, w, K)
    other = K.bands if isinstance(K, Banded) else K.d[None]
    bands = np.zeros((max(H.bands.shape[0], other.shape[0]), H.n))
    bands[: H.bands.shape[0]] += H.bands
    bands[: other.shape[0]] += w * other
    return Banded(bands)


def with_rank_one(H: Form, c: float, u: Array) -> Form:
    """Return ``H + c u u'``, by the form that solves it best.

    Parameters
    ----------
    H : Form
        The matrix.
    c : float
        Any sign; nothing is added when it is zero.
    u : ndarray of shape (n,)
        The vector; where it is the gradient itself, each shifted solve saves half of its work.

    Returns
    -------
    Form
        The sum.
    """
    if c == 0.0:
        return H
    return BandedRankOne(H, c, u) if isinstance(H, Banded) else RankOneUpdate(H, c, u)
