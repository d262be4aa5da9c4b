"""Diagonal curvature: what the random estimates tend to, AdaHessian's limit and Sophia's steps."""

import itertools

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, Objective
from gnsopt.curvature import AdaHessian, Hutchinson, RowNorm, Sophia
from gnsopt.curvature.diagonals import rademacher
from gnsopt.datasets import make_logistic
from gnsopt.exceptions import MissingRequirement
from gnsopt.point import Point
from gnsopt.problems import MLP, ResidualPower

RNG = np.random.default_rng(0)


class Quadratic(Objective):
    """``<H x, x>/2 - <b, x>``, by products or as a matrix."""

    convex = True

    def __init__(self, H, b):
        self.H, self.b, self.n = H, b, len(b)

    def fun(self, x, z):
        return float(0.5 * x @ self.H @ x - self.b @ x)

    def grad(self, x, z):
        return self.H @ x - self.b

    def hessp(self, x, z, v):
        return self.H @ v


def quadratic(n=6):
    A = RNG.standard_normal((n, n))
    return Quadratic(A @ A.T, RNG.standard_normal(n))


def diagonal(model, problem, x=None):
    x = Point(problem, np.zeros(problem.n) if x is None else x)
    return model.start(x)(x).form.d


def test_hutchinson_over_all_signs_is_the_diagonal_and_its_variance_is_the_rest_of_the_row():
    """Exactly: the mean over all 2^n vectors of signs, of the estimate and of its square."""
    H = quadratic().H
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=6)))
    estimates = signs * (signs @ H)
    np.testing.assert_allclose(estimates.mean(axis=0), H.diagonal(), rtol=1e-13)
    np.testing.assert_allclose(estimates.var(axis=0), (H**2).sum(axis=1) - H.diagonal() ** 2, rtol=1e-12)


def test_hutchinson_is_the_mean_of_its_probes():
    problem = quadratic()
    Z = rademacher(np.random.default_rng(5), 40, 6)
    assert set(np.unique(Z)) == {-1.0, 1.0}
    wanted = np.maximum((Z * (Z @ problem.H)).mean(axis=0), 0)
    np.testing.assert_allclose(diagonal(Hutchinson(40, seed=5), problem), wanted, rtol=1e-12)
    many = diagonal(Hutchinson(20_000), problem)
    deviation = np.sqrt(((problem.H**2).sum(axis=1) - problem.H.diagonal() ** 2) / 20_000)
    assert np.all(np.abs(many - problem.H.diagonal()) < 4 * deviation)


def test_negative_estimates_become_zero():
    H = np.diag([2.0, -3.0])
    np.testing.assert_array_equal(diagonal(Hutchinson(1), Quadratic(H, np.ones(2))), [2.0, 0.0])


def test_adahessian_tends_to_the_row_norms_not_to_the_diagonal():
    problem = quadratic()
    x = Point(problem, np.zeros(6))
    build = AdaHessian(beta2=0.9999, eps=0.0).start(x)
    for _ in range(4000):
        D = build(x)
    norms = np.linalg.norm(problem.H, axis=1)
    np.testing.assert_allclose(diagonal(RowNorm(), problem), norms, rtol=1e-13)
    np.testing.assert_allclose(D.form.d, norms, rtol=0.05)
    assert np.max(norms / problem.H.diagonal()) > 1.2  # so that the two limits are told apart


def test_adahessian_average_is_that_of_its_paper():
    problem, beta2, kappa, eps = quadratic(), 0.9, 0.5, 1e-4
    x = Point(problem, np.zeros(6))
    build = AdaHessian(beta2, kappa, eps, seed=3).start(x)
    rng, v = np.random.default_rng(3), np.zeros(6)
    for t in range(1, 6):
        v = beta2 * v + (1 - beta2) * (problem.H @ rademacher(rng, 1, 6)[0]) ** 2
        wanted = np.sqrt(v / (1 - beta2**t)) ** kappa + eps
        np.testing.assert_allclose(build(x).form.d, wanted, rtol=1e-12)


def test_row_norms_by_products_and_by_the_matrix(monkeypatch):
    problem = Logistic(*make_logistic(50, 7, seed=1), l2=1e-2, fit_intercept=True)
    x = RNG.standard_normal(problem.n)
    dense = problem.hess(x, problem.prepare(x)).dense()
    wanted = np.linalg.norm(dense, axis=1)
    np.testing.assert_allclose(diagonal(RowNorm(), problem, x), wanted, rtol=1e-12)
    monkeypatch.setattr("gnsopt.curvature.diagonals.BLOCK", 1)
    np.testing.assert_allclose(diagonal(RowNorm(), problem, x), wanted, rtol=1e-12)


def test_gauss_newton_diagonal_of_a_network():
    problem = MLP(RNG.standard_normal((12, 3)), np.arange(12) % 3, hidden=(4,), l2=0.1)
    x = problem.start()
    form = problem.gauss_newton(x, problem.prepare(x))
    np.testing.assert_allclose(form.diagonal(), form.dense().diagonal(), rtol=1e-12)


