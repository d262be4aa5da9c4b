"""The Hessian of a row-block problem: known by its sums over the blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.blocks import work
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.rows import Rows
from gnsopt.problems import LinearModel

LOAD = 50.0  # counted work of reading one byte: 1 GB/s, what a disk does (chosen)


class Outline(Design):
    """The size of a design, from which all prices follow; its rows are elsewhere.

    Parameters
    ----------
    n_samples, n_features : int
        Of the whole.
    intercept : bool
        Whether there is a column of ones.
    sparse : bool
        Whether the rows are sparse.
    nnz : int
        Entries.
    outer : float
        Entries on and below the diagonal of the outer products of sparse rows, without the intercept.
    load : float
        Counted work of loading the rows once.
    """

    def __init__(
        self, n_samples: int, n_features: int, intercept: bool, sparse: bool, nnz: int, outer: float, load: float
    ) -> None:
        self.n_samples, self.n_features, self.intercept, self.sparse = n_samples, n_features, intercept, sparse
        self.n_columns = n_features + int(intercept)
        self.nnz = nnz if sparse else n_samples * n_features
        # a one more in a row of l entries: l + 1 more entries of its outer product
        self.__dict__["_outer_entries"] = outer + (nnz + n_samples if intercept else 0.0)
        self.load = load

    def product_price(self, k: int) -> float:
        """Counted work of one product, the loading of the rows included."""
        return super().product_price(k) + self.load

    def grams_price(self, m: int) -> float:
        """Counted work of the weighted Gram matrices, the loading of the rows included."""
        return super().grams_price(m) + self.load


class Sampled(Gram):
    """The estimate of a matrix by some rows, which are here; their blocks are computed once they are asked for.

    Parameters
    ----------
    model : LinearModel
        The model over these rows, with their weights in the whole.
    x : ndarray of shape (n,)
        Where.
    kind : str
        ``"hess"`` or ``"fisher"``.
    rows : Rows
        Blocks ``D_i`` of the kind, of any samples.
    scale : float
        What the weights are multiplied by.
    ridge : ndarray of shape (n,)
        Penalty.
    """

    def __init__(self, model: LinearModel, x: Array, kind: str, rows: Rows, scale: float, ridge: Array) -> None:
        self._model, self._x, self._kind, self._scale = model, x, kind, scale
        self._rows: Rows | None = None
        super().__init__(model.design, rows, ridge)

    @property
    def rows(self) -> Rows:
        """Blocks ``D_i`` of the sample."""
        if self._rows is None:
            form: Gram = getattr(self._model, self._kind)(self._x, self._model.prepare(self._x))
            self._rows = form.rows.take(slice(None), self._scale)
        return self._rows

    @rows.setter
    def rows(self, rows: Rows) -> None:
        self._rows = None


class BlockGram(Form):
    """``H = A' blockdiag(D_i) A + diag(ridge)`` over blocks of rows: one pass over them for whatever is asked.

    Parameters
    ----------
    problem : RowBlocks
        The problem.
    x : ndarray of shape (n,)
        Where.
    kind : str
        ``"hess"``, ``"fisher"`` or ``"bound"``.
    rows : Rows
        Blocks ``D_i`` of the kind, of any samples.
    lower : ndarray, optional
        The sum of the lower triangles, packed, where it is known.
    """

    def __init__(self, problem: Any, x: Array, kind: str, rows: Rows, lower: Array | None = None) -> None:
        self._problem, self._x, self._kind, self._lower = problem, x, kind, lower
        self.rows, self.ridge, self.k, self.n = rows, problem.ridge, problem.k, problem.n
        self.design: Outline = problem.outline
        outline = self.design
        self.product_price = outline.product_price(self.k)
        self.dense_price = outline.grams_price(len(rows.pairs))
        self.class_blocks_price = outline.grams_price(self.k)

    def sampled(self, m: int) -> Sampled:
        """Return the estimate of the matrix by m of its rows, which come here once."""
        model = self._problem.sample(m)
        return Sampled(model, self._x, self._kind, self.rows, self.design.n_samples / m, self.ridge)

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        out: Array = self._problem.total(work.Local.product, self._x, self._kind, v)[0]
        out += self.ridge * v
        return out

    def diagonal(self) -> Array:
        """Return the diagonal."""
        out: Array = self._problem.total(work.Local.diagonal, self._x, self._kind)[0]
        return out + self.ridge

    def class_blocks(self) -> list[Array]:
        """Return the lower triangles of the diagonal blocks of the outputs, without the ridge."""
        sums = self._problem.total(work.Local.class_blocks, self._x, self._kind)
        return [work.unpacked(p, self.n // self.k) for p in sums]

    def lower(self) -> Array:
        """Return the matrix; where the rows must be loaded it may have come with value and gradient."""
        if self._lower is None:
            self._problem.remember(self._kind, self.dense_price)
            self._lower = self._problem.total(work.Local.lower, self._x, self._kind)[0]
        H = work.unpacked(self._lower, self.n)
        H.flat[:: self.n + 1] += self.ridge
        return np.asarray(H)
