"""Hessians of linear models and products with them, against sums in extended precision, in every path of the assembly.

Errors are measured against ``|A|' |D| |A|``, the size of what is summed, entry by entry.
"""

import numba
import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt.linalg import design as design_module
from gnsopt.linalg import parts
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Gram
from gnsopt.linalg.rows import OuterRows, SoftmaxRows, WeightRows

LIMIT = 1e-13


@pytest.fixture(params=["whole", "pieces"])
def cut(request, monkeypatch):
    """All at once, or everything cut into as many blocks, strips, chunks and parts as these sizes allow."""
    if request.param == "pieces":
        for name, value in {"BLOCK": 1, "STRIP": 200, "CHUNK": 300, "WEIGHTS": 1, "FILLED": 1e-3}.items():
            monkeypatch.setattr(design_module, name, value)
        monkeypatch.setattr(parts, "PART", 1.0)
        monkeypatch.setattr(parts, "ROWS", 50)


def data(n, d, sparse, intercept, seed=0):
    """A design with an empty row, an empty column and columns of different sizes, and its dense matrix."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4, d)
    if sparse:
        X *= rng.uniform(size=(n, d)) < 0.3
    X[n // 2] = 0.0
    X[:, d // 2] = 0.0
    S = csr_array(X)
    S.sort_indices()
    A = np.hstack([X, np.ones((n, 1))]) if intercept else X
    return Design(S if sparse else X, intercept), A


def blocks(kind, n, k, seed=1):
    """Blocks with zero weights, and the same as an array of shape (n, k, k)."""
    rng = np.random.default_rng(seed)
    w = rng.uniform(0, 1, n) / n
    w[::7] = 0.0
    if kind == "weights":
        w *= rng.choice([-1.0, 1.0], n)
        return WeightRows(w), w[:, None, None]
    if kind == "outer":
        R = rng.standard_normal((n, k))
        return OuterRows(R, w), w[:, None, None] * R[:, :, None] * R[:, None, :]
    P = rng.dirichlet(np.full(k, 0.3), n)
    return SoftmaxRows(P, w), w[:, None, None] * (P[:, :, None] * np.eye(k) - P[:, :, None] * P[:, None, :])


def dense(A, D):
    """``A' blockdiag(D_i) A`` of shape (e k, e k), and the size of its terms."""
    size = A.shape[1] * D.shape[1]
    A, D = A.astype(np.longdouble), D.astype(np.longdouble)
    Y = np.einsum("icd,ib->icbd", D, A)
    Z = np.abs(Y)
    flat = (A.shape[0], -1)
    H = A.T @ Y.reshape(flat), np.abs(A).T @ Z.reshape(flat)
    k = D.shape[1]
    return [M.reshape(A.shape[1], k, A.shape[1], k).reshape(size, size) for M in H]


SHAPES = [
    ("weights", 1, 1, 1),
    ("weights", 1, 5, 3),
    ("weights", 1, 300, 7),
    ("weights", 1, 531, 33),
    ("softmax", 2, 70, 5),
    ("softmax", 3, 301, 40),
    ("softmax", 4, 3, 9),
    ("softmax", 5, 257, 12),
    ("softmax", 9, 64, 20),
    ("softmax", 26, 110, 6),
    ("outer", 2, 70, 33),
    ("outer", 6, 123, 10),
]


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("kind", "k", "n", "d"), SHAPES)
def test_hessian_and_products_are_the_sums(cut, kind, k, n, d, sparse, intercept):
    design, A = data(n, d, sparse, intercept)
    rows, D = blocks(kind, n, k)
    e = A.shape[1]
    ridge = np.linspace(0, 1, e * k)
    form = Gram(design, rows, ridge)
    H, size = dense(A, D)

    lower = form.lower()
    assert lower.shape == (e * k, e * k)
    assert lower.flags.f_contiguous
    assert np.isfinite(lower).all()
    assert np.all(np.abs(np.tril(lower - np.diag(ridge) - H)) <= LIMIT * (size + np.diag(ridge)))

    found = form.class_blocks()
    assert len(found) == k
    for c, G in enumerate(found):
        assert G.flags.f_contiguous
        assert np.all(np.abs(np.tril(G - H[c::k, c::k])) <= LIMIT * size[c::k, c::k])
    for a, b in {(0, 0), (k - 1, 0)}:
        assert np.all(np.abs(np.tril(form.block(a, b) - H[a::k, b::k])) <= LIMIT * size[a::k, b::k])

    rng = np.random.default_rng(2)
    v = rng.standard_normal(e * k)
    kept = v.copy()
    # the inner product <p, u> of the softmax product is of the size of |D| |A| |v| summed over the classes
    terms = np.abs(A).T @ np.einsum("icd,id->ic", np.abs(D), np.abs(A) @ np.abs(v).reshape(e, k))
    if kind == "softmax":
        wP, inner = rows.w[:, None] * rows.P, np.einsum("ic,ic->i", rows.P, np.abs(A) @ np.abs(v).reshape(e, k))
        terms = terms + np.abs(A).T @ (wP * (np.abs(A) @ np.abs(v).reshape(e, k) + inner[:, None]))
    exact = (H.astype(float) @ v).reshape(-1)
    assert np.all(np.abs(form.matvec(v) - exact - ridge * v) <= LIMIT * (terms.reshape(-1) + ridge * np.abs(v)))
    np.testing.assert_array_equal(v, kept)
    np.testing.assert_allclose(form.diagonal(), H.diagonal().astype(float) + ridge, rtol=1e-12, atol=1e-300)

    V = rng.standard_normal((e, k))
    R = rng.standard_normal((n, k))
    assert np.all(np.abs(design.matvec(V) - A @ V) <= LIMIT * np.abs(A) @ np.abs(V))
    assert np.all(np.abs(design.rmatvec(R) - A.T @ R) <= LIMIT * np.abs(A).T @ np.abs(R))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("kind", "k"), [("weights", 1), ("softmax", 3), ("softmax", 9)])
