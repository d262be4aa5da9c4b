"""Weights of sources and samples: derivatives, bounds, and what the weights are good for."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt.bilevel import Reweighting, minimize

KINDS = [
    (weights, loss, k, single)
    for weights in ("softmax", "sigmoid")
    for loss, k in (("logistic", 2), ("logistic", 3), ("squared", 1))
    for single in (False, True)
]


def samples(n, k, noise=0.0, seed=0):
    """Features and labels of k classes (targets for one), a share of which is noise."""
    rng = np.random.default_rng(seed)
    X, W = rng.standard_normal((n, 5)), np.random.default_rng(99).standard_normal((5, max(k, 2)))
    scores = X @ W + 0.3 * rng.standard_normal((n, max(k, 2)))
    bad = rng.random(n) < noise
    if k == 1:
        return X, np.where(bad, 3 * rng.standard_normal(n), scores[:, 0])
    return X, np.where(bad, rng.integers(0, k, n), scores.argmax(axis=1))


def three_sources(k):
    """A good source, one of pure noise, and the good one again; held-out data that are good."""
    good, noise, held = samples(60, k, 0.0, 1), samples(60, k, 1.0, 2), samples(50, k, 0.0, 3)
    X, y = (np.concatenate([a, b, a]) for a, b in zip(good, noise, strict=True))
    return X, y, *held, np.repeat([0, 1, 2], 60)


def make(weights, loss, k, single):
    *data, sources = three_sources(k)
    return Reweighting(*data, None if single else sources, weights, loss, l2=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_are_those_of_finite_differences(kind):
    problem, rng, t = make(*kind), np.random.default_rng(0), 1e-5
    x, theta = rng.standard_normal(problem.n), 0.5 * rng.standard_normal(problem.d)
    q, step, move = rng.standard_normal(problem.n), rng.standard_normal(problem.d), rng.standard_normal(problem.n)
    (up, g_up), (down, g_down) = (problem.lower(x, theta + s * t * step) for s in (1, -1))
    assert problem.lower_theta(x, theta) @ step == pytest.approx((up - down) / (2 * t), rel=1e-7, abs=1e-9)
    assert problem.cross_t(x, theta, q) @ step == pytest.approx((g_up - g_down) @ q / (2 * t), rel=1e-7, abs=1e-9)
    (up, _), (down, _) = (problem.lower(x + s * t * move, theta) for s in (1, -1))
    assert problem.lower(x, theta)[1] @ move == pytest.approx((up - down) / (2 * t), rel=1e-7)
    (up, *_), (down, *_) = (problem.upper(x + s * t * move, theta) for s in (1, -1))
    assert problem.upper(x, theta)[1] @ move == pytest.approx((up - down) / (2 * t), rel=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lower_level_is_the_weighted_mean_that_it_says(kind):
    weights, loss, k, single = kind
    problem, rng = make(*kind), np.random.default_rng(1)
    x, theta = rng.standard_normal(problem.n), rng.standard_normal(problem.d)
    X, y, *_, sources = three_sources(k)
    sources = np.arange(180) if single else sources
    p = np.exp(theta) / np.exp(theta).sum() if weights == "softmax" else 1 / (1 + np.exp(-theta))
    if weights == "sigmoid":
        p = p * np.bincount(sources) / 180
    Z = X @ x.reshape(5, -1)
    if loss == "squared":
        losses = 0.5 * (Z[:, 0] - y) ** 2
    elif k == 2:
        losses = np.log1p(np.exp(-np.where(y == 1, 1, -1) * Z[:, 0]))
    else:
        losses = np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(180), y]
    means = np.bincount(sources, losses) / np.bincount(sources)
    np.testing.assert_allclose(problem.sample_losses(x), losses, rtol=1e-10)
    assert problem.lower(x, theta)[0] == pytest.approx(p @ means + 0.005 * x @ x, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_constants_are_bounds(kind):
    problem, rng = make(*kind), np.random.default_rng(2)
    for _ in range(20):
        x, theta = 2 * rng.standard_normal(problem.n), 2 * rng.standard_normal(problem.d)
        y = x + 10 ** rng.uniform(-3, 0) * rng.standard_normal(problem.n)
        c, apart = problem.constants(theta), np.linalg.norm(x - y)
        h = problem.objective(theta)
        H, H_y = (h.hess(at, h.prepare(at)).dense() for at in (x, y))
        values = np.linalg.eigvalsh(H)
        assert problem.mu(theta) <= values[0] * (1 + 1e-9)
        assert values[-1] <= c.L
        assert np.linalg.norm(H - H_y, 2) <= c.L_H * apart * (1 + 1e-9) + 1e-13
        J, J_y = (np.array([problem.cross_t(at, theta, e) for e in np.eye(problem.n)]) for at in (x, y))
        assert np.linalg.norm(J) == pytest.approx(problem.J_norm(x, theta), rel=1e-9)
        assert np.linalg.norm(J - J_y, 2) <= c.L_J * apart
        assert np.linalg.norm(problem.upper(x, theta)[1] - problem.upper(y, theta)[1]) <= c.L_g * apart


@pytest.mark.parametrize("kind", KINDS)
def test_implicit_gradients_are_those_of_finite_differences(kind):
    problem, rng, t = make(*kind), np.random.default_rng(3), 2e-3
    theta, step = 0.5 * rng.standard_normal(problem.d), rng.standard_normal(problem.d)

    def solve(theta):
        h = problem.objective(theta)
        x = h.start()
        for _ in range(30):
            z = h.prepare(x)
            x = x - np.linalg.solve(h.hess(x, z).dense(), h.grad(x, z))
        return x

    x = solve(theta)
    h = problem.objective(theta)
    q = np.linalg.solve(h.hess(x, h.prepare(x)).dense(), problem.upper(x, theta)[1])
    f = [problem.upper(solve(theta + s * t * step), theta)[0] for s in (-2, -1, 1, 2)]
    difference = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * t)
    assert -problem.cross_t(x, theta, q) @ step == pytest.approx(difference, rel=2e-9, abs=1e-11)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", ["maid-qn", "penalty"])
def test_noise_loses_its_weight_and_twins_keep_theirs(k, method):
    *data, sources = three_sources(k)
    problem = Reweighting(*data, sources, loss="squared" if k == 1 else "logistic", l2=1e-2)
    found = minimize(problem, 0.0, method, tol=1e-6, keep_theta=True)
    assert found.status == "stationary"
    p = problem.probabilities(found.theta)
    assert p[1] < 1e-4
    for theta in found.trace.x:
        assert theta[0] == pytest.approx(theta[2], abs=1e-8)
    assert abs(found.hypergradient.sum()) <= 1e-10
    assert found.fun < problem.upper(minimize(problem, 0.0, method, maxiter=0).x, np.zeros(3))[0]


def test_scalebio_takes_the_weight_of_the_noise():
    *data, sources = three_sources(2)
    found = minimize(Reweighting(*data, sources), 0.0, "scalebio", alpha=10.0, eta_theta=5.0, maxiter=500)
    p = Reweighting(*data, sources).probabilities(found.theta)
    assert p[1] < 0.05
    assert p[0] == pytest.approx(p[2], rel=1e-9)


def test_the_step_of_theta_is_that_of_the_paper():
    """``alpha p_i {[l_i(w) - l(w)] - [l_i(u) - l(u)]}``."""
    problem, rng = make("softmax", "logistic", 3, False), np.random.default_rng(4)
    theta, w, u = rng.standard_normal(3), rng.standard_normal(15), rng.standard_normal(15)
    p, sources = problem.probabilities(theta), problem.sources
    l_w, l_u = (np.bincount(sources, problem.sample_losses(x)) / np.bincount(sources) for x in (w, u))
    expected = p * ((l_w - p @ l_w) - (l_u - p @ l_u))
    np.testing.assert_allclose(
        problem.lower_theta(w, theta) - problem.lower_theta(u, theta), expected, rtol=1e-9, atol=1e-14
    )


def test_hyper_cleaning_finds_the_wrong_labels():
    X, y = samples(150, 2, 0.0, 5)
    wrong = np.random.default_rng(6).random(150) < 0.3
    problem = Reweighting(X, np.where(wrong, 1 - y, y), *samples(150, 2, 0.0, 7), l2=1e-3)
    assert problem.weights == "sigmoid"
    found = minimize(problem, 0.0, tol=1e-5, maxiter=100)
    weight = 1 / (1 + np.exp(-found.theta))
    assert np.mean(weight[wrong]) < 0.25 < 0.6 < np.mean(weight[~wrong])


def test_an_equal_shift_of_theta_changes_nothing():
    problem = make("softmax", "logistic", 2, False)
    x, theta = np.random.default_rng(0).standard_normal(5), np.array([0.3, -0.2, 0.1])
    assert problem.lower(x, theta + 7)[0] == pytest.approx(problem.lower(x, theta)[0], rel=1e-13)
    np.testing.assert_allclose(problem.cross_t(x, theta, x).sum(), 0, atol=1e-16)


def test_extreme_weights_are_finite():
    for weights in ("softmax", "sigmoid"):
        problem = make(weights, "logistic", 3, False)
        x, theta = 1e3 * np.ones(problem.n), np.array([-800.0, 800.0, 0.0])
        for got in (problem.lower(x, theta)[1], problem.lower_theta(x, theta), problem.cross_t(x, theta, x)):
            assert np.isfinite(got).all()


def test_sparse_data_give_the_same():
    *data, sources = three_sources(3)
    dense = Reweighting(*data, sources)
    data[0], data[2] = (csr_array(np.where(np.abs(X) < 1.3, 0, X)) for X in (data[0], data[2]))
    sparse = Reweighting(*data, sources)
    full = Reweighting(data[0].toarray(), data[1], data[2].toarray(), data[3], sources)
    assert dense.n == sparse.n
    x, theta, q = np.random.default_rng(0).standard_normal((3, 15))
    theta = theta[:3]
    np.testing.assert_allclose(sparse.cross_t(x, theta, q), full.cross_t(x, theta, q), rtol=1e-12)
    assert sparse.J_norm(x, theta) == pytest.approx(full.J_norm(x, theta), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l2": 0.0}, "l2=0.0"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"weights": "relu"}, "weights='relu'"),
        ({"sources": np.zeros(3, dtype=int)}, "sources has shape"),
        ({"sources": np.repeat([0, 1, 3], 60)}, "without gaps"),
        ({"sources": np.zeros(180)}, "integers"),
        ({"y_val": np.full(50, 7)}, "y_val contains the label"),
        ({"X_val": np.ones((50, 4))}, "X_val"),
        ({"X_train": np.full((180, 5), np.nan)}, "NaN"),
    ],
)
def test_wrong_data_are_named(change, message):
    given = dict(zip(("X_train", "y_train", "X_val", "y_val", "sources"), three_sources(2), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        Reweighting(**given)
