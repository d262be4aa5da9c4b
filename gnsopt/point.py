"""A point: an objective seen at one x, everything computed once, lazily, and counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.forms import Dense, Form, Operator, as_form
from gnsopt.linalg.metric import DiagonalMetric, Metric

if TYPE_CHECKING:
    from gnsopt.objective import Objective

FAILED_EVALUATION = (ArithmeticError, ValueError, np.linalg.LinAlgError)


@dataclass
class Counts:
    """Work and automatic choices of one run.

    Parameters
    ----------
    nfev, njev : int
        Function and gradient evaluations, each at most once per point.
    nhev : int
        Hessian matrices assembled (dense, or in the space of the rows).
    nhessp : int
        Products of a Hessian or an approximation with a vector; a diagonal counts as one.
    nsolve : int
        Shifted systems solved.
    choices : dict
        What was chosen automatically, by name; ``choices["curvature"]`` is a sentence.
    memory : bool
        Whether the curvature of the run remembers more than the point, which a checkpoint lacks.
    rows : bool
        Whether the run has asked for the Gram matrix of the rows.
    first : float
        Dual norm of the first gradient of a run that goes on from a checkpoint; 0 in one that begins.
    """

    nfev: int = 0
    njev: int = 0
    nhev: int = 0
    nhessp: int = 0
    nsolve: int = 0
    choices: dict[str, str] = field(default_factory=dict)
    memory: bool = False
    rows: bool = False
    first: float = 0.0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "nfev": self.nfev,
            "njev": self.njev,
            "nhev": self.nhev,
            "nhessp": self.nhessp,
            "nsolve": self.nsolve,
        }


COUNTS = ("nfev", "njev", "nhev", "nhessp", "nsolve")


class Point:
    """An objective at one x.

    ``x.f``, ``x.g``, their norms, ``x.finite`` and ``x.hess()`` are computed at the first use and kept; moving is the
    assignment ``x = x.at(...)``. A trial point whose evaluation fails has ``f = nan``, so that it is rejected; at the
    first point of a run the user's exception is raised as it is.

    Parameters
    ----------
    objective : Objective
        The problem.
    x : ndarray of shape (n,)
        Where; not copied, never written.
    counts : Counts, optional
        Shared by all points of a run.
    metric : Metric, optional
        ``B`` of the norms; the identity by default.
    enough : float, default=0.0
        Largest gradient entry at which the run stops: inexact solves need not do better. Zero where that is unknown.
    trial : bool, default=False
        Whether a failed evaluation means "reject" rather than "raise".
    """

    provisional = False  # whether f and gradient are those of a model in other coordinates
    __slots__ = (
        "_dual_norm",
        "_f",
        "_finite",
        "_form",
        "_g",
        "_max_norm",
        "_settled",
        "_z",
        "counts",
        "enough",
        "forcing",
        "metric",
        "objective",
        "trial",
        "x",
    )

    def __init__(
        self,
        objective: Objective,
        x: Array,
        counts: Counts | None = None,
        metric: Metric | None = None,
        enough: float = 0.0,
        *,
        trial: bool = False,
    ) -> None:
        self.objective = objective
        self.x = x
        self.counts = Counts() if counts is None else counts
        self.metric: Metric = DiagonalMetric() if metric is None else metric
        self.enough = enough
        self.forcing = 0.0  # relative residual that an inexact solve may leave here: set by solvers that can bear it
        self.trial = trial
        self._z: Any = self  # not yet prepared
        self._f: float | None = None
        self._g: Array | None = None
        self._dual_norm: float | None = None
        self._max_norm: float | None = None
        self._finite: bool | None = None
        self._form: dict[str, Form] = {}
        self._settled: Point | None = None  # in whose place it stands

    def at(self, x: Array) -> Point:
        """Return the trial point `x` of the same run."""
        return Point(self.objective, x, self.counts, self.metric, self.enough, trial=True)

    def settled(self, leave: bool = False) -> Point:
        """Return the point that a result may hold: this one, or the same x evaluated anew where z is no evaluation.

        Parameters
        ----------
        leave : bool, default=False
            Have the run leave the coordinates of a provisional point, and go on from the settled one.

        Returns
        -------
        Point
            The same one each time.
        """
        if self._settled is None and self._z is not self and self.objective.summed(self._z):
            self._settled = self.at(self.x)
        return self._settled or self

    def line(self, h: Array) -> Callable[[float], tuple[Point, float]]:
        """Return ``t -> (trial point x + t h, slope of f along h there)``; the slope may be NaN far out.

        Parameters
        ----------
        h : ndarray of shape (n,)
            A direction.

        Returns
        -------
        callable
            Each call is one evaluation of f, and one of the gradient where the problem has no cheaper `line`.
        """
        if not self.objective.offers("line"):

            def slow(t: float) -> tuple[Point, float]:
                y = self.at(self.x + t * h)
                return y, float(y.g @ h) if math.isfinite(y.f) else math.nan

            return slow
        prepared = self.objective.line(self.x, self.z, h)

        def fast(t: float) -> tuple[Point, float]:
            y = Ahead(self, h, t)
            y._z, y._f, slope = prepared(t)
            self.counts.nfev += 1
            return y, slope if math.isfinite(y._f) else math.nan

        return fast

    @property
    def z(self) -> Any:
        """The shared work of f, gradient and Hessian at this x."""
        if self._z is self:
            self._z = self.objective.prepare(self.x)
        return self._z

    @property
    def f(self) -> float:
        """Objective value."""
        if self._f is None:
            self.counts.nfev += 1
            try:
                away = self.trial and not np.isfinite(self.x).all()  # nowhere, whatever the function says there
                self._f = np.nan if away else float(self.objective.fun(self.x, self.z))
            except FAILED_EVALUATION:
                if not self.trial:
                    raise
                self._f = np.nan
        return self._f

    @property
    def g(self) -> Array:
        """Gradient, shape (n,)."""
        if self._g is None:
            self.counts.njev += 1
            try:
                self._g = self.objective.grad(self.x, self.z)
            except FAILED_EVALUATION:
                if not self.trial:
                    raise
                self._g = np.full_like(self.x, np.nan)
        return self._g

    @property
    def dual_norm(self) -> float:
        """``|g|_*`` in the metric of the run."""
        if self._dual_norm is None:
            self._dual_norm = self.metric.dual_norm(self.g)
        return self._dual_norm

    @property
    def vanishes(self) -> bool:
        """Whether no entry of the gradient exceeds `enough`: the run ends here."""
        return bool(self.max_norm <= self.enough)

    @property
    def max_norm(self) -> float:
        """``|g|_inf``; NaN if the gradient has one."""
        if self._max_norm is None:
            self._max_norm = float(np.abs(self.g).max())
        return self._max_norm

    @property
    def finite(self) -> bool:
        """Whether f and the gradient are finite."""
        if self._finite is None:
            self._finite = math.isfinite(self.f) and math.isfinite(self.max_norm)
        return self._finite

    def hess(self, kind: str = "hess") -> Form:
        """Return the Hessian, or the approximation called `kind`, as a structured form."""
        if kind not in self._form:
            objective = self.objective
            if kind == "hess" and not objective.offers("hess"):
                objective.require("hessp", "a Hessian (hess or hessp)")
                form: Form = Operator(self.x.size, self._product)
            else:
                objective.require(kind, f"the approximation {kind!r}")
                try:
                    H = getattr(objective, kind)(self.x, self.z)
                except FAILED_EVALUATION as error:
                    if not self.trial:
                        raise
                    raise StepFailure(f"{kind} failed: {error}") from error
                form = as_form(H, self.x.size)
                self.counts.nhev += form is not H  # a structured form costs nothing until it is assembled
                if isinstance(form, Dense) and not np.isfinite(form.H).all():
                    raise StepFailure(f"{kind} is not finite")
            self._form[kind] = form
        return self._form[kind]

    def _product(self, v: Array) -> Array:
        """Return the objective's product; one whose evaluation fails is not a number, and the step fails with it."""
        try:
            return self.objective.hessp(self.x, self.z, v)
        except FAILED_EVALUATION:
            if not self.trial:
                raise
            return np.full_like(self.x, np.nan)

    def hessp(self, v: Array) -> Array:
        """Return ``(hess f)(x) v``."""
        self.counts.nhessp += 1
        return self.hess().matvec(v)


class Ahead(Point):
    """The trial point ``x + t h``, whose entries are computed once they are asked for.

    Parameters
    ----------
    start : Point
        Where x is.
    h : ndarray of shape (n,)
        The direction.
    t : float
        The step.
    """

    __slots__ = ("_from", "_x")

    def __init__(self, start: Point, h: Array, t: float) -> None:
        super().__init__(start.objective, start.x, start.counts, start.metric, start.enough, trial=True)
        self._from: tuple[Array, Array, float] | None = (start.x, h, t)

    @property
    def x(self) -> Array:
        """``x + t h``."""
        if self._from is not None:
            x, h, t = self._from
            self._x, self._from = x + t * h, None
        return self._x

    @x.setter
    def x(self, value: Array) -> None:
        """Keep what the base class sets."""
        self._x = value
