"""The one driver: everything of a run that is not mathematics.

It owns the clock (trace and callback time are kept out), the counts, the trace, the callback, the stop rules, the best
finite point and the result. A solver only yields ``(point, scalars)`` after each accepted step.
"""

from __future__ import annotations

import csv
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from gnsopt._typing import Array
from gnsopt.exceptions import StepFailure
from gnsopt.globalization.decrease import RISE
from gnsopt.point import COUNTS, Point
from gnsopt.stopping import Progress, Status, StopRule, gradient_norm

ROUNDING = 1e4 * float(np.finfo(float).eps)
STALLED = 1e3 * float(np.finfo(float).eps)  # gradient, relative to the first one, that is as good as zero (chosen)
IDLE = 50  # steps without a new low of f or of the gradient norm that end a monotone run (chosen)
COLUMNS = ("nit", "fun", "gnorm", "time", *COUNTS)
new_result: Callable[..., OptimizeResult] = OptimizeResult  # scipy-stubs declare it without a constructor


class Trace:
    """The record of a run: one row for the start and one for each iteration.

    ``trace["fun"]`` is a column as an array; the columns are ``nit fun gnorm time nfev njev nhev nhessp nsolve`` and
    the solver's own scalars (NaN in the first row). ``time`` is in seconds. With ``keep_x`` the iterates are in `x`.

    Parameters
    ----------
    keep_x : bool, default=False
        Keep copies of the iterates.
    """

    def __init__(self, keep_x: bool = False) -> None:
        self._rows: list[dict[str, float]] = []
        self._keep_x = keep_x
        self.x: list[Array] = []

    def append(self, row: dict[str, float], x: Array | None) -> None:
        """Add one row; `x` may be None where the iterates are not kept."""
        self._rows.append(row)
        if self._keep_x and x is not None:
            self.x.append(x.copy())

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        names = dict.fromkeys(COLUMNS)
        for row in self._rows:
            names.update(dict.fromkeys(row))
        return tuple(names)

    def __getitem__(self, name: str) -> Array:
        """Return a column."""
        if name not in self.columns:
            raise KeyError(f"the trace has no column {name!r}; its columns are {', '.join(self.columns)}")
        return np.array([row.get(name, np.nan) for row in self._rows])

    def __len__(self) -> int:
        """Return the number of rows, ``nit + 1``."""
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        """Iterate over the rows as dictionaries."""
        return iter([dict(row) for row in self._rows])

    def __repr__(self) -> str:
        """Return a one-line summary."""
        return f"<Trace of {len(self)} rows: {' '.join(self.columns)}>"

    def as_dict(self) -> dict[str, Array]:
        """Return all columns."""
        return {name: self[name] for name in self.columns}

    def to_csv(self, path: str | Path) -> None:
        """Write the trace to a CSV file."""
        with Path(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="nan")
            writer.writeheader()
            writer.writerows(self._rows)


