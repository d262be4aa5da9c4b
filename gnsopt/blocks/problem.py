"""Linear models over blocks of rows that are held elsewhere: on disk, or by the workers of a cluster."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_array, shown
from gnsopt.blocks import work
from gnsopt.blocks.form import LOAD, BlockGram, Outline
from gnsopt.blocks.recession import falls_for_ever
from gnsopt.blocks.sources import Block
from gnsopt.blocks.survey import Survey
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.objective import Objective
from gnsopt.problems import LinearModel, PoissonRegression, Softmax, SquaredLoss
from gnsopt.problems.validation import check_l2, check_variables, unit_scale, unscaled
from gnsopt.solver import suggest


@dataclass(frozen=True)
class Totals:
    """The sums over all blocks at one x.

    Parameters
    ----------
    loss : float
        Weighted mean loss, without the penalty.
    g : ndarray of shape (n,)
        Its gradient.
    lowers : dict
        Lower triangles of matrices that came in the same pass, packed, by kind.
    """

    loss: float
    g: Array
    lowers: dict[str, Array]


class RowBlocks(Objective):
    r"""A linear model over blocks of rows: larger than memory, or than one machine.

    ``f(x) = sum_b f_b(x) + l2/2 |w|^2``, where ``f_b`` is the part of the weighted mean loss that the rows of block b
    bring. The same function as `Logistic`, `Softmax`, `SquaredLoss` or `PoissonRegression` of all rows. Value and
    gradient come from one pass over the blocks, and so does each product with the Hessian, or the Hessian itself.

    Parameters
    ----------
    model : {"logistic", "softmax", "squared", "poisson"} or type
        The model, by name or as a class.
    blocks : list of Block or Survey
        From `gnsopt.blocks.split` or `gnsopt.blocks.shards`.
    l2 : float or array_like of shape (n_features,), default=0.0
        Penalty on the weights, not on the intercept.
    fit_intercept : bool, default=False
        Append an unpenalised intercept (one for each class), the last variables.
    client : distributed.Client, optional
        A Dask cluster: its workers load the blocks, keep them, and work on them. Files must be where the workers find
        them by the same path.
    threads : int, optional
        Blocks at a time, without a client. By default as many as Numba's threads, and at least two for rows on disk;
        so many blocks are in memory at the most.
    class_weight : array_like of shape (n_classes,), optional
        What the weights of the samples of each class are multiplied by.

    Attributes
    ----------
    classes : ndarray
        The labels of all blocks, sorted; None for a regression.
    n_samples, n_features : int
        Of the whole.
    k : int
        Number of outputs.
    mass : ndarray
        Total weight of each class, or of all rows, up to a factor.
    total_weight : float
        Sum of all weights, inf where it is above float64.

    Raises
    ------
    ValueError
        If a block cannot be used, with its name: all are read and checked once.

    Notes
    -----
    Every solver works, and every curvature that needs no access to single rows (``"subsampled"``, ``"sketch"``,
    ``"kfac"``, ``"mkor"`` and ``"tract"`` do, and are refused). The choice between them is that of the model in memory;
    where each pass loads the rows again, loading has its price, so that the Hessian is assembled rather than multiplied
    with, and comes in one pass with value and gradient once a run has asked for one.

    Sums are added in a fixed tree: no bit depends on the number of threads or workers, or on who is ready first. With a
    client an evaluation is one round trip, and a worker that is lost has its blocks loaded by another one.

    Examples
    --------
    >>> import numpy as np
    >>> import gnsopt
    >>> X = np.random.default_rng(0).standard_normal((1000, 5))
    >>> problem = gnsopt.RowBlocks("logistic", gnsopt.blocks.split(X, X[:, 0] > 0.3, rows=100), l2=1e-3)
    >>> gnsopt.minimize(problem).success
    True
    """

    convex = True

    def __init__(
        self,
        model: str | type[LinearModel],
        blocks: Sequence[Block] | Survey,
        l2: Any = 0.0,
        fit_intercept: bool = False,
        *,
        client: Any = None,
        threads: int | None = None,
        class_weight: Any = None,
    ) -> None:
        family = _family(model)
        if not isinstance(fit_intercept, bool | np.bool_):
            raise ValueError(f"fit_intercept={fit_intercept!r} must be True or False")
        classify = issubclass(family, work.CLASSIFIERS)
        if isinstance(blocks, Survey):
            if client is not None or threads is not None:
                raise ValueError("client, threads: the survey has them already; leave them out")
            if blocks.classify != classify:
                raise ValueError(f"model={model!r}: the survey was made with classify={blocks.classify}")
            data = blocks
        else:
            data = Survey(blocks, classify, client, threads)
        _check_targets(family, data)
        self.classes, self.mass, self._factor, exponent = data.classes, data.mass, None, data.exponent
        if class_weight is not None:
            self._factor, more = _check_factor(class_weight, data)
            self.mass, exponent = self.mass * self._factor, exponent + more
        self.n_samples, self.n_features = data.n_samples, data.n_features
        labels = 1 if data.classes is None else len(data.classes)
        self.template = work.template(family, labels, data.n_features, bool(fit_intercept))
        self.k, self.n = self.template.k, self.template.n
        total = float(self.mass.sum())
        self.total_weight = unscaled(total, exponent)
        seen = {f.number: (f.shape, f.labels, f.mass, f.exponent) for f in data.facts}
        sums = (self._factor, total, data.exponent)
        plan = work.Plan(self.template, data.classes, *sums, data.n_features, data.dense, seen)
        self.engine: Any = data.engine
        self._handles = data.engine.then(work.local, data.handles, data.held, plan)
        stored = 12.0 * data.nnz if any(f.sparse for f in data.facts) else 8.0 * data.nnz  # bytes
        load = 0.0 if data.held else LOAD * stored
        size = (data.n_samples, data.n_features, bool(fit_intercept), data.sparse, data.nnz, data.outer, load)
        self.outline = Outline(*size)
        self._moments = None if self._factor is not None else data.moments / total
        self.target_mean = data.mean / total
        self.ridge = np.zeros(self.n)
        self.set_l2(l2)
        self._kinds: tuple[str, ...] = ()
        self._last: tuple[Array, Totals] | None = None
        self._sample: dict[int, LinearModel] = {}
        sizes = [f.shape[0] for f in data.facts]
        firsts = np.cumsum([0, *sizes[:-1]]).tolist()
        self._places = [(f.number, lo, size) for f, lo, size in zip(data.facts, firsts, sizes, strict=True)]

    def set_l2(self, l2: Any) -> None:
        """Change the penalty; the blocks stay as they are.

        Parameters
        ----------
        l2 : float or array_like of shape (n_features,)
            The penalty of the mean loss.
        """
        penalty = np.zeros(self.n // self.k)
        penalty[: self.n_features] = check_l2(l2, self.n_features)
        self.ridge = np.repeat(penalty, self.k)

    @property
    def penalised(self) -> bool:
        """Whether every variable but the intercept has a penalty."""
        return bool(self.ridge[: self.n_features * self.k].all())

    def fresh(self) -> RowBlocks:
        """Return a twin for one run, which learns what that run asks for."""
        twin = copy.copy(self)
        twin._kinds, twin._last = (), None
        return twin

    def offers(self, name: str) -> bool:
        """Whether the function called `name` is there; `line` where the model in memory offers it."""
        return super().offers(name) and (name != "line" or self.template.offers("line"))

    def total(self, task: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
        """Return the sum over the blocks of ``task(local problem, *args)``, in a fixed order.

        Parameters
        ----------
        task : callable
            A function of a module that the workers have; it returns a tuple of floats and arrays.
        *args : object
            Its further arguments.

        Returns
        -------
        tuple
            The sums.
        """
        sums: tuple[Any, ...] = self.engine.total(task, self._handles, *args)
        return sums

    def each(self, task: Callable[..., Any], *args: Any) -> list[Any]:
        """Return ``task(local problem, *args)`` for each block.

        Parameters
        ----------
        task : callable
            As for `total`.
        *args : object
            Its further arguments.

        Returns
        -------
        list
            In the order of the blocks.
        """
        results: list[Any] = self.engine.each(task, self._handles, *args)
        return results

    def remember(self, kind: str, price: float) -> None:
        """Note that the run assembles a matrix: from now on it comes with value and gradient, if loading is dearer.

        Parameters
        ----------
        kind : str
            Which matrix.
        price : float
            Counted work of it, the loading of the rows included.
        """
        if kind != "bound" and kind not in self._kinds and price < 4 * self.outline.load:
            self._kinds = (*self._kinds, kind)

    def sample(self, m: int) -> LinearModel:
        """Return the model over m rows, drawn once as `gnsopt.linalg.design.Design.sample` does, in this process.

        Parameters
        ----------
        m : int
            Their number.

        Returns
        -------
        LinearModel
            With the weights that the rows have in the whole.
        """
        kept = self._sample.get(m)
        if kept is None:
            index = np.sort(np.random.default_rng(0).choice(self.n_samples, m, replace=False))
            wanted = {}
            for number, first, size in self._places:
                inside = index[(index >= first) & (index < first + size)]
                if inside.size:
                    wanted[number] = inside - first
            kept = work.joined([part for part in self.each(work.Local.take, wanted) if part is not None])
            self._sample = {m: kept}
        return kept

    def metric(self) -> Metric:
        """Return ``B = diag(sum_i w_i a_ij^2)``, as the model in memory does."""
        if self._moments is None:
            self._moments = self.total(work.Local.moments)[0][: self.n_features]
        moments = self._moments
        if self.template.design.intercept:
            moments = np.append(moments, 1.0)
        if self.n_samples < moments.size:
            return DiagonalMetric(float(moments.max()) or 1.0)
        return DiagonalMetric(np.repeat(np.where(moments > 0, moments, 1.0), self.k))

    def prepare(self, x: Array) -> Totals:
        """Return loss, gradient, and the matrices that this run assembles, in one pass; none where x was the last."""
        kinds, last = self._kinds, self._last
        if last is not None and np.array_equal(last[0], x) and tuple(last[1].lowers) == kinds:
            return last[1]
        loss, g, *lowers = self.total(work.Local.evaluate, x, kinds)
        totals = Totals(loss, g, dict(zip(kinds, lowers, strict=True)))
        self._last = (x.copy(), totals)
        return totals

    def fun(self, x: Array, z: Totals) -> float:
        """Return the weighted mean loss plus the penalty."""
        with np.errstate(over="ignore", invalid="ignore"):
            return z.loss + 0.5 * float(x @ (self.ridge * x))

    def grad(self, x: Array, z: Totals) -> Array:
        """Return the gradient."""
        with np.errstate(over="ignore", invalid="ignore"):
            return z.g + self.ridge * x

    def hess(self, x: Array, z: Totals) -> BlockGram:
        """Return the Hessian by its sums over the blocks."""
        return self._form(x, "hess", z)

    def gauss_newton(self, x: Array, z: Totals) -> BlockGram:
        """Return the Hessian, since the scores are linear in x."""
        return self._form(x, "hess", z)

    def fisher(self, x: Array, z: Totals) -> BlockGram:
        """Return the empirical Fisher matrix by its sums over the blocks."""
        return self._form(x, "fisher", z)

    def _form(self, x: Array, kind: str, z: Totals) -> BlockGram:
        template = self.template
        scores = template.prepare(np.zeros(self.n))
        rows = template.fisher_rows(scores) if kind == "fisher" else template.rows(scores)
        return BlockGram(self, x, kind, rows, z.lowers.get(kind))

    def __getattr__(self, name: str) -> Any:
        """Offer `bound`, a matrix above every Hessian, where the model does."""
        if name == "bound" and hasattr(self.__dict__.get("template"), "bound"):
            rows = self.template.rows(self.template.prepare(np.zeros(self.n)))
            return lambda: BlockGram(self, np.zeros(self.n), "bound", rows)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def difference(self, x: Array, z: Totals, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` to full relative accuracy, in one pass."""
        return float(self.total(work.Local.difference, x, h)[0]) - 0.5 * float((self.ridge * h) @ (2 * x + h))

    def line(self, x: Array, z: Totals, h: Array) -> Callable[[float], tuple[Totals, float, float]]:
        """Return ``t -> (prepare(y), f(y), slope)``, ``y = x + t h``: a pass each, which brings the gradient, too."""

        def at(t: float) -> tuple[Totals, float, float]:
            y = x + t * h
            totals = self.prepare(y)
            return totals, self.fun(y, totals), float(self.grad(y, totals) @ h)

        return at

    def at_infinity(self, x: Array, z: Totals, step: Array) -> bool:
        """Whether f is certified to have no minimiser."""
        if isinstance(self.template, SquaredLoss):
            return False
        if self.penalised and self.classes is not None:
            return bool(self.template.design.intercept and np.count_nonzero(self.mass) < len(self.mass))
        return falls_for_ever(self, x, step)

    def predict(self, x: Array, X: Any) -> Array:
        """Return the prediction for each row of `X`, an array in memory.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables, as in a result.
        X : array_like or sparse array of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, k)
            As the model in memory.
        """
        return self.template.predict(x, X)

    def accuracy(self, x: Array) -> float:
        """Return the share of the samples, in all blocks, whose most probable class is their own.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables, as in a result.

        Returns
        -------
        float
            The share.

        Raises
        ------
        TypeError, ValueError
            For a regression, or an x that is no vector of finite numbers.
        """
        if self.classes is None:
            raise TypeError("a regression has no classes")
        return int(self.total(work.Local.correct, check_variables(x, self.n))[0]) / self.n_samples


