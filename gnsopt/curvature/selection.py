"""Which shifted solve: chosen from counted work with fixed prices, never by the clock.

Direct solves are taken where they cost no more than a few products (`AUTO`, or `DIRECT` for a matrix asked for by
name). Elsewhere a run starts with cheap preconditioned products and buys the next dearer help (the matrix of some rows;
class blocks or active rows; the dense Hessian as a preconditioner) once the products spent since the last purchase have
cost as much: rent or buy, within twice the best.
A preconditioner stays frozen at the point where it was bought until its price has been spent again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.curvature.pace import pace_of
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.forms import Dense, Form, Gram, RankOneUpdate, Shifted
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.nystrom import NystromPreconditioner
from gnsopt.linalg.precond import ActiveRows, ClassBlocks, Frozen, Jacobi, Preconditioner, Renewal
from gnsopt.linalg.shifted import Accuracy, DenseShifted, KrylovShifted, Rented, RowSpaceShifted, SpectralShifted
from gnsopt.point import Point

METHODS = ("auto", "cholesky", "tridiagonal", "spectral", "row-space", "cg", "nystrom")
DIRECT = 30.0  # products up to whose price a named matrix is factorised: who names it wants its steps, not inexact ones
AUTO = 6.0  # the same where only speed counts: a preconditioned solve typically takes 2 to 6 products (measured)
SOLVES = 10.0  # of a typical run: they share one Gram matrix of the rows
ENOUGH = 0.25  # share of the gradient at which the run stops that a residual may take up (chosen)
MEMORY = 3e9  # bytes that a dense Hessian and its factor may take
SAMPLED = 10, 50  # rows per column of a sample: a product of CG with its matrix gains a factor of 3 to 7 (chosen)
CHEAP = 2.0  # products up to whose price help is bought at once: what a diagonal and a product with it cost
STALL = 0.01  # where a solver bears inexact steps: on ill-conditioned data a sixth of the products less (measured)
AHEAD = 3.0  # quick steps buy help that costs no more than this part of the products that are to come (chosen)
LEVERAGE = 8.0  # and at the most so many times what slow ones have cost: the pace of a few may mislead (chosen)
SELDOM = 4.0  # by how much the work at hand grows between two questions for a price
RENT = 8.0  # products up to whose price the Gram matrix of the rows is built at once (chosen)
VECTOR_WORK = 60.0  # counted work of CG's own vector operations, per variable and product


class Engine:
    """The shifted solves of one run.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    theta : float
        Accuracy of inexact solves, ``|r|_* <= theta lam |h|``.
    floor : float
        Relative residual below which an inexact solve is accurate enough for any outer step.
    max_products : int
        Products per inexact solve at the most.
    direct : float, default=30.0
        A direct solve is taken where it costs no more than so many products.
    preconditioner : optional
        A model of preconditioners, ``start() -> Renewal``: conjugate gradients with it then, unless a direct solve is
        asked for by name.
    """

    def __init__(
        self,
        method: str,
        theta: float,
        floor: float,
        max_products: int,
        direct: float = DIRECT,
        preconditioner: Any = None,
    ) -> None:
        if preconditioner is None and method == "nystrom":
            preconditioner = NystromPreconditioner()
        self._renewal: Renewal | None = None if preconditioner is None else preconditioner.start()
        self.method = "cg" if self._renewal is not None and method in ("auto", "nystrom") else method
        self.theta, self.floor, self.max_products = theta, floor, max_products
        self.direct = direct
        self._level = 0  # the dearest help bought so far: index into the offers of `_prices`
        self._ask = 0.0  # what must be at hand before a price is asked for: to ask may cost a pass over the data
        self._spent = 0.0  # counted work of products since the last purchase
        self._preconditioner: Preconditioner | None = None
        self._fresh = False

    def attach(self, form: Form, x: Point, kind: str) -> Shifted:
        """Return the shifted solve of `form` at `x` and note the choice."""
        structured = form.structured(x.metric) if self.method == "auto" else None
        if structured is not None:
            x.counts.choices["curvature"] = f"{kind} by its structure (n = {form.n})"
            return structured
        method = self.method if self.method != "auto" else self._choose(form, x)
        x.counts.choices["curvature"] = f"{kind} by {DESCRIPTIONS[method]} (n = {form.n})"
        if method in ("cholesky", "tridiagonal", "spectral"):
            H = assemble(form, x)
            if method == "spectral":
                return SpectralShifted(H, x.metric)
            return DenseShifted(H, x.metric, rent=3 if method == "cholesky" else 0)
        if method == "row-space":
            if not isinstance(form, Gram):
                raise ValueError(f"solver='row-space' needs a linear model; {kind} is a {type(form).__name__}")
            order = form.design.n_samples * form.k
            if 24.0 * order**2 > MEMORY:
                raise ValueError(f"solver='row-space' needs a matrix of order {order}: too large; use 'cg' or 'auto'")
            return self._row_space(form, x)
        return self._krylov(form, x)

    def _choose(self, form: Form, x: Point) -> str:
        product = form.product_price + VECTOR_WORK * form.n
        row_space = _row_space_price(form, x)
        if row_space <= self.direct * product:
            return "row-space"
        if (
            isinstance(form, Dense)
            or x.metric.diagonal is None
            or form.n <= 32
            or _dense_price(form) <= self.direct * product
        ):
            return "cholesky"
        return "cg"

    def _row_space(self, form: Gram, x: Point) -> Shifted:
        """Solves in the space of the rows; before there is a Gram matrix, once quick steps would cost as much."""
        product = form.product_price

        def solves() -> Shifted:
            x.counts.rows = True
            x.counts.nhev += 1
            return RowSpaceShifted(form, x.metric)

        def worth(lam: float, ahead: float) -> bool | None:
            self._spent += product
            return max(self._spent, min(ahead * product, LEVERAGE * self._spent)) >= form.design.row_gram_price or None

        dear = x.forcing and self.method == "auto" and dear_rows(form, x)
        pace = pace_of(form, x.metric, worth) if dear else None
        return Rented(solves, pace) if pace is not None else solves()

    def _krylov(self, form: Form, x: Point) -> Shifted:
        stall = STALL if x.forcing else 0.0
        rule = Accuracy(self.theta, max(self.floor, x.forcing), ENOUGH * x.enough, self.max_products, stall)
        if self._renewal is not None:
            return self._renewed(form, x, rule, self._renewal)
        product = form.product_price + VECTOR_WORK * form.n
        gram = form.base if isinstance(form, RankOneUpdate) else form
        offers = _offers(form, gram, x.metric) if self.method == "auto" else []  # "cg" by name stays free of matrices
        x.counts.memory |= bool(offers)

        self._fresh = self._level == 0
        diagonal: Preconditioner | None = None

        def matvec(v: Array) -> Array:
            x.counts.nhessp += 1
            return form.matvec(v)

        def bought(lam: float, budget: float) -> Preconditioner | None:
            level = self._level + 1 if self._fresh else self._level  # stale help is renewed, fresh help is outbid
            if level > len(offers) or budget < self._ask:
                return None
            price, make, whole = offers[level - 1]
            if budget < (cost := price(lam)):
                self._ask = min(SELDOM * budget, cost)
                return None
            self._spent, self._ask, self._level, self._fresh = 0.0, 0.0, level, True
            x.counts.nhev += whole
            x.counts.nhessp += 0 if whole else max(1, round(price(lam) / product))
            self._preconditioner = make()
            return self._preconditioner

        def spend(lam: float) -> Preconditioner | None:
            self._spent += product
            return bought(lam, self._spent)

        def renew(lam: float) -> Preconditioner | None:
            nonlocal diagonal
            cheap = self._level == 0 and offers and not offers[0][2] and offers[0][0](lam) <= CHEAP * product
            better = bought(lam, np.inf if cheap else self._spent)
            if better is None and self._level == 0 and diagonal is None:
                better = diagonal = Jacobi(form)
                x.counts.nhessp += 1  # the diagonal is a pass over the data
            return better

        def foresee(lam: float, ahead: float) -> Preconditioner | None:
            self._spent += product
            return bought(lam, max(self._spent, min(ahead * product / AHEAD, LEVERAGE * self._spent)))

        pace = pace_of(gram, x.metric, foresee) if x.forcing and self.method == "auto" else None
        return KrylovShifted(matvec, x.metric, self._preconditioner, rule, spend, renew=renew, pace=pace)

    def _renewed(self, form: Form, x: Point, rule: Accuracy, renewal: Renewal) -> Shifted:
        """Conjugate gradients with the preconditioner that the user chose."""
        x.counts.choices["curvature"] += f", preconditioner: {renewal.name}"
        x.counts.memory = True

        def product(v: Array) -> Array:
            x.counts.nhessp += 1
            return form.matvec(v)

        def matvec(v: Array) -> Array:
            Hv = product(v)
            renewal.watch(v, Hv)
            return Hv

        x.counts.nhev += renewal.assembles and not isinstance(form, Dense)
        preconditioner = renewal.at_point(form, product, x.metric)
        return KrylovShifted(matvec, x.metric, preconditioner, rule, renewal.spend, renewal.window)


DESCRIPTIONS = {
    "cholesky": "dense Cholesky",
    "tridiagonal": "dense tridiagonalisation",
    "spectral": "dense eigendecomposition",
    "row-space": "Cholesky in the space of the rows",
    "cg": "preconditioned conjugate gradients",
    "nystrom": "conjugate gradients with a randomised Nystrom preconditioner",
}


def assemble(form: Form, x: Point) -> Array:
    """Return the lower triangle of `form`, counted as one Hessian (a user's array was counted when evaluated).

    Parameters
    ----------
    form : Form
        The matrix.
    x : Point
        Where it belongs; its counts are the run's.

    Returns
    -------
    ndarray of shape (n, n)
        Lower triangle, Fortran order.
    """
    x.counts.nhev += not isinstance(form, Dense) and getattr(form, "matrix", None) is None
    H = form.lower()
    if not np.isfinite(H.diagonal()).all():
        raise StepFailure("the curvature is not finite")
    return H


def _dense_price(form: Form) -> float:
    return form.dense_price + form.n**3 / 3 if 16.0 * form.n**2 <= MEMORY else np.inf


def _row_space_price(form: Form, x: Point) -> float:
    """Price of one row-space solve with its share of the Gram matrix; infinite where it does not apply."""
    if not isinstance(form, Gram) or x.metric.diagonal is None:
        return np.inf
    m = form.design.n_samples * form.k
    ridge = form.ridge.reshape(-1, form.k)[: form.design.n_features]
    if m >= form.n or 24.0 * m**2 > MEMORY or np.ndim(x.metric.diagonal) or np.any(ridge != ridge.flat[0]):
        return np.inf
    return form.design.row_gram_price / SOLVES + m**3 / 3 + 4.0 * m**2 * form.k


def prefers_row_space(form: Gram, x: Point) -> bool:
    """Return whether a run from zero is cheaper in the coordinates of the row space, one Gram matrix included.

    Parameters
    ----------
    form : Gram
        The Hessian at the start.
    x : Point
        The start; its metric must be a multiple of the identity.

    Returns
    -------
    bool
        Whether the Gram matrix and its factor cost no more than the solves of a run by the data.
    """
    n, ridge = form.design.n_samples, form.ridge.reshape(-1, form.k)[: form.design.n_features]
    scalar = x.metric.diagonal is not None and not np.ndim(x.metric.diagonal)
    if n >= form.design.n_columns or not scalar or np.any(ridge != ridge.flat[0]) or 24.0 * n**2 > MEMORY:
        return False
    product = form.product_price + VECTOR_WORK * form.n
    return bool(form.design.row_gram_price + n**3 / 3 <= SOLVES * AUTO * product)


def dear_rows(form: Gram, x: Point) -> bool:
    """Return whether quick steps by the data may save the price of the Gram matrix of the rows.

    Parameters
    ----------
    form : Gram
        The Hessian at `x`.
    x : Point
        A point of the run, whose counts know whether it has asked for that matrix.

    Returns
    -------
    bool
        Whether it costs more than `RENT` products, and is what solves by the data would be made with (with several
        outputs conjugate gradients are as good). Not without a penalty: the minimiser of least norm is found in the
        space of the rows.
    """
    solves = _row_space_price(form, x) <= AUTO * (form.product_price + VECTOR_WORK * form.n)
    penalised = bool(form.ridge.reshape(-1, form.k)[: form.design.n_features].all())
    dear = form.design.row_gram_price > RENT * form.product_price
    return dear and not x.counts.rows and penalised and (solves or form.k > 1)


Offer = tuple[Callable[[float], float], Callable[[], Preconditioner], bool]  # price at a shift, maker, of all rows?


def _offers(form: Form, gram: Any, metric: Metric) -> list[Offer]:
    """Preconditioners on sale, the cheaper one first."""
    offers: list[Offer] = []
    if hasattr(gram, "sampled") and 4 * SAMPLED[0] * gram.design.n_columns <= gram.design.n_samples:
        offers.append(_sampled(gram))
    if isinstance(gram, Gram) and gram.design.n_samples < gram.design.n_columns:
        if metric.diagonal is not None:
            offers.append((cache(lambda lam: ActiveRows.price(gram, lam, metric)), lambda: ActiveRows(gram), True))
    elif hasattr(gram, "class_blocks") and gram.k > 1 and 24.0 * gram.n**2 / gram.k <= MEMORY:
        offers.append((lambda lam: ClassBlocks.price(gram), lambda: ClassBlocks(gram), True))
    if _dense_price(form) < np.inf:
        offers.append((lambda lam: _dense_price(form), lambda: Frozen(form.lower()), True))
    return offers


def _sampled(gram: Gram) -> Offer:
    """The matrix of a tenth of the rows or so: its class blocks, or the whole where there is one output."""
    few, many = (count * gram.design.n_columns for count in SAMPLED)
    part = gram.sampled(min(max(gram.design.n_samples // 10, few), many))
    if part.k == 1:
        return lambda lam: _dense_price(part), lambda: Frozen(part.lower()), False
    return lambda lam: ClassBlocks.price(part), lambda: ClassBlocks(part), False
