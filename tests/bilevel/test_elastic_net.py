"""Lasso, weighted lasso and elastic net: solutions, implicit gradients, kinks."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import ElasticNet as Reference

from gnsopt.bilevel import ElasticNet, minimize
from gnsopt.kernels.elastic_net import sweep

PENALTIES = ("lasso", "weighted-lasso", "elastic-net", "weighted-elastic-net")


def data(n=60, p=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2 * n, p))
    X[:, 1::2] += 0.5 * X[:, ::2]
    y = X[:, :8] @ rng.standard_normal(8) + 0.5 * rng.standard_normal(2 * n)
    return X[:n], y[:n], X[n:], y[n:]


def start(problem, share=0.1, l2=0.05):
    theta = np.full(problem.d, np.log(share * problem.l1_max))
    if problem.ridge:
        theta[-1] = np.log(l2)
    return theta


def exact_gradient(problem, theta):
    x, h = problem.solution(theta), problem.objective(theta)
    H = h.hess(x, h.prepare(x)).dense()
    return -problem.cross_t(x, theta, np.linalg.solve(H, problem.upper(x, theta)[1]))


def value(problem, theta):
    return problem.upper(problem.solution(theta), theta)[0]


@pytest.mark.parametrize("share", [0.9, 0.3, 0.03, 0.001])
@pytest.mark.parametrize("l2", [0.0, 1e-3, 1.0])
def test_solutions_are_those_of_scikit_learn(share, l2):
    X, y, *held = data()
    problem = ElasticNet(X, y, *held, "lasso", l2=l2)
    theta = start(problem, share)
    alpha = np.exp(theta[0]) + l2
    reference = Reference(
        alpha=alpha, l1_ratio=np.exp(theta[0]) / alpha, fit_intercept=False, tol=1e-12, max_iter=10**6
    )
    np.testing.assert_allclose(problem.solution(theta), reference.fit(X, y).coef_, atol=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("n", [60, 20])  # also fewer samples than features
def test_solutions_are_optimal(penalty, n):
    """The subgradient conditions of the elastic net itself, to rounding."""
    X, y, *held = data(n)
    problem = ElasticNet(X, y, *held, penalty)
    rng = np.random.default_rng(0)
    theta = start(problem) + rng.standard_normal(problem.d)
    w, (l1, l2) = problem.solution(theta), problem.penalties(theta)
    slope = X.T @ (y - X @ w) / n - l2 * w
    on = w != 0
    np.testing.assert_allclose(slope[on], (l1 * np.sign(w))[on], rtol=1e-9, atol=1e-12)
    assert np.all(np.abs(slope[~on]) <= l1[~on] + 1e-9 * problem.l1_max)
    h = problem.lower(w, theta)
    assert h[0] == pytest.approx(0.5 * np.mean((y - X @ w) ** 2) + l1 @ np.abs(w) + 0.5 * l2 * w @ w, rel=1e-12)
    np.testing.assert_allclose(h[1], 0, atol=1e-12)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("seed", range(4))
def test_implicit_gradients_are_those_of_finite_differences(penalty, seed):
    """Along a random direction, and of each variable, where the support does not change; to 1e-9."""
    problem = ElasticNet(*data(seed=seed), penalty)
    theta, t = start(problem, 0.2), 3e-4
    gradient = exact_gradient(problem, theta)
    rng = np.random.default_rng(seed)
    steps = [rng.standard_normal(problem.d), *np.eye(problem.d)[[0, -1]]]
    for step in steps:
        near = [theta + s * step for s in (-2 * t, -t, t, 2 * t)]
        supports = {tuple(problem.objective(at).support) for at in near}
        assert len(supports) == 1
        f = [value(problem, at) for at in near]
        difference = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * t)
        assert gradient @ step == pytest.approx(difference, rel=1e-9, abs=1e-11)


def test_the_gradient_of_the_lasso_in_closed_form():
    """``dw_S/dtheta = -n l1 (X_S'X_S)^{-1} sign w_S``."""
    X, y, X_val, y_val = data()
    problem = ElasticNet(X, y, X_val, y_val, "lasso")
    theta = start(problem)
    w = problem.solution(theta)
    S = w != 0
    jacobian = -len(y) * np.exp(theta[0]) * np.linalg.solve(X[:, S].T @ X[:, S], np.sign(w[S]))
    expected = jacobian @ (X_val[:, S].T @ (X_val @ w - y_val)) / len(y_val)
    assert exact_gradient(problem, theta)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_derivatives_and_constants_of_the_lower_level(penalty):
    problem = ElasticNet(*data(), penalty)
    theta, rng, t = start(problem), np.random.default_rng(1), 1e-6
    h, x = problem.objective(theta), problem.solution(theta)
    x[h.support] *= 1.01
    H, q = h.hess(x, h.prepare(x)).dense(), rng.standard_normal(problem.n)
    values = np.linalg.eigvalsh(H)
    assert problem.mu(theta) == pytest.approx(values[0], rel=1e-9)
    assert problem.constants(theta).L == pytest.approx(values[-1], rel=1e-9)
    J = np.array(
        [(problem.lower(x, theta + t * e)[1] - problem.lower(x, theta - t * e)[1]) / (2 * t) for e in np.eye(problem.d)]
    ).T
    np.testing.assert_allclose(problem.cross_t(x, theta, q), J.T @ q, atol=1e-8)
    assert np.linalg.norm(J, 2) <= problem.J_norm(x, theta) * (1 + 1e-8)
    slopes = [
        (problem.lower(x, theta + t * e)[0] - problem.lower(x, theta - t * e)[0]) / (2 * t) for e in np.eye(problem.d)
    ]
    np.testing.assert_allclose(problem.lower_theta(x, theta), slopes, atol=1e-8)
    b = rng.standard_normal(problem.n)
    from gnsopt.linalg.metric import DiagonalMetric

    shifted = h.hess(x, h.prepare(x)).structured(DiagonalMetric(np.linspace(1, 2, problem.n)))
    np.testing.assert_allclose((H + 0.3 * np.diag(np.linspace(1, 2, problem.n))) @ shifted.solve(0.3, b), b, atol=1e-12)


@pytest.mark.parametrize("method", ["maid-qn", "implicit", "penalty"])
def test_methods_find_the_best_point_of_a_fine_grid(method):
    problem = ElasticNet(*data(), "lasso")
    grid = np.linspace(*(float(b[0]) for b in problem.bounds), 4000)
    least = min(value(problem, np.array([theta])) for theta in grid)
    found = minimize(problem, start(problem), method, tol=1e-6)
    assert found.fun <= least + 1e-6 * abs(least)
    assert found.fun == pytest.approx(value(problem, found.theta), rel=1e-8)


def test_a_penalty_for_each_feature_fits_the_held_out_data_better():
    """Not a virtue: there are as many penalties as features."""
    one, many = (ElasticNet(*data(), penalty) for penalty in ("lasso", "weighted-lasso"))
    assert value(many, start(many)) == pytest.approx(value(one, start(one)), rel=1e-9)
    best = minimize(one, start(one), tol=1e-3).theta
    found = minimize(many, np.full(many.d, best[0]), tol=1e-3, maxiter=60)
    assert found.fun < 0.9 * value(one, best)


def test_features_without_a_weight_have_no_say():
    problem = ElasticNet(*data(), "weighted-lasso")
    theta = start(problem)
    off = problem.solution(theta) == 0
    assert off.any()
    np.testing.assert_array_equal(exact_gradient(problem, theta)[off], 0)
    theta[off] += 0.5
    w = problem.solution(theta)
    assert np.all(w[off] == 0)


def test_nothing_is_left_above_the_largest_penalty():
    X, y, *held = data()
    problem = ElasticNet(X, y, *held, "lasso", bounds=(-20, 5))
    assert problem.l1_max == pytest.approx(np.abs(X.T @ y).max() / len(y))
    above = np.array([np.log(problem.l1_max) + 0.01])
    assert not problem.solution(above).any()
    assert problem.solution(above - 0.02).any()
    assert minimize(problem, above, "maid-qn").status == "stationary"


def test_the_order_of_questions_does_not_matter():
    """Warm starts of the coordinate descent leave no trace in the answers."""
    thetas = [start(ElasticNet(*data(), "lasso"), share) for share in (0.5, 0.01, 0.2, 0.7, 0.05, 0.001)]
    one, other = ElasticNet(*data(), "lasso"), ElasticNet(*data(), "lasso")
    forth = [one.solution(theta) for theta in thetas]
    back = [other.solution(theta) for theta in thetas[::-1]][::-1]
    for a, b in zip(forth, back, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dependent_features_have_a_finite_answer():
    X, y, X_val, y_val = data(p=8)
    twice = [np.hstack([A, A]) for A in (X, X_val)]
    problem = ElasticNet(twice[0], y, twice[1], y_val, "lasso")
    assert np.isfinite(problem.solution(start(problem))).all()
    found = minimize(ElasticNet(twice[0], y, twice[1], y_val, "elastic-net"), start(ElasticNet(*data(), "elastic-net")))
    assert np.isfinite(found.fun)


def test_sparse_data_give_the_same():
    X, y, X_val, y_val = data()
    X[np.abs(X) < 1.2] = 0.0
    dense = ElasticNet(X, y, X_val, y_val, "lasso")
    sparse = ElasticNet(csr_array(X), y, csr_array(X_val), y_val, "lasso")
    np.testing.assert_array_equal(dense.solution(start(dense)), sparse.solution(start(sparse)))


def test_the_kernel_is_coordinate_descent():
    rng = np.random.default_rng(0)
    X, y = np.asfortranarray(rng.standard_normal((9, 5))), rng.standard_normal(9)
    l1, l2, w = rng.random(5) / 5, rng.random(5), rng.standard_normal(5)
    X[:, 4], l2[4] = 0.0, 0.0
    mine, r = w.copy(), y - X @ w
    change = sweep(X, (X**2).sum(axis=0) / 9, l1, l2, np.array([3, 0, 4]), mine, r)
    expected, changes = w.copy(), []
    for j in (3, 0):
        before = expected[j]
        expected[j] = 0.0
        rho = X[:, j] @ (y - X @ expected) / 9
        expected[j] = np.sign(rho) * max(abs(rho) - l1[j], 0) / ((X[:, j] ** 2).sum() / 9 + l2[j])
        changes.append(abs(expected[j] - before) * np.sqrt((X[:, j] ** 2).sum() / 9))
    np.testing.assert_allclose(mine, expected, rtol=1e-12)
    np.testing.assert_allclose(r, y - X @ mine, atol=1e-13)
    assert change == pytest.approx(max(changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"penalty": "ridge"}, "penalty='ridge'"),
        ({"l2": -1.0}, "l2=-1.0"),
        ({"penalty": "elastic-net", "l2": 0.1}, "leave l2 out"),
        ({"X_val": np.ones((4, 3))}, "X_val has 3 features"),
        ({"y_train": np.full(60, np.nan)}, "NaN"),
        ({"y_train": np.ones(3)}, "shape"),
        ({"y_train": np.zeros(60)}, "orthogonal"),
        ({"X_train": np.full((60, 40), np.inf)}, "X_train"),
    ],
)
def test_wrong_data_are_named(change, message):
    given = dict(zip(("X_train", "y_train", "X_val", "y_val"), data(), strict=True)) | {"penalty": "lasso"} | change
    with pytest.raises(ValueError, match=message):
        ElasticNet(**given)
