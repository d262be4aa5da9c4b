"""One bilevel run: counted work, budget, and the driver that owns all that is not mathematics.

A method is a frozen dataclass with one generator: ``iterates(run)`` yields an `Iterate` for the start and one after
each accepted outer step, for ever; it raises `EndOfRun` with a status where it cannot go on. The driver stops on the
tolerance and the budget, keeps the trace and calls back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.result import BilevelResult
from gnsopt.driver import Trace


class EndOfRun(ArithmeticError):
    """A method cannot or need not go on.

    Parameters
    ----------
    status : str
        A name of `gnsopt.bilevel.result.STATUSES`.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Work:
    """Counted work of a run in equal units: a gradient, a product with a Hessian, an adjoint product.

    Parameters
    ----------
    lower_gradients : float
        Gradients of the lower level (values come with them).
    hessian_products : float
        Products with H in the lower solves.
    adjoint_products : float
        Products with H in the adjoint solves, and products with J'.
    hessians : float
        Assembled Hessians.
    solves : float
        Shifted systems solved.
    assembly : float
        What the assembled Hessians cost, in units of a product.
    """

    lower_gradients: float = 0
    hessian_products: float = 0
    adjoint_products: float = 0
    hessians: float = 0
    solves: float = 0
    assembly: float = 0

    @property
    def total(self) -> float:
        """All of it in units of a product."""
        return self.lower_gradients + self.hessian_products + self.adjoint_products + self.assembly

    def as_dict(self) -> dict[str, float]:
        """Return the counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass
class Iterate:
    """An accepted outer iterate, as a method yields it.

    Parameters
    ----------
    theta : ndarray of shape (d,)
        Upper variables.
    x : ndarray of shape (n,)
        Approximate lower solution.
    fun : float
        Estimate of ``f(theta)``.
    low, high : float
        Interval that contains it.
    z : ndarray of shape (d,)
        Approximate hypergradient.
    error : float
        Bound of its error; NaN if unknown.
    certified : bool
        Whether `low`, `high` and `error` are rigorous.
    scalars : dict
        The method's own columns of the trace.
    work : float, default=0.0
        Work of the run up to it; written by the driver.
    """

    theta: Array
    x: Array
    fun: float
    low: float
    high: float
    z: Array
    error: float
    certified: bool = False
    scalars: dict[str, float] = field(default_factory=dict)
    work: float = 0.0

    @property
    def finite(self) -> bool:
        """Whether value and hypergradient are finite."""
        return bool(np.isfinite(self.fun) and np.isfinite(self.z).all())


@dataclass
class Run:
    """What a method sees of its run.

    Parameters
    ----------
    problem : BilevelProblem
        The problem.
    theta : ndarray of shape (d,)
        The start, inside the box.
    lower, upper : ndarray of shape (d,)
        The box.
    tol : float
        Stationarity asked for.
    certified : bool
        Whether bounds must be rigorous.
    maxtime, maxwork : float
        Budget, infinite where there is none.
    """

    problem: BilevelProblem
    theta: Array
    lower: Array
    upper: Array
    tol: float
    certified: bool
    maxtime: float = np.inf
    maxwork: float = np.inf

    def __post_init__(self) -> None:
        """Start the clock."""
        self.work = Work()
        self._paused, self._begin = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of the method's own work so far."""
        return time.perf_counter() - self._begin - self._paused

    def spend(self) -> None:
        """Raise `EndOfRun` when time or work is used up; cheap enough for every lower iteration."""
        if self.work.total >= self.maxwork or self.seconds >= self.maxtime:
            raise EndOfRun("budget")

    def clip(self, theta: Array) -> Array:
        """Return the projection on the box."""
        return np.clip(theta, self.lower, self.upper)

    def stationarity(self, theta: Array, z: Array) -> float:
        """Return ``|theta - clip(theta - z)|``, the norm of the projected hypergradient, also where z is tiny."""
        return float(np.linalg.norm(np.clip(z, theta - self.upper, theta - self.lower)))


