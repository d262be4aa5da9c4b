"""Designs, blocks, forms and preconditioners against dense matrices."""

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from gnsopt.linalg import design as design_module
from gnsopt.linalg import precond
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Dense, Gram, Operator, RankOneUpdate, ShermanMorrison, as_form
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.precond import ActiveRows, ClassBlocks, Frozen, Jacobi
from gnsopt.linalg.rows import OuterRows, SoftmaxRows, WeightRows
from gnsopt.linalg.shifted import DenseShifted
from gnsopt.linalg.structured import Diagonal, Zero

RNG = np.random.default_rng(0)


def rows_of(kind, n, k):
    """Blocks of a kind, and the same as an array of shape (n, k, k)."""
    rng = np.random.default_rng(1)
    w = rng.uniform(0, 1, n)
    w[::7] = 0.0
    if kind == "weights":
        return WeightRows(w), w[:, None, None]
    if kind == "softmax":
        P = rng.dirichlet(np.ones(k), n)
        return SoftmaxRows(P, w), w[:, None, None] * (
            np.einsum("ij,jk->ijk", P, np.eye(k)) - np.einsum("ij,ik->ijk", P, P)
        )
    R = rng.standard_normal((n, k))
    return OuterRows(R, w), w[:, None, None] * np.einsum("ij,ik->ijk", R, R)


KINDS = [("weights", 1), ("softmax", 2), ("softmax", 4), ("outer", 2), ("outer", 3)]


@pytest.mark.parametrize(("kind", "k"), KINDS)
def test_blocks(kind, k):
    n = 10
    rows, D = rows_of(kind, n, k)
    assert rows.k == k
    shape = (n,) if kind == "weights" else (n, k)
    U = RNG.standard_normal(shape)
    V = U.reshape(n, k)
    np.testing.assert_allclose(rows.apply(U).reshape(n, k), np.einsum("ijk,ik->ij", D, V), atol=1e-15)
    for a in range(k):
        for b in range(k):
            np.testing.assert_allclose(rows.pair(a, b), D[:, a, b], atol=1e-16)
    np.testing.assert_allclose(rows.diagonals(), np.einsum("ijj->ij", D), atol=1e-16)
    # D_i = L_i L_i', with L_i by its action
    np.testing.assert_allclose(rows.half(rows.half_t(U)), rows.apply(U), atol=1e-14)
    W = RNG.standard_normal(shape)
    assert np.sum(W * rows.half(U)) == pytest.approx(np.sum(rows.half_t(W) * U), abs=1e-13)


def test_the_diagonal_of_a_softmax_block_does_not_cancel():
    """p (1 - p) for p within rounding of 1: the sum of the other probabilities knows it."""
    rows = SoftmaxRows(np.array([[1e-20, 1.0, 3e-20]]), np.ones(1))
    np.testing.assert_allclose(rows.diagonals(), [[1e-20, 4e-20, 3e-20]], rtol=1e-14)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("n", [3, 256, 2 * 256 + 5])
def test_designs(monkeypatch, n, intercept, sparse):
    monkeypatch.setattr(design_module, "BLOCK", 1)  # the smallest blocks: 256 rows
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 6)) * (rng.uniform(size=(n, 6)) < 0.4)
    X[1] = 0
    A = np.hstack([X, np.ones((n, 1))]) if intercept else X
    S = csr_array(X)
    S.sort_indices()
    design = Design(S if sparse else X, intercept)
    assert (design.n_samples, design.n_features, design.n_columns) == (n, 6, 6 + intercept)
    for shape in ((), (3,)):
        v, r = rng.standard_normal((6 + intercept, *shape)), rng.standard_normal((n, *shape))
        np.testing.assert_allclose(design.matvec(v), A @ v, atol=1e-13)
        np.testing.assert_allclose(design.rmatvec(r), A.T @ r, atol=1e-11)
    for w in (rng.uniform(0, 1, n), -rng.uniform(0, 1, n), rng.standard_normal(n), np.zeros(n)):
        G = design.gram_lower(w)
        assert G.flags.f_contiguous
        np.testing.assert_allclose(np.tril(G), np.tril(A.T @ (w[:, None] * A)), atol=1e-10)
    W = rng.standard_normal((n, 2))
    np.testing.assert_allclose(design.weighted_squares(W), (A**2).T @ W, atol=1e-11)
    np.testing.assert_allclose(design.row_norms, np.linalg.norm(A, axis=1), rtol=1e-14)
    np.testing.assert_allclose(design.row_gram, X @ X.T, atol=1e-13)


