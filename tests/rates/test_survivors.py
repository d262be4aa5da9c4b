"""What planted bugs showed to be untested: cubic steps, lower bounds, ties, the wide metric, help that is bought."""

import numpy as np
import pytest
from scipy.optimize import brentq

import gnsopt
from gnsopt.curvature import exact
from gnsopt.driver import drive
from gnsopt.point import Point
from gnsopt.stopping import MaxIterations


@pytest.fixture(scope="module")
def problem():
    X, y = gnsopt.datasets.make_logistic(200, 6, condition=30.0, seed=2)
    return gnsopt.Logistic(X, y, l2=1e-3)


def test_cubic_newton_is_the_papers_loop(problem):
    def parts(x):
        z = problem.prepare(x)
        return problem.fun(x, z), problem.grad(x, z), problem.hess(x, z).dense()

    x, M, values, constants = np.zeros(problem.n), 1.0, [], []
    for _ in range(6):
        f, g, H = parts(x)
        while True:

            def step(r, M=M, g=g, H=H):
                return -np.linalg.solve(H + M * r / 2 * np.eye(problem.n), g)

            r = brentq(lambda r: np.linalg.norm(step(r)) - r, 0.0, 1e3, xtol=1e-14)
            h = step(r)
            model = g @ h + h @ H @ h / 2 + M / 6 * np.linalg.norm(h) ** 3
            if parts(x + h)[0] <= f + model:
                break
            M *= 2
        x = x + h
        values.append(parts(x)[0])
        constants.append(M)
        M = max(M / 2, 0.05)
    result = gnsopt.CubicNewton("exact", metric=None, M_min=0.05, growth="paper").minimize(problem, maxiter=6, gtol=0)
    np.testing.assert_allclose(result.trace["fun"][1:], values, rtol=1e-10)
    np.testing.assert_array_equal(result.trace["M"][1:], constants)


def test_gamma_never_falls_below_its_lower_bound():
    """|x|: the steps must shrink without end, except for the bound (H = 0, gradient +-1)."""

    class Tent(gnsopt.Objective):
        n, convex = 1, True

        def fun(self, x, z):
            return float(np.sqrt(x[0] ** 2 + 1e-4))

        def grad(self, x, z):
            return x / np.sqrt(x**2 + 1e-4)

    solver = gnsopt.GradNormSmooth("zero", growth="fixed", gamma_min=0.3, accept="none", gamma0=0.3 / 8)
    result = solver.minimize(Tent(), np.array([1.0]), maxiter=4, gtol=0)
    np.testing.assert_array_equal(result.trace["gamma"][1:], [0.3 / 8, 0.3, 0.3, 0.3])


def test_a_value_lower_beyond_rounding_is_the_better_point(problem):
    """A drop of 1e-9 |f| counts, whatever the gradient says."""

    class Steps(gnsopt.Objective):
        n = 1

        def fun(self, x, z):
            return 1.0 + 1e-9 * float(x[0])

        def grad(self, x, z):
            return np.array([1.0 if x[0] < 0 else 0.1])

    def iterates(x):
        yield x.at(np.array([-1.0])), {}
        while True:
            yield x.at(np.array([1.0])), {}

    result = drive(iterates, Point(Steps(), np.zeros(1)), MaxIterations(2))
    np.testing.assert_array_equal(result.x, [-1.0])


def test_the_natural_metric_of_wide_data_is_the_largest_second_moment():
    X = np.random.default_rng(0).standard_normal((5, 9)) * np.arange(1, 10)
    wide = gnsopt.Logistic(X, [0, 1, 0, 1, 1])
    assert wide.metric().diagonal == pytest.approx((X**2).mean(axis=0).max(), rel=1e-14)
    tall = gnsopt.Logistic(X[:, :3], [0, 1, 0, 1, 1])
    np.testing.assert_allclose(tall.metric().diagonal, (X[:, :3] ** 2).mean(axis=0), rtol=1e-14)


def test_help_is_bought_once_products_have_cost_as_much():
    """Ill-conditioned softmax, 800 variables: class blocks and the dense Hessian are bought, and pay."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((400, 80)) * np.logspace(0, -3, 80) @ np.linalg.qr(rng.standard_normal((80, 80)))[0]
    problem = gnsopt.Softmax(X, rng.integers(0, 10, 400), l2=1e-10)
    bought = gnsopt.GradNormSmooth("auto").minimize(problem, gtol=1e-10, maxiter=200)
    plain = gnsopt.GradNormSmooth(exact.using("cg")).minimize(problem, gtol=1e-10, maxiter=200)
    assert bought.success
    assert "conjugate" in bought.curvature
    assert bought.nhev > 0
    assert plain.nhev == 0
    assert bought.nhessp < plain.nhessp


@pytest.mark.parametrize("method", ["gns", "super-newton", "extrapolated-newton", "cubic-newton"])
def test_the_limit_of_float64_is_told_from_a_failed_step(problem, method):
    result = gnsopt.minimize(problem, method=method, options={"gtol": 0.0, "maxiter": 300})
    assert result.status == gnsopt.Status.PRECISION_LIMIT
    assert np.abs(result.jac).max() < 1e-14


def test_a_rise_beyond_rounding_is_not_believed_from_the_slopes():
    """f = 1e3 + x'x with the wrong sign of the gradient: the rises add up to more than rounding."""
    result = gnsopt.minimize(lambda x: 1e3 + x @ x, np.full(2, 0.1), jac=lambda x: -2 * x)
    assert result.status == gnsopt.Status.STEP_FAILURE


def test_inexact_solves_keep_the_quadratic_order_without_rejections():
    X, y = gnsopt.datasets.make_logistic(300, 40, condition=100.0, seed=1)
    result = gnsopt.GradNormSmooth("exact:cg").minimize(gnsopt.Logistic(X, y, l2=1e-3), gtol=1e-13)
    G = result.trace["gnorm"]
    assert result.success
    assert np.all(result.trace["trials"][-3:] == 1)
    assert G[-1] / G[-2] ** 2 < 1e3


def test_cubic_newton_finds_its_constant_however_far_off_the_first_one_is():
    """A saddle of curvature -1e19: sixty doublings of M0 = 1 would end at steps of 20, where f is higher."""

    def fun(x):
        return 1e19 * float(np.cos(x[0])) + float(np.cosh(x[1]))

    def jac(x):
        return np.array([-1e19 * np.sin(x[0]), np.sinh(x[1])])

    def hess(x):
        return np.diag([-1e19 * np.cos(x[0]), np.cosh(x[1])])

    result = gnsopt.minimize(fun, [1e-3, 2.0], jac=jac, hess=hess, options={"maxiter": 200, "gtol": 1e10})
    assert result.nit > 0
    assert result.fun < -0.999e19
