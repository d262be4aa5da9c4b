"""The solver base: a frozen dataclass of hyper-parameters with one generator, and the doors that lead to it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult, OptimizeWarning

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import settle, shown
from gnsopt.checkpoint import Checkpoint, Log, facts_of, refuse_values
from gnsopt.curvature.models import auto
from gnsopt.curvature.row_space import through_rows
from gnsopt.driver import drive
from gnsopt.linalg.metric import as_metric
from gnsopt.objective import Callables, Objective
from gnsopt.point import Counts, Point
from gnsopt.stopping import GradientNorm, MaxIterations, MaxTime, StopRule, Target

RUN_OPTIONS = ("gtol", "norm", "f_target", "maxiter", "maxtime", "keep_x", "disp", "stop", "checkpoint")


@dataclass(frozen=True)
class Solver:
    """Base of all solvers: subclasses are frozen dataclasses that write `iterates`.

    An instance is also a method of SciPy: ``scipy.optimize.minimize(fun, x0, jac=..., method=GradNormSmooth())``.
    """

    requires_gradient: ClassVar[bool] = True
    supports_constraints: ClassVar[bool] = False
    monotone: ClassVar[bool] = True
    quick: ClassVar[bool] = False  # whether it makes steps that cost a product each where solves are dear
    ends_early: ClassVar[bool] = True  # whether inexact solves may stop where their residual is a gradient to stop at

    def __post_init__(self) -> None:
        """Check that numbers are numbers; subclasses check their ranges."""
        settle(self)
        check_trials(getattr(self, "max_trials", 1))

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield ``(point, scalars)`` after each accepted step, for ever; raise `StepFailure` when there is none."""
        raise NotImplementedError

    def minimize(
        self,
        problem: Objective,
        x0: ArrayLike | None = None,
        *,
        gtol: float = 1e-8,
        norm: Any = "inf",
        f_target: float | None = None,
        maxiter: int = 10_000,
        maxtime: float | None = None,
        callback: Callable[..., Any] | None = None,
        keep_x: bool = False,
        disp: bool = False,
        stop: StopRule | None = None,
        checkpoint: Checkpoint | str | Path | None = None,
        bounds: Any = None,
        constraints: Any = (),
    ) -> OptimizeResult:
        """Minimise `problem` from `x0`.

        Parameters
        ----------
        problem : Objective
            What to minimise; a loss is a mean over samples, plus ``l2/2 |w|^2``.
        x0 : array_like of shape (n,), optional
            Start; the problem's own (zero) by default. Never written.
        gtol : float, default=1e-8
            Stop when the norm of the gradient is at most this; 0 runs to the limit of float64.
        norm : {"inf", "2", "dual"} or float, default="inf"
            Norm of the gradient in the stop rule and the trace.
        f_target : float, optional
            Stop when the objective is at most this.
        maxiter : int, default=10000
            Iterations at the most.
        maxtime : float, optional
            Seconds at the most, looked at after each iteration; no limit by default.
        callback : callable, optional
            ``callback(xk)`` or ``callback(intermediate_result=res)``; raising StopIteration stops with status 99.
        keep_x : bool, default=False
            Keep all iterates in ``result.trace.x``.
        disp : bool, default=False
            Print a line for each iteration.
        stop : StopRule, optional
            A further rule, asked before the others.
        checkpoint : Checkpoint or path, optional
            Where the run is kept, so that it can go on after a kill, see `gnsopt.Checkpoint`. Limits are those of the
            whole run, and `x0` is that of its start. A solver of which `resumed` knows how to go on takes the steps
            that it would have taken, where its curvature depends on the point alone, as with direct solves; what a
            curvature remembers (preconditioners, secant pairs) is not kept. Another solver starts anew at the best
            point.
        bounds, constraints : object
            Refused by solvers of unconstrained problems.

        Returns
        -------
        OptimizeResult
            ``x fun jac nit nfev njev nhev nhessp nsolve success status message trace curvature``.

        Raises
        ------
        TypeError, ValueError
            For misuse, before any work.
        """
        self.refuse_constraints(bounds, constraints)
        rule = stop_rule(gtol, norm, f_target, maxiter, maxtime)
        for name, flag in (("keep_x", keep_x), ("disp", disp)):
            if not isinstance(flag, bool | np.bool_ | int):
                raise ValueError(f"{name}={shown(flag)} must be True or False")
        if not (stop is None or isinstance(stop, StopRule)):
            raise TypeError(f"stop={shown(stop)} is not a StopRule; compose them with | and &, see gnsopt.stopping")
        rule = rule if stop is None else stop | rule
        if not isinstance(problem, Objective):
            raise TypeError(
                f"problem={type(problem).__name__} is not an Objective; "
                "for a callable use gnsopt.minimize(fun, x0, jac=...)"
            )
        problem = problem.fresh()
        start = problem.start() if x0 is None else check_x0(x0, problem.n)
        metric = getattr(self, "metric", None)
        natural = isinstance(metric, str) and metric == "auto"
        B = problem.metric() if natural else as_metric(metric, problem.n)
        if B.n not in (None, problem.n):
            raise ValueError(f"metric is of order {B.n}; the problem has {problem.n} variables")
        largest = {"inf": gtol, np.inf: gtol, "2": gtol / np.sqrt(problem.n), 2: gtol / np.sqrt(problem.n)}
        enough = largest.get(norm, 0.0) if self.ends_early else 0.0
        point, log = Point(problem, start, Counts(), B, enough), None
        solver: Solver = self
        if checkpoint is not None:
            point, solver, log = self._open(checkpoint, point, norm, keep_x)
        free = natural and getattr(self, "curvature", None) is auto  # to choose the coordinates, too
        return drive(
            partial(through_rows, solver.iterates, patient=solver.quick) if free else solver.iterates,
            point,
            rule,
            norm=norm,
            callback=callback,
            keep_x=keep_x,
            disp=disp,
            monotone=self.descends(problem),
            log=log,
        )

    def _open(self, checkpoint: Any, start: Point, norm: Any, keep_x: bool) -> tuple[Point, Solver, Log]:
        """Return the point and the solver that the run begins or goes on with, and its log."""
        if keep_x:
            raise ValueError("keep_x=True: a checkpoint does not hold the iterates; leave one of the two out")
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        log = checkpoint.open(facts_of(start.objective, self, norm))
        if log.past is None:
            return start, self, log
        counts = Counts(**log.past.counts, memory=log.past.memory)
        last = Point(start.objective, log.past.x, counts, start.metric, start.enough)
        refuse_values(Path(checkpoint.path), log.past, last)
        try:
            solver = self.resumed(log.past.rows[-1]) if log.past.nit else self
        except KeyError as missing:
            cure = "remove it to start anew, or name another file"
            raise ValueError(f"checkpoint: {checkpoint.path} is damaged: it lacks {missing}: {cure}") from missing
        counts.first = 0.0 if solver is None else float(log.past.first[0])
        if solver is None and not np.array_equal(log.past.x, log.past.best):
            last = last.at(log.past.best)
        return last, solver or self, log

    def resumed(self, scalars: dict[str, float]) -> Solver | None:
        """Return the solver whose next step is the one that this solver takes after a step with these `scalars`.

        What a curvature model remembers is lost: the checkpoint says whether it does, ``load().memory``.

        Parameters
        ----------
        scalars : dict
            What `iterates` yielded with the last point.

        Returns
        -------
        Solver or None
            None, the default, where a step depends on more than the point and numbers of the last one; a run that goes
            on then starts anew at its best point.
        """
        return None

    def descends(self, problem: Objective) -> bool:
        """Return whether no accepted step on `problem` may raise f: a rise then means that the gradient is wrong.

        Parameters
        ----------
        problem : Objective
            The problem.

        Returns
        -------
        bool
            Whether f never rises.
        """
        return self.monotone

    def __call__(
        self,
        fun: Callable[..., Any],
        x0: Array,
        args: tuple[Any, ...] = (),
        jac: Any = None,
        hess: Any = None,
        hessp: Any = None,
        bounds: Any = None,
        constraints: Any = (),
        callback: Any = None,
        tol: float | None = None,
        **options: Any,
    ) -> OptimizeResult:
        """Answer ``scipy.optimize.minimize(..., method=self)``: fields and run options come in `options`.

        Parameters
        ----------
        fun, x0, args, jac, hess, hessp, callback
            As in SciPy; `jac` None means central differences.
        bounds, constraints
            Refused, with the name of a solver that takes them.
        tol : float, optional
            Sets `gtol`.
        **options : dict
            Run options of `minimize` and fields of the solver; an unknown one warns `OptimizeWarning`.

        Returns
        -------
        OptimizeResult
            As `minimize`.
        """
        self.refuse_constraints(bounds, constraints)
        known = {name for name in options if name in RUN_OPTIONS or name in self.settings()}
        unknown = sorted(set(options) - known)
        if unknown:
            warnings.warn(f"Unknown solver options: {', '.join(unknown)}", OptimizeWarning, stacklevel=3)
        x0 = check_x0(x0, None)
        problem = Callables(fun, x0.size, args, jac, hess, hessp)
        return self.run(problem, x0, callback, tol, {name: options[name] for name in known})

    def run(
        self, problem: Objective, x0: Any, callback: Any, tol: float | None, options: dict[str, Any]
    ) -> OptimizeResult:
        """Split `options` into fields of the solver and run options, and minimise.

        Parameters
        ----------
        problem : Objective
            What to minimise.
        x0 : array_like or None
            Start.
        callback : callable or None
            As in `minimize`.
        tol : float or None
            Sets ``gtol`` unless the options do.
        options : dict
            Known names only.

        Returns
        -------
        OptimizeResult
            The result.
        """
        own = {name: value for name, value in options.items() if name in self.settings()}
        rest = {name: value for name, value in options.items() if name not in own}
        if tol is not None:
            rest.setdefault("gtol", tol)
        return (replace(self, **own) if own else self).minimize(problem, x0, callback=callback, **rest)

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of the hyper-parameters."""
        return tuple(f.name for f in fields(cls) if f.init)

    def refuse_constraints(self, bounds: Any, constraints: Any) -> None:
        """Raise ValueError where bounds or constraints are given to a solver that has none.

        Parameters
        ----------
        bounds, constraints : object
            What the user gave; None and empty mean none.

        Raises
        ------
        ValueError
            With a solver to use instead.
        """
        name = type(self).__name__
        if bounds is not None:
            raise ValueError(
                f"bounds: {name} solves unconstrained problems; use scipy.optimize.minimize(method='L-BFGS-B')"
            )
        given = constraints is not None and (not isinstance(constraints, list | tuple) or len(constraints) > 0)
        if given and not self.supports_constraints:
            raise ValueError(
                f"constraints: {name} solves unconstrained problems; use gnsopt.AdaSketchNewton (equalities) or "
                "scipy.optimize.minimize(method='trust-constr')"
            )


def stop_rule(gtol: float, norm: Any, f_target: float | None, maxiter: int, maxtime: float | None) -> StopRule:
    """Check the run options and return their stop rule.

    Parameters
    ----------
    gtol : float
        Tolerance on the gradient norm, non-negative.
    norm : {"inf", "2", "dual"} or float
        Which norm.
    f_target : float or None
        Value to stop at.
    maxiter : int
        Iterations at the most.
    maxtime : float or None
        Seconds at the most.

    Returns
    -------
    StopRule
        Target, gradient norm, iterations, time: asked in this order.

    Raises
    ------
    ValueError
        If a value is out of range.
    """
    rule: StopRule = GradientNorm(gtol, norm) | MaxIterations(maxiter)
    rule = rule if f_target is None else Target(f_target) | rule
    return rule if maxtime is None else rule | MaxTime(maxtime)


def check_trials(max_trials: Any) -> None:
    """Raise ValueError unless there is at least one trial per iteration.

    Parameters
    ----------
    max_trials : int
        Trials per iteration at the most.

    Raises
    ------
    ValueError
        If it is not an integer of at least 1.
    """
    if not (isinstance(max_trials, int | np.integer) and max_trials >= 1):
        raise ValueError(f"max_trials={shown(max_trials)} must be an integer of at least 1")


def check_x0(x0: ArrayLike, n: int | None) -> Array:
    """Return a float64 copy of the start as a vector.

    Parameters
    ----------
    x0 : array_like
        Start.
    n : int or None
        Its length, where known.

    Returns
    -------
    ndarray of shape (n,)
        The copy.

    Raises
    ------
    ValueError
        If it is not a real vector of that length.
    """
    try:
        raw = np.asarray("" if np.ma.is_masked(x0) else x0)
    except ValueError:
        raise ValueError("x0 is ragged; it must be a vector of real numbers") from None
    if raw.dtype.kind not in "fiub" or raw.ndim > 1:
        raise ValueError(f"x0 has shape {raw.shape} and dtype {raw.dtype}; it must be a vector of real numbers")
    x = np.array(raw, dtype=float).reshape(-1)
    if n is not None and x.size != n:
        raise ValueError(f"x0 has {x.size} entries; the problem has {n} variables")
    if x.size == 0:
        raise ValueError("x0 is empty; the problem needs at least one variable")
    return x


def suggest(name: str, names: Any) -> str:
    """Return ``"; did you mean ...?"`` for a misspelt name, or the list of names.

    Parameters
    ----------
    name : str
        What the user wrote.
    names : iterable of str
        What there is.

    Returns
    -------
    str
        The end of an error message.
    """
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names)}"
