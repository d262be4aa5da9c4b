"""Runs that must not change: f times c, variables x = C y with the metric C'BC, classes and columns reordered."""

import numpy as np
import pytest

from gnsopt import CubicNewton, GradNormSmooth, Logistic, LogSumExp, Objective, Softmax, SuperNewton
from gnsopt.datasets import make_logistic, make_softmax


class Times(Objective):
    """c times another objective."""

    def __init__(self, problem, c):
        self.problem, self.c, self.n, self.convex = problem, c, problem.n, problem.convex

    def prepare(self, x):
        return self.problem.prepare(x)

    def fun(self, x, z):
        return self.c * self.problem.fun(x, z)

    def grad(self, x, z):
        return self.c * self.problem.grad(x, z)

    def hess(self, x, z):
        return self.c * self.problem.hess(x, z).dense()

    def gauss_newton(self, x, z):
        return self.c * self.problem.gauss_newton(x, z).dense()

    def difference(self, x, z, h):
        return self.c * self.problem.difference(x, z, h)


def logistic():
    return Logistic(*make_logistic(100, 8, condition=20), 1e-4)


def softmax():
    return Softmax(*make_softmax(100, 4, 3), 1e-3)


def log_sum_exp():
    rng = np.random.default_rng(0)
    return LogSumExp(rng.standard_normal((60, 8)), rng.standard_normal(60), 0.2)


PROBLEMS = [logistic, softmax, log_sum_exp]
CURVATURES = ["exact", "gauss_newton", "exact:spectral", "exact:tridiagonal", "exact:cg", "diagonal", "zero"]


def run(problem, x0, metric=None, curvature="exact", growth="paper", maxiter=12):
    solver = GradNormSmooth(curvature=curvature, growth=growth, metric=metric)
    return solver.minimize(
        problem, x0, maxiter=maxiter, gtol=1e-6 * getattr(problem, "c", 1.0), norm="dual", keep_x=True
    )


@pytest.mark.parametrize("growth", ["paper", "ratio"])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("case", PROBLEMS)
class TestMultiplesOfF:
    def test_powers_of_four_change_no_bit(self, case, curvature, growth):
        """Every operation scales exactly, square roots included."""
        x0 = np.full(case().n, 0.5)
        one = run(Times(case(), 1.0), x0, curvature=curvature, growth=growth)
        for c in (4.0**-15, 4.0**15):
            other = run(Times(case(), c), x0, curvature=curvature, growth=growth)
            np.testing.assert_array_equal(other.trace.x, one.trace.x)
            np.testing.assert_array_equal(other.trace["gamma"], one.trace["gamma"])
            np.testing.assert_array_equal(other.trace["lam"], c * one.trace["lam"])
            np.testing.assert_array_equal(other.trace["ratio"], one.trace["ratio"])

    def test_other_factors_change_the_last_bits(self, case, curvature, growth):
        x0 = np.full(case().n, 0.5)
        one = run(Times(case(), 1.0), x0, curvature=curvature, growth=growth)
        for c in (1e-7, 3.7, 1e5):
            other = run(Times(case(), c), x0, curvature=curvature, growth=growth)
            np.testing.assert_array_equal(other.trace["gamma"], one.trace["gamma"])
            np.testing.assert_allclose(other.trace.x, one.trace.x, rtol=1e-7, atol=1e-9)


def changes_of_variables(n):
    rng = np.random.default_rng(1)
    return {
        "scalar": 1e4 * np.eye(n),
        "columns in other units": np.diag(np.logspace(-5, 5, n)),
        "rotation": np.linalg.qr(rng.standard_normal((n, n)))[0],
        "general": rng.standard_normal((n, n)) + 3 * np.eye(n),
    }


