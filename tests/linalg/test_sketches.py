"""Sketches: one matrix behind apply, adjoint and dense; E[S'S] = I; isometries; the moments that theory gives."""

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.sparse import csr_array

from gnsopt.linalg.sketches import KINDS, Rows, SparseSign, draw, keyed, leverage_scores

N, D = 37, 5


def data(seed=0, n=N, d=D):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.5), rng.uniform(0.5, 2.0, n)


def distortion(S, U):
    """``|U'S'SU - I|_2`` for orthonormal columns."""
    V = S.apply(U)
    return np.linalg.norm(V.T @ V - np.eye(U.shape[1]), 2)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_dense_sparse_and_vector_are_one_matrix(self, kind):
        A, w = data()
        S = draw(kind, 12, N, keyed(0, "test"), A)
        M = S.dense()
        assert M.shape == (12, N)
        for out in (S.apply(A, w), S.apply(csr_array(A), w), S.apply(np.asfortranarray(A), w)):
            np.testing.assert_allclose(out, M @ (w[:, None] * A), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(S.apply(w), M @ w, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(S.apply(csr_array(A)), S.apply(A), rtol=1e-13, atol=1e-13)

    def test_adjoint(self, kind):
        A, w = data()
        S = draw(kind, 12, N, keyed(0, "test"), A)
        U = np.random.default_rng(1).standard_normal((12, 3))
        np.testing.assert_allclose(S.adjoint(U), S.dense().T @ U, rtol=1e-13, atol=1e-13)
        assert S.apply(w) @ U[:, 0] == pytest.approx(w @ S.adjoint(U[:, 0]), rel=1e-12)

    def test_the_mean_of_its_gram_matrix_is_the_identity(self, kind):
        """4000 draws; each entry within six standard errors of I (a wrong scale is off by hundreds)."""
        A, _ = data(n=9, d=3)
        draws = 4000
        total, squares = np.zeros((9, 9)), np.zeros((9, 9))
        for k in range(draws):
            M = draw(kind, 6, 9, keyed(3, kind, k), A + 0.1).dense()
            G = M.T @ M
            total += G
            squares += G * G
        mean = total / draws
        error = np.sqrt(np.maximum(squares / draws - mean**2, 0) / draws)
        assert np.all(np.abs(mean - np.eye(9)) <= 6 * error + 1e-12)

    def test_same_key_same_bits(self, kind):
        A, w = data()
        one, other = (draw(kind, 12, N, keyed(5, "step", 2), A).apply(A, w) for _ in range(2))
        np.testing.assert_array_equal(one, other)
        for key in ((6, "step", 2), (5, "other", 2), (5, "step", 3)):
            assert not np.array_equal(one, draw(kind, 12, N, keyed(*key), A).apply(A, w))

    def test_input_is_not_written(self, kind):
        A, w = data()
        kept = A.copy(), w.copy()
        S = draw(kind, 12, N, keyed(0, "test"), A)
        sparse = csr_array(A)
        S.apply(A, w)
        S.apply(sparse, w)
        np.testing.assert_array_equal(A, kept[0])
        np.testing.assert_array_equal(w, kept[1])
        np.testing.assert_array_equal(sparse.toarray(), kept[0])


def test_hadamard_sketch_of_all_rows_is_an_isometry():
    A, _ = data(n=32)
    S = draw("srht", 32, 32, keyed(0, "test"))
    np.testing.assert_allclose(S.apply(A).T @ S.apply(A), A.T @ A, rtol=0, atol=1e-13 * np.linalg.norm(A) ** 2)
    M = S.dense()
    flat = M * np.sign(M[0])  # M = H D, and the first row of H is of ones
    np.testing.assert_allclose(flat, hadamard(32) / np.sqrt(32), rtol=1e-14)


def test_padding_keeps_the_isometry():
    A, _ = data(n=21)
    S = draw("srht", 32, 21, keyed(1, "test"))
    np.testing.assert_allclose(S.apply(A).T @ S.apply(A), A.T @ A, rtol=0, atol=1e-13 * np.linalg.norm(A) ** 2)


def test_all_rows_are_the_identity():
    A, _ = data()
    S = draw("rows", N, N, keyed(0, "test"))
    np.testing.assert_array_equal(S.apply(A), A)


@pytest.mark.parametrize(("kind", "entries"), [("countsketch", 1), ("sparse-sign", 8)])
def test_each_column_has_its_signs(kind, entries):
    S = draw(kind, 20, N, keyed(0, "test")).dense()
    assert np.all((S != 0).sum(axis=0) == entries)
    np.testing.assert_allclose(np.abs(S[S != 0]), 1 / np.sqrt(entries), rtol=1e-15)
    assert SparseSign(3, N, keyed(0, "test")).dense().shape == (3, N)  # fewer rows than signs: one sign in each


def test_moments_of_a_sketched_gradient():
    """Gaussian: ``E|S'Sg|^2 = (1 + (n + 1)/m) |g|^2``; with unit columns ``|S'Sg|`` is no smaller on average."""
    g = np.random.default_rng(0).standard_normal(30)
    m, draws = 6, 4000
    sizes = np.empty(draws)
    for k in range(draws):
        S = draw("gaussian", m, 30, keyed(0, "moments", k))
        sizes[k] = np.sum(S.adjoint(S.apply(g)) ** 2)
    assert sizes.mean() == pytest.approx((1 + 31 / m) * (g @ g), abs=5 * sizes.std() / np.sqrt(draws))


@pytest.mark.parametrize(
    ("kind", "incoherent", "coherent"),
    [("gaussian", 0.66, 0.69), ("countsketch", 0.67, 0.45), ("sparse-sign", 0.68, 0.61), ("srht", 0.54, 0.51)],
)
def test_distortion(kind, incoherent, coherent):
    """Measured means for n = 256, d = 10, m = 80; the Gaussian one tends to ``2 sqrt(d/m) + d/m = 0.83``."""
    rng = np.random.default_rng(0)
    spread = np.linalg.qr(rng.standard_normal((256, 10)))[0]
    spiky = np.zeros((256, 10))
    spiky[rng.choice(256, 10, replace=False), np.arange(10)] = 1.0
    for U, wanted in ((spread, incoherent), (spiky, coherent)):
        mean = np.mean([distortion(draw(kind, 80, 256, keyed(0, kind, k)), U) for k in range(60)])
        assert mean == pytest.approx(wanted, abs=0.12)


def test_leverage_finds_the_rows_that_uniform_sampling_misses():
    rng = np.random.default_rng(0)
    U = np.zeros((256, 10))
    U[:250, :5] = np.linalg.qr(rng.standard_normal((250, 5)))[0]
    U[250:255, 5:] = np.eye(5)
    by = {
        kind: np.median([distortion(draw(kind, 120, 256, keyed(0, kind, k), U), U) for k in range(40)])
        for kind in ("rows", "leverage")
    }
    assert by["leverage"] < 0.75 < 1.0 <= by["rows"]


class TestLeverageScores:
    def test_exact_ones_are_the_diagonal_of_the_projector(self):
        A, w = data()
        B = w[:, None] * A
        wanted = np.diag(B @ np.linalg.pinv(B))
        for X in (A, csr_array(A)):
            np.testing.assert_allclose(leverage_scores(X, scale=w), wanted, atol=1e-12)

    def test_rank_deficient_columns(self):
        A, _ = data()
        A = np.column_stack([A, A[:, 0] - 2 * A[:, 1], np.zeros(N)])
        np.testing.assert_allclose(leverage_scores(A), np.diag(A @ np.linalg.pinv(A)), atol=1e-10)

    def test_sketched_ones_are_within_a_factor(self):
        rng = np.random.default_rng(0)
        A = rng.standard_t(2, (2000, 8))
        exact, rough = leverage_scores(A), leverage_scores(A, keyed(0, "leverage"))
        assert np.all(rough < 10 * exact)
        assert np.all(rough > exact / 10)

    def test_zero_rows(self):
        assert np.array_equal(leverage_scores(np.zeros((6, 2))), np.zeros(6))
        S = draw("leverage", 3, 6, keyed(0, "t"), np.zeros((6, 2)))
        assert isinstance(S, Rows)
        assert np.isfinite(S.factor).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rows", 38, N), "there are 37 rows"),
        (("srht", 65, N), "64 rows at the most"),
        (("leverage", 5, N), "needs A="),
        (("gauss", 5, N), "unknown; choose one of"),
        (("gaussian", 0, N), "at least 1"),
        (("gaussian", 2.0, N), "at least 1"),
    ],
)
def test_bad_input(arguments, says):
    with pytest.raises(ValueError, match=says):
        draw(*arguments, keyed(0, "test"))


def test_wrong_shapes():
    S = draw("gaussian", 5, N, keyed(0, "test"))
    with pytest.raises(ValueError, match="A has 36 rows; the sketch has 37 columns"):
        S.apply(np.zeros((36, 2)))
    with pytest.raises(ValueError, match="U has 4 rows; the sketch has 5"):
        S.adjoint(np.zeros(4))
