"""The tables by name: solvers (with those of other packages), curvature models and small problems to try them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import rosen, rosen_der, rosen_hess
from scipy.sparse import dia_array

from gnsopt import curvature, datasets
from gnsopt._typing import Array, Matrix
from gnsopt.objective import Callables, Objective
from gnsopt.problems import (
    MLP,
    ChebyshevChain,
    Composite,
    Logistic,
    LogSumExp,
    MatrixFactorization,
    ModularAddition,
    PoissonRegression,
    PolytopeFeasibility,
    PseudoHuber,
    ResidualPower,
    Rosenbrock,
    RosenbrockEquations,
    SmoothMax,
    Softmax,
    SquaredLoss,
    TabularMDP,
    WorstCaseChain,
)
from gnsopt.solver import Solver
from gnsopt.solvers.named import load_solvers

__all__ = ["CURVATURES", "PROBLEMS", "SOLVERS", "load_solvers"]


def _standardised(name: str) -> tuple[Matrix, Array]:
    X, y = datasets.load(name)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _logistic() -> Objective:
    X, y = datasets.make_logistic(60, 8, condition=10.0, seed=1)
    return Logistic(X, y, l2=1e-2, fit_intercept=True)


def _logistic_breast_cancer() -> Objective:
    return Logistic(*_standardised("breast_cancer"), l2=1e-2, fit_intercept=True)


def _logistic_sparse() -> Objective:
    X, y = datasets.make_logistic(80, 15, density=0.2, seed=2)
    return Logistic(X, y, l2=1e-2)


def _logistic_weighted() -> Objective:
    """Weights of zero among others, and one penalty per feature."""
    X, y = datasets.make_logistic(50, 6, seed=3)
    return Logistic(X, y, l2=np.geomspace(1e-3, 1e-1, 6), sample_weight=np.arange(50.0) % 5)


def _logistic_wide() -> Objective:
    X, y = datasets.make_logistic(15, 45, seed=4)
    return Logistic(X, y, l2=1e-1, fit_intercept=True)


def _softmax_iris() -> Objective:
    return Softmax(*_standardised("iris"), l2=1e-2, fit_intercept=True)


def _softmax_sparse() -> Objective:
    X, y = datasets.make_softmax(60, 10, 3, density=0.2, seed=5)
    return Softmax(X, y, l2=1e-2)


def _softmax_wide() -> Objective:
    X, y = datasets.make_softmax(12, 20, 3, seed=6)
    return Softmax(X, y, l2=1e-1, fit_intercept=True)


def _logsumexp() -> Objective:
    rng = np.random.default_rng(7)
    return LogSumExp(rng.standard_normal((60, 10)), rng.standard_normal(60), mu=0.5)


def _logsumexp_centered() -> Objective:
    """The same, shifted so that its start, zero, is its minimiser."""
    rng = np.random.default_rng(7)
    return LogSumExp.centered(rng.standard_normal((60, 10)), rng.standard_normal(60), mu=0.5)


def _poisson() -> Objective:
    rng = np.random.default_rng(8)
    X = rng.standard_normal((50, 6))
    return PoissonRegression(X, rng.poisson(np.exp(0.3 * X[:, 0])), l2=1e-2, fit_intercept=True)


def _polytope() -> Objective:
    """Empty, so that the minimum is above zero and its Hessian definite."""
    rng = np.random.default_rng(9)
    return PolytopeFeasibility(rng.standard_normal((40, 5)), -np.ones(40))


def _residual_power() -> Objective:
    """Without a solution, so that the residual and the Hessian do not vanish at the minimum."""
    rng = np.random.default_rng(10)
    return ResidualPower(rng.standard_normal((20, 6)) / 4, rng.standard_normal(20))


def _composite() -> Objective:
    """The smooth maximum of convex quadratics, ``u_i = (s_i + 2)^2/4`` with ``s = Ax - b``; convex."""
    rng = np.random.default_rng(12)
    A, b = rng.standard_normal((30, 5)), rng.standard_normal(30)
    problem = Composite(
        SmoothMax(0.5),
        lambda x: (A @ x - b + 2) ** 2 / 4,
        lambda x: (A @ x - b + 2)[:, None] * A / 2,
        5,
        hess_u=lambda x, w: (A.T * w) @ A / 2,
        change=lambda x, h: (A @ h) * (A @ (2 * x + h) - 2 * b + 4) / 4,
    )
    problem.convex = True
    return problem


def _composite_banded() -> Objective:
    """A robust loss of a chain, ``u_i = x_i + x_i^2/4 - x_{i+1}/2 - 2 (-1)^i``: not convex, everything tridiagonal."""
    offset = 2.0 * (-1.0) ** np.arange(6)
    return Composite(
        PseudoHuber(0.5),
        lambda x: x + x * x / 4 - np.append(x[1:], 0.0) / 2 - offset,
        lambda x: dia_array((np.stack([1 + x / 2, np.full(6, -0.5)]), (0, 1)), shape=(6, 6)),
        6,
        hess_u=lambda x, w: dia_array((w[None] / 2, (0,)), shape=(6, 6)),
        change=lambda x, h: h * (1 + (2 * x + h) / 4) - np.append(h[1:], 0.0) / 2,
    )


def _mlp() -> Objective:
    """A network that no labels fit exactly, so that the penalty has a say."""
    rng = np.random.default_rng(13)
    return MLP(rng.standard_normal((20, 3)), np.arange(20) % 3, hidden=(4,), l2=5e-2)


def _matrix_factorization() -> Objective:
    """Of more outputs than the rank: the residual does not vanish."""
    rng = np.random.default_rng(16)
    return MatrixFactorization(rng.standard_normal((12, 3)), rng.standard_normal((12, 4)), rank=2)


def _squared() -> Objective:
    rng = np.random.default_rng(11)
    return SquaredLoss(rng.standard_normal((40, 7)), rng.standard_normal(40), l2=1e-2, fit_intercept=True)


def _rosenbrock_callables() -> Objective:
    """SciPy-style callables of a function that is not convex."""
    problem = Callables(rosen, 3, jac=rosen_der, hess=rosen_hess)
    problem.x_star, problem.f_star = np.ones(3), 0.0
    return problem


def _rosenbrock_differences() -> Objective:
    """The same from values alone: every derivative by differences."""
    return Callables(rosen, 2)


SOLVERS: dict[str, type[Solver]] = load_solvers()

_WITH_PARAMETERS = (
    *("lazy:3", "topk:2", "subsampled:0.5", "sketch:5", "subspace:2", "projected:absolute", "secant:sr1"),
    *("mfac:gauss_newton", "mfac:6", "kfac:fisher", "mkor:2", "tract:first", "hutchinson:3"),
)

CURVATURES: dict[str, Any] = {
    **curvature.NAMES,
    **{name: curvature.resolve(name) for name in _WITH_PARAMETERS},
    **curvature.load_curvatures(),
}

# Smooth ones with minima: `TwoLayerReLU` has kinks there, and `CoordinateDifferences` no Hessian but its diagonal.
PROBLEMS: dict[str, Callable[[], Objective]] = {
    "logistic": _logistic,
    "logistic-breast-cancer": _logistic_breast_cancer,
    "logistic-sparse": _logistic_sparse,
    "logistic-weighted": _logistic_weighted,
    "logistic-wide": _logistic_wide,
    "softmax-iris": _softmax_iris,
    "softmax-sparse": _softmax_sparse,
    "softmax-wide": _softmax_wide,
    "logsumexp": _logsumexp,
    "logsumexp-centered": _logsumexp_centered,
    "poisson": _poisson,
    "polytope": _polytope,
    "residual-power": _residual_power,
    "squared": _squared,
    "mlp": _mlp,
    "mdp": lambda: TabularMDP.random(4, 3, seed=14),
    "matrix-factorization": _matrix_factorization,
    "modular-addition": lambda: ModularAddition(3, 2, l2=1e-2),
    "composite": _composite,
    "composite-banded": _composite_banded,
    "chebyshev": lambda: ChebyshevChain(4, p=2.0),
    "rosenbrock": Rosenbrock,
    "rosenbrock-equations": lambda: RosenbrockEquations(p=3.0),
    "rosenbrock-callables": _rosenbrock_callables,
    "rosenbrock-differences": _rosenbrock_differences,
    "worst-case": lambda: WorstCaseChain(6),
}
