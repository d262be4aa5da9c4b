"""Solver table x problem table, and solvers with other curvatures, metrics and fields, through the public check."""

import numpy as np
import pytest

from gnsopt import CubicNewton, FastGradientMethod, GradientMethod, GradNormSmooth, SuperNewton
from gnsopt.registry import PROBLEMS, SOLVERS
from gnsopt.testing import check_solver

FIRST_ORDER = {"gradient", "fast-gradient"} | {
    name for name, solver in SOLVERS.items() if getattr(solver, "order", 2) < 2
}
GTOL = {  # of first-order methods: thousands of gradient steps down a valley for 1e-6
    "chebyshev": 1e-2,
    "mlp": 1e-3,
    "mdp": 1e-3,  # its minimum is at infinity
    "matrix-factorization": 1e-3,
    "modular-addition": 1e-3,
    "rosenbrock": 1.0,
    "rosenbrock-equations": 1.0,
    "rosenbrock-callables": 0.1,
    "rosenbrock-differences": 0.1,
}
DESCENT = {"gns", "cubic-newton", "gradient", "target-surrogate", "levenberg-marquardt", "adaptive"}
DESCENT |= {"heavy-ball", "nesterov", "triple-momentum", "robust-momentum", "spectral-momentum"}
DESCENT |= {"consensus-hopping", "gradient-transport"}


def promises_descent(solver, problem):
    """Acceptance by values descends; the super-universal test, by gradients alone, does for convex f only."""
    return solver in DESCENT or (solver == "super-newton" and problem.convex)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_solver_passes(name, solver):
    problem = PROBLEMS[name]()
    x0 = np.ones(problem.n) if name == "logsumexp-centered" else None  # its own start is the solution
    gtol = GTOL.get(name, 1e-6) if solver in FIRST_ORDER else 1e-6
    check_solver(SOLVERS[solver](), problem, x0, gtol=gtol, monotone=promises_descent(solver, problem))


VARIANTS = {
    "gns gauss-newton": (GradNormSmooth(curvature="gauss_newton"), "logsumexp"),
    "gns fisher": (GradNormSmooth(curvature="fisher"), "softmax-iris"),
    "gns diagonal": (GradNormSmooth(curvature="diagonal"), "logistic"),
    "gns zero": (GradNormSmooth(curvature="zero"), "logistic-weighted"),
    "gns lazy": (GradNormSmooth(curvature="lazy:3"), "softmax-iris"),
    "gns cg": (GradNormSmooth(curvature="exact:cg"), "softmax-sparse"),
    "gns spectral": (GradNormSmooth(curvature="exact:spectral"), "logistic"),
    "gns paper": (GradNormSmooth(growth="paper"), "logsumexp"),
    "gns diagonal metric": (GradNormSmooth(metric=np.geomspace(0.5, 2.0, 9)), "logistic"),
    "gns dense metric": (GradNormSmooth(metric=np.eye(9) + 0.1), "logistic"),
    "super-newton alpha": (SuperNewton(alpha=0.5), "softmax-iris"),
    "super-newton lazy": (SuperNewton(curvature="lazy:2"), "logistic"),
    "cubic cg": (CubicNewton(curvature="exact:cg"), "logistic"),
    "cubic metric": (CubicNewton(metric=2.0), "rosenbrock"),
    "gradient metric": (GradientMethod(metric=np.geomspace(0.5, 2.0, 9)), "logistic"),
    "fast-gradient metric": (FastGradientMethod(metric=np.eye(9) + 0.1), "logistic"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_passes(variant):
    solver, name = VARIANTS[variant]
    check_solver(solver, PROBLEMS[name](), monotone=not isinstance(solver, FastGradientMethod))
