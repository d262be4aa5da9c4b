"""The one driver: everything of a run that is not mathematics.

It owns the clock (trace and callback time are kept out), the counts, the trace, the callback, the stop rules, the
checkpoint, the best finite point and the result. A solver only yields ``(point, scalars)`` after each accepted step.
"""

from __future__ import annotations

import csv
import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from gnsopt._typing import Array
from gnsopt.arguments import shown
from gnsopt.checkpoint import Log
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization.decrease import RISE
from gnsopt.point import COUNTS, Point
from gnsopt.state import State
from gnsopt.stopping import Progress, Status, StopRule, gradient_norm

ROUNDING = 1e4 * float(np.finfo(float).eps)
STALLED = 1e3 * float(np.finfo(float).eps)  # gradient, relative to the first one, that is as good as zero (chosen)
IDLE = 50  # steps without a new low of f or of the gradient norm that end a monotone run (chosen)
INWARDS = 1e-6  # length of that step, relative to x (chosen)
FAR = "f falls on a short step to zero; those of the method may be lost in the rounding of x, {:.3g}: start nearer"
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
    rows : list of dict, optional
        What a run that goes on has recorded before.
    """

    def __init__(self, keep_x: bool = False, rows: list[dict[str, float]] | None = None) -> None:
        self._rows: list[dict[str, float]] = list(rows or [])
        self._keep_x = keep_x
        self.x: list[Array] = []

    def amend(self, row: dict[str, float]) -> None:
        """Change what the last row says."""
        self._rows[-1].update(row)

    def append(self, row: dict[str, float], x: Array | None) -> None:
        """Add one row; `x` may be None where the iterates are not kept."""
        self._rows.append(row)
        if self._keep_x and x is not None:
            self.x.append(x.copy())

    @property
    def last(self) -> dict[str, float]:
        """The last row."""
        return self._rows[-1]

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
    """Seconds of the solver's own work; ``pause`` and ``go`` bracket what is not counted.

    Parameters
    ----------
    seconds : float, default=0.0
        What was counted before.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._since: float | None = None

    def go(self) -> None:
        """Start counting."""
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop counting."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None