class Clock:
    """Seconds of the solver's own work; ``pause`` and ``go`` bracket what is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def go(self) -> None:
        """Start counting."""
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop counting."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None


def drive(
    iterates: Callable[[Point], Iterator[tuple[Point, dict[str, float]]]],
    x: Point,
    stop: StopRule,
    *,
    norm: Any = "inf",
    callback: Callable[..., Any] | None = None,
    keep_x: bool = False,
    disp: bool = False,
    monotone: bool = False,
) -> OptimizeResult:
    """Run a solver's generator from `x` until a rule stops it.

    Parameters
    ----------
    iterates : callable
        ``iterates(x)`` yields ``(point, scalars)`` after each accepted step, and may raise `StepFailure`.
    x : Point
        The start.
    stop : StopRule
        When to stop.
    norm : {"inf", "2", "dual"} or float
        Norm of the gradient in the trace.
    callback : callable, optional
        ``callback(xk)`` or ``callback(intermediate_result=...)`` with copies; StopIteration ends the run.
    keep_x : bool, default=False
        Keep the iterates in the trace.
    disp : bool, default=False
        Print a line for each iteration.
    monotone : bool, default=False
        Whether f never rises: a rise above rounding then ends the run, because the gradient must be wrong, and so do
        50 steps in which neither f nor the gradient norm has reached a new low: that is the limit of float64 (without
        descent: only at a value that is the lowest to rounding).

    Returns
    -------
    OptimizeResult
        ``x fun jac nit nfev njev nhev nhessp nsolve success status message trace`` and ``curvature``, the sentence of
        the automatic choice.

    Notes
    -----
    The last point is returned if it converged; otherwise the finite point of lowest value seen, where values within
    rounding of each other are told apart by their gradient norms.
    """
    trace, clock, notify = Trace(keep_x), Clock(), _notifier(callback)
    nit, idle, first, best, previous, lowest, least = 0, 0, x, x, x, np.inf, np.inf
    scalars: dict[str, float] = {}
    reason = ""
    clock.go()
    status = None if x.finite else Status.NOT_FINITE  # an interrupt here leaves: there is nothing to return yet
    try:
        steps = iter(iterates(x))
        while True:
            clock.pause()
            f, gnorm = x.f, gradient_norm(x, norm)
            row = {"nit": nit, "fun": f, "gnorm": gnorm, "time": clock.seconds, **_counts(x), **scalars}
            trace.append(row, x.x if keep_x else None)
            if disp:
                print_row(row, header=nit == 0)
            idle = 0 if f < lowest or gnorm < least else idle + 1
            lowest, least = (min(lowest, f), min(least, gnorm)) if x.finite else (lowest, least)
            best = x if nit == 0 or _better(x, best, lowest, norm) else best
            if nit and notify is not None and status is None:
                status = notify(x)
            if status is None:
                status = stop(Progress(x, nit, clock.seconds))
            rise = f - lowest
            if monotone and status is None and (idle >= IDLE or rise > 10 * ROUNDING * abs(lowest)):
                status = Status.STEP_FAILURE if rise > RISE * abs(lowest) else Status.PRECISION_LIMIT
            if not monotone and status is None and idle >= IDLE and rise <= RISE * abs(lowest):
                status = Status.PRECISION_LIMIT
            if status is not None:
                break
            clock.go()
            step = next(steps, None)
            if step is None:
                status = Status.PRECISION_LIMIT
                break
            _ = step[0].finite  # f and g belong to the step: on its clock, and before it counts
            previous, (x, scalars), nit = x, step, nit + 1
    except StepFailure as failure:
        at_rounding = failure.promised <= ROUNDING * abs(best.f) or best.dual_norm <= STALLED * first.dual_norm
        status = Status.PRECISION_LIMIT if at_rounding else Status.STEP_FAILURE
        reason = str(failure)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    clock.pause()
    if status.success:
        best = x
    if status is Status.CONVERGED and x.objective.at_infinity(x.x, x.z, x.x - previous.x):
        status = Status.AT_INFINITY
    return _result(best, nit, status, trace, reason)


def _counts(x: Point) -> dict[str, int]:
    counts = x.counts.as_dict()
    for name, extra in x.objective.extra_counts().items():
        counts[name] += extra
    return counts


def _better(x: Point, best: Point, lowest: float, norm: Any) -> bool:
    """Whether `x` is the better point to return: lower beyond rounding, or level with a smaller gradient."""
    if not x.finite:
        return False
    if not best.finite:
        return True
    if abs(x.f - best.f) > ROUNDING * max(abs(x.f), abs(best.f)):
        return x.f < best.f
    if x.f - lowest > ROUNDING * max(abs(x.f), abs(lowest)):
        return False
    return gradient_norm(x, norm) <= gradient_norm(best, norm)


def _result(x: Point, nit: int, status: Status, trace: Trace, reason: str) -> OptimizeResult:
    counts = _counts(x)
    told = reason if status is Status.STEP_FAILURE else ""
    return new_result(
        x=x.x.copy(),
        fun=x.f,
        jac=x.g.copy(),
        nit=nit,
        success=status.success,
        status=int(status),
        message=f"{status.message} ({told})" if told else status.message,
        trace=trace,
        curvature=x.counts.choices.get("curvature", ""),
        **counts,
    )


def _notifier(callback: Callable[..., Any] | None) -> Callable[[Point], Status | None] | None:
    """SciPy's two signatures: by the name ``intermediate_result``, or the point alone; always copies."""
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(
            f"callback={callback!r} is not callable; pass callback(xk) or callback(intermediate_result=...)"
        )
    try:
        by_name = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):
        by_name = False

    def notify(x: Point) -> Status | None:
        try:
            if by_name:
                callback(intermediate_result=new_result(x=x.x.copy(), fun=x.f, jac=x.g.copy()))
            else:
                callback(x.x.copy())
        except StopIteration:
            return Status.CALLBACK
        return None

    return notify


def print_row(row: dict[str, float], header: bool = False) -> None:
    """Print one line of the iteration table: the only print of the library, reached by ``disp=True``.

    Parameters
    ----------
    row : dict
        A row of the trace.
    header : bool, default=False
        Print the names of the columns first.
    """
    shown = ("nit", "fun", "gnorm", "time", "njev", "nhev", "nhessp")
    if header:
        print(" ".join(f"{name:>12}" for name in shown))  # noqa: T201
    print(" ".join(f"{row[name]:12.6g}" for name in shown))  # noqa: T201
