"""What is done where a block is: the ordinary problem over its rows, and the sums that it gives.

The problem over one block has the weights of the whole divided by their total, and no penalty: value, gradient and
matrices of the whole are the sums over the blocks, and the penalty is added once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array, issparse, vstack

from gnsopt._typing import Array, IntArray
from gnsopt.blocks.sources import Part, aligned
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Gram
from gnsopt.problems import LinearModel, Logistic, PoissonRegression, Softmax, SquaredLoss
from gnsopt.problems.linear import Scores
from gnsopt.problems.validation import unit_scale

CLASSIFIERS = (Logistic, Softmax)


@dataclass(frozen=True)
class Plan:
    """What turns the rows of a block into a problem.

    Parameters
    ----------
    template : LinearModel
        The model over rows that do not matter.
    classes : ndarray or None
        Sorted labels of all blocks.
    factor : ndarray of shape (n_classes,) or None
        What the weights of each class are multiplied by.
    total : float
        What all weights are divided by, after the power of two.
    exponent : int
        Power of two that they are divided by first.
    n_features : int
        Columns; sparse rows may have fewer.
    dense : bool
        Whether sparse rows are unpacked.
    seen : dict
        By the number of each block with rows: shape, labels, and the weights of these with their power of two, when it
        was looked at.
    """

    template: LinearModel
    classes: Any
    factor: Any
    total: float
    exponent: int
    n_features: int
    dense: bool
    seen: dict[int, tuple[tuple[int, int], Any, Array, int]]

    def problem(self, part: Part) -> LinearModel:
        """Return the model over rows that have been checked before."""
        model: Any = copy.copy(self.template)
        X: Any = aligned(part.X) if issparse(part.X) else np.asarray(part.X)
        n = X.shape[0]
        if not isinstance(X, np.ndarray):
            X = csr_array(X, dtype=np.float64)
            if not X.has_canonical_format:
                X = X.copy()
                X.sum_duplicates()
            X = csr_array((X.data, X.indices, X.indptr), shape=(n, self.n_features))
            X = np.ascontiguousarray(X.toarray()) if self.dense else X
        else:
            X = np.require(X, np.float64, ["C", "A"])
        model.design = Design(X, self.template.design.intercept)
        w = np.ldexp(_weights(part), -self.exponent) if self.exponent else _weights(part)
        y = np.asarray(part.y).reshape(-1)
        if self.classes is None:
            model.y = np.require(y, np.float64, "A")
        else:
            codes = np.searchsorted(self.classes, y)
            w = w if self.factor is None else w * self.factor[codes]
            if isinstance(model, Logistic):
                model.sign = np.where(codes == 1, 1.0, -1.0)
            else:
                model.label = codes
        model.weight = w / self.total
        model.ridge = np.zeros(model.n)
        return model


def template(family: type[LinearModel], n_classes: int, n_features: int, fit_intercept: bool) -> LinearModel:
    """Return a model over rows of zeros, one for each class.

    Parameters
    ----------
    family : type
        `gnsopt.Logistic`, `gnsopt.Softmax`, `gnsopt.SquaredLoss` or `gnsopt.PoissonRegression`.
    n_classes : int
        Number of classes, 1 for a regression.
    n_features : int
        Number of features.
    fit_intercept : bool
        Whether there is an intercept.

    Returns
    -------
    LinearModel
        The model.
    """
    model: Any = family
    out: LinearModel = model(csr_array((n_classes, n_features)), np.arange(n_classes), fit_intercept=fit_intercept)
    return out


def local(part: Part, plan: Plan) -> Local | None:
    """Return the problem over one block; None without rows.

    Parameters
    ----------
    part : Part
        The rows.
    plan : Plan
        How to make the problem.

    Returns
    -------
    Local or None
        The problem.

    Raises
    ------
    OSError
        If the rows are not those that were checked.
    """
    seen = plan.seen.get(part.number)
    if not _as_seen(part, seen):
        raise OSError(f"{part.name} has changed since it was looked at: make the problem anew")
    return None if seen is None else Local(part, plan)


def _as_seen(part: Part, seen: Any) -> bool:
    """Whether shape, labels and weights of the labels are as they were: what an evaluation would not notice."""
    rows, *columns = np.shape(part.X)
    if seen is None:
        return bool(rows == 0)
    shape, labels, mass, exponent = seen
    try:
        y, (w, power) = np.asarray(part.y).reshape(-1), unit_scale(_weights(part))
        if not (shape == (rows, max(1, *columns)) and y.shape == w.shape == (rows,) and power == exponent):
            return False
        if labels is None:
            return bool(w.sum() == mass[0] and np.isfinite(y).all())
        codes = np.searchsorted(labels, y).clip(max=len(labels) - 1)
        return bool(np.all(labels[codes] == y) and (np.bincount(codes, w, len(labels)) == mass).all())
    except (TypeError, ValueError):
        return False


def _weights(part: Part) -> Array:
    if part.weight is None:
        return np.ones(np.shape(part.X)[0])
    return np.array(part.weight, dtype=float).reshape(-1)


class Local:
    """The problem over one block, with the scores at the x that was asked for last.

    Parameters
    ----------
    part : Part
        The rows.
    plan : Plan
        How to make the problem.
    """

    def __init__(self, part: Part, plan: Plan) -> None:
        self.problem: Any = plan.problem(part)
        self.number = part.number
        self._last: tuple[Array, Scores] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to another worker."""
        return {"problem": self.problem, "number": self.number}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it; the arrays of a message may have to be copied."""
        problem = state["problem"]
        X = problem.design.X
        self.problem = _over(problem, aligned(X), [problem], [slice(None)])
        self.number, self._last = state["number"], None

    def __sizeof__(self) -> int:
        """Return the bytes of the rows and of one x, by which Dask decides what to leave where it is."""
        X = self.problem.design.X
        size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
        return int(size + 5 * self.problem.k * self.problem.weight.nbytes + 8 * self.problem.n)

    def scores(self, x: Array) -> Scores:
        """Return the shared work at `x`: of the latest x it is kept."""
        last = self._last
        if last is not None and np.array_equal(last[0], x):
            return last[1]
        z = self.problem.prepare(x)
        self._last = (x.copy(), z)
        return z

    def form(self, x: Array, kind: str) -> Gram:
        """Return the matrix called `kind`: ``"hess"``, ``"fisher"`` or ``"bound"``."""
        if kind == "bound":
            return self.problem.bound()
        form: Gram = getattr(self.problem, kind)(x, self.scores(x))
        return form

    # what a block adds to the sums: floats and arrays in a tuple

    def evaluate(self, x: Array, kinds: tuple[str, ...]) -> tuple[Any, ...]:
        """Return the loss, its gradient, and the lower triangles of the matrices in `kinds`, packed."""
        z = self.scores(x)
        g = self.problem.grad(x, z)
        return (float(self.problem.fun(x, z)), g, *(packed(self.form(x, kind).lower()) for kind in kinds))

    def lower(self, x: Array, kind: str) -> tuple[Array]:
        """Return the lower triangle of a matrix, packed."""
        return (packed(self.form(x, kind).lower()),)

    def class_blocks(self, x: Array, kind: str) -> tuple[Array, ...]:
        """Return the lower triangles of the diagonal blocks, packed."""
        return tuple(packed(G) for G in self.form(x, kind).class_blocks())

    def product(self, x: Array, kind: str, v: Array) -> tuple[Array]:
        """Return the product of a matrix with `v`."""
        return (self.form(x, kind).matvec(v),)

    def diagonal(self, x: Array, kind: str) -> tuple[Array]:
        """Return the diagonal of a matrix."""
        return (self.form(x, kind).diagonal(),)

    def difference(self, x: Array, h: Array) -> tuple[float]:
        """Return the loss at `x` minus the loss at ``x + h``."""
        return (float(self.problem.difference(x, self.scores(x), h)),)

    def moments(self) -> tuple[Array]:
        """Return ``sum_i w_i a_ij^2``."""
        return (self.problem.design.weighted_squares(self.problem.weight[:, None])[:, 0],)

    def take(self, wanted: dict[int, IntArray]) -> LinearModel | None:
        """Return the problem over some rows, given for each number of a block; None where no rows are wanted."""
        index = wanted.get(self.number)
        return None if index is None else _over(self.problem, self.problem.design.X[index], [self.problem], [index])

    def correct(self, x: Array) -> tuple[int]:
        """Return how many rows have their own class as the most probable one."""
        problem, Z = self.problem, self.scores(x).Z
        hits = (Z > 0) == (problem.sign > 0) if problem.k == 1 else Z.argmax(axis=1) == problem.label
        return (int(np.count_nonzero(hits)),)


def _over(model: Any, X: Any, parts: Sequence[Any], indices: Sequence[Any]) -> LinearModel:
    """Return a twin of `model` over the rows `X`, with the targets and weights of some rows of `parts`."""
    twin = copy.copy(model)
    twin.design = Design(X, model.design.intercept)
    for name in ("weight", "sign", "label", "y"):
        if hasattr(parts[0], name):
            values = [getattr(part, name)[index] for part, index in zip(parts, indices, strict=True)]
            setattr(twin, name, np.concatenate(values))
    out: LinearModel = twin
    return out


def joined(parts: Sequence[LinearModel]) -> LinearModel:
    """Return the problem over the rows of all `parts`, in their order.

    Parameters
    ----------
    parts : sequence of LinearModel
        Twins.

    Returns
    -------
    LinearModel
        Another twin.
    """
    designs = [part.design for part in parts]
    sparse = [design.X if design.sparse else csr_array(design.X) for design in designs]
    X = vstack(sparse, format="csr") if any(d.sparse for d in designs) else np.concatenate([d.X for d in designs])
    return _over(parts[0], X, parts, [slice(None)] * len(parts))


def packed(L: Array) -> Array:
    """Return a lower triangle as a vector.

    Parameters
    ----------
    L : ndarray of shape (n, n)
        Fortran order; what is above the diagonal does not matter.

    Returns
    -------
    ndarray of shape (n (n + 1) / 2,)
        Column by column.
    """
    out: Array = lapack.dtrttp(L, uplo="L")[0]
    return out


def unpacked(p: Array, n: int) -> Array:
    """Return the triangle that `packed` made a vector of.

    Parameters
    ----------
    p : ndarray of shape (n (n + 1) / 2,)
        The vector.
    n : int
        Order.

    Returns
    -------
    ndarray of shape (n, n)
        Fortran order, zero above the diagonal.
    """
    out: Array = lapack.dtpttr(n, p, uplo="L")[0]
    return out


FAMILIES: dict[str, type[LinearModel]] = {
    "logistic": Logistic,
    "softmax": Softmax,
    "squared": SquaredLoss,
    "poisson": PoissonRegression,
}
