"""Identities between Hessians and their approximations, at random points, in several metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import cholesky, solve_triangular

from gnsopt import Logistic, LogSumExp, Point, Softmax
from gnsopt.curvature import exact, gauss_newton, start
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.linalg.metric import as_metric

seeds = st.integers(0, 2**31)


def metrics(rng, n):
    """Identity, scalar, diagonal and dense B."""
    A = rng.standard_normal((n, 2 * n))
    return {"identity": None, "scalar": 3.0, "diagonal": rng.uniform(0.1, 10, n), "dense": A @ A.T / n}


def operator_norm(H, metric):
    """|L^{-1} H L^{-T}|_2 for B = L L', from a dense B."""
    n = len(H)
    B = np.eye(n) if metric is None else metric * np.eye(n) if np.ndim(metric) < 2 else metric
    L = cholesky(B, lower=True)
    W = solve_triangular(L, solve_triangular(L, H, lower=True).T, lower=True)
    return np.abs(np.linalg.eigvalsh((W + W.T) / 2)).max()


def log_sum_exp(rng):
    A = rng.standard_normal((20, 6))
    return LogSumExp(A, rng.standard_normal(20), float(rng.choice([0.1, 1.0, 5.0]))), A


@given(seeds, st.sampled_from(["identity", "scalar", "diagonal", "dense"]), st.floats(1e-4, 1e4))
def test_log_sum_exp_steps_are_collinear(seed, kind, lam):
    """h_exact = h_wgn / (1 - q/mu) with q = -<g, h_wgn> in [0, mu)."""
    rng = np.random.default_rng(seed)
    problem, _ = log_sum_exp(rng)
    x = Point(problem, rng.standard_normal(6), metric=as_metric(metrics(rng, 6)[kind], 6))
    h = -start(gauss_newton, x)(x).solve(lam, x.g)
    q = -float(x.g @ h)
    assert 0 <= q < problem.mu
    np.testing.assert_allclose(-start(exact, x)(x).solve(lam, x.g), h / (1 - q / problem.mu), rtol=1e-7)


@given(seeds, st.sampled_from(["identity", "scalar", "diagonal", "dense"]))
def test_log_sum_exp_hessian_minus_gauss_newton(seed, kind):
    """|hess - WGN|_* = |g|_*^2/mu, and WGN = A' diag(pi) A/mu."""
    rng = np.random.default_rng(seed)
    problem, A = log_sum_exp(rng)
    metric = metrics(rng, 6)[kind]
    x = Point(problem, rng.standard_normal(6), metric=as_metric(metric, 6))
    H, W = x.hess().dense(), x.hess("gauss_newton").dense()
    assert operator_norm(H - W, metric) == pytest.approx(x.dual_norm**2 / problem.mu, rel=1e-9)
    e = np.exp((A @ x.x - problem.b) / problem.mu)
    np.testing.assert_allclose(W, A.T @ ((e / e.sum())[:, None] * A) / problem.mu, rtol=1e-10, atol=1e-12)
    assert np.linalg.eigvalsh(H).min() >= -1e-12 * np.linalg.norm(W)


@given(seeds, st.sampled_from(["identity", "scalar", "diagonal", "dense"]), st.booleans(), st.floats(0.01, 30))
def test_logistic_hessian_minus_fisher(seed, kind, intercept, size):
    """|hess - Fisher|_* <= max |a_i|_*^2 f without a penalty; with one, the ridge cancels in the difference."""
    rng = np.random.default_rng(seed)
    X, y = make_logistic(30, 5, seed=seed)
    problem = Logistic(X, y, 0.7, intercept, sample_weight=rng.uniform(0, 1, 30))
    n = problem.n
    metric = metrics(rng, n)[kind]
    x = Point(problem, size * rng.standard_normal(n), metric=as_metric(metric, n))
    A = np.hstack([X, np.ones((30, 1))]) if intercept else X
    R = max(x.metric.dual_norm(a) for a in A)
    difference = operator_norm(x.hess().dense() - x.hess("fisher").dense(), metric)
    assert difference <= R**2 * x.z.loss * (1 + 1e-12)


@given(seeds, st.integers(2, 5), st.floats(0.01, 30))
def test_softmax_hessian_minus_fisher(seed, k, size):
    """|hess - Fisher| <= 2 max |a_i|^2 f."""
    rng = np.random.default_rng(seed)
    X, y = make_softmax(40, 4, k, seed=seed)
    problem = Softmax(X, np.append(np.arange(k), y[k:]), 0.3)
    x = Point(problem, size * rng.standard_normal(problem.n))
    R = np.linalg.norm(X, axis=1).max()
    difference = operator_norm(x.hess().dense() - x.hess("fisher").dense(), None)
    assert difference <= 2 * R**2 * x.z.loss * (1 + 1e-12)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("k", [None, 2, 4])
def test_fisher_is_the_sum_of_squared_sample_gradients(k, intercept):
    """sum_i w_i grad l_i grad l_i' + l2, the gradients taken from problems of one sample each."""
    X, y = make_logistic(20, 3) if k is None else make_softmax(20, 3, k)
    w = np.random.default_rng(0).uniform(0, 1, 20)
    w[:3] = 0
    make = Logistic if k is None else Softmax
    l2 = np.array([0.1, 0.0, 0.7])
    problem = make(X, y, l2, intercept, sample_weight=w)
    x = np.random.default_rng(1).standard_normal(problem.n)
    expected = np.diag(np.repeat(np.append(l2, [0.0] * intercept), problem.k))
    for i in range(20):
        one = make(X, y, 0.0, intercept, sample_weight=np.eye(20)[i])
        g = one.grad(x, one.prepare(x))
        expected += w[i] / w.sum() * np.outer(g, g)
    np.testing.assert_allclose(problem.fisher(x, problem.prepare(x)).dense(), expected, atol=1e-14)


@pytest.mark.parametrize("intercept", [False, True])
def test_softmax_of_two_classes_has_the_hessian_of_logistic(intercept):
    """In the coordinates u = (V_1 - V_0)/sqrt 2 and its orthogonal complement: 2 hess_logistic and zero."""
    X, y = make_logistic(30, 4)
    one, two = Logistic(X, y, 0.0, intercept), Softmax(X, y, 0.0, intercept)
    rng = np.random.default_rng(0)
    V = rng.standard_normal((one.n, 2))
    H = two.hess(V.ravel(), two.prepare(V.ravel())).dense()
    w = V[:, 1] - V[:, 0]
    T = np.kron(np.eye(one.n), np.array([[-1.0], [1.0]]) / np.sqrt(2))
    N = np.kron(np.eye(one.n), np.array([[1.0], [1.0]]) / np.sqrt(2))
    np.testing.assert_allclose(T.T @ H @ T, 2 * one.hess(w, one.prepare(w)).dense(), atol=1e-13)
    np.testing.assert_allclose(H @ N, 0.0, atol=1e-14)
