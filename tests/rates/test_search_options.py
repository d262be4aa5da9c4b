"""Rules of the one search engine against plain loops written from their papers, and acceleration's certificate."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import gnsopt
from gnsopt import GradNormSmooth, Rosenbrock, Softmax, SuperNewton
from gnsopt.datasets import make_softmax
from gnsopt.stopping import GradientNorm


@pytest.fixture(scope="module")
def problem():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return gnsopt.Logistic(X, y, l2=1e-3)


@pytest.fixture(scope="module")
def solution(problem):
    return gnsopt.GradNormSmooth().minimize(problem, gtol=1e-13)


def plain(problem):
    """Value, gradient and Hessian of a problem as functions of x."""

    def fun(x):
        return problem.fun(x, problem.prepare(x))

    def grad(x):
        return problem.grad(x, problem.prepare(x))

    def hess(x):
        return problem.hess(x, problem.prepare(x)).dense()

    return fun, grad, hess


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2 / 3, 1.0])
def test_super_newton_is_the_papers_loop(problem, alpha):
    fun, grad, hess = plain(problem)
    x, H, expected = np.zeros(problem.n), 1.0, []
    for _ in range(8):
        g, A = grad(x), hess(x)
        while True:
            lam = H * np.linalg.norm(g) ** alpha
            h = -np.linalg.solve(A + lam * np.eye(problem.n), g)
            new = grad(x + h)
            if new @ -h >= new @ new / (4 * lam):
                break
            H *= 4
        x, H = x + h, max(H / 4, 1e-5)
        expected.append(fun(x))
    result = gnsopt.SuperNewton(alpha=alpha, metric=None, curvature="exact").minimize(problem, maxiter=8, gtol=0)
    np.testing.assert_allclose(result.trace["fun"][1:], expected, rtol=1e-11)


def test_mishchenko_rule_is_the_papers_loop(problem):
    fun, grad, hess = plain(problem)
    x, H, expected = np.zeros(problem.n), 1.0, []
    for _ in range(8):
        g, A = grad(x), hess(x)
        while True:
            lam = np.sqrt(H * np.linalg.norm(g))
            h = -np.linalg.solve(A + lam * np.eye(problem.n), g)
            r = np.linalg.norm(h)
            if fun(x + h) <= fun(x) - 2 / 3 * lam * r**2 and np.linalg.norm(grad(x + h)) <= 2 * lam * r:
                break
            H *= 4
        x, H = x + h, H / 4
        expected.append(fun(x))
    solver = gnsopt.GradNormSmooth("exact", growth="paper", metric=None, accept="cubic", power=0.5)
    result = solver.minimize(problem, maxiter=8, gtol=0)  # gamma = 1/sqrt(H): halving gamma is 4 H
    np.testing.assert_allclose(result.trace["fun"][1:], expected, rtol=1e-11)


@pytest.mark.parametrize("gamma0", [1e-10, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("metric", [None, "auto"])
def test_the_cubic_test_grows_from_any_radius_by_the_ratio_rule(problem, gamma0, metric):
    nits = {}
    for growth in ("ratio", "paper"):
        solver = gnsopt.GradNormSmooth("exact", growth=growth, metric=metric, accept="cubic", power=0.5, gamma0=gamma0)
        result = solver.minimize(problem, maxiter=200)
        assert result.success
        nits[growth] = result.nit
    assert abs(nits["ratio"] - nits["paper"]) <= 2, nits


def test_fixed_radius_of_a_quasi_self_concordant_function_never_rises(problem, solution):
    M = problem.design.row_norms.max()  # logistic loss: M = max_i |a_i|
    solver = gnsopt.GradNormSmooth("exact", growth="fixed", metric=None, accept="none", gamma0=1 / M)
    result = solver.minimize(problem, gtol=1e-9, maxiter=1000)
    assert result.success
    assert np.all(np.diff(result.trace["fun"]) <= 1e-15)
    assert np.all(result.trace["trials"][1:] == 1)
    assert result.fun == pytest.approx(solution.fun, rel=1e-12)


def test_acceptance_by_gradient_reaches_the_same_minimum(problem, solution):
    result = gnsopt.GradNormSmooth(accept="gradient").minimize(problem, gtol=1e-10)
    assert result.success
    assert result.fun == pytest.approx(solution.fun, rel=1e-13)


def test_gamma_never_leaves_its_bounds(problem):
    result = gnsopt.GradNormSmooth(gamma_max=2.0, growth="paper").minimize(problem)
    assert result.success
    assert result.trace["gamma"][1:].max() == 2.0


@pytest.mark.parametrize("curvature", ["exact", "fisher", "zero"])
def test_acceleration_keeps_its_certificate(problem, solution, curvature):
    """``A_k (f(x_k) - f*) <= |x_0 - x*|_B^2 / 2`` at every step, whatever positive semidefinite H is used."""
    result = gnsopt.AcceleratedNewton(curvature=curvature, metric=None).minimize(problem, gtol=0, maxiter=40)
    gap = result.trace["fun"][1:] - solution.fun
    bound = 0.5 * np.linalg.norm(solution.x) ** 2 / result.trace["A"][1:]
    assert np.all(gap <= bound + 1e-14)
    assert bound[-1] < bound[0] / 10


def test_acceleration_grows_faster_than_the_basic_bound(problem):
    """A grows at least like k^2 times its first value: ``sqrt(A_k)`` gains ``1/(2 sqrt(lam))`` at every step."""
    result = gnsopt.AcceleratedNewton(metric=None).minimize(problem, gtol=0, maxiter=15)
    A, lam = result.trace["A"][1:], result.trace["lam"][1:]
    assert np.all(np.diff(np.sqrt(A)) >= 1 / (2 * np.sqrt(lam[1:])) * (1 - 1e-12))


def test_extrapolation_never_raises_the_value_and_converges(problem, solution):
    result = gnsopt.ExtrapolatedNewton().minimize(problem, gtol=1e-10)
    assert result.success
    assert np.all(np.diff(result.trace["fun"]) <= 1e-15)
    assert result.fun == pytest.approx(solution.fun, rel=1e-13)
    assert result.trace["momentum"][1:].max() > 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"accept": "luck"}, "accept"),
        ({"growth": "wild"}, "growth"),
        ({"power": 1.5}, "power"),
        ({"factor": 1.0}, "factor"),
        ({"gamma0": -1.0}, "gamma0"),
        ({"max_trials": 0}, "max_trials"),
        ({"curvature": "exakt"}, "curvature"),
        ({"metric": "euclid"}, "metric"),
    ],
)
def test_misspelt_settings_are_named(problem, settings, name):
    with pytest.raises(ValueError, match=name):
        gnsopt.GradNormSmooth(**settings).minimize(problem)


@pytest.mark.parametrize(
    "solver",
    [SuperNewton(H0=1e-7, H_min=1e-7, metric=None), GradNormSmooth(accept="gradient", gamma0=1e7, metric=None)],
    ids=["super-newton", "gradient test"],
)
def test_a_small_gradient_beyond_the_minimiser_is_no_reason_to_rise(solver):
    """Convex, with slopes -1 on the left and 5e-9 on the right: far on the right the gradient is below gtol."""
    a, b = (5e-9 - 1) / 2, (5e-9 + 1) / 2
    res = gnsopt.minimize(
        lambda x: a * x[0] + b * np.sqrt(x[0] ** 2 + 1e-18),
        np.array([-1e-4]),
        jac=lambda x: a + b * x / np.sqrt(x**2 + 1e-18),
        hess=lambda x: np.diag(b * 1e-18 / (x**2 + 1e-18) ** 1.5),
        method=solver,
        options={"maxiter": 300},
    )
    assert np.diff(res.trace["fun"]).max() <= 0
    assert res.fun < 1e-4


def test_a_gradient_whose_norm_underflows_ends_the_run():
    res = gnsopt.minimize(
        lambda x: float(np.exp(-x[0])),
        [0.0],
        jac=lambda x: -np.exp(-x),
        hess=lambda x: np.exp(-x)[:, None],
        method=GradNormSmooth(metric=16.0),
        options={"gtol": 0.0},
    )
    assert np.isfinite(res.fun)


def test_both_spellings_of_a_norm_give_the_same_run():
    X, y = make_softmax(300, 40, 5)
    problem = Softmax(X, y, l2=1e-4)
    for word, number in (("inf", np.inf), ("2", 2), ("2", np.int64(2))):
        runs = [GradNormSmooth("exact:cg").minimize(problem, norm=norm) for norm in (word, number)]
        assert runs[0].nhessp == runs[1].nhessp
        np.testing.assert_array_equal(runs[0].x, runs[1].x)


@pytest.mark.parametrize("stop", [3, GradientNorm])
def test_a_stop_that_is_no_rule_is_named(stop):
    with pytest.raises(TypeError, match="stop="):
        GradNormSmooth().minimize(Rosenbrock(), stop=stop)
