"""Preconditioners for the shifted systems ``(H + lam B) h = b``: each answers ``at(lam) -> (r -> M^{-1} r)``."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array
from gnsopt.linalg.forms import Apply as Apply
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.metric import Metric

ACTIVE = 1.0  # a row below this adds at the most as much as the shift does (chosen)
ENTRY = 300.0  # counted work of one entry of a kernel: stored, copied, scaled, used (measured)
MEMORY = 1.5e9  # bytes that the factors of the active rows may take
NEAR = 4.0  # a shift that is off by this factor costs CG at the most a few more products (chosen)


class Preconditioner(ABC):
    """An approximation of ``H`` that is cheap to solve with for any shift."""

    @abstractmethod
    def at(self, lam: float, metric: Metric) -> Apply:
        """Return ``r -> M^{-1} r`` for ``M ~ H + lam B``."""

    def about(self, lam: float, metric: Metric) -> Apply:
        """Return the same for a shift that need not be near, where another one costs a factorisation."""
        return self.at(lam, metric)


class Renewal(ABC):
    """The preconditioner of one run: it decides at each point, and after each product, what to keep and what to renew.

    A model of preconditioners, what ``preconditioner=`` takes, is anything with ``start() -> Renewal``.
    """

    name: str = "unnamed"
    assembles: bool = False  # whether it needs the entries of the matrix: counted as one Hessian at each point
    window: int | None = 1  # former directions of CG: two or more for what is not linear, see `gnsopt.linalg.krylov`

    @abstractmethod
    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        """Return the preconditioner of `form`, whose products are to be made by `product`, which counts them."""

    def spend(self, lam: float) -> Preconditioner | None:
        """Take note of a product of CG with ``H``; a preconditioner in return replaces the one at work."""
        return None

    def watch(self, v: Array, Hv: Array) -> None:
        """Take note of what the product was."""
        return None


class Jacobi(Preconditioner):
    """``M = diag(H) + lam diag(B)``; the metric alone where the diagonal of `H` is unknown.

    Parameters
    ----------
    form : Form
        ``H``.
    """

    def __init__(self, form: Form) -> None:
        self._d = form.diagonal()

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return division by the shifted diagonal."""
        if metric.diagonal is None or self._d is None:
            return metric.solve
        d = np.maximum(self._d, 0.0) + lam * metric.diagonal
        safe = np.where(d > 0, d, 1.0)
        return lambda r: r / safe


class Factored(Preconditioner):
    """A preconditioner whose factor serves every shift within a factor of `NEAR`: it is only a preconditioner."""

    def __init__(self) -> None:
        self._lam = np.nan
        self._apply: Apply | None = None

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return the solve with the factor at hand, or with a new one where `lam` has moved too far."""
        if self._apply is None or not self._lam / NEAR <= lam <= self._lam * NEAR:
            self._lam, self._apply = lam, self.factor(lam, metric)
        return self._apply

    def about(self, lam: float, metric: Metric) -> Apply:
        """Return the solve with the factor at hand, whatever its shift."""
        return self.at(lam, metric) if self._apply is None else self._apply

    @abstractmethod
    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor the shifted matrix and return its solve."""


class ByClass(Factored):
    r"""The k diagonal class blocks of a linear model's Hessian, on vectors that sum to zero over the classes.

    Softmax blocks ``D_i`` vanish on vectors that are the same for all classes, their diagonals do not: without the
    projection Pi onto vectors that sum to zero over the classes, ``diag(H_cc)`` is too large there by any factor. On
    the complement ``H`` is ``Delta = ridge + lam B`` itself, and

        M^{-1} = Pi diag_c(H_cc + lam B_c)^{-1} Pi + (I - Pi) Delta^{-1},    H + lam B <= 2 M on the range of Pi.

    The factor of two is ``D_i <= 2 diag(D_i)`` (diagonal dominance). Models whose blocks do not sum to zero, and
    metrics or penalties that differ between classes, go without Pi.

    Parameters
    ----------
    form : Gram
        The Hessian.
    """

    def __init__(self, form: Gram) -> None:
        super().__init__()
        self._form = form

    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor each class's block and return the solve."""
        k = self._form.k
        solve = self.blocks(self._form, _shifts(self._form, lam, metric))
        delta = _positive(_shifts(self._form, lam, metric))
        if k == 1 or not self._form.rows.sums_to_zero or np.any(delta != delta[:, :1]):
            return lambda r: solve(r.reshape(-1, k)).reshape(-1)

        def apply(r: Array) -> Array:
            R = r.reshape(-1, k)
            mean = R.mean(axis=1, keepdims=True)
            out = solve(R - mean)
            out += mean / delta - out.mean(axis=1, keepdims=True)
            return out.reshape(-1)

        return apply

    @abstractmethod
    def blocks(self, form: Gram, delta: Array) -> Apply:
        """Return the solve of all classes for right-hand sides and shifts of shape (n_columns, k)."""


