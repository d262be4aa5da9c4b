"""Problems with a certificate or a spectrum to look at that a toml names, and SciPy's nonlinear least squares."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, curve_fit, least_squares
from sklearn.datasets import load_digits

from experiments.instance import Instance
from gnsopt import Objective, Status
from gnsopt.diagnostics import split
from gnsopt.driver import Trace, new_result
from gnsopt.point import Counts, Point
from gnsopt.problems import MLP, NonlinearRegression, TabularMDP, TwoLayerReLU, load_nist


def relu(n: int = 10, d: int = 2, neurons: int = 20, beta: float = 0.1, start: int = 0, seed: int = 3124) -> Instance:
    """Two-layer ReLU training on n normal samples in the plane, all patterns: f* is certified to 1e-10."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(n)
    problem = TwoLayerReLU(X, y, neurons, beta, seed=start)
    problem.f_star = problem.certified_optimum().lower
    return Instance(problem)


def mdp(states: int = 20, actions: int = 5, gamma: float = 0.9, seed: int = 3124) -> Instance:
    """A random decision process from the uniform policy; f* is that of policy iteration."""
    problem = TabularMDP.random(states, actions, gamma, seed)
    problem.certified_optimum()
    return Instance(problem)


def nist(data: str, start: int = 1) -> Instance:
    """One of NIST's nonlinear regressions from its far (1) or near (2) start; the digits of the result are kept.

    f* is the certified value less its last digits; 0 for Lanczos1, whose residuals are rounding.
    """
    certified = load_nist(data)
    problem = certified.problem(start)
    problem.f_star = 0.0 if data == "Lanczos1" else certified.rss / 2 * (1 - 1e-8)
    return Instance(problem, arrays=lambda found: {"digits": certified.digits(found.x)})


def digits_network(
    classes: int = 10, rows: int = 300, hidden: int = 24, l2: float = 1e-3, seed: int = 3124
) -> Instance:
    """A network on the first digits of so many classes; all eigenvalues at the end, of H, its two parts, are kept."""
    X, y = load_digits(return_X_y=True)
    problem = MLP(X[y < classes][:rows] / 16, y[y < classes][:rows], (hidden,), "tanh", l2=l2, seed=seed)

    def spectra(found: OptimizeResult) -> dict[str, Any]:
        parts = vars(split(Point(problem, found.x), dense=problem.n))
        return {name: part.values[0][::-1] for name, part in parts.items()}

    return Instance(problem, arrays=spectra)


@dataclass(frozen=True)
class ScipyLeastSquares:
    """``scipy.optimize.least_squares`` with our Jacobian and the tightest tolerances, or ``curve_fit`` without it."""

    algorithm: str  # "lm", "trf", "dogbox", or "curve_fit"

    def minimize(self, problem: Objective, x0: Any = None, *, maxiter: int = 10_000, **stop: Any) -> OptimizeResult:
        """Run it from the problem's start; the trace has two rows."""
        assert isinstance(problem, NonlinearRegression)
        b0, begin = problem.start(), time.perf_counter()
        tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if self.algorithm == "curve_fit":
                    x, nfev = _curve_fit(problem, b0, maxiter, tight)
                else:
                    found = least_squares(
                        problem.residual, b0, problem.jacobian, method=self.algorithm, max_nfev=maxiter, **tight
                    )
                    x, nfev = found.x, int(found.nfev)
            except (RuntimeError, ValueError):  # curve_fit gives up so, least_squares where a residual is not finite
                x, nfev = b0, 0
        return _result(problem, b0, x, nfev, time.perf_counter() - begin)


def _curve_fit(problem: NonlinearRegression, b0: Any, maxiter: int, tight: dict[str, float]) -> tuple[Any, int]:
    out = curve_fit(
        lambda x, *b: problem.model(np.array(b), problem.x),
        np.zeros_like(problem.y),
        problem.y,
        b0,
        maxfev=maxiter * b0.size,
        full_output=True,
        **tight,
    )
    return out[0], int(out[2]["nfev"])


def _result(problem: Objective, b0: Any, x: Any, nfev: int, seconds: float) -> OptimizeResult:
    trace, begin, end = Trace(), Point(problem, b0, Counts()), Point(problem, x, Counts())
    if not (end.finite and end.f <= begin.f):
        end = begin
    counts = {"nfev": nfev, "njev": nfev, "nhev": 0, "nhessp": 0, "nsolve": nfev}
    for nit, point, spent in ((0, begin, 0), (1, end, 1)):
        row = {"nit": nit, "fun": point.f, "gnorm": point.max_norm, "time": spent * seconds}
        trace.append(row | {name: spent * count for name, count in counts.items()}, point.x)
    status = Status.PRECISION_LIMIT
    return new_result(
        x=end.x, fun=end.f, jac=end.g, nit=1, success=False, status=int(status), message="SciPy stopped", trace=trace,
        curvature="", **counts,
    )  # fmt: skip


BUILDERS: tuple[Callable[..., Instance], ...] = (relu, mdp, nist, digits_network)
METHODS: dict[str, Any] = {
    f"scipy-{name}": lambda name=name, **_: ScipyLeastSquares(name.replace("-", "_"))
    for name in ("lm", "trf", "dogbox", "curve-fit")
}
