"""Metrics against dense matrices."""

import numpy as np
import pytest
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array, diags_array

from gnsopt import Metric, gram_metric
from gnsopt.linalg.metric import DenseMetric, DiagonalMetric, as_metric

N = 6
RNG = np.random.default_rng(0)
D = RNG.uniform(0.1, 10, N)
A = RNG.standard_normal((9, N))
B = A.T @ A + 0.1 * np.eye(N)

# what a user gives, the dense B
METRICS = {
    "identity": (None, np.eye(N)),
    "number": (2.5, 2.5 * np.eye(N)),
    "vector": (D, np.diag(D)),
    "matrix": (B, B),
    "sparse matrix": (csr_array(B), B),
    "diagonal matrix": (diags_array(D), np.diag(D)),
    "gram": (gram_metric(A), A.T @ A),
    "gram, ridge": (gram_metric(A, 0.1), B),
    "gram, sparse": (gram_metric(csr_array(A), 0.1), B),
    "gram, wide": (gram_metric(A[:3], 0.1), A[:3].T @ A[:3] + 0.1 * np.eye(N)),
}


@pytest.mark.parametrize("name", METRICS)
def test_everything_a_metric_says(name):
    given, dense = METRICS[name]
    metric = as_metric(given, N)
    assert isinstance(metric, Metric)
    h = RNG.standard_normal(N)
    np.testing.assert_allclose(metric.apply(h), dense @ h, rtol=1e-12)
    np.testing.assert_allclose(metric.solve(h), np.linalg.solve(dense, h), rtol=1e-9)
    assert metric.norm(h) == pytest.approx(np.sqrt(h @ dense @ h), rel=1e-12)
    assert metric.dual_norm(h) == pytest.approx(np.sqrt(h @ np.linalg.solve(dense, h)), rel=1e-10)
    if metric.diagonal is not None:
        np.testing.assert_array_equal(np.diag(dense), np.broadcast_to(metric.diagonal, N))
    # the pair of dual norms: |<s, h>| <= |s|_* |h|, equal for s = B h
    assert metric.dual_norm(metric.apply(h)) == pytest.approx(metric.norm(h), rel=1e-10)


@pytest.mark.parametrize("name", METRICS)
def test_shifts_and_whitening(name):
    given, dense = METRICS[name]
    metric = as_metric(given, N)
    S = RNG.standard_normal((N, N))
    H = S @ S.T
    shifted = np.asfortranarray(H.copy())
    metric.add_to(shifted, 0.7)
    np.testing.assert_allclose(np.tril(shifted), np.tril(H + 0.7 * dense), rtol=1e-12)
    # only the lower triangle is read
    lower = np.asfortranarray(np.tril(H) + np.triu(np.full((N, N), 1e3), 1))
    before = lower.copy()
    L = cholesky(dense, lower=True)
    white = solve_triangular(L, solve_triangular(L, H, lower=True).T, lower=True)
    np.testing.assert_allclose(np.tril(metric.whiten(lower)), np.tril(white), rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(lower, before)
    b = RNG.standard_normal(N)
    np.testing.assert_allclose(metric.to_white(b), solve_triangular(L, b, lower=True), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(metric.from_white(b), solve_triangular(L.T, b), rtol=1e-9, atol=1e-12)
    assert metric.dual_norm(b) == pytest.approx(np.linalg.norm(metric.to_white(b)), rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_norms_neither_overflow_nor_underflow(name):
    given, _ = METRICS[name]
    metric = as_metric(given, N)
    h = RNG.standard_normal(N)
    for size in (1e-180, 1e180):
        assert metric.norm(size * h) == pytest.approx(size * metric.norm(h), rel=1e-10)
        assert metric.dual_norm(size * h) == pytest.approx(size * metric.dual_norm(h), rel=1e-10)


def test_the_users_arrays_are_neither_kept_nor_written():
    d, M = D.copy(), B.copy()
    diagonal, dense = as_metric(d, N), as_metric(M, N)
    d[:] = M[:] = 0.0
    assert diagonal.norm(np.ones(N)) == pytest.approx(np.sqrt(D.sum()))
    assert dense.norm(np.ones(N)) == pytest.approx(np.sqrt(B.sum()))
    h = np.ones(N)
    for metric in (diagonal, dense):
        metric.apply(h), metric.solve(h), metric.norm(h), metric.to_white(h), metric.from_white(h)
        np.testing.assert_array_equal(h, np.ones(N))


def test_classes():
    assert isinstance(as_metric(None, 3), DiagonalMetric)
    assert isinstance(as_metric(2.0, 3), DiagonalMetric)
    assert isinstance(as_metric(np.eye(3), 3), DenseMetric)
    metric = gram_metric(A)
    assert as_metric(metric, N) is metric


def test_an_ill_conditioned_metric():
    """Condition 2e8, as in the papers' experiment: the dual norm by the factor keeps its digits."""
    Q = np.linalg.qr(RNG.standard_normal((N, N)))[0]
    d = np.geomspace(1, 5e-9, N)
    M = (Q * d) @ Q.T
    metric = as_metric((M + M.T) / 2, N)
    s = Q[:, -1]
    assert metric.dual_norm(s) == pytest.approx(d[-1] ** -0.5, rel=1e-6)
    assert metric.norm(metric.solve(s)) == pytest.approx(metric.dual_norm(s), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (-1.0, "positive"),
        (np.array([1.0, 0.0, 1.0]), "positive"),
        (np.array([1.0, np.nan, 1.0]), "positive"),
        (np.ones(4), "shape"),
        (np.ones((3, 4)), "shape"),
        (np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1.0, 1.0]), "positive definite"),
        (np.diag([1.0, np.inf, 1.0]), "finite"),
        ("euclidean", "'auto'"),
    ],
)
def test_what_is_no_metric_is_refused(metric, message):
    with pytest.raises(ValueError, match=r"metric.*" + message):
        as_metric(metric, 3)
