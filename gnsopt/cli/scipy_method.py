"""SciPy's methods on our problems: counted, timed, stopped and recorded as our own runs are.

SciPy's own tolerances are as tight as each method allows. A run ends by the rule of the other methods, looked at after
each iteration and outside the clock: the infinity norm of the gradient, the iterations, the seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

from gnsopt._typing import Array
from gnsopt.driver import ROUNDING, Clock, Trace, new_result
from gnsopt.objective import Objective
from gnsopt.point import Counts, Point
from gnsopt.solver import stop_rule, suggest
from gnsopt.stopping import Progress, Status, gradient_norm

MANY = 10**9  # SciPy's own limits are out of the way: ours ends the run
LARGEST_DENSE = 20_000  # variables up to which a dense Hessian is formed (3.2 GB)

# name: (derivatives that it takes, options)
METHODS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "Nelder-Mead": ((), {"xatol": 0.0, "fatol": 0.0, "maxiter": MANY, "maxfev": MANY}),
    "Powell": ((), {"xtol": 0.0, "ftol": 0.0, "maxiter": MANY, "maxfev": MANY}),
    "CG": (("jac",), {"gtol": 0.0, "maxiter": MANY}),
    "BFGS": (("jac",), {"gtol": 0.0, "maxiter": MANY}),
    "Newton-CG": (("jac", "hessp"), {"xtol": 1e-300, "maxiter": MANY}),  # with 0.0, SciPy 1.12 takes no step
    "L-BFGS-B": (("jac",), {"ftol": 0.0, "gtol": 0.0, "maxiter": MANY, "maxfun": MANY}),
    "TNC": (("jac",), {"ftol": 0.0, "gtol": 0.0, "xtol": 0.0, "maxfun": MANY}),
    "COBYLA": ((), {"tol": 1e-16, "maxiter": MANY}),
    "COBYQA": ((), {"final_tr_radius": 1e-16, "maxiter": MANY, "maxfev": MANY}),
    "SLSQP": (("jac",), {"ftol": 0.0, "maxiter": MANY}),
    "trust-constr": (("jac", "hessp"), {"gtol": 0.0, "xtol": 0.0, "maxiter": MANY}),
    "dogleg": (("jac", "hess"), {"gtol": 0.0, "maxiter": MANY}),
    "trust-ncg": (("jac", "hessp"), {"gtol": 0.0, "maxiter": MANY}),
    "trust-exact": (("jac", "hess"), {"gtol": 0.0, "maxiter": MANY}),
    "trust-krylov": (("jac", "hessp"), {"gtol": 0.0, "maxiter": MANY}),
}
if tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 14):
    del METHODS["COBYQA"]


@dataclass(frozen=True)
class SciPyMethod:
    """A method of ``scipy.optimize.minimize`` with the face of our solvers; raises ValueError for an unknown name."""

    name: str

    def __post_init__(self) -> None:
        """Find the name, whatever its case."""
        known = {name.lower(): name for name in METHODS}
        if self.name.lower() not in known:
            raise ValueError(f"method 'scipy:{self.name}' is unknown; {suggest(self.name, METHODS)}")
        object.__setattr__(self, "name", known[self.name.lower()])

    def minimize(
        self,
        problem: Objective,
        *,
        gtol: float = 1e-8,
        maxiter: int = 10_000,
        maxtime: float | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> OptimizeResult:
        """Minimise `problem` from its start; parameters and result as those of `gnsopt.Solver.minimize`."""
        derivatives, options = METHODS[self.name]
        if "hess" in derivatives and problem.n > LARGEST_DENSE:
            raise ValueError(f"scipy:{self.name} needs a dense Hessian of {problem.n} variables: use scipy:trust-ncg")
        run = _Run(problem, "jac" in derivatives, gtol, maxiter, maxtime, callback)
        settings: dict[str, Any] = {name: getattr(run, name) for name in derivatives}
        settings |= {"method": self.name, "options": options, "callback": lambda x, *_: run.record(x)}
        try:
            run.begin()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what SciPy warns of is in its message
                found = scipy_minimize(run.fun, problem.start(), **settings)
            if not np.array_equal(found.x, run.x):
                run.record(found.x)
            return run.gave_up(found.message)
        except _Stop as stop:
            return run.result(stop.status)
        except (ArithmeticError, np.linalg.LinAlgError) as error:
            return run.gave_up(error)
        except KeyboardInterrupt:
            return run.result(Status.INTERRUPTED)


class _Stop(Exception):
    """Leave SciPy's loop with a status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class _Run:
    """One run: the callables that SciPy sees, the clock that only they and SciPy's own work move, and the trace."""

    def __init__(
        self,
        problem: Objective,
        with_gradient: bool,
        gtol: float,
        maxiter: int,
        maxtime: float | None,
        callback: Callable[..., Any] | None,
    ) -> None:
        self.problem, self.with_gradient, self.maxtime, self.callback = problem, with_gradient, maxtime, callback
        self.stop = stop_rule(gtol, "inf", None, maxiter, maxtime)
        self.counts, self.trace, self.clock = Counts(), Trace(), Clock()
        self.x = self.previous = problem.start()
        self._recent: dict[bytes, Point] = {}

    def at(self, x: Array) -> Point:
        """Return the point `x`: the last two are kept, so that f, gradient and products at one x share their work."""
        key = x.tobytes()
        point = self._recent.pop(key, None) or Point(self.problem, x.copy(), self.counts, trial=True)
        self._recent[key] = point
        if len(self._recent) > 2:
            del self._recent[next(iter(self._recent))]
        return point

    def fun(self, x: Array) -> float:
        """Return f(x); a method without gradients may pass its time here, between two iterations."""
        self.clock.pause()
        if self.maxtime is not None and self.clock.seconds >= self.maxtime:
            raise _Stop(Status.MAXTIME)
        self.clock.go()
        return self.at(x).f

    def jac(self, x: Array) -> Array:
        """Return a copy of the gradient, which SciPy may overwrite."""
        return self.at(x).g.copy()

    def hessp(self, x: Array, v: Array) -> Array:
        """Return the product of the Hessian with `v`."""
        return self.at(x).hessp(v)

    def hess(self, x: Array) -> Array:
        """Return the dense Hessian."""
        self.counts.nhev += 1
        return self.at(x).hess().dense()

    def begin(self) -> None:
        """Evaluate and record the start, which SciPy will ask for first and then finds here."""
        self.clock.go()
        self.fun(self.x)
        self.record(self.x)

    def record(self, x: Array) -> None:
        """Add an iterate to the trace and stop the run when it is time.

        The gradient at an iterate is work of a method that uses gradients: SciPy asks for it next and finds it here.
        For other methods it is ours, and neither counted nor timed.
        """
        if self.with_gradient:
            self.jac(x)
        self.clock.pause()
        self.previous, self.x = self.x, x.copy()
        point, nit = self.point(), len(self.trace)
        row = {"nit": nit, "fun": point.f, "gnorm": gradient_norm(point), "time": self.clock.seconds}
        self.trace.append(row | self.counts.as_dict(), self.x)
        if nit and self.callback is not None:
            self.callback(intermediate_result=new_result(x=self.x.copy(), fun=point.f, jac=point.g.copy()))
        status = self.stop(Progress(point, nit, self.clock.seconds))
        if status is not None:
            raise _Stop(status)
        self.clock.go()

    def gave_up(self, reason: object) -> OptimizeResult:
        """Return the result of a run that SciPy ended by itself: at the limit of float64 if f had stopped falling."""
        f = self.trace["fun"][-2:]
        level = len(f) == 2 and abs(f[0] - f[1]) <= ROUNDING * abs(f[1])
        status = Status.PRECISION_LIMIT if level else Status.STEP_FAILURE
        return self.result(status, f"SciPy stopped: {' '.join(str(reason).split())}")

    def point(self) -> Point:
        """Return the last iterate: a method with gradients has paid for it, for the others it costs nothing."""
        return self.at(self.x) if self.with_gradient else Point(self.problem, self.x, trial=True)

    def result(self, status: Status, message: str = "") -> OptimizeResult:
        """Return the last iterate with counts and trace."""
        self.clock.pause()
        point = self.point()
        if status is Status.CONVERGED and self.problem.at_infinity(self.x, point.z, self.x - self.previous):
            status = Status.AT_INFINITY
        return new_result(
            x=self.x.copy(),
            fun=point.f,
            jac=point.g.copy(),
            nit=len(self.trace) - 1,
            success=status.success,
            status=int(status),
            message=message or status.message,
            trace=self.trace,
            curvature="",
            **self.counts.as_dict(),
        )
