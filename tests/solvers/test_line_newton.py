"""Newton with a search along the line: the line itself, the flat point, the inequality, the work."""

import numpy as np
import pytest

import gnsopt
from gnsopt.curvature import resolve
from gnsopt.globalization import flat_point
from gnsopt.objective import Callables
from gnsopt.point import Point
from gnsopt.solvers import GradNormSmooth, LineNewton


def data(n=200, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.geomspace(0.1, 10, d)
    return X, rng.integers(0, classes, n), rng


def models():
    X, y, rng = data(classes=3)
    weight = rng.uniform(0, 2, len(y))
    return {
        "logistic": gnsopt.Logistic(X, y > 0, 1e-2, fit_intercept=True, sample_weight=weight),
        "softmax": gnsopt.Softmax(X, y, 1e-2, fit_intercept=True),
        "poisson": gnsopt.PoissonRegression(X, y, 1e-2),
        "squares": gnsopt.SquaredLoss(X, y.astype(float), 1e-2),
    }


@pytest.mark.parametrize("name", ["logistic", "softmax", "poisson", "squares"])
def test_line_is_the_problem_along_it(name):
    problem = models()[name]
    rng = np.random.default_rng(1)
    x, h = 0.1 * rng.standard_normal((2, problem.n))
    line = problem.line(x, problem.prepare(x), h)
    for t in (0.0, 0.3, 1.0, 2.5):
        z, f, slope = line(t)
        y = x + t * h
        fresh = problem.prepare(y)
        assert np.allclose(z.Z, fresh.Z, rtol=1e-13, atol=1e-13)
        assert f == pytest.approx(problem.fun(y, fresh), rel=1e-13)
        assert slope == pytest.approx(problem.grad(y, fresh) @ h, rel=1e-10)


def test_the_value_on_a_line_keeps_its_digits_where_the_penalty_all_but_vanishes():
    X, y, _ = data()
    problem = gnsopt.Logistic(X, y, 1.0)
    x = np.full(problem.n, 1e6)
    h, t = -x + 1e-3, 1.0
    f = problem.line(x, problem.prepare(x), h)(t)[1]
    assert f == pytest.approx(problem.fun(x + h, problem.prepare(x + h)), rel=1e-9)  # the scores moved by 1e7


def test_a_model_with_its_own_values_has_no_cheap_line():
    class Shifted(gnsopt.Logistic):
        def fun(self, x, z):
            return super().fun(x, z) + 0.5 * float(x @ x)

        def grad(self, x, z):
            return super().grad(x, z) + x

    X, y, _ = data()
    problem = Shifted(X, y, 1e-2)
    assert not problem.offers("line")
    assert gnsopt.Logistic(X, y).offers("line")
    x = Point(problem, np.full(problem.n, 0.1))
    h = -x.g
    y, slope = x.line(h)(0.5)
    assert slope == y.g @ h
    assert gnsopt.minimize(problem, tol=1e-10).curvature  # "gns": the gradient and the values agree


@pytest.mark.parametrize("length", [1e-3, 0.2, 1.0, 7.0, 1e3])
def test_flat_point_whatever_the_length(length):
    problem = models()["logistic"]
    x = Point(problem, np.zeros(problem.n))
    h = -length * np.linalg.solve(_dense(problem, x), x.g)
    y, t = flat_point(x, h, 0.1)
    assert abs(y.g @ h) <= 0.1 * abs(x.g @ h) * (1 + 1e-12)
    assert y.f < x.f
    assert t > 0


def _dense(problem, x):
    L = x.hess().lower()
    return np.tril(L) + np.tril(L, -1).T


def test_flat_point_of_a_fall_without_end():
    problem = Callables(lambda x: float(-x[0]), 1, (), lambda x: np.array([-1.0]), None, None)
    x = Point(problem, np.zeros(1))
    y, t = flat_point(x, np.ones(1), 0.1)
    assert y.f < x.f
    assert t > 1


def test_flat_point_where_f_ends():
    def fun(x):
        return float(-np.log(1 - x[0]) - 3 * x[0]) if x[0] < 1 else np.nan

    problem = Callables(fun, 1, (), lambda x: np.array([1 / (1 - x[0]) - 3]), None, None)
    y, _ = flat_point(Point(problem, np.zeros(1)), np.array([50.0]), 0.1)
    assert abs(y.x[0] - 2 / 3) < 0.05


@pytest.mark.parametrize("name", ["logistic", "softmax", "poisson", "squares"])
def test_the_inequality_holds_at_every_step(name):
    problem = models()[name]
    result = LineNewton().minimize(problem, gtol=1e-12, keep_x=True)
    assert result.success
    metric = problem.metric()
    points = [Point(problem, x, metric=metric) for x in result.trace.x]
    for x, y, row in zip(points, points[1:-1], list(result.trace)[1:-1], strict=False):
        progress = 8 * x.dual_norm / row["gamma"] * (x.f - y.f) / y.dual_norm**2
        assert progress >= 1 - 1e-6


def test_half_of_the_newton_steps():
    X, y = gnsopt.datasets.load("breast_cancer")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    problem = gnsopt.Logistic(X, y, 1 / len(y))
    bold, damped = (S.minimize(problem, gtol=1e-10) for S in (LineNewton(), GradNormSmooth()))
    assert bold.success
    assert bold.nhev <= 0.7 * damped.nhev
    assert bold.fun == pytest.approx(damped.fun, rel=1e-14)
    assert problem.fun(bold.x, problem.prepare(bold.x)) == pytest.approx(bold.fun, rel=1e-14)


def test_linear_models_take_it_and_options_of_gns_take_gns():
    X, y, _ = data()
    problem = gnsopt.Logistic(X, y, 1e-2)
    assert "step" in gnsopt.minimize(problem).trace.columns
    assert "step" in gnsopt.minimize(problem, options={"gamma0": 2.0}).trace.columns
    assert "gamma_start" in gnsopt.minimize(problem, options={"growth": "paper"}).trace.columns


def test_order_of_convergence_with_inexact_solves():
    X, y, _ = data(2000, 40)
    result = LineNewton(curvature=resolve("exact").using("cg")).minimize(gnsopt.Logistic(X, y, 1e-3), gtol=1e-13)
    g = result.trace["gnorm"]
    tail = [k for k in range(1, len(g) - 1) if 1e-10 < g[k] < 1e-3]
    assert tail
    assert all(np.log(g[k + 1]) / np.log(g[k]) > 1.2 for k in tail)


def test_no_convexity_needed():
    from scipy.optimize import rosen, rosen_der, rosen_hess

    result = gnsopt.minimize(rosen, [-1.2, 1.0, -0.5, 2.0], jac=rosen_der, hess=rosen_hess, method="line-newton")
    assert result.success
    assert result.fun < 1e-15


def test_flat_data_end_at_once():
    X = np.zeros((4, 2))
    result = LineNewton().minimize(gnsopt.Logistic(X, [0, 1, 0, 1], 1.0), gtol=0.0)
    assert result.fun == pytest.approx(np.log(2))
    assert np.all(np.isfinite(result.x))


def test_an_intercept_costs_no_more_products():
    """The blocks of the classes once had a shift of one on an intercept without a penalty."""
    X, y = gnsopt.datasets.load("digits")
    without, with_one = (
        LineNewton().minimize(gnsopt.Softmax(X / 16, y, 1e-3, fit_intercept=intercept)) for intercept in (False, True)
    )
    assert with_one.nhessp <= 1.5 * without.nhessp


@pytest.mark.parametrize("bad", [{"gamma0": 0.0}, {"flat": 1.0}, {"eta": 0.0}, {"gamma0": np.inf}, {"max_trials": 0}])
def test_misuse(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LineNewton(**bad)


def test_all_rows_are_the_matrix_and_some_estimate_it():
    problem = models()["softmax"]
    form = Point(problem, np.full(problem.n, 0.1)).hess()
    assert np.allclose(form.sampled(200).lower(), form.lower(), rtol=1e-12, atol=1e-14)
    X = np.random.default_rng(0).standard_normal((4000, 5))
    whole = Point(gnsopt.Logistic(X, X[:, 0] > 0, 1e-3), np.full(5, 0.3)).hess()
    part = whole.sampled(400)
    assert part.design.n_samples == 400
    assert np.linalg.norm(np.tril(part.lower() - whole.lower())) < 0.2 * np.linalg.norm(np.tril(whole.lower()))


def test_a_sample_saves_the_whole_matrix():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 60)) @ rng.standard_normal((60, 60))
    y = X[:, 0] + rng.logistic(size=20_000) > 0
    problem = gnsopt.Logistic(X, y, 1e-6)
    model = resolve("auto").using("auto")
    results = [LineNewton(curvature=model).minimize(problem, gtol=1e-9) for _ in range(2)]
    assert results[0].success and results[0].nhev == 0 or "Cholesky" in results[0].curvature
    assert np.array_equal(results[0].x, results[1].x)


