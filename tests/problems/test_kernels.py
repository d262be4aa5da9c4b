"""Compiled kernels against NumPy twins written from the formulas, and decimals of 400 digits at the extremes."""

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import random_array
from scipy.special import expit, logsumexp, softmax

from gnsopt.kernels import csr
from gnsopt.kernels import logistic as logistic_kernel
from gnsopt.kernels import softmax as softmax_kernel

EXTREMES = [0.0, 5e-324, 1e-300, 1e-16, 1e-8, 1e-3, 1.0, 17.0, 36.7, 37.0, 40.0, 709.0, 710.0, 745.0, 746.0, 800.0]
EPS = np.finfo(float).eps
DIGITS = Context(prec=400)  # exp(-800) added to 1 keeps 50 digits
margins = st.floats(-800, 800)


def logistic_pass(z, sign, w):
    r = np.empty_like(z)
    loss = logistic_kernel.loss_residual(z, np.exp(-np.abs(z)), sign, w, r)
    return loss, r


def softmax_pass(Z, label, w):
    top = Z.max(axis=1)
    P, R = np.exp(Z - top[:, None]), np.empty_like(Z)
    loss = softmax_kernel.loss_residual(Z, top, P, label, w, R)
    return loss, P, R


@given(st.lists(st.tuples(margins, st.booleans(), st.floats(0, 2)), min_size=1, max_size=600))
def test_logistic_pass_is_the_textbook(samples):
    z, positive, w = (np.array(column, dtype=float) for column in zip(*samples, strict=True))
    sign = 2 * positive - 1
    loss, r = logistic_pass(z, sign, w)
    np.testing.assert_allclose(loss, np.sum(w * np.logaddexp(0.0, -sign * z)), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(r, -sign * w * expit(-sign * z), rtol=1e-14, atol=1e-305)  # expit ends at 1e-308


@given(st.integers(2, 6), st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 30.0, 800.0]))
def test_softmax_pass_is_the_textbook(k, n, seed, size):
    rng = np.random.default_rng(seed)
    Z, label, w = rng.uniform(-size, size, (n, k)), rng.integers(k, size=n), rng.uniform(0, 2, n)
    loss, P, R = softmax_pass(Z, label, w)
    own = Z[np.arange(n), label]
    np.testing.assert_allclose(loss, np.sum(w * (logsumexp(Z, axis=1) - own)), rtol=1e-13, atol=1e-13 * size)
    np.testing.assert_allclose(P, softmax(Z, axis=1), rtol=1e-14 * max(1, size), atol=1e-300)
    np.testing.assert_allclose(R, w[:, None] * (P - np.eye(k)[label]), rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("z", sorted({s * v for v in EXTREMES for s in (1, -1)}))
def test_logistic_pass_at_the_extremes(z, sign):
    loss, r = logistic_pass(np.array([z]), np.array([sign]), np.array([1.0]))
    with localcontext(DIGITS):
        falling = (-Decimal(sign) * Decimal(z)).exp()
        exact_loss, exact_sigma = float((1 + falling).ln()), float(falling / (1 + falling))
    tiny = 5e-324  # below the normal range only the absolute error is small
    assert abs(loss - exact_loss) <= 4 * EPS * exact_loss + tiny
    assert abs(-sign * r[0] - exact_sigma) <= 4 * EPS * exact_sigma + tiny


@pytest.mark.parametrize("gap", EXTREMES)
def test_softmax_pass_keeps_its_digits_on_separated_scores(gap):
    """The own class leads by `gap`: loss and residual are of the size of exp(-gap) and must keep their digits."""
    Z = np.array([[3.0 - gap, 3.0, 3.0 - gap]])
    loss, P, R = softmax_pass(Z, np.array([1]), np.array([1.0]))
    with localcontext(DIGITS):
        other = (Decimal(float(Z[0, 0])) - 3).exp()
        exact_loss, exact_p = float((1 + 2 * other).ln()), float(other / (1 + 2 * other))
    assert abs(loss - exact_loss) <= 4 * EPS * exact_loss + 1e-323
    np.testing.assert_allclose(P[0, [0, 2]], exact_p, rtol=4 * EPS, atol=1e-323)
    np.testing.assert_allclose(R[0], [exact_p, -2 * exact_p, exact_p], rtol=4 * EPS, atol=1e-323)


def test_softmax_residuals_sum_to_zero():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(50, 4)) * 100
    _, _, R = softmax_pass(Z, rng.integers(4, size=50), np.full(50, 0.02))
    assert np.abs(R.sum(axis=1)).max() <= 1e-17


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_csr_second_moments(density):
    rng = np.random.default_rng(1)
    X = random_array((40, 13), density=density, rng=rng, data_sampler=rng.standard_normal, format="csr")
    X.sort_indices()
    A, w = X.toarray(), rng.normal(size=(40, 3))
    w[::5] = 0.0
    start = rng.normal(size=(13, 13))
    G = start.copy()
    csr.weighted_gram(X.indptr, X.indices, X.data, w[:, 0].copy(), G)
    # added to what is there, lower triangle only
    np.testing.assert_allclose(np.tril(G), np.tril(start + A.T @ (w[:, :1] * A)), atol=1e-14)
    np.testing.assert_array_equal(np.triu(G, 1), np.triu(start, 1))
    out = np.ones((13, 3))
    csr.weighted_squares(X.indptr, X.indices, X.data, w, out)
    np.testing.assert_allclose(out, 1 + (A**2).T @ w, atol=1e-14)