class Method:
    """Base of the outer methods: frozen dataclasses of hyper-parameters that write `iterates`."""

    name: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ("upper", "cross_t", "mu")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and each accepted iterate; raise `EndOfRun` where there is none."""
        raise NotImplementedError

    def play(self, run: Run, accept: Callable[[Iterate], None]) -> None:
        """Hand each iterate to `accept`, which raises `EndOfRun` when the run is over; for loops that are not ours."""
        for iterate in self.iterates(run):
            accept(iterate)


def drive(
    method: Method,
    run: Run,
    *,
    maxiter: int = 1000,
    callback: Callable[[Iterate], Any] | None = None,
    keep_theta: bool = False,
) -> BilevelResult:
    """Run a method until it is stationary, cannot go on, or its budget is spent.

    Parameters
    ----------
    method : Method
        What to run.
    run : Run
        Problem, start, box, tolerance, budget.
    maxiter : int, default=1000
        Accepted outer steps at the most.
    callback : callable, optional
        ``callback(iterate)`` after each accepted step, off the clock; StopIteration ends the run.
    keep_theta : bool, default=False
        Keep the iterates in ``trace.x``.

    Returns
    -------
    BilevelResult
        The last iterate if the run converged, else the finite one of least upper bound.
    """
    book = _Book(run, maxiter, callback, keep_theta)
    try:
        method.play(run, book.accept)
        status = "step-failure"  # it had nothing left to do
    except EndOfRun as over:
        status = over.status
    except KeyboardInterrupt:
        status = "interrupted"
    end = book.last if status in ("stationary", "accuracy-floor") else book.best or book.last
    return _result(method, run, end, status, max(book.nit, 0), book.trace)


class _Book:
    """The record of a run: trace, best iterate, stop tests."""

    def __init__(self, run: Run, maxiter: int, callback: Callable[[Iterate], Any] | None, keep_theta: bool) -> None:
        self.run, self.maxiter, self.callback = run, maxiter, callback
        self.trace, self.nit = Trace(keep_theta), -1
        self.best: Iterate | None = None
        self.last: Iterate | None = None

    def accept(self, now: Iterate) -> None:
        """Write down an iterate, off the clock, and raise `EndOfRun` if it is the last one."""
        run, seconds, pause = self.run, self.run.seconds, time.perf_counter()
        self.last, self.nit, now.work = now, self.nit + 1, run.work.total
        size = run.stationarity(now.theta, now.z)
        self.trace.append(_row(now, self.nit, size, seconds), now.theta)
        if not (now.finite and np.isfinite(size)):
            raise EndOfRun("not-finite")
        if self.best is None or now.high <= self.best.high:
            self.best = now
        if size + now.error <= run.tol:  # an unknown error (NaN) is none that is small enough
            raise EndOfRun("stationary")
        if self.callback is not None and self.nit > 0:
            try:
                self.callback(now)
            except StopIteration:
                raise EndOfRun("callback") from None
        if self.nit >= self.maxiter:
            raise EndOfRun("budget")
        run._paused += time.perf_counter() - pause
        run.spend()


def _row(now: Iterate, nit: int, size: float, seconds: float) -> dict[str, float]:
    row = {"nit": nit, "fun": now.fun, "gnorm": size, "time": seconds, "work": now.work}
    return {**row, "low": now.low, "high": now.high, "error": now.error, **now.scalars}


def _result(method: Method, run: Run, end: Iterate | None, status: str, nit: int, trace: Trace) -> BilevelResult:
    if end is None:  # the budget or the lower level ended before the first iterate
        nan = np.full(run.problem.d, np.nan)
        end = Iterate(run.theta, run.problem.start(), np.nan, -np.inf, np.inf, nan, np.nan, work=run.work.total)
        trace.append(_row(end, 0, np.nan, run.seconds), end.theta)
    return BilevelResult(
        theta=end.theta.copy(),
        x=end.x.copy(),
        fun=end.fun,
        interval=(float(end.low), float(end.high)),
        hypergradient=end.z.copy(),
        norm=run.stationarity(end.theta, end.z),
        error=end.error,
        status=status,
        certified=end.certified,
        nit=nit,
        work=run.work.total,
        counts=run.work.as_dict(),
        trace=trace,
        method=method.name,
    )