def _family(model: Any) -> type[LinearModel]:
    if isinstance(model, str):
        if model.lower() not in work.FAMILIES:
            raise ValueError(f"model={model!r} is unknown; {suggest(model, work.FAMILIES)}")
        return work.FAMILIES[model.lower()]
    if isinstance(model, type) and model in work.FAMILIES.values():
        family: type[LinearModel] = model
        return family
    raise TypeError(f"model={shown(model)}: pass one of {', '.join(map(repr, work.FAMILIES))}")


def _check_targets(family: type[LinearModel], data: Survey) -> None:
    """Refuse a number of classes, or counts, that the model cannot have."""
    if family is PoissonRegression and data.least < 0:
        bad = next(f for f in data.facts if f.least < 0)
        raise ValueError(f"{bad.name}: y has a value of {bad.least}; counts must not be negative")
    if data.classes is None:
        return
    if len(data.classes) < 2:
        raise ValueError(f"y has one class in all blocks, {data.classes[0]!r}; there is nothing to separate")
    if family is not Softmax and len(data.classes) > 2:
        seen: set[Any] = set()
        for f in data.facts:
            seen |= set(f.labels.tolist())
            if len(seen) > 2:
                raise ValueError(f"{f.name}: its labels make {len(seen)} classes, {sorted(seen)}; Logistic needs "
                                 "exactly two: use Softmax")  # fmt: skip


def _check_factor(class_weight: Any, data: Survey) -> tuple[Array, int]:
    """Return the factors by a power of two, and the power."""
    try:
        factor = as_array(class_weight, "class_weight", finite=False)
    except ValueError:
        factor = np.zeros(())
    if data.classes is None or factor.shape != data.classes.shape:
        labels = "a regression has none" if data.classes is None else f"the classes are {shown(data.classes.tolist())}"
        raise ValueError(f"class_weight={shown(class_weight)} must have one number for each class: {labels}")
    scaled, exponent = unit_scale(factor)
    if not (np.isfinite(factor).all() and factor.min() >= 0 and (scaled * data.mass).sum() > 0):
        raise ValueError(f"class_weight={shown(class_weight)} must be finite, non-negative, and not zero for all "
                         "samples")  # fmt: skip
    return scaled, exponent
