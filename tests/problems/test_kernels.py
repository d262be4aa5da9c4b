"""Compiled kernels against NumPy twins written from the formulas, and decimals of 400 digits at the extremes."""

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import expit, logsumexp, softmax

from gnsopt.kernels import blocks, csr, dense, entries, penalty
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


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_csr_kernels(density, index):
    """Each adds to what is there, or overwrites all of it, and touches nothing else."""
    rng = np.random.default_rng(1)
    X = csr_array(np.where(rng.random((40, 13)) < density, rng.standard_normal((40, 13)), 0.0))
    X.sort_indices()
    rows = X.indptr.astype(index), X.indices.astype(index), X.data
    X, w = X.toarray(), rng.normal(size=(40, 3))
    w[::5] = 0.0
    for intercept in (False, True):
        A = np.hstack([X, np.ones((40, 1))]) if intercept else X
        e = A.shape[1]
        moments = np.einsum("ic,il,ij->ljc", w, A, A)
        start = rng.normal(size=(e, e, 3))
        G = start[:, :, 0].copy()
        csr.weighted_gram(*rows, w[:, 0].copy(), intercept, G)
        np.testing.assert_allclose(np.triu(G), np.triu(start[:, :, 0] + moments[:, :, 0]), atol=1e-14)
        np.testing.assert_array_equal(np.tril(G, -1), np.tril(start[:, :, 0], -1))
        upper = np.triu(np.ones((e, e)))[:, :, None]
        for first, behind in ((0, e), (0, 5), (5, 8), (8, e)):
            B = start[first:behind].copy()
            csr.weighted_grams(*rows, w, intercept, first, np.zeros(3), B)
            np.testing.assert_allclose(B, (start + upper * moments)[first:behind], atol=1e-14)
        v, out = rng.normal(size=e), np.ones(e)
        csr.weighted_product(*rows, w[:, 0].copy(), v, intercept, out)
        np.testing.assert_allclose(out, 1 + A.T @ (w[:, 0] * (A @ v)), atol=1e-13)
    V, shift = rng.normal(size=(13, 4)), rng.normal(size=4)
    Z, out = np.full((40, 3), np.nan), np.ones((13, 4))
    csr.scores(*rows, V, shift, Z)
    np.testing.assert_allclose(Z, (X @ V + shift)[:, :3], atol=1e-14)
    csr.accumulate(*rows, w, out)
    np.testing.assert_allclose(out, 1 + np.pad(X.T @ w, ((0, 0), (0, 1))), atol=1e-14)
    out = np.ones((13, 3))
    csr.weighted_squares(*rows, w, out)
    np.testing.assert_allclose(out, 1 + (X**2).T @ w, atol=1e-14)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("n", [1, 6, 256, 261])
