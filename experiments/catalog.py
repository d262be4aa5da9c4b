"""The problems and solvers that a toml names.

A problem is a function ``(**settings) -> Instance``; give it a parameter ``seed`` and it gets that of ``[run]``. A
solver is ``{method = "gns", ...}``: a name of `gnsopt.registry.SOLVERS` and fields of that solver, where
``metric = "gram"`` (any name of the instance's metrics) stands for a matrix and ``metric = "identity"`` for none, and
``curvature = "perturbed"`` with a `beta` for the exact Hessian with an error of known size (`Perturbed`). One's own are
named by where they are: ``name = "my_package.my_file:my_function"``, ``curvature = "my_package.my_file:my_model"``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import numpy as np

from experiments import bilevel_runs, certified, networks, sketching, transport
from experiments.adasketch import runs as adasketch
from experiments.instance import Instance
from gnsopt import (
    ChebyshevChain,
    Logistic,
    LogSumExp,
    Point,
    PoissonRegression,
    PolytopeFeasibility,
    ResidualPower,
    Rosenbrock,
    RosenbrockEquations,
    Softmax,
    Solver,
    SquaredLoss,
    WorstCaseChain,
    datasets,
    gram_metric,
)
from gnsopt._typing import Array
from gnsopt.cli.options import read_l2
from gnsopt.curvature import Build, Curvature, exact, start
from gnsopt.linalg.forms import Operator, Shifted
from gnsopt.registry import SOLVERS
from gnsopt.solver import suggest


def uniform(rows: int, columns: int, offsets: int, seed: int) -> tuple[Array, Array]:
    """Return the data of the authors' notebooks, uniform in [-1, 1] by their generator."""
    rng = np.random.RandomState(seed)
    return rng.rand(rows, columns) * 2 - 1, rng.rand(offsets) * 2 - 1


def logsumexp(n: int = 1000, m: int = 1000, mu: float = 1.0, seed: int = 3124) -> Instance:
    """Centred log-sum-exp of uniform data, as in the authors' notebooks: the metric is ``A A'`` before centring."""
    A, b = uniform(n, m, m, seed)
    return Instance(LogSumExp.centered(A.T, b, mu), np.ones(n), {"gram": A @ A.T})


def logsumexp_data(data: str, mu: float = 0.1, seed: int = 3124) -> Instance:
    """Centred log-sum-exp of the rows of a data set, ``b = 0``, ``B = X'X + 1e-8 I``, from a uniform start.

    Without the centring f has no minimum where all features are non-negative: it falls for ever along -1.
    """
    X, y = datasets.load(data)
    x0 = np.random.RandomState(seed).rand(X.shape[1]) * 2 - 1
    return Instance(LogSumExp.centered(X, np.zeros(len(y)), mu), x0, {"gram": gram_metric(X, 1e-8)})


def residual_power(n: int = 200, m: int = 100, p: float = 4.0, seed: int = 3124) -> Instance:
    """A power of the residual of m equations with n unknowns, as in the authors' notebooks: ``B = A'A + 1e-8 I``."""
    A, b = uniform(m, n, m, seed)
    problem = ResidualPower(A, b, p)
    problem.f_star = 0.0 if m <= n else None  # uniform data are of full rank
    return Instance(problem, metrics={"gram": gram_metric(A, 1e-8)})


def rosenbrock() -> Instance:
    """Rosenbrock's function from (-2, 2)."""
    return Instance(Rosenbrock())


def rosenbrock_equations(p: float = 5.0) -> Instance:
    """Rosenbrock's equations from (-2, 2)."""
    return Instance(RosenbrockEquations(p))


def chebyshev(n: int = 1000, p: float = 4.0, seed: int = 3124) -> Instance:
    """The Chebyshev chain from the authors' random start."""
    return Instance(ChebyshevChain(n, p, seed))


def polytope(n: int = 100, m: int = 200, p: float = 3.0, seed: int = 3124) -> Instance:
    """An empty polytope of m uniform half-spaces in n dimensions."""
    A, b = uniform(m, n, m, seed)
    return Instance(PolytopeFeasibility(A, b, p))


def worst_case(n: int = 500, q: float = 3.0) -> Instance:
    """The worst instance for methods of second order."""
    return Instance(WorstCaseChain(n, q))


def logistic(data: str, l2: str = "1/n", fit_intercept: bool = False) -> Instance:
    """Logistic regression on a data set by name; `l2` is a number or a number divided by n, as a string."""
    X, y = datasets.load(data)
    return Instance(Logistic(X, y, read_l2(str(l2), len(y)), fit_intercept))


