"""Local orders of convergence, read from the trace."""

import numpy as np
import pytest

from gnsopt import CubicNewton, GradNormSmooth, Logistic, LogSumExp, Softmax, SuperNewton
from gnsopt.datasets import make_logistic, make_softmax


def logistic(l2=1e-3):
    return Logistic(*make_logistic(400, 20, condition=10), l2)


def softmax():
    return Softmax(*make_softmax(300, 8, 4, condition=5), 1e-3)


def log_sum_exp():
    rng = np.random.default_rng(0)
    return LogSumExp.centered(rng.standard_normal((120, 15)), rng.standard_normal(120), 0.3)


def orders(gradients):
    """Order of the last steps that are clear of rounding: log |g_{k+1}| / log |g_k|, both below 1."""
    g = gradients / gradients[0]
    g = g[(g < 1e-2) & (g > 1e-13)]
    return np.log(g[1:]) / np.log(g[:-1])


@pytest.mark.parametrize("case", [logistic, softmax, log_sum_exp])
@pytest.mark.parametrize("curvature", ["exact", "exact:spectral", "exact:tridiagonal"])
@pytest.mark.parametrize("growth", ["paper", "ratio"])
def test_exact_hessian_is_quadratic(case, curvature, growth):
    solver = GradNormSmooth(curvature=curvature, growth=growth)
    problem = case()
    res = solver.minimize(problem, np.ones(problem.n) / 2, gtol=1e-13, norm="dual")
    g = res.trace["gnorm"]
    g = g[g > 1e-13]
    quotients = g[1:] / g[:-1] ** 2
    assert (g[-3:] / g[-4:-1] < 0.2).all()  # there is a tail
    assert (quotients[-3:] <= 30 * quotients[-4]).all()  # |g_{k+1}| <= C |g_k|^2
    assert orders(res.trace["gnorm"])[-1] >= 1.7


@pytest.mark.parametrize("solver", [SuperNewton(), CubicNewton()], ids=repr)
@pytest.mark.parametrize("case", [logistic, softmax, log_sum_exp])
def test_other_newton_methods_are_quadratic(case, solver):
    problem = case()
    res = solver.minimize(problem, np.ones(problem.n) / 2, gtol=1e-13, norm="dual")
    assert orders(res.trace["gnorm"])[-1] >= 1.7


@pytest.mark.parametrize("case", [logistic, softmax])
def test_inexact_solves_keep_a_superlinear_rate(case):
    """The residual rule tightens with lam = |g|/gamma; without its floor the order is that of the exact solves."""
    from gnsopt.curvature import exact

    tight = GradNormSmooth(curvature=exact.using("cg", theta=0.25, floor=0.0)).minimize(case(), gtol=1e-13, norm="dual")
    assert orders(tight.trace["gnorm"])[-1] >= 1.7


@pytest.mark.parametrize("case", [logistic, softmax])
def test_fisher_is_linear_where_the_loss_does_not_vanish(case):
    """|hess f - Fisher| = O(f*): the gradient falls by a factor that does not go to zero."""
    res = GradNormSmooth(curvature="fisher").minimize(case(), gtol=1e-11, norm="dual")
    assert res.success
    shrink = res.trace["gnorm"][1:] / res.trace["gnorm"][:-1]
    assert shrink[-6:].min() > 0.02
    assert shrink[-6:].max() < 1


def test_weighted_gauss_newton_is_quadratic_on_log_sum_exp():
    """|hess f - WGN| = |g|^2/mu vanishes at the minimiser: the order of the exact Hessian."""
    problem = log_sum_exp()
    res = GradNormSmooth(curvature="gauss_newton").minimize(problem, np.ones(problem.n) / 2, gtol=1e-13, norm="dual")
    assert orders(res.trace["gnorm"])[-1] >= 1.7


@pytest.mark.data
def test_published_tail(data):
    """mushrooms with l2 = 1/n, metric I: |g| of the last steps as computed elsewhere, two printed digits."""
    X, y = data("mushrooms")
    res = GradNormSmooth("exact", metric=None).minimize(Logistic(X, y, 1 / len(y)), gtol=1e-13, norm="2")
    np.testing.assert_allclose(res.trace["gnorm"][-5:-1], [4.8e-4, 6.8e-5, 1.9e-6, 1.6e-9], rtol=0.04)
    assert res.trace["gnorm"][-1] <= 2e-15
    assert (res.nit, res.nsolve) == (12, 13)
