"""The design ``A = [X, 1]``: dense or CSR rows and an optional intercept column that is never stored.

Every product with the data and every weighted second moment ``A' diag(w) A`` goes through here, in blocks of rows that
stay in cache and in parts that threads share; no result depends on the number of threads where BLAS has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnsopt._typing import Array, IntArray, Matrix
from gnsopt.kernels import csr, dense
from gnsopt.linalg import parts

BLOCK = 2**16  # entries of a block of rows: it stays in cache between two products with it (measured)
STRIP = 2**19  # sums over sparse rows that are filled at a time: they stay in cache (measured)
CHUNK = 2**22  # sums of several classes over dense rows that are filled at a time
WEIGHTS = 2**20  # weights that are computed at a time
CACHED = 2**21  # entries of what stays in the last cache from one pass to the next, also where others use it
FILLED = 16  # terms of each sum over a part of sparse rows: fewer are not worth sums of their own
SHORT = 32  # columns below which BLAS is ahead of the kernels for products with several vectors (measured)
TOGETHER = 5  # sets of weights from which on one pass for all of them is faster over sparse rows (measured)

# Fixed prices in BLAS-3 flops (about 0.02 ns each; measured once, never at run time). Milliseconds measured on one
# thread, and price / measured in brackets:
#
#   data (rows x columns x outputs)     product        A' diag(w) A    class blocks   all pairs
#   breast cancer 569 x 30 x 1          0.007 (1.0)    0.031 (1.0)
#   ijcnn1 49 990 x 22 x 1              0.18 (1.0)     0.90 (1.3)
#   dense 50 000 x 100 x 1              1.4 (1.0)      9.7 (1.0)
#   dense 60 000 x 300 x 1              6.2 (0.8)      65 (1.1)
#   digits 1 797 x 64 x 10              0.14 (1.0)     0.18 (1.0)      0.96 (1.1)     4.4 (1.0)
#   letter 15 000 x 16 x 26             0.93 (1.3)                     2.1 (1.1)      20 (1.3)
#   usps 7 291 x 256 x 10               1.7 (1.1)      6.7 (1.0)       59 (1.0)       263 (1.0)
#   a9a, sparse 32 561 x 123 x 1        0.39 (1.3)     1.2 (1.0)
#   w8a, sparse 49 749 x 300 x 1        0.95 (0.7)     3.0 (0.8)
#   covtype, sparse 581 012 x 54 x 7    26 (1.1)                       79 (0.9)       156 (1.2)
#   mnist, sparse 60 000 x 780 x 10     27 (1.2)       231 (1.1)       2025 (1.0)
#   news20, sparse 15 935 x 62 061 x 20 14 to 20 (1.2 to 0.8)
DENSE_PASS = 13.0  # one entry of A v or A'r, dense: bound by memory
SPARSE_PASS = 20.0  # the same by CSR
OUTER_ENTRY = 18.0  # one entry of a sparse row's outer product
COLUMN_OUTER_ENTRY = 90.0  # one entry of a sparse column's: the sums seldom stay in cache

Weights = Callable[[slice], Array]  # some rows -> their weights, of shape (rows, m)
Use = Callable[[int, int, Array], None]  # first column, first weight, sums B[l - first, j, c] valid for l <= j
Piece = tuple[slice, slice]  # columns l, weights c


class Design:
    """Rows ``a_i`` of shape (n_samples, n_columns).

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
        Finite float64 rows, C-ordered or CSR with sorted indices.
    intercept : bool, default=False
        Append a column of ones (the last one), without storing it.

    Attributes
    ----------
    reduced : bool
        Whether the rows are those of wider data in a basis of their span.
    """

    def __init__(self, X: Matrix, intercept: bool = False) -> None:
        self.X = X
        self.intercept = intercept
        self.sparse = bool(issparse(X))
        self.n_samples, self.n_features = (int(s) for s in X.shape)
        self.n_columns = self.n_features + int(intercept)
        self.nnz = int(X.nnz) if self.sparse else self.n_samples * self.n_features
        self.reduced = False
        self._splits: dict[tuple[int, bool], list[slice]] = {}
        self._sample: tuple[IntArray, Design] | None = None
        self._XT: Any = X.T  # a view: CSR's transpose is CSC on the same arrays

    # ------------------------------------------------------------------------------------------------ products

    def matvec(self, v: Array) -> Array:
        """Return ``A v`` for `v` of shape (n_columns,) or (n_columns, k)."""
        if v.ndim == 1 and not self.sparse:
            return self._dense_products(v)
        if v.ndim == 1 or self._by_blas:
            out: Array = self.X @ v[: self.n_features]
            if self.intercept:
                out += v[-1]
            return out
        out = np.empty((self.n_samples, v.shape[1]))
        packed = self._packed(v)

        def task(part: slice) -> None:
            for block, rows in self._blocks(part, v.shape[1]):
                self._scores(rows, packed, out[block])

        list(parts.run(task, self._parts(v.shape[1], False)))
        return out

    def rmatvec(self, r: Array) -> Array:
        """Return ``A' r`` for `r` of shape (n_samples,) or (n_samples, k)."""
        if r.ndim == 1 and not self.sparse:
            return self._dense_sums(r)
        if r.ndim == 2 and not self._by_blas:
            return self._accumulated(r.shape[1], lambda block, rows: r[block])
        out: Array = self._XT @ r
        return np.concatenate([out, r.sum(axis=0)[None]]) if self.intercept else out

    def _dense_products(self, v: Array) -> Array:
        out, w = np.empty(self.n_samples), v[: self.n_features]
        list(parts.run(lambda part: dense.products(self.X[part], w, out[part]), self._parts(1, False)))
        if self.intercept:
            out += v[-1]
        return out

    def _dense_sums(self, r: Array) -> Array:
        def task(part: slice) -> Array:
            out = np.zeros(self.n_columns)
            dense.add_rows(self.X[part], r[part], out[: self.n_features])
            if self.intercept:
                out[-1] = r[part].sum()
            return out

        return parts.total(task, self._parts(1, True))

    def weighted_product(self, w: Array, v: Array) -> Array:
        """Return ``A' (w * (A v))`` for `w` of shape (n_samples,) and `v` of shape (n_columns,), reading A once."""

        def task(part: slice) -> Array:
            out = np.zeros(self.n_columns)
            if self.sparse:
                csr.weighted_product(*self._csr(part), w[part], v, self.intercept, out)
            else:
                dense.weighted_product(self.X[part], w[part], v, self.intercept, out)
            return out

        return parts.total(task, self._parts(1, True))

    def product(self, middle: Callable[[slice, Array], Array], V: Array) -> Array:
        """Return ``A' M(A V)`` for `V` of shape (n_columns, k), block by block of rows, reading A once.

        Parameters
        ----------
        middle : callable
            ``middle(rows, Z)`` returns ``M`` of the scores `Z` of some rows; it may overwrite them.
        V : ndarray of shape (n_columns, k)
            Vectors.

        Returns
        -------
        ndarray of shape (n_columns, k)
            The product.
        """
        packed = self._packed(V)

        def residual(block: slice, rows: Any) -> Array:
            Z = np.empty((block.stop - block.start, V.shape[1]))
            self._scores(rows, packed, Z)
            return middle(block, Z)

        return self._accumulated(V.shape[1], residual)

    @property
    def _by_blas(self) -> bool:
        return not self.sparse and self.n_features < SHORT

    def _cached(self, k: int) -> bool:
        return 16 * k * self.n_columns <= CACHED

    def _parts(self, k: int, sums: bool) -> list[slice]:
        """Return parts of the rows; with sums of their own, of the size of k vectors, only if they are well filled."""
        if (k, sums) not in self._splits:
            most = self.nnz / (FILLED * self.n_columns) if sums else np.inf
            self._splits[k, sums] = parts.split(self.n_samples, self.product_price(k), most)
        return self._splits[k, sums]

    def _csr(self, rows: slice) -> tuple[Any, Any, Any]:
        return self.X.indptr[rows.start : rows.stop + 1], self.X.indices, self.X.data

    def _blocks(self, part: slice, k: int) -> Iterator[tuple[slice, Any]]:
        """Yield blocks of rows: CSR arrays, or aligned copies of dense rows with ones and zeros behind them.

        One block of sparse rows where k vectors and k sums would drive each other out of the cache.
        """
        step = max(64, BLOCK * self.n_samples // max(self.nnz, 1) // 4 * 4)
        if self.sparse and not self._cached(k):
            step = self.n_samples
        d, copies = self.n_features, not self.sparse and not self._by_blas
        buffer = _zeros((min(step, part.stop - part.start), _up(self.n_columns, 8))) if copies else None
        for block in _steps(part, step):
            if buffer is not None:
                rows = buffer[: block.stop - block.start]
                rows[:, :d] = self.X[block]
                if self.intercept:
                    rows[:, d] = 1.0
                yield block, rows
            else:
                yield block, self._csr(block) if self.sparse else self.X[block]

    def _packed(self, V: Array) -> tuple[Array, Array]:
        """Return vectors as `_scores` wants them: padded, aligned, and what every score begins with."""
        k, d = V.shape[1], self.n_features
        start = np.zeros(_up(k, 4))
        if self.sparse:
            packed = _zeros((d, start.size))
            packed[:, :k] = V[:d]
        elif self._by_blas:
            packed = V[:d]
        else:
            packed = _zeros((_up(k, 3), _up(self.n_columns, 8)))
            packed[:k, : self.n_columns] = V.T
        if self.intercept:
            start[:k] = V[d]
        return packed, start

    def _scores(self, rows: Any, packed: tuple[Array, Array], Z: Array) -> None:
        """Write the scores of a block of rows."""
        V, start = packed
        if self.sparse:
            csr.scores(*rows, V, start, Z)
        elif self._by_blas:
            np.matmul(rows, V, out=Z)
            Z += start[: Z.shape[1]]
        else:
            dense.scores(rows, V, Z)

    def _accumulated(self, k: int, residual: Callable[[slice, Any], Array]) -> Array:
        """Return ``A' R`` for the residuals `R` of shape (rows, k) of each block of rows."""
        d, e = self.n_features, self.n_columns
        tall = self.sparse or self._by_blas  # else the sums are transposed

        def task(part: slice) -> Array:
            out = _zeros((e, _up(k, 4) if self.sparse else k) if tall else (k, _up(e, 8)))
            for block, rows in self._blocks(part, k):
                R = residual(block, rows)
                if not tall:
                    dense.accumulate(rows, R, out)
                    continue
                if self.sparse:
                    csr.accumulate(*rows, R, out)
                else:
                    out[:d] += rows.T @ R
                if self.intercept:
                    out[d, :k] += R.sum(axis=0)
            return out

        out = parts.total(task, self._parts(k, True))
        return np.ascontiguousarray(out[:, :k] if tall else out[:, :e].T)

    # ------------------------------------------------------------------------------------------ second moments

    def gram_lower(self, w: Array, dtype: Any = np.float64) -> Array:
        """Return ``A' diag(w) A``.

        Parameters
        ----------
        w : ndarray of shape (n_samples,)
            Weights of any sign.
        dtype : float64 or float32, default=float64
            Precision of products and of sums over a few hundred rows of dense data: float32 takes two thirds of the
            time or less and leaves six digits relative to the diagonal, whatever the scales of the columns. Sparse
            rows ignore it: nothing would be gained.

        Returns
        -------
        ndarray of shape (n_columns, n_columns)
            float64 in Fortran order, lower triangle valid.
        """
        fast = dtype == np.float32 and not self.sparse
        scale, top = np.ones(self.n_features), np.ones(())
        if fast:
            scale, top = self._column_scale, _power(np.abs(w).max(initial=0.0))
            w = w / top
        out = np.empty((self.n_columns, self.n_columns), order="F")

        def use(first: int, _: int, B: Array) -> None:
            out.T[first : first + len(B)] = B[:, :, 0]

        self._moments(lambda rows: w[rows, None], 1, use, scale, np.dtype(np.float32 if fast else float))
        if fast:
            back = np.append(1.0 / scale, 1.0)[: self.n_columns]
            out *= top * back
            out *= back[:, None]
        return out

    def grams_lower(self, weights: Weights, m: int) -> list[Array]:
        """Return ``A' diag(w_c) A`` for m sets of weights at once.

        Parameters
        ----------
        weights : callable
            ``weights(rows)`` returns the weights of a slice of the rows, of shape (rows, m).
        m : int
            Number of sets.

        Returns
        -------
        list of ndarray of shape (n_columns, n_columns)
            Fortran order, lower triangles valid.
        """
        out = [np.empty((self.n_columns, self.n_columns), order="F") for _ in range(m)]

        def use(first: int, start: int, B: Array) -> None:
            for c in range(B.shape[2]):
                out[start + c].T[first : first + len(B)] = B[:, :, c]

        self.moments(weights, m, use)
        return out

    def moments(self, weights: Weights, m: int, use: Use) -> None:
        """Hand the sums ``sum_i w_ic a_il a_ij`` of m sets of weights to `use`, piece by piece.

        Parameters
        ----------
        weights : callable
            ``weights(rows)`` returns the weights of a slice of the rows, of shape (rows, m).
        m : int
            Number of sets.
        use : callable
            ``use(first, start, B)`` with sums ``B[l - first, j, c - start]`` that are valid for l <= j.
        """
        self._moments(weights, m, use, np.ones(self.n_features), np.dtype(float))

    def _moments(self, weights: Weights, m: int, use: Use, scale: Array, dtype: np.dtype[Any]) -> None:
        pieces = self._pieces(m)
        size = self.n_columns**2
        most = self._outer_entries / (FILLED * size) if self.sparse else 2 * CHUNK / (m * size)
        rows = parts.split(self.n_samples, self.grams_price(m), most if len(pieces) == 1 else 1)

        def task(piece: Piece) -> Array:
            return parts.total(lambda part: self._sums(piece, part, weights, scale, dtype), rows)

        for (columns, classes), B in zip(pieces, parts.run(task, pieces), strict=True):
            use(columns.start, classes.start, B)

    def _pieces(self, m: int) -> list[Piece]:
        """Return what is summed at a time: all of one set of weights, strips of all sets, or some sets."""
        e = self.n_columns
        every = slice(0, e)
        if not self.sparse:
            return [(every, classes) for classes in _steps(slice(0, m), max(1, CHUNK // e**2))]
        if m < TOGETHER:
            return [(every, slice(c, c + 1)) for c in range(m)]
        return [(columns, slice(0, m)) for columns in _steps(every, max(1, STRIP // (e * _up(m, 8))))]

    def _sums(self, piece: Piece, part: slice, weights: Weights, scale: Array, dtype: np.dtype[Any]) -> Array:
        """Return the sums of one piece over some rows, of shape (columns, n_columns, classes)."""
        columns, classes = piece
        m, e = classes.stop - classes.start, self.n_columns
        blocks = list(_steps(part, _up(max(1, WEIGHTS // m), dense.SAMPLES)))
        sets = ((block, np.ascontiguousarray(weights(block)[:, classes])) for block in blocks)
        if self.sparse and m < TOGETHER:
            G = np.zeros((e, e))
            for block, W in sets:
                csr.weighted_gram(*self._csr(block), W[:, 0].copy(), self.intercept, G)
            return G[:, :, None]
        if self.sparse:
            B, u = _zeros((columns.stop - columns.start, e, _up(m, 8))), np.zeros(_up(m, 8))
            for block, W in sets:
                padded = np.zeros((len(W), u.size))
                padded[:, :m] = W
                csr.weighted_grams(*self._csr(block), padded, self.intercept, columns.start, u, B)
            return B[:, :, :m]
        # an odd number of cache lines between the rows of the work space keeps them out of each other's way
        f, width = _up(e, 4), _up(min(blocks[0].stop - blocks[0].start, dense.SAMPLES), 8) + 64 // dtype.itemsize
        if m > 1 and e <= 3 * m:
            T, Q, V = _zeros((f, width)), _zeros((f, width)), _zeros((_up(m, 3), width))
            B = np.zeros((f, f, len(V)))
            for block, W in sets:
                dense.pair_grams(self.X[block], W, scale, self.intercept, T, Q, V, B)
            return B[:e, :e, :m]
        T, U = _zeros((f + 2, width), dtype), _zeros((f, width), dtype)
        sums = np.zeros((m, f + 2, f))
        for block, W in sets:
            dense.weighted_grams(self.X[block], W, scale, self.intercept, T, U, sums)
        return sums[:, :e, :e].transpose(1, 2, 0)

    @cached_property
    def _column_scale(self) -> Array:
        """Powers of two that bring the largest entry of each column into [1/2, 1)."""
        largest = np.zeros(self.n_features)
        for block in _steps(slice(0, self.n_samples), max(1, BLOCK // self.n_features)):
            np.maximum(largest, np.abs(self.X[block]).max(axis=0), out=largest)
        return 1.0 / _power(largest)

    def weighted_squares(self, w: Array) -> Array:
        """Return ``sum_i w_ic a_ij^2`` of shape (n_columns, k) for `w` of shape (n_samples, k)."""
        out = np.zeros((self.n_columns, w.shape[1]))
        d = self.n_features
        if self.sparse:
            csr.weighted_squares(self.X.indptr, self.X.indices, self.X.data, np.ascontiguousarray(w), out[:d])
        elif w.shape[1] == 1:
            dense.add_squares(self.X, np.ascontiguousarray(w[:, 0]), out[:d, 0])
        else:
            for block in _steps(slice(0, self.n_samples), max(16, BLOCK // d)):
                Xb = self.X[block]
                out[:d] += (Xb * Xb).T @ w[block]
        if self.intercept:
            out[d] = w.sum(axis=0)
        return out

    # ---------------------------------------------------------------------------------------------------- rows

    @cached_property
    def row_gram(self) -> Array:
        """``X X'`` of shape (n_samples, n_samples), built once; the intercept is not in it."""
        K = _inner_products(self.X)
        for block in _steps(slice(0, self.n_samples), 256):
            K[: block.start, block] = K[block, : block.start].T
            L = np.tril(K[block, block])
            K[block, block] = L + np.tril(L, -1).T
        return K

    def sample(self, m: int) -> tuple[IntArray, Design]:
        """Return m rows, drawn once without replacement, as sorted indices and as a design.

        Parameters
        ----------
        m : int
            Their number.

        Returns
        -------
        tuple of ndarray and Design
            Both are kept until another number is asked for.
        """
        if self._sample is None or self._sample[0].size != m:
            index = np.sort(np.random.default_rng(0).choice(self.n_samples, m, replace=False))
            self._sample = index, Design(self.X[index], self.intercept)
        return self._sample

    def row_squares(self, scale: Array) -> Array:
        """Return ``sum_j scale_j a_ij^2`` of shape (n_samples,) for `scale` of shape (n_columns,)."""
        t = scale[: self.n_features]
        if self.sparse:
            squares = csr.row_squares(self.X.indptr, self.X.indices, self.X.data, np.ascontiguousarray(t))
        else:
            squares = np.einsum("ij,ij,j->i", self.X, self.X, t)
        return squares + scale[-1] if self.intercept else squares

    @cached_property
    def row_norms(self) -> Array:
        """Euclidean norms of the rows ``a_i``, the intercept included."""
        return np.asarray(np.sqrt(self.row_squares(np.ones(self.n_columns))))

    def row_kernel(self, index: IntArray, root: Array) -> Array:
        """Return the lower triangle of ``a_i' diag(root^2) a_j`` for i, j in `index` (Fortran order)."""
        Y = self.X[index]
        t = root[: self.n_features]
        if self.sparse:
            Y.data *= t[Y.indices]
        else:
            Y *= t
        K = _inner_products(Y)
        if self.intercept:
            K += root[-1] ** 2
        return K

    # -------------------------------------------------------------------------------------------------- prices

    @property
    def pass_price(self) -> float:
        """Counted work of ``A v`` or ``A' r`` for one vector, in BLAS-3 flops."""
        return (SPARSE_PASS if self.sparse else DENSE_PASS) * (self.nnz + self.n_samples)

    def product_price(self, k: int) -> float:
        """Counted work of ``A' M(A V)`` for k vectors, with k weights a row in between."""
        n, e = self.n_samples, self.n_columns
        if not self.sparse:
            entry = (8.0 if n * e <= CACHED else 14.0) if k == 1 else 18.0 + 2.8 * k
            return 2e5 + n * (e * entry + 100.0 * (k - 1))
        entry, row = (40.0, 200.0) if k == 1 else (60.0 + 12.0 * k, 100.0 * k)
        return 2e5 + (self.nnz * entry + n * row) * (1.0 if self._cached(k) else 2.0)

    @property
    def gram_price(self) -> float:
        """Counted work of ``A' diag(w) A``."""
        return self.grams_price(1)

    def grams_price(self, m: int) -> float:
        """Counted work of ``A' diag(w_c) A`` for m sets of weights at once."""
        n, e = float(self.n_samples), self.n_columns
        if not self.sparse:
            return 5e5 + n * e * (35.0 + m * (0.55 * e + 7.0))
        if m < TOGETHER:
            return 5e5 + OUTER_ENTRY * self._outer_entries * m
        return 5e5 + self._outer_entries * (10.0 + 8.0 * _up(m, 8)) + 40.0 * n * m

    @cached_property
    def _outer_entries(self) -> float:
        """Entries on and below the diagonal of the outer products of all sparse rows."""
        lengths = np.diff(self.X.indptr).astype(float) + int(self.intercept)
        return float(lengths @ (lengths + 1)) / 2

    @cached_property
    def row_gram_price(self) -> float:
        """Counted work of ``X X'``."""
        n, d = float(self.n_samples), self.n_features
        if not self.sparse:
            return n * d * (0.6 * n + 30.0)
        counts = np.bincount(self.X.indices, minlength=d).astype(float)
        return COLUMN_OUTER_ENTRY * float(counts @ (counts + 1)) / 2 + 60.0 * self.nnz


def _inner_products(Y: Matrix) -> Array:
    """Return the lower triangle of ``Y Y'`` (Fortran order), for sparse rows by the outer products of the columns."""
    m, sparse = Y.shape[0], issparse(Y)
    if sparse:
        columns, K = Y.tocsc(), np.zeros((m, m))
        csr.weighted_gram(columns.indptr, columns.indices, columns.data, np.ones(Y.shape[1]), False, K)
        return K.T
    width = _up(min(Y.shape[1], dense.SAMPLES), 8) + 8

    def task(part: slice) -> Array:
        f = _up(m, 4)
        T, G = _zeros((f + 2, width)), np.zeros((f + 2, f)).T
        for block in _steps(part, dense.SAMPLES):
            size = block.stop - block.start
            T[:m, :size] = Y[:, block]
            T[:m, size:] = 0.0
            dense.multiply(T[:f], T, _up(size, 8), True, G)
        return G[:m, :m]

    most = 2 * CHUNK / m**2
    return np.asfortranarray(parts.total(task, parts.split(Y.shape[1], 0.6 * m**2 * Y.shape[1], most)))


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _steps(whole: slice, step: int) -> list[slice]:
    return [slice(lo, min(lo + step, whole.stop)) for lo in range(whole.start, whole.stop, step)]


def _zeros(shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """Return zeros that begin at a multiple of 64 bytes, where vector instructions are fastest."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(math.prod(shape) + 64 // item, dtype)
    begin = -raw.ctypes.data % 64 // item
    return raw[begin : begin + math.prod(shape)].reshape(shape)


def _power(x: Array | float) -> Array:
    """Return the smallest power of two above `x` (one for zero)."""
    return np.ldexp(1.0, np.frexp(x)[1])
