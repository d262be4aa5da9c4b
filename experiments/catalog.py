"""The problems and solvers that a toml names.

A problem is a function ``(**settings) -> Instance``; give it a parameter ``seed`` and it gets that of ``[run]``. A
solver is ``{method = "gns", ...}``: a name of `gnsopt.registry.SOLVERS` and fields of that solver, where
``metric = "gram"`` (any name of the instance's metrics) stands for a matrix and ``metric = "identity"`` for none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnsopt import Logistic, LogSumExp, Objective, Softmax, Solver, datasets
from gnsopt._typing import Array
from gnsopt.cli.options import read_l2
from gnsopt.registry import SOLVERS
from gnsopt.solver import suggest


@dataclass(frozen=True)
class Instance:
    """A problem with its start (its own by default) and its metrics by name."""

    objective: Objective
    x0: Array | None = None
    metrics: dict[str, Any] = field(default_factory=dict)


def logsumexp(n: int = 1000, m: int = 1000, mu: float = 1.0, seed: int = 3124) -> Instance:
    """Centred log-sum-exp of uniform data, as in the authors' notebooks: the metric is ``A A'`` before centring."""
    rng = np.random.RandomState(seed)  # the authors' generator
    A, b = rng.rand(n, m) * 2 - 1, rng.rand(m) * 2 - 1
    return Instance(LogSumExp.centered(A.T, b, mu), np.ones(n), {"gram": A @ A.T})


def logistic(data: str, l2: str = "1/n", fit_intercept: bool = False) -> Instance:
    """Logistic regression on a data set by name; `l2` is a number or a number divided by n, as a string."""
    X, y = datasets.load(data)
    return Instance(Logistic(X, y, read_l2(str(l2), len(y)), fit_intercept))


def softmax(data: str, l2: str = "1/n", fit_intercept: bool = False) -> Instance:
    """Softmax regression on a data set by name; `l2` as for logistic regression."""
    X, y = datasets.load(data)
    return Instance(Softmax(X, y, read_l2(str(l2), len(y)), fit_intercept))


PROBLEMS: dict[str, Callable[..., Instance]] = {"logsumexp": logsumexp, "logistic": logistic, "softmax": softmax}


def problem(settings: dict[str, Any], seed: int) -> Instance:
    """Build the problem that a cell names; FileNotFoundError if its data are absent."""
    settings = dict(settings)
    name = settings.pop("name")
    if name not in PROBLEMS:
        raise ValueError(f"problem {name!r} is unknown; {suggest(name, PROBLEMS)}")
    build = PROBLEMS[name]
    if "seed" in inspect.signature(build).parameters:
        settings.setdefault("seed", seed)
    return build(**settings)


def solver(settings: dict[str, Any], instance: Instance, seed: int) -> Solver:
    """Build the solver that a cell names, with the instance's matrix where it names a metric."""
    settings = dict(settings)
    method = settings.pop("method")
    if method not in SOLVERS:
        raise ValueError(f"method {method!r} is unknown; {suggest(method, SOLVERS)}")
    metric = settings.get("metric", "auto")
    if isinstance(metric, str) and metric != "auto":
        metrics = {"identity": None, **instance.metrics}
        if metric not in metrics:
            raise ValueError(f"metric {metric!r} is unknown to the problem; {suggest(metric, ['auto', *metrics])}")
        settings["metric"] = metrics[metric]
    if "seed" in SOLVERS[method].settings():
        settings.setdefault("seed", seed)
    return SOLVERS[method](**settings)