@pytest.mark.parametrize("curvature", ["exact", "gauss_newton", "exact:spectral", "exact:tridiagonal"])
@pytest.mark.parametrize("change", ["scalar", "columns in other units", "rotation", "general"])
@pytest.mark.parametrize("case", ["logistic", "log-sum-exp"])
def test_change_of_variables(case, change, curvature):
    """With rows a -> C'a and B -> C'BC the iterates are y_k = C^{-1} x_k and gamma_k is the same, to the very end."""
    C = changes_of_variables(8)[change]
    rng = np.random.default_rng(2)
    B = np.cov(rng.standard_normal((8, 30)))
    if case == "logistic":
        X, y = make_logistic(100, 8, condition=20)
        one, other = Logistic(X, y), Logistic(X @ C, y)
    else:
        A, b = rng.standard_normal((60, 8)), rng.standard_normal(60)
        one, other = LogSumExp(A, b, 0.2), LogSumExp(A @ C, b, 0.2)
    x0 = np.full(8, 0.5)
    solver = {"curvature": curvature, "growth": "paper"}
    a = GradNormSmooth(metric=B, **solver).minimize(one, x0, gtol=1e-9, norm="dual", keep_x=True)
    M = C.T @ B @ C
    b = GradNormSmooth(metric=(M + M.T) / 2, **solver).minimize(
        other, np.linalg.solve(C, x0), gtol=1e-9, norm="dual", keep_x=True
    )
    assert a.success
    assert b.success
    assert a.nit == b.nit
    np.testing.assert_array_equal(b.trace["gamma"], a.trace["gamma"])
    np.testing.assert_allclose(np.array(b.trace.x) @ C.T, a.trace.x, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(b.trace["gnorm"], a.trace["gnorm"], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("solver", [GradNormSmooth, SuperNewton, CubicNewton])
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("case", [logistic, softmax])
def test_the_natural_metric_takes_units_out(case, scale, solver):
    """metric="auto" on c X (penalty times c^2) makes the run on X, with x/c for x, iteration by iteration."""
    problem = case()
    X = problem.design.X
    y = problem.classes[np.where(problem.sign > 0, 1, 0)] if case is logistic else problem.classes[problem.label]
    l2 = problem.ridge[0]
    one = solver().minimize(problem, gtol=1e-9, norm="dual")
    other = solver().minimize(type(problem)(scale * X, y, l2 * scale**2), gtol=1e-9, norm="dual")
    assert one.success
    assert other.nit == one.nit
    if solver is not CubicNewton:  # the solves of its root finder depend on the last bits
        assert other.nsolve == one.nsolve
    np.testing.assert_allclose(other.trace["gnorm"], one.trace["gnorm"], rtol=1e-4, atol=1e-13)
    np.testing.assert_allclose(scale * other.x, one.x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", [logistic, softmax])
def test_the_natural_metric_takes_the_units_of_columns_out(case):
    """Columns of 1e-4 to 1e4: the run without a penalty is that on the columns of one size."""
    problem = case()
    X = problem.design.X / np.sqrt(np.mean(problem.design.X**2, axis=0))
    units = np.logspace(-4, 4, X.shape[1])
    y = problem.classes[np.where(problem.sign > 0, 1, 0)] if case is logistic else problem.classes[problem.label]
    one, other = (GradNormSmooth().minimize(type(problem)(A, y), gtol=1e-9, norm="dual") for A in (X, X * units))
    assert one.success
    assert (other.nit, other.nsolve) == (one.nit, one.nsolve)
    a, b = one.x.reshape(len(units), -1), other.x.reshape(len(units), -1) * units[:, None]
    if case is softmax:  # known up to a vector common to the classes
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(b, a, rtol=1e-6)


def test_columns_classes_and_samples_in_another_order():
    X, y = make_softmax(100, 4, 3)
    rng = np.random.default_rng(0)
    columns, samples, classes = rng.permutation(4), rng.permutation(100), np.array([2, 0, 1])
    one = GradNormSmooth().minimize(Softmax(X, y, 1e-2), gtol=1e-11)
    other = GradNormSmooth().minimize(
        Softmax(X[samples][:, columns], classes[y[samples].astype(int)], 1e-2), gtol=1e-11
    )
    assert (one.nit, one.nsolve) == (other.nit, other.nsolve)
    V = np.empty((4, 3))
    V[:, classes] = one.x.reshape(4, 3)
    np.testing.assert_allclose(other.x.reshape(4, 3), V[columns], atol=1e-9)


def test_swapped_labels_change_the_sign():
    X, y = make_logistic(100, 8)
    one, other = (GradNormSmooth().minimize(Logistic(X, s * y, 1e-3)) for s in (1, -1))
    np.testing.assert_allclose(other.x, -one.x, rtol=1e-12)
    assert one.fun == pytest.approx(other.fun, rel=1e-14)
