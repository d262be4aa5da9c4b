"""Hypergradients against closed forms and finite differences; invariances of f."""

import numpy as np
import pytest

from gnsopt.bilevel import LogisticPenalties, MultiBlock, certify, minimize
from gnsopt.bilevel.hypergradient import Oracle
from gnsopt.bilevel.problems import CrossValidation
from gnsopt.bilevel.run import Run
from tests.bilevel.instances import data, least_squares, logistic, ridge, scalar


def evaluate(problem, theta, target=1e-13, certified=False, **solver):
    """f and its gradient at theta by an accurate solve."""
    run = Run(problem, theta, *problem.bounds, 0.0, certified)
    options = {"lower_solver": "newton", "linear": "auto", "forcing": 1e-3, **solver}
    return Oracle(run, **options).at(theta).solve(target, 1e-13)


def test_the_least_squares_problem_has_its_closed_forms():
    problem, solution, f, gradient, best = least_squares()
    theta = np.ones(10)
    now = evaluate(problem, theta, 1e-10)
    assert f(theta) == pytest.approx(now.V, rel=1e-12)
    np.testing.assert_allclose(now.x, solution(theta), rtol=1e-10)
    np.testing.assert_allclose(now.z, gradient(theta), rtol=1e-9)
    assert np.linalg.norm(gradient(best)) < 1e-8 * np.linalg.norm(gradient(theta))


@pytest.mark.parametrize("theta", [-3.0, 0.0, 1.5])
def test_the_scalar_ridge_problem_has_its_closed_form(theta):
    a, c, e = 2.0, 0.7, np.exp(theta)
    now = evaluate(scalar(a, c), np.array([theta]))
    x = a / (1 + e)
    assert now.x[0] == pytest.approx(x, rel=1e-12)
    assert now.z[0] == pytest.approx(-(x - c) * a * e / (1 + e) ** 2, rel=1e-10)


@pytest.mark.parametrize("groups", ["single", "feature", np.array([0, 1, 1, 0, 2, 2])])
def test_ridge_penalties_have_their_closed_form(groups):
    problem = ridge(groups)
    theta = np.random.default_rng(1).normal(-1, 1, problem.d)
    X, y = problem.train.design.X, problem.train.y
    Xv, yv = problem.validation.design.X, problem.validation.y
    penalty = np.exp(theta)[problem.group]
    H = X.T @ X / len(y) + np.diag(penalty)
    w = np.linalg.solve(H, X.T @ y / len(y))
    q = np.linalg.solve(H, Xv.T @ (Xv @ w - yv) / len(yv))
    expected = -np.exp(theta) * np.bincount(problem.group, w * q)
    now = evaluate(problem, theta)
    np.testing.assert_allclose(now.x, w, rtol=1e-9)
    np.testing.assert_allclose(now.z, expected, rtol=1e-9, atol=1e-12)
    assert problem.mu(theta) <= np.linalg.eigvalsh(H)[0]
    assert problem.constants(theta).L >= np.linalg.eigvalsh(H)[-1]