@pytest.mark.parametrize("d", [1, 4, 7, 12])
def test_dense_kernels(n, d, intercept):
    rng = np.random.default_rng(2)
    X, w, scale = rng.normal(size=(n, d)), rng.normal(size=(n, 5)), 2.0 ** rng.integers(-3, 3, d)
    A = np.hstack([X, np.ones((n, 1))]) if intercept else X
    e = A.shape[1]
    f, width = -(-e // 4) * 4, -(-min(n, dense.SAMPLES) // 8) * 8
    scaled = A * np.append(scale, 1.0)[:e]
    moments = np.einsum("ic,il,ij->clj", w, scaled, scaled)
    G = np.ones((5, f + 2, f))
    dense.weighted_grams(X, w, scale, intercept, np.zeros((f + 2, width)), np.zeros((f, width)), G)
    np.testing.assert_allclose(np.triu(G[:, :e, :e]), np.triu(1 + moments), atol=1e-11)
    B = np.ones((f, f, 6))
    work = [np.zeros((rows, width)) for rows in (f, f, 6)]
    dense.pair_grams(X, w, scale, intercept, *work, B)
    np.testing.assert_allclose(np.triu(B[:e, :e, :5].transpose(2, 0, 1)), np.triu(1 + moments), atol=1e-11)
    v, out = rng.normal(size=e), np.ones(e)
    dense.weighted_product(X, w[:, 0].copy(), v, intercept, out)
    np.testing.assert_allclose(out, 1 + A.T @ (w[:, 0] * (A @ v)), atol=1e-11)
    z, out, squares = np.full(n, np.nan), np.ones(d), np.ones(d)
    dense.products(X, v[:d], z)
    np.testing.assert_allclose(z, X @ v[:d], atol=1e-13)
    dense.add_rows(X, w[:, 0].copy(), out)
    np.testing.assert_allclose(out, 1 + X.T @ w[:, 0], atol=1e-12)
    dense.add_squares(X, w[:, 0].copy(), squares)
    np.testing.assert_allclose(squares, 1 + (X**2).T @ w[:, 0], atol=1e-12)
    V, Z, out = rng.normal(size=(6, d)), np.full((n, 5), np.nan), np.ones((5, d))
    V[5] = 0.0
    dense.scores(X, V, Z)
    np.testing.assert_allclose(Z, X @ V[:5].T, atol=1e-13)
    dense.accumulate(X, w, out)
    np.testing.assert_allclose(out, 1 + w.T @ X, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_softmax_blocks(k):
    rng = np.random.default_rng(3)
    P, w, U = rng.dirichlet(np.ones(k), 9), rng.uniform(size=9), rng.normal(size=(9, k))
    D = w[:, None, None] * (P[:, :, None] * np.eye(k) - P[:, :, None] * P[:, None, :])
    out = np.full((9, k), np.nan)
    blocks.softmax_apply(P, w, U, out)
    np.testing.assert_allclose(out, np.einsum("iab,ib->ia", D, U), atol=1e-15)
    blocks.softmax_apply(P, w, U, U)  # in place
    np.testing.assert_array_equal(U, out)
    blocks.softmax_diagonals(P, w, out)
    np.testing.assert_allclose(out, np.einsum("iaa->ia", D), rtol=1e-13)
    pairs = np.array([(a, b) for a in range(k) for b in range(a)])
    out = np.full((9, len(pairs)), np.nan)
    blocks.softmax_pairs(P, w, out)
    np.testing.assert_allclose(out, D[:, pairs[:, 0], pairs[:, 1]], rtol=1e-14)


@pytest.mark.parametrize("sums_to_zero", [False, True])
def test_blocks_are_spread_over_the_classes(sums_to_zero):
    """Strips and groups of pairs, one after the other, add up to the whole matrix."""
    rng = np.random.default_rng(4)
    e, k = 5, 4
    pairs = np.array([(a, b) for a in range(k) for b in range(a + (not sums_to_zero))])
    B = rng.normal(size=(e, e, len(pairs)))
    B += B.transpose(1, 0, 2)
    expected = np.zeros((e, k, e, k))
    for c, (a, b) in enumerate(pairs):
        expected[:, a, :, b] = expected[:, b, :, a] = B[:, :, c]
        if sums_to_zero:
            expected[:, a, :, a] -= B[:, :, c]
            expected[:, b, :, b] -= B[:, :, c]
    H = np.ones((e * k, e * k))
    for lo, hi in ((0, 2), (2, 5)):
        for start, stop in ((0, 3), (3, len(pairs))):
            blocks.spread(B[lo:hi, :, start:stop], lo, pairs[start:stop], sums_to_zero, k, H)
    np.testing.assert_allclose(np.triu(H), np.triu(1 + expected.reshape(e * k, e * k)), atol=1e-14)


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (64, 3)])
def test_largest_entry(shape):
    values = np.random.default_rng(0).normal(size=shape)
    assert entries.largest(values) == np.abs(values).max(initial=0.0)
    assert entries.largest(-values) == np.abs(values).max(initial=0.0)
    if values.size:
        for special in (np.inf, -np.inf, 5e-324):
            values.flat[-1] = special
            assert entries.largest(values) == np.abs(values).max()
        for bad in (np.nan, -np.nan):
            values.flat[-1] = bad
            assert np.isnan(entries.largest(values))


def test_penalty_in_one_pass():
    r, x, h, g = np.random.default_rng(0).normal(size=(4, 33))
    expected = r @ x**2, r @ (x * h), r @ h**2
    np.testing.assert_allclose(penalty.products(r, x, h), expected, rtol=1e-12)
    np.testing.assert_allclose(penalty.square(r, x), expected[0], rtol=1e-12)
    total = g + r * x
    penalty.add_gradient(r, x, g)
    np.testing.assert_allclose(g, total, rtol=1e-15)