def gram(kind, k, sparse=False, intercept=False):
    """A Gram form and its dense matrix."""
    n, d = 12, 5
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d))
    rows, D = rows_of(kind, n, k)
    design = Design(csr_array(X) if sparse else X, intercept)
    A = np.hstack([X, np.ones((n, 1))]) if intercept else X
    ridge = np.repeat(np.append(np.linspace(0, 1, d), [0.0] * intercept), k)
    big = np.einsum("ia,icd,ib->acbd", A, D, A).reshape(A.shape[1] * k, -1)
    return Gram(design, rows, ridge), big + np.diag(ridge)


def forms():
    """Every form, with its dense matrix."""
    d, u = RNG.uniform(0.1, 1, 7), RNG.standard_normal(7)
    S = RNG.standard_normal((7, 7))
    H = S @ S.T
    out = {
        "zero": (Zero(7), np.zeros((7, 7))),
        "diagonal": (Diagonal(d), np.diag(d)),
        "dense": (Dense(H), H),
        "dense, skew part": (Dense(H + 1e-9 * (S - S.T)), H),
        "operator": (Operator(7, lambda v: H @ v, H.diagonal()), H),
        "operator, no diagonal": (as_form(aslinearoperator(H), 7), H),
        "sparse": (as_form(csr_array(np.diag(d)), 7), np.diag(d)),
        "rank one": (RankOneUpdate(Diagonal(d), 0.3, u), np.diag(d) + 0.3 * np.outer(u, u)),
        "rank one, negative": (RankOneUpdate(Dense(H), -0.01, u), H - 0.01 * np.outer(u, u)),
    }
    for kind, k in KINDS:
        for sparse in (False, True):
            for intercept in (False, True):
                out[f"gram {kind} {k} {sparse} {intercept}"] = gram(kind, k, sparse, intercept)
    return out


FORMS = forms()


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    form, H = FORMS[name]
    n = form.n
    assert H.shape == (n, n)
    v = RNG.standard_normal(n)
    kept = v.copy()
    tolerance = 1e-7 if "skew" in name else 1e-12
    np.testing.assert_allclose(form.matvec(v), H @ v, atol=tolerance)
    np.testing.assert_array_equal(v, kept)
    np.testing.assert_allclose(form.dense(), H, atol=1e-12)
    np.testing.assert_allclose(np.tril(form.lower()), np.tril(H), atol=1e-12)
    assert form.lower().flags.f_contiguous
    first = form.lower()
    first[:] = np.nan  # the caller may overwrite it
    assert np.isfinite(np.tril(form.lower())).all()
    if form.diagonal() is not None:
        np.testing.assert_allclose(form.diagonal(), H.diagonal(), atol=1e-12)


@pytest.mark.parametrize("metric", [None, 3.0, RNG.uniform(0.5, 2, 7), np.eye(7) + 0.1])
@pytest.mark.parametrize("name", [name for name, (form, _) in FORMS.items() if form.n == 7])
def test_structured_solves(name, metric):
    form, H = FORMS[name]
    B = as_metric(metric, 7)
    shifted = form.structured(B)
    if shifted is None:
        assert name not in ("zero", "diagonal", "rank one") or B.diagonal is None
        return
    M = np.column_stack([B.apply(e) for e in np.eye(7)])
    for lam in (1e-3, 1.0, 1e3):
        b = RNG.standard_normal(7)
        np.testing.assert_allclose(shifted.solve(lam, b), np.linalg.solve(H + lam * M, b), rtol=1e-8, atol=1e-12)
    if name.startswith("rank one"):  # the right-hand side that costs one solve of the base
        np.testing.assert_allclose(shifted.solve(1.0, form.u), np.linalg.solve(H + M, form.u), rtol=1e-9)