@pytest.mark.parametrize("cut", ["pieces"], indirect=True)
def test_the_number_of_threads_changes_no_bit(cut, kind, k, sparse):
    design, A = data(700, 40, sparse, True)
    form = Gram(design, blocks(kind, 700, k)[0], np.zeros(A.shape[1] * k))
    v = np.random.default_rng(0).standard_normal(form.n)
    assert len(parts.split(700, form.product_price)) == parts.MOST

    def everything():
        return [
            np.tril(form.lower()),
            *(np.tril(G) for G in form.class_blocks()),
            np.tril(design.gram_lower(form.rows.pair(0, 0), np.float32)),
            form.matvec(v),
            design.matvec(v.reshape(-1, k)),
            design.rmatvec(form.rows.diagonals()),
        ]

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = everything()
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = everything()
    finally:
        numba.set_num_threads(before)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_parts_cover_the_rows_and_results_keep_their_order(monkeypatch):
    monkeypatch.setattr(parts, "PART", 1.0)
    monkeypatch.setattr(parts, "ROWS", 3)
    for n, price, most in [(1, 1e9, 8), (29, 1e9, np.inf), (29, 2.5, np.inf), (29, 1e9, 3.9), (2, 0.0, 0.1)]:
        found = parts.split(n, price, most)
        np.testing.assert_array_equal(np.concatenate([np.arange(n)[p] for p in found]), np.arange(n))
        assert len(found) <= max(1, min(most, price, n / 3))
    assert list(parts.run(lambda job: job**2, range(20))) == [i**2 for i in range(20)]
    values = 10.0 ** np.arange(20, dtype=float)
    total = parts.total(lambda part: values[part].sum(keepdims=True), [slice(i, i + 1) for i in range(20)])
    assert total[0] == np.add.accumulate(values)[-1]  # from the first to the last


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("n", [7, 1000])
def test_single_precision_does_not_know_the_scales(cut, n, intercept):
    """Six digits relative to the diagonal, for columns and weights far outside the range of float32."""
    rng = np.random.default_rng(0)
    d = 20
    X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-60, 60, d)
    X[:, 3] = 0.0
    w = rng.uniform(0, 1, n) * 1e-50
    A = np.hstack([X, np.ones((n, 1))]) if intercept else X
    exact = A.T @ (w[:, None] * A)
    root = np.sqrt(exact.diagonal())
    design = Design(X, intercept)
    found = design.gram_lower(w, np.float32)
    assert found.dtype == np.float64
    assert found.flags.f_contiguous
    error = np.abs(np.tril(found - exact))
    assert np.all(error <= 1e-6 * np.outer(root, root))
    assert error.max() > 0
    np.testing.assert_array_equal(np.tril(design.gram_lower(np.zeros(n), np.float32)), 0.0)
    sparse = Design(csr_array(X), intercept)
    np.testing.assert_array_equal(np.tril(sparse.gram_lower(w, np.float32)), np.tril(sparse.gram_lower(w)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("k", [3, 8])
def test_separated_data_keep_their_digits(k, sparse):
    """Probabilities of 1e-20 beside one that rounds to 1: every block is a sum of terms of one sign."""
    n, d = 40, 4
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 1, (n, d))
    P = rng.uniform(1, 2, (n, k)) * 1e-20
    P[np.arange(n), rng.integers(k, size=n)] = 1.0
    form = Gram(Design(csr_array(X) if sparse else X), SoftmaxRows(P, np.full(n, 1 / n)), np.zeros(d * k))
    P = P.astype(np.longdouble)
    others = P.sum(axis=1, keepdims=True) - P
    others[P == 1] = (P * (P < 1)).sum(axis=1)
    lower = form.lower()
    for a, G in enumerate(form.class_blocks()):
        exact = np.tril(X.T @ ((P[:, a] * others[:, a] / n)[:, None] * X)).astype(float)
        np.testing.assert_allclose(np.tril(G), exact, rtol=1e-13)
        np.testing.assert_allclose(np.tril(lower[a::k, a::k]), exact, rtol=1e-13)
    np.testing.assert_allclose(form.rows.diagonals(), (P * others / n).astype(float), rtol=1e-14)


@pytest.mark.parametrize("sparse", [False, True])
def test_prices_grow_with_the_work(sparse):
    design, _ = data(400, 30, sparse, False)
    assert design.gram_price == design.grams_price(1)
    prices = [design.grams_price(m) for m in (1, 2, 4, 5, 10, 40)]
    assert prices == sorted(prices)
    assert prices[-1] < 40 * prices[0]  # one pass for all is cheaper than one for each
    products = [design.product_price(k) for k in (1, 2, 10)]
    assert products == sorted(products)
    wider = Design(design.X, True)
    assert wider.gram_price > design.gram_price
    if sparse:
        pattern = design.X.toarray() != 0
        assert design._outer_entries == sum(m * (m + 1) / 2 for m in pattern.sum(axis=1))