class ClassBlocks(ByClass):
    r"""Cholesky factors of the class blocks ``A' diag((D_i)_cc) A``, frozen at one point.

    Parameters
    ----------
    form : Gram
        The Hessian.
    """

    def __init__(self, form: Gram) -> None:
        super().__init__(form)
        self._blocks = form.class_blocks()
        self._noise = [16 * np.finfo(float).eps * float(np.trace(G)) for G in self._blocks]

    @staticmethod
    def price(form: Gram) -> float:
        """Counted work of the blocks and one factorisation of each."""
        return form.class_blocks_price + form.k * (form.n // form.k) ** 3 / 3

    def blocks(self, form: Gram, delta: Array) -> Apply:
        """Factor the shifted blocks."""
        factors = [
            _factor(G, delta[:, c], noise) for c, (G, noise) in enumerate(zip(self._blocks, self._noise, strict=True))
        ]
        return lambda R: np.stack(
            [lapack.dpotrs(L, R[:, c], lower=1)[0] for c, L in enumerate(factors)],
            axis=1,
        )


class ActiveRows(ByClass):
    r"""The same blocks by Woodbury's formula in the space of each class's active rows: for more columns than rows.

    Row i is active in class c where ``s |a_i|^2_{Delta^{-1}} > ACTIVE`` with ``s = (D_i)_cc``: the others add less than
    the shift does. Near a solution most rows are decided and few are active.

    Parameters
    ----------
    form : Gram
        The Hessian.
    """

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return the solve at the first shift asked for: another factor costs as much as a new purchase."""
        if self._apply is None:  # for a smaller shift the condition is worse by the ratio of the shifts at the most
            self._apply = self.factor(lam, metric)
        return self._apply

    @staticmethod
    def price(form: Gram, lam: float, metric: Metric) -> float:
        """Counted work of the pass that finds the rows, of their kernels and factors; infinite where there are none."""
        order = np.minimum(
            np.count_nonzero(_activity(form, _positive(_shifts(form, lam, metric))) > ACTIVE, axis=0), _limit(form.k)
        )
        kernels = form.design.row_gram_price * (order / form.design.n_samples) ** 2
        if not order.any():
            return np.inf
        return form.product_price + float((kernels + ENTRY * order**2.0 + order**3.0 / 3).sum())

    def blocks(self, form: Gram, delta: Array) -> Apply:
        """Factor ``I + S^{1/2} A Delta^{-1} A' S^{1/2}`` of each class's active rows."""
        delta = _positive(delta)
        design, s, inverse = form.design, form.rows.diagonals(), 1.0 / delta
        active = []
        for c, activity in enumerate(_activity(form, delta).T):
            index = np.flatnonzero(activity > ACTIVE)
            if index.size > _limit(form.k):
                index = np.sort(np.argsort(-activity, kind="stable")[: _limit(form.k)])
            if index.size:
                half = np.sqrt(s[index, c])
                K = design.row_kernel(index, np.sqrt(inverse[:, c]))
                K *= half
                K *= half[:, None]
                noise = 16 * np.finfo(float).eps * float(np.trace(K))
                active.append((c, index, half, _factor(K, 1.0, noise)))

        def solve(R: Array) -> Array:
            out = R * inverse
            scores = design.matvec(out)
            back = np.zeros_like(scores)
            for c, index, half, L in active:
                back[index, c] = half * lapack.dpotrs(L, half * scores[index, c], lower=1)[0]
            out -= design.rmatvec(back) * inverse
            return out

        return solve


class Frozen(Factored):
    """Cholesky of a dense ``H(x_ref) + lam B``: the Hessian of an earlier point as a preconditioner.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Lower triangle of the reference Hessian, Fortran order.
    """

    def __init__(self, H: Array) -> None:
        super().__init__()
        self._H = H
        self._noise = 16 * np.finfo(float).eps * float(np.trace(H))

    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor the shifted reference Hessian."""
        M = self._H.copy(order="F")
        metric.add_to(M, lam)
        L = _factor(M, 0.0, self._noise)
        return lambda r: np.asarray(lapack.dpotrs(L, r, lower=1)[0])


def _shifts(form: Gram, lam: float, metric: Metric) -> Array:
    """Return ridge + lam B of shape (n_columns, k)."""
    scale = metric.scale if metric.diagonal is None else metric.diagonal
    return np.asarray((form.ridge + lam * scale).reshape(-1, form.k))


def _positive(delta: Array) -> Array:
    """Return the shifts with one where there is none: what is to be divided by."""
    return np.where(delta > 0, delta, 1.0)


def _activity(form: Gram, delta: Array) -> Array:
    """Return ``(D_i)_cc |a_i|^2_{Delta^{-1}}`` of shape (n_samples, k)."""
    inverse = 1.0 / delta
    if form.k > 1 and np.all(delta == delta[:, :1]):
        return np.asarray(form.rows.diagonals() * form.design.row_squares(inverse[:, 0])[:, None])
    return form.rows.diagonals() * np.stack([form.design.row_squares(t) for t in inverse.T], axis=1)


def _limit(k: int) -> int:
    """Return the largest order of k factors that fit into `MEMORY`."""
    return int(np.sqrt(MEMORY / (8.0 * k)))


def _factor(G: Array, shift: Array | float, noise: float) -> Array:
    """Cholesky of ``G + diag(shift)``; what rounding makes indefinite is lifted by a growing multiple of the noise."""
    while True:
        M = G.copy(order="F")
        M.flat[:: M.shape[0] + 1] += shift + noise
        L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            return np.asarray(L)
        if not np.isfinite(M).all() or noise == 0.0:
            return np.eye(M.shape[0], order="F")
        noise *= 10