class Lows:
    """The lowest value and the least gradient norm of a run, and for how many rows there was no new one.

    Parameters
    ----------
    rows : iterable of dict
        The rows of the trace so far.
    """

    def __init__(self, rows: Iterable[dict[str, float]]) -> None:
        self.f = self.gnorm = math.inf
        self.idle = 0
        for row in rows:
            self.see(row["fun"], row["gnorm"])

    def see(self, f: float, gnorm: float) -> None:
        """Take note of a row."""
        self.idle = 0 if f < self.f or gnorm < self.gnorm else self.idle + 1
        if math.isfinite(f) and math.isfinite(gnorm):
            self.f, self.gnorm = min(self.f, f), min(self.gnorm, gnorm)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # trials lie anywhere; what is not finite is rejected
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
    log: Log | None = None,
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
    log : Log, optional
        The checkpoint of the run, which is written on the way and at its end, and the past that `x` goes on from.

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
    past = None if log is None else log.past
    rows = [] if past is None else past.rows
    trace, clock, notify = Trace(keep_x, rows), Clock(past.seconds if past else 0.0), _notifier(callback)
    nit, lows, first, best, previous = max(len(rows) - 1, 0), Lows(rows), x, x, x
    if past is not None:
        best, previous = (x if np.array_equal(point, x.x) else x.at(point) for point in (past.best, past.previous))
    scalars: dict[str, float] = {}
    reason = ""

    def record() -> bool:
        """Add the row of x, unless the run goes on from it and has it."""
        missing = len(trace) <= nit
        if missing:
            f, gnorm = x.f, gradient_norm(x, norm)
            row = {"nit": nit, "fun": f, "gnorm": gnorm, "time": clock.seconds, **_counts(x), **scalars}
            trace.append(row, x.x if keep_x else None)
            lows.see(f, gnorm)
        return missing

    def steepness() -> tuple[float, float]:
        return (first.dual_norm, first.max_norm) if past is None else past.first

    def verdict() -> Status | None:
        """What the rules say of x."""
        status = stop(Progress(x, nit, clock.seconds))
        rise = x.f - lows.f
        if monotone and status is None and (lows.idle >= IDLE or rise > 10 * ROUNDING * abs(lows.f)):
            status = Status.STEP_FAILURE if rise > RISE * abs(lows.f) else Status.PRECISION_LIMIT
        if not monotone and status is None and lows.idle >= IDLE and rise <= RISE * abs(lows.f):
            status = Status.PRECISION_LIMIT
        return status

    def settle() -> None:
        """Put the point as it is evaluated anew in the place of one that may be untrue, in the trace, too."""
        nonlocal x
        clock.go()
        before, x = x, x.settled(leave=True)
        f, gnorm = x.f, gradient_norm(x, norm)
        clock.pause()
        if x is not before:
            trace.amend({"fun": f, "gnorm": gnorm, "time": clock.seconds, **_counts(x)})
        if before.provisional:
            land()

    def land() -> None:
        """Forget how low f was by other coordinates."""
        nonlocal best, lows
        best = sure(best)
        lows = Lows([{"fun": best.f, "gnorm": gradient_norm(best, norm)}])

    def sure(point: Point) -> Point:
        true = point.settled()
        return true if true is point or true.finite else first

    def keep(status: Status | None = None) -> None:
        if log is None:
            return
        there = _anew(x)
        if best.finite and there.finite:
            where = x.x, previous.x, best.x, there.g, there.f
            ended = clock.seconds, _counts(x), steepness(), status
            log.write(State(*where, list(trace), *ended, memory=x.counts.memory))

    clock.go()
    status = None if x.finite else Status.NOT_FINITE  # an interrupt here leaves: there is nothing to return yet
    try:
        steps = iter(iterates(x))
        while True:
            clock.pause()
            new = record()
            if disp:
                print_row(trace.last, header=nit == 0 or not new)
            best = x if nit == 0 or _better(x, best, lows.f, norm) else best
            if nit and new and notify is not None and status is None:
                status = notify(x)
            status = verdict() if status is None else status
            if status is not None and x.settled() is not x:
                settle()
                status = status if status is Status.CALLBACK else verdict()
            if status is not None:
                break
            if log is not None and log.due(nit):
                keep()
            clock.go()
            step = next(steps, None)
            if step is None:
                status = Status.PRECISION_LIMIT
                break
            _ = step[0].finite  # f and g belong to the step: on its clock, and before it counts
            previous, (x, scalars), nit = x, step, nit + 1
            if previous.provisional and not x.provisional:
                land()
    except (StepFailure, NotPositiveDefinite) as failure:  # the second from solvers that do not look for it
        promised = getattr(failure, "promised", np.inf)
        at_rounding = promised <= ROUNDING * abs(best.f) or best.dual_norm <= STALLED * steepness()[0]
        status = Status.PRECISION_LIMIT if at_rounding else Status.STEP_FAILURE
        reason = str(failure)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        clock.pause()
        record()  # it may have come between a step and its row
        best = x if _better(x, best, lows.f, norm) else best
    except Exception:  # the user's own, from a function or the callback
        keep()
        raise
    clock.pause()
    try:
        if x.settled() is not x:
            settle()
        best = x if status.success else sure(best)
        if status is Status.PRECISION_LIMIT and _falls_inwards(best):
            status, reason = Status.STEP_FAILURE, FAR.format(np.abs(best.x).max())
        if status is Status.CONVERGED and x.objective.at_infinity(x.x, x.z, x.x - previous.x):
            status = Status.AT_INFINITY
        keep(status)
        return _result(best, nit, status, trace, reason)
    except KeyboardInterrupt:  # the point is there: it must not be lost to its certificate, nor to its writing
        keep(Status.INTERRUPTED)
        return _result(best, nit, Status.INTERRUPTED, trace, "")


def _falls_inwards(x: Point) -> bool:
    """Whether a short step towards zero lowers f beyond rounding: then float64 is not at its limit."""
    return bool(x.finite and x.f - x.at((1 - INWARDS) * x.x).f > 10 * ROUNDING * abs(x.f))


def _anew(x: Point) -> Point:
    """Return x as another run would evaluate it, out of the counts: callbacks and files are no work of this one."""
    return x if x.settled() is x else Point(x.objective, x.x)


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
            f"callback={shown(callback)} is not callable; pass callback(xk) or callback(intermediate_result=...)"
        )
    try:
        by_name = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):
        by_name = False

    def notify(x: Point) -> Status | None:
        try:
            if by_name:
                at = _anew(x) if x.provisional else x
                callback(intermediate_result=new_result(x=at.x.copy(), fun=at.f, jac=at.g.copy()))
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