def softmax(data: str, l2: str = "1/n", fit_intercept: bool = False) -> Instance:
    """Softmax regression on a data set by name; `l2` as for logistic regression."""
    X, y = datasets.load(data)
    return Instance(Softmax(X, y, read_l2(str(l2), len(y)), fit_intercept))


def squared(n: int = 50, m: int = 500, l2: float = 1e-3, seed: int = 3124) -> Instance:
    """Ridge regression on m normal rows whose n columns have scales from 1e-2 to 1."""
    X, rng = _normal(n, m, seed)
    return Instance(SquaredLoss(X, X @ np.ones(n) + 0.1 * rng.standard_normal(m), l2))


def poisson(n: int = 50, m: int = 500, l2: float = 1e-3, seed: int = 3124) -> Instance:
    """Poisson regression on m normal rows whose n columns have scales from 1e-2 to 1."""
    X, rng = _normal(n, m, seed)
    return Instance(PoissonRegression(X, rng.poisson(np.exp(0.3 * X @ np.ones(n))), l2))


def exponentials(n: int = 10, seed: int = 3124) -> Instance:
    """The mean of n functions ``exp(a_i'x)``, a_i uniform in [0, 1]: smoothness alpha = 0 down to 0, at infinity."""
    problem = PoissonRegression(np.random.RandomState(seed).rand(n, n), np.zeros(n))
    problem.f_star = 0.0
    return Instance(problem)


def _normal(n: int, m: int, seed: int) -> tuple[Array, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)) * np.geomspace(1e-2, 1, n), rng


PROBLEMS: dict[str, Callable[..., Instance]] = {
    build.__name__: build
    for build in (
        logsumexp,
        logsumexp_data,
        residual_power,
        rosenbrock,
        rosenbrock_equations,
        chebyshev,
        polytope,
        worst_case,
        logistic,
        softmax,
        squared,
        poisson,
        exponentials,
        *bilevel_runs.BUILDERS,
        *certified.BUILDERS,
        *networks.BUILDERS,
        *transport.BUILDERS,
        *sketching.BUILDERS,
    )
}


@dataclass(frozen=True)
class Perturbed:
    """The exact Hessian plus ``|g|_*^{1 - beta} B``: inexact with C1 = 0, C2 = 1 and this beta, no more and no less."""

    beta: float

    def start(self, x: Point) -> Build:
        """Begin a run of the exact Hessian."""
        build = start(exact, x)

        def perturbed(x: Point) -> Curvature:
            H, error = build(x), x.dual_norm ** (1 - self.beta)
            form = Operator(x.x.size, lambda v: H.form.matvec(v) + error * x.metric.apply(v))
            return Curvature(form, _Raised(H.shifted, error), x.counts)

        return perturbed


class _Raised(Shifted):
    """Shifted solves with ``H + error B``: those with H, further shifted."""

    def __init__(self, base: Shifted, error: float) -> None:
        self._base, self._error, self.lam_noise = base, error, base.lam_noise

    def solve(self, lam: float, b: Array) -> Array:
        return self._base.solve(lam + self._error, b)


def problem(settings: dict[str, Any], seed: int) -> Instance:
    """Build the problem that a cell names; FileNotFoundError if its data are absent."""
    settings = dict(settings)
    name = settings.pop("name")
    if name not in PROBLEMS and ":" not in name:
        raise ValueError(f"problem {name!r} is unknown; {suggest(name, PROBLEMS)}, or write module:function")
    build = resolve_name(name) if ":" in name else PROBLEMS[name]
    if "seed" in inspect.signature(build).parameters:
        settings.setdefault("seed", seed)
    return build(**settings)


def solver(settings: dict[str, Any], instance: Instance, seed: int) -> Solver:
    """Build the solver that a cell names, with the instance's matrix where it names a metric."""
    settings = dict(settings)
    method = settings.pop("method")
    others = certified.METHODS | transport.METHODS | sketching.METHODS | bilevel_runs.METHODS | adasketch.METHODS
    if method in others:
        return others[method](**settings)
    if method not in SOLVERS:
        raise ValueError(f"method {method!r} is unknown; {suggest(method, [*SOLVERS, *others])}")
    metric = settings.get("metric", "auto")
    if isinstance(metric, str) and metric != "auto":
        metrics = {"identity": None, **instance.metrics}
        if metric not in metrics:
            raise ValueError(f"metric {metric!r} is unknown to the problem; {suggest(metric, ['auto', *metrics])}")
        settings["metric"] = metrics[metric]
    curvature = settings.get("curvature", "")
    if curvature == "perturbed":
        settings["curvature"] = Perturbed(settings.pop("beta"))
    elif "." in curvature.partition(":")[0]:
        settings["curvature"] = resolve_name(curvature)
    if "seed" in SOLVERS[method].settings():
        settings.setdefault("seed", seed)
    return SOLVERS[method](**settings)