PROBLEMS = {
    "single": lambda: logistic("single"),
    "feature": lambda: logistic("feature"),
    "softmax class": lambda: logistic("class", 3),
    "softmax feature": lambda: logistic("feature", 3),
    "softmax weight": lambda: logistic("weight", 3),
    "ridge": lambda: ridge("feature"),
    "folds": lambda: CrossValidation(*data(60, 4), groups="feature", folds=3, fit_intercept=True),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("linear", ["auto", "cg"])
def test_hypergradients_agree_with_finite_differences(name, linear):
    problem, step = PROBLEMS[name](), 1e-4
    rng = np.random.default_rng(2)
    theta = rng.normal(-2, 1, problem.d)
    direction = rng.standard_normal(problem.d)
    direction /= np.linalg.norm(direction)
    up, down = (evaluate(problem, theta + s * step * direction, 1e-15, linear=linear).V for s in (1, -1))
    up2, down2 = (evaluate(problem, theta + s * step * direction, 1e-15, linear=linear).V for s in (2, -2))
    difference = (8 * (up - down) - (up2 - down2)) / (12 * step)  # of fourth order
    slope = evaluate(problem, theta, 1e-14, linear=linear).z @ direction
    assert slope == pytest.approx(difference, rel=1e-9, abs=1e-11)


def test_the_derivatives_of_h_agree_with_finite_differences():
    problem = logistic("weight", 3)
    rng = np.random.default_rng(3)
    x, theta, q = rng.standard_normal(problem.n), rng.normal(-1, 1, problem.d), rng.standard_normal(problem.n)
    d, t = rng.standard_normal(problem.d), 1e-5
    g_up, g_down = (problem.lower(x, theta + s * t * d)[1] for s in (1, -1))
    assert problem.cross_t(x, theta, q) @ d == pytest.approx(q @ (g_up - g_down) / (2 * t), rel=1e-8)
    h_up, h_down = (problem.lower(x, theta + s * t * d)[0] for s in (1, -1))
    assert problem.lower_theta(x, theta) @ d == pytest.approx((h_up - h_down) / (2 * t), rel=1e-7)
    J = np.stack([problem.cross_t(x, theta, e) for e in np.eye(problem.n)])
    assert np.linalg.norm(J, 2) == pytest.approx(problem.J_norm(x, theta), rel=1e-12)


# ----------------------------------------------------------------------------------------------------- invariances


def test_a_feature_twice_under_one_penalty_is_one_feature_with_half_of_it():
    X, y = data()
    twice = np.hstack([X, X])
    one = LogisticPenalties(X[:45], y[:45], X[45:], y[45:])
    two = LogisticPenalties(twice[:45], y[:45], twice[45:], y[45:])
    now = evaluate(one, np.array([-2.0]), 1e-14)
    other = evaluate(two, np.array([-2.0 + np.log(2)]), 1e-14)
    assert other.V == pytest.approx(now.V, rel=1e-12)
    np.testing.assert_allclose(other.z, now.z, rtol=1e-9)


def test_identical_folds_are_one_fold():
    one = logistic("feature")
    many = MultiBlock([one, one, one])
    theta = np.linspace(-3, 0, one.d)
    single, mean = evaluate(one, theta), evaluate(many, theta)
    assert mean.V == pytest.approx(single.V, rel=1e-14)
    np.testing.assert_allclose(mean.z, single.z, rtol=1e-12)
    assert mean.E == pytest.approx(single.E, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("classes", "groups"), [(2, "single"), (4, "class")])
def test_large_penalties_give_the_uniform_model(classes, groups):
    problem = logistic(groups, classes)
    now = evaluate(problem, np.full(problem.d, 12.0))
    assert now.V == pytest.approx(np.log(classes), rel=1e-4)
    assert np.abs(now.x).max() < 1e-4


def test_blocks_are_one_problem_in_the_concatenated_variables():
    parts = [logistic("feature", seed=s) for s in (0, 1)]
    many = MultiBlock(parts)
    rng = np.random.default_rng(4)
    theta, x, q = rng.normal(-1, 1, many.d), rng.standard_normal(many.n), rng.standard_normal(many.n)
    g, gx, gt = many.upper(x, theta)
    assert gt is None
    assert g == pytest.approx(np.mean([p.upper(xi, theta)[0] for p, xi in zip(parts, many.split(x), strict=True)]))
    t, d = 1e-5, rng.standard_normal(many.n)
    assert gx @ d == pytest.approx(
        (many.upper(x + t * d, theta)[0] - many.upper(x - t * d, theta)[0]) / (2 * t), rel=1e-7
    )
    h = many.objective(theta)
    H = h.hess(x, h.prepare(x))
    up, down = (many.lower(x + s * t * d, theta)[1] for s in (1, -1))
    np.testing.assert_allclose(H.matvec(d), (up - down) / (2 * t), rtol=1e-6, atol=1e-9)
    e = rng.standard_normal(many.d)
    up, down = (many.lower(x, theta + s * t * e)[1] for s in (1, -1))
    assert many.cross_t(x, theta, q) @ e == pytest.approx(q @ (up - down) / (2 * t), rel=1e-7)
    assert np.linalg.eigvalsh(H.dense())[0] >= many.mu(theta)


def test_the_same_run_gives_bitwise_the_same_answer():
    problem = logistic("feature")
    first, second = (minimize(problem, -2.0, maxiter=6, tol=0.0) for _ in range(2))
    assert np.array_equal(first.theta, second.theta)
    assert first.counts == second.counts


def test_a_certificate_encloses_f():
    problem = logistic("feature")
    theta = np.linspace(-4, 0, problem.d)
    exact = evaluate(problem, theta, 1e-15)
    made = certify(problem, theta, 1e-7)
    assert made.low <= exact.V <= made.high
    assert made.error <= 1e-7
    assert np.linalg.norm(made.z - exact.z) <= made.error
    assert np.linalg.norm(made.x - exact.x) <= made.distance