def test_gauss_newton_bartlett_is_the_gauss_newton_diagonal_in_the_mean():
    """Over labels drawn from the model, cross terms between samples vanish: exact mean for two samples."""
    X = RNG.standard_normal((2, 3))
    problem = MLP(X, [0, 1], hidden=(), loss="softmax")
    x = 0.5 * RNG.standard_normal(problem.n)
    P = problem.predict(x, X)
    a = np.hstack([X, np.ones((2, 1))])
    mean = np.zeros((4, 2))
    for labels in itertools.product(range(2), repeat=2):
        R = (P - np.eye(2)[list(labels)]) / 2
        mean += P[0, labels[0]] * P[1, labels[1]] * 2 * (a.T @ R) ** 2
    wanted = problem.gauss_newton(x, problem.prepare(x)).diagonal()
    np.testing.assert_allclose(mean.ravel(), wanted, rtol=1e-12)


class TestSophia:
    def test_step_is_the_clipped_one(self):
        problem = quadratic()
        x = Point(problem, RNG.standard_normal(6))
        for gamma, rho in ((1.0, 0.1), (0.2, 1.0), (5.0, 0.01)):
            step = Sophia(gamma, rho).start(x)(x).solve(0.0, x.g)
            wanted = np.clip(x.g / (gamma * problem.H.diagonal()), -rho, rho)
            np.testing.assert_allclose(step, wanted, rtol=1e-14)
            assert np.any(np.abs(step) == rho) or np.all(np.abs(step) < rho)

    def test_reaches_the_optimum_of_a_separable_quadratic_once_unclipped(self):
        d, b = np.geomspace(1e-3, 10, 5), RNG.standard_normal(5)
        problem = Quadratic(np.diag(d), d * b)
        x, rho = np.zeros(5), 0.3
        steps = np.ceil(np.abs(b) / rho).astype(int)  # of length rho, the last one shorter
        for t in range(steps.max()):
            point = Point(problem, x)
            x = x - Sophia(rho=rho).start(point)(point).solve(0.0, point.g)
            done = steps <= t + 1
            np.testing.assert_allclose(x[done], b[done], rtol=1e-10)
            np.testing.assert_allclose(x[~done], np.sign(b[~done]) * rho * (t + 1), rtol=1e-10)

    def test_without_curvature_it_is_sign_descent(self):
        problem = Quadratic(np.zeros((3, 3)), np.array([3.0, -1e-6, 0.5]))
        x = Point(problem, np.zeros(3))
        np.testing.assert_allclose(Sophia(rho=0.1).start(x)(x).solve(0.0, x.g), [-0.1, 0.1, -0.1], rtol=1e-14)

    def test_average_is_renewed_every_k_points(self):
        problem = quadratic()
        x = Point(problem, np.zeros(6))
        build = Sophia(rho=1e9, beta2=0.9, every=3, probes=1, seed=2).start(x)
        rng, h = np.random.default_rng(2), np.zeros(6)
        for t in range(7):
            if t % 3 == 0:
                z = rademacher(rng, 1, 6)[0]
                h = 0.9 * h + 0.1 * z * (problem.H @ z)
            wanted = np.maximum(np.maximum(h / (1 - 0.9 ** (t // 3 + 1)), 0.0), 1e-12)
            np.testing.assert_allclose(build(x).form.d, np.maximum(wanted, np.abs(x.g) / 1e9), rtol=1e-12)


@pytest.mark.parametrize("model", ["hutchinson:20", "row_norm", "adahessian", "sophia"])
def test_each_rule_solves_a_logistic_problem(model):
    problem = Logistic(*make_logistic(60, 5, seed=4), l2=0.1)
    exact = GradNormSmooth().minimize(problem, gtol=1e-10)
    found = GradNormSmooth(curvature=model).minimize(problem, gtol=1e-7)
    assert found.success
    assert found.fun == pytest.approx(exact.fun, abs=1e-12)


def test_misuse():
    for model, settings in (
        (Hutchinson, {"probes": 0}),
        (Hutchinson, {"kind": "fisher"}),
        (RowNorm, {"kind": "exact"}),
        (AdaHessian, {"beta2": 1.0}),
        (AdaHessian, {"kappa": 0.0}),
        (Sophia, {"rho": 0.0}),
        (Sophia, {"every": 0}),
        (Sophia, {"probes": -1}),
    ):
        with pytest.raises(ValueError, match=next(iter(settings))):
            model(**settings)
    problem = ResidualPower(np.eye(2), np.ones(2))
    problem.offers = lambda name: False
    for model in (Hutchinson(), RowNorm(), AdaHessian(), Sophia()):
        with pytest.raises(MissingRequirement):
            model.start(Point(problem, np.zeros(2)))