@pytest.mark.parametrize("name", ["topk:2:gauss-newton", "zero", "fisher", "mfac:5", "kfac", "subsampled:0.2"])
def test_a_poor_model_is_damped(name):
    """An undamped step of a singular model is of any length: cut to less than `SHORT`, it gives way to damped ones."""
    X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    result = gnsopt.minimize(gnsopt.Logistic(X, y, l2=0.1), options={"curvature": name, "maxiter": 40})
    assert result.success


def test_decided_samples_do_not_hold_it_back():
    """Coordinates whose curvature has all but gone: a shift that stayed took 200 steps and, scaled, for ever."""
    X = np.eye(3)[[0] * 4 + [1] * 4 + [2] * 4]
    y = [1, 2, 0, 1, 3, 5, 2, 4, 0, 0, 0, 0]
    for scale in (1.0, 100.0):
        result = gnsopt.minimize(gnsopt.PoissonRegression(X * scale, y))
        assert result.status == gnsopt.Status.AT_INFINITY
        assert result.nit <= 40


def test_nearly_separable_data_without_scaling():
    X, y = gnsopt.datasets.load("breast_cancer")
    for l2 in (1e-12, 1e-13):
        assert gnsopt.minimize(gnsopt.Logistic(X, y, l2, fit_intercept=True)).nit <= 40


def test_wide_data_of_many_classes_cost_about_what_damped_steps_do():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 1000)) * np.logspace(0, -3, 1000)
    y = np.argmax(X @ rng.standard_normal((1000, 20)), axis=1)
    problem = gnsopt.Softmax(X, y, l2=1e-6, fit_intercept=True)
    bold, damped = (S.minimize(problem) for S in (LineNewton(), GradNormSmooth()))
    assert bold.success
    assert bold.nhessp <= 2 * damped.nhessp
    assert bold.nhev <= damped.nhev


def test_what_is_reported_is_true_after_a_far_start():
    X, y, _ = data(100, 5)
    problem = gnsopt.Logistic(X, y, 1e-3)
    result = gnsopt.minimize(problem, np.full(5, 1e14))
    z = problem.prepare(result.x)
    assert result.success
    assert problem.fun(result.x, z) == pytest.approx(result.fun, rel=1e-14)
    assert np.allclose(problem.grad(result.x, z), result.jac, rtol=0, atol=1e-13)