def test_sherman_morrison_refuses_what_is_indefinite():
    from gnsopt.exceptions import NotPositiveDefinite

    u = np.array([1.0, 2.0, 2.0])
    base = DenseShifted(np.asfortranarray(np.zeros((3, 3))), as_metric(None, 3))
    solver = ShermanMorrison(base, -1.0, u)  # lam I - u u', |u| = 3
    with pytest.raises(NotPositiveDefinite):
        solver.solve(8.9, u)
    np.testing.assert_allclose(
        solver.solve(9.1, np.ones(3)), np.linalg.solve(9.1 * np.eye(3) - np.outer(u, u), np.ones(3))
    )


def without_common_part(blocks, delta, k):
    """``Pi blocks^{-1} Pi + (I - Pi) / delta``, Pi the projection onto vectors that sum to zero over the classes."""
    Pi = np.kron(np.eye(len(blocks) // k), np.eye(k) - np.ones((k, k)) / k)
    return Pi @ np.linalg.inv(blocks) @ Pi + (np.eye(len(blocks)) - Pi) / delta[:, None]


def preconditioners():
    """Every preconditioner, with its inverse for a shift and the dense metric."""
    form, H = gram("softmax", 3, intercept=True)
    n, k = form.n, form.k
    blocks = np.zeros((n, n))
    for c in range(k):
        blocks[c::k, c::k] = H[c::k, c::k]

    def by_class(shift):
        return without_common_part(blocks + shift, form.ridge + shift.diagonal(), k)

    return {
        "jacobi": (Jacobi(form), lambda shift: np.linalg.inv(np.diag(H.diagonal()) + shift)),
        "class blocks": (ClassBlocks(form), by_class),
        "active rows": (ActiveRows(form), by_class),
        "frozen": (Frozen(form.lower()), lambda shift: np.linalg.inv(H + shift)),
    }


@pytest.mark.parametrize("metric", ["identity", "scalar", "diagonal", "dense"])
@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", preconditioners())
def test_preconditioners_are_symmetric_positive_definite_and_what_they_say(name, lam, metric, monkeypatch):
    monkeypatch.setattr(precond, "ACTIVE", 0.0)
    preconditioner, inverse = preconditioners()[name]
    n = gram("softmax", 3, intercept=True)[0].n
    rng = np.random.default_rng(0)
    d = np.repeat(rng.uniform(0.5, 2, n // 3), 3)
    S = rng.standard_normal((n, 2 * n))
    given = {"identity": None, "scalar": 2.0, "diagonal": d, "dense": S @ S.T / n}[metric]
    B = as_metric(given, n)
    apply = preconditioner.at(lam, B)
    r = rng.standard_normal(n)
    kept = r.copy()
    P = np.column_stack([apply(e) for e in np.eye(n)])
    apply(r)
    np.testing.assert_array_equal(r, kept)
    np.testing.assert_allclose(P, P.T, rtol=1e-8, atol=1e-11 * np.abs(P).max())
    assert np.linalg.eigvalsh((P + P.T) / 2).min() > 0
    if name == "frozen" or metric != "dense":
        expected = inverse(lam * np.column_stack([B.apply(e) for e in np.eye(n)]))
        np.testing.assert_allclose(P, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("maker", [ClassBlocks, ActiveRows])
def test_softmax_hessian_is_at_most_twice_its_class_blocks(maker, monkeypatch):
    """``H + lam B <= 2 M`` (diagonal dominance of the blocks), and equality of both on the common part."""
    monkeypatch.setattr(precond, "ACTIVE", 0.0)
    form, H = gram("softmax", 4)
    lam = 1e-4
    apply = maker(form).at(lam, as_metric(None, form.n))
    P = np.column_stack([apply(e) for e in np.eye(form.n)])
    eigenvalues = np.linalg.eigvals(P @ (H + lam * np.eye(form.n))).real
    assert eigenvalues.max() <= 2 + 1e-9
    common = np.kron(np.random.default_rng(0).standard_normal(form.n // 4), np.ones(4))
    np.testing.assert_allclose(P @ (H @ common + lam * common), common, atol=1e-8)


def test_rows_that_matter_less_than_the_shift_are_left_out():
    """A row is active where ``D_cc |a|^2 > ACTIVE * delta``; a large shift leaves none, and the price follows."""
    form, _ = gram("softmax", 3)
    flat = as_metric(None, form.n)
    r = np.random.default_rng(0).standard_normal(form.n)
    np.testing.assert_allclose(ActiveRows(form).at(1e6, flat)(r), r / (1e6 + form.ridge), rtol=1e-12)
    assert form.product_price < ActiveRows.price(form, 1e-6, flat) < np.inf == ActiveRows.price(form, 1e6, flat)


def test_active_rows_keep_their_first_factor():
    """The engine buys a new one when the products have paid for it."""
    form, _ = gram("softmax", 3)
    flat, r = as_metric(None, form.n), np.arange(1.0, form.n + 1)
    held = ActiveRows(form)
    np.testing.assert_array_equal(held.at(1.0, flat)(r), held.at(100.0, flat)(r))


def test_preconditioners_survive_singular_and_indefinite_matrices():
    """A zero matrix, lam = 0, an indefinite reference: what comes out is still symmetric positive definite."""
    X = np.random.default_rng(0).standard_normal((12, 5))
    X[:, 4] = 0.0
    rows, _ = rows_of("softmax", 12, 3)
    form = Gram(Design(X), rows, np.zeros(15))
    nothing = Gram(Design(X), SoftmaxRows(np.tile([0.0, 1.0, 0.0], (12, 1)), np.ones(12) / 12), np.zeros(15))
    for preconditioner in (
        Jacobi(form),
        ClassBlocks(form),
        ActiveRows(form),
        Frozen(form.lower()),
        Jacobi(nothing),
        ClassBlocks(nothing),
        ActiveRows(nothing),
        Frozen(nothing.lower()),
        Jacobi(Diagonal(np.linspace(-1, 1, 15))),
        Frozen(np.asfortranarray(np.diag(np.linspace(-0.1, 1, 15)))),
    ):
        for lam in (0.0, 1e-12):
            apply = preconditioner.at(lam, as_metric(None, 15))
            P = np.column_stack([apply(e) for e in np.eye(15)])
            assert np.isfinite(P).all()
            np.testing.assert_allclose(P, P.T, rtol=1e-6, atol=1e-9 * np.abs(P).max())
            assert np.linalg.eigvalsh((P + P.T) / 2).min() > 0


def test_block_diagonal_structure_of_the_class_blocks():
    """Entries of different classes never mix."""
    form, _ = gram("softmax", 3)
    form.rows.sums_to_zero = False  # without the projection onto zero sums
    apply = ClassBlocks(form).at(0.5, as_metric(None, form.n))
    P = np.column_stack([apply(e) for e in np.eye(form.n)])
    order = np.argsort(np.arange(form.n) % 3, kind="stable")
    by_class = P[np.ix_(order, order)]
    m = form.n // 3
    np.testing.assert_array_equal(
        by_class, block_diag(*[by_class[c * m : c * m + m, c * m : c * m + m] for c in range(3)])
    )


@pytest.mark.parametrize("H", [np.eye(3), np.ones((2, 3)), np.ones(4), csr_array((3, 4)), aslinearoperator(np.eye(5))])
def test_hessians_of_the_wrong_shape_are_refused(H):
    with pytest.raises(ValueError, match=r"hess.*\(4, 4\)"):
        as_form(H, 4)


def test_active_rows_of_dependent_rows_stay_positive_definite():
    """Two copies of each row, almost no shift: rounding makes the kernel indefinite, and it is lifted."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 400))
    form = Gram(Design(np.vstack([X, X])), rows_of("softmax", 60, 3)[0], np.zeros(1200))
    apply = ActiveRows(form).at(1e-20, as_metric(None, 1200))
    for seed in range(5):
        r = form.matvec(np.random.default_rng(seed).standard_normal(1200))
        assert r @ apply(r) > 0
