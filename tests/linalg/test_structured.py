"""Banded, low-rank and summed forms: products and shifted solves against dense matrices."""

import numpy as np
import pytest
from scipy.linalg import eigh, eigvalsh
from scipy.sparse import dia_array

from gnsopt import Objective, Point, curvature
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.forms import Dense, RankOneUpdate
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.structured import (
    Banded,
    BandedMatrix,
    BandedRankOne,
    Diagonal,
    LowRank,
    MetricShifted,
    Sum,
    Zero,
    plus,
    with_rank_one,
)
from gnsopt.testing import check_curvature

EPS = np.finfo(float).eps


def band(n, width, seed=0, lift=0.0):
    """A random symmetric banded matrix as `Banded`, with NaN where nothing may be read, and densely."""
    rng = np.random.default_rng(seed)
    bands = rng.standard_normal((width + 1, n))
    bands[0] += lift
    H = np.zeros((n, n))
    for k in range(width + 1):
        bands[k, n - k :] = np.nan
        H += np.diag(bands[k, : n - k], -k)
    return Banded(bands), H + np.tril(H, -1).T


def low_rank(n, k, seed=0):
    rng = np.random.default_rng(seed)
    return LowRank(rng.standard_normal((n, k)), rng.uniform(0.5, 2.0, k))


class Quadratic(Objective):
    """x'Hx/2 for a form H."""

    def __init__(self, H):
        self.H, self.n = H, H.n

    def fun(self, x, z):
        return float(x @ self.H.matvec(x)) / 2

    def grad(self, x, z):
        return self.H.matvec(x)

    def hess(self, x, z):
        return self.H


# -------------------------------------------------------------------------------------------- rectangular bands


@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (7, 4), (1, 5), (5, 1)])
@pytest.mark.parametrize("offsets", [(0, -1), (1, 0, -2), (2,), (-2, 0, 1, 3)])
def test_banded_matrix(shape, offsets):
    m, n = shape
    rng = np.random.default_rng(0)
    data = rng.standard_normal((len(offsets), n))
    J = dia_array((data, offsets), shape=shape).toarray()
    for row, o in zip(data, offsets, strict=True):
        row[: max(0, o)] = row[max(0, m + o) :] = np.nan  # outside of the matrix
    B = BandedMatrix(offsets, data, shape)
    u = rng.standard_normal(m)
    np.testing.assert_allclose(B.rmatvec(u), J.T @ u, atol=1e-14)
    np.testing.assert_allclose(Banded(B.gram()).dense(), J.T @ J, atol=1e-14)


def test_a_banded_matrix_may_be_given_short_diagonals():
    B = BandedMatrix((-1, 0), [[1.0], [2.0, 3.0, 4.0]], (3, 3))
    np.testing.assert_array_equal(Banded(B.gram()).dense(), [[5, 3, 0], [3, 9, 0], [0, 0, 16]])


# ------------------------------------------------------------------------------------------------------ banded

ORDERS = [(1, 0), (1, 1), (2, 1), (7, 0), (7, 1), (7, 2), (7, 6), (40, 3)]


@pytest.mark.parametrize(("n", "width"), [(n, w) for n, w in ORDERS if w < n])
def test_banded_products(n, width):
    form, H = band(n, width)
    v = np.random.default_rng(1).standard_normal(n)
    np.testing.assert_allclose(form.matvec(v), H @ v, atol=1e-13)
    np.testing.assert_array_equal(form.diagonal(), H.diagonal())
    np.testing.assert_array_equal(form.dense(), H)


@pytest.mark.parametrize("metric", [None, "diagonal"])
@pytest.mark.parametrize(("n", "width"), [(n, w) for n, w in ORDERS if w < n])
def test_banded_solves(n, width, metric):
    form, H = band(n, width)
    B = as_metric(None if metric is None else np.geomspace(0.1, 10, n), n)
    D = np.diag(np.broadcast_to(B.diagonal, n))
    least = eigh(H, D, eigvals_only=True)[0]
    shifted = form.structured(B)
    b = np.random.default_rng(1).standard_normal(n)
    for lam in (abs(least) + 0.1, 100.0, abs(least) + 0.1):  # back and forth: a factor belongs to its shift
        M = H + lam * D
        h = shifted.solve(lam, b)
        assert np.linalg.norm(M @ h - b) <= 50 * EPS * n * (np.linalg.norm(M) * np.linalg.norm(h) + np.linalg.norm(b))
    if least < 0:
        with pytest.raises(NotPositiveDefinite):
            shifted.solve(-0.9 * least, b)
        np.testing.assert_array_equal(shifted.solve(100.0, b), form.structured(B).solve(100.0, b))  # not stale
    assert 0 < shifted.lam_noise <= 100 * EPS * np.abs(H).max() * 10


def test_a_dense_metric_has_no_banded_solve():
    metric = as_metric(np.eye(4) + 0.1, 4)
    assert band(4, 1)[0].structured(metric) is None
    assert BandedRankOne(band(4, 1)[0], 1.0, np.ones(4)).structured(metric) is None


def test_a_long_chain_is_solved_without_a_matrix():
    n = 200_000  # a dense matrix would take 320 GB
    form = Banded(np.stack([np.full(n, 2.0), np.full(n, -1.0)]))
    b = form.matvec(np.arange(1.0, n + 1)) + 0.5 * np.arange(1.0, n + 1)
    h = form.structured(as_metric(None, n)).solve(0.5, b)
    np.testing.assert_allclose(h, np.arange(1.0, n + 1), rtol=1e-12)


# ---------------------------------------------------------------------------------------- banded plus rank one


@pytest.mark.parametrize("c", [0.3, 5.0, -0.4])
@pytest.mark.parametrize(("n", "width"), [(1, 0), (2, 1), (5, 0), (5, 1), (5, 2), (9, 3)])
def test_banded_plus_rank_one_is_refused_exactly_when_it_is_indefinite(n, width, c):
    """Also where the banded part alone is indefinite, and the rank-one term lifts its negative eigenvalue."""
    lifted = 0
    for seed in range(15):
        form, H = band(n, width, seed)
        rng = np.random.default_rng(100 + seed)
        u, b = rng.standard_normal((2, n))
        update = BandedRankOne(form, c, u)
        d = rng.uniform(0.5, 2.0, n)
        shifted = update.structured(as_metric(d, n))
        full = H + c * np.outer(u, u)
        np.testing.assert_allclose(update.dense(), full, atol=1e-14)
        spectra = eigh(full, np.diag(d), eigvals_only=True), eigh(H, np.diag(d), eigvals_only=True)
        shifts = -np.concatenate(spectra)
        shifts = np.sort(np.unique(np.concatenate([shifts, (shifts[:, None] + shifts).ravel() / 2])))
        for lam in np.concatenate([(shifts[:-1] + shifts[1:]) / 2, shifts[-1:] + 1.0]):
            margin = spectra[0][0] + lam
            if abs(margin) < 1e-6 or lam <= 0:
                continue
            M = full + lam * np.diag(d)
            for rhs in (b, u, u.copy()):
                if margin < 0:
                    with pytest.raises(NotPositiveDefinite):
                        shifted.solve(lam, rhs)
                    continue
                h = shifted.solve(lam, rhs)
                assert np.linalg.norm(M @ h - rhs) <= 1e-11 * (np.linalg.norm(M) * np.linalg.norm(h) + 1)
            lifted += margin > 0 and spectra[1][0] + lam < 0
    assert (lifted > 0) == (c > 0)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_a_nearly_singular_band_under_a_rank_one_term(gap):
    """The band has condition 1/gap, the sum is harmless: so must be the solution."""
    form, H = band(8, 1)
    least, V = np.linalg.eigh(H)
    lam = -least[0] - gap
    u, b = V[:, 0] + 0.1, np.arange(8.0)
    M = H + lam * np.eye(8) + np.outer(u, u)
    assert np.linalg.cond(M) < 100
    h = BandedRankOne(form, 1.0, u).structured(as_metric(None, 8)).solve(lam, b)
    np.testing.assert_allclose(h, np.linalg.solve(M, b), rtol=1e-12)


def test_a_singular_band_under_a_rank_one_term():
    """M = diag(0, 1) with an eigenvalue of exactly zero: lifted, or refused, but never divided by."""
    form = BandedRankOne(Banded(np.array([[-1.0, 0.0], [0.0, 0.0]])), 1.0, np.array([1.0, 0.0]))
    with pytest.raises(NotPositiveDefinite):
        form.structured(as_metric(None, 2)).solve(1.0, np.ones(2))


# ---------------------------------------------------------------------------------------------------- low rank


@pytest.mark.parametrize("metric", ["identity", "diagonal", "dense"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (6, 1), (6, 3), (6, 6), (6, 0)])
def test_low_rank(n, k, metric):
    rng = np.random.default_rng(0)
    form = low_rank(n, k)
    H = form.U @ np.diag(form.s) @ form.U.T
    W = rng.standard_normal((n, n))
    B = as_metric({"identity": None, "diagonal": np.geomspace(0.1, 10, n), "dense": W @ W.T + np.eye(n)}[metric], n)
    v, b = rng.standard_normal((2, n))
    np.testing.assert_allclose(form.matvec(v), H @ v, atol=1e-13)
    np.testing.assert_allclose(form.diagonal(), H.diagonal(), atol=1e-14)
    np.testing.assert_allclose(form.dense(), H, atol=1e-14)
    full = np.stack([B.apply(e) for e in np.eye(n)])
    shifted = form.structured(B)
    for lam in (1e-12, 1e-6, 1.0, 1e6):
        M = H + lam * full
        for rhs in (b, H @ b):
            h = shifted.solve(lam, rhs)
            size = np.linalg.norm(M) * np.linalg.norm(h) + np.linalg.norm(rhs)
            assert np.linalg.norm(M @ h - rhs) <= 200 * EPS * size  # Woodbury's formula misses this by 1/lam


def test_low_rank_inside_its_span_does_not_cancel():
    """b in the span and lam of 1e-13: h = U s^{-1} U'b is of size 1, where Woodbury subtracts terms of size 1e13."""
    U = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 3)))[0]
    s = np.array([1.0, 2.0, 3.0])
    h = LowRank(U, s).structured(as_metric(None, 50)).solve(1e-13, U @ np.ones(3))
    np.testing.assert_allclose(U.T @ h, 1 / s, rtol=1e-11)


@pytest.mark.parametrize("metric", [None, "dense"])
def test_low_rank_of_deficient_or_indefinite_factors(metric):
    rng = np.random.default_rng(0)
    u = rng.standard_normal((8, 2))
    U, s = np.hstack([u, u[:, :1], np.zeros((8, 1))]), np.array([1.0, -0.7, 0.3, 2.0])
    W = rng.standard_normal((8, 8))
    full = np.eye(8) if metric is None else W @ W.T + np.eye(8)
    H, shifted = (U * s) @ U.T, LowRank(U, s).structured(as_metric(full if metric else None, 8))
    least = eigh(H, full, eigvals_only=True)[0]
    assert least < 0
    b = rng.standard_normal(8)
    np.testing.assert_allclose(shifted.solve(-1.5 * least, b), np.linalg.solve(H - 1.5 * least * full, b), rtol=1e-9)
    for lam in (-0.9 * least, 0.0, -1.0):
        with pytest.raises(NotPositiveDefinite):
            shifted.solve(lam, b)


@pytest.mark.parametrize(("U", "s"), [(np.ones((2, 3)), np.ones(3)), (np.ones((3, 2)), np.ones(3))])
def test_factors_that_do_not_fit_are_refused(U, s):
    with pytest.raises(ValueError, match=r"k <= n"):
        LowRank(U, s)


# -------------------------------------------------------------------------------------------- zero matrix, sums


def test_all_shifts_of_one_right_hand_side_take_one_solve_with_the_metric():
    class Counting:
        solves = 0

        def solve(self, b):
            self.solves += 1
            return 2 * b

    metric = Counting()
    shifted = MetricShifted(metric)
    b = np.array([1.0, 2.0])
    for lam in (1.0, 0.5, 4.0):
        np.testing.assert_array_equal(shifted.solve(lam, b), 2 * b / lam)
    assert metric.solves == 1
    b[0] = 5.0  # the caller's array is not the one that was kept
    np.testing.assert_array_equal(shifted.solve(1.0, b), [10.0, 4.0])
    assert metric.solves == 2


def test_sums_keep_the_structure():
    (A, a), (B, b) = band(6, 2, 0), band(6, 1, 1)
    D, d = Diagonal(np.arange(6.0)), np.diag(np.arange(6.0))
    for H, K, dense in ((A, B, a - 2 * b), (B, A, b - 2 * a), (A, D, a - 2 * d)):
        total = plus(H, -2.0, K)
        assert isinstance(total, Banded)
        np.testing.assert_allclose(total.dense(), dense, atol=1e-15)
    mixed = plus(Dense(a), -2.0, B)
    assert isinstance(mixed, Sum)
    v = np.arange(6.0) - 2
    np.testing.assert_allclose(mixed.dense(), a - 2 * b, atol=1e-15)
    np.testing.assert_allclose(mixed.matvec(v), (a - 2 * b) @ v, atol=1e-14)
    np.testing.assert_allclose(mixed.diagonal(), (a - 2 * b).diagonal(), atol=1e-15)
    assert plus(A, 3.0, Zero(6)) is A


def test_rank_one_terms_choose_their_form():
    form, H = band(5, 1)
    u = np.arange(5.0)
    assert with_rank_one(form, 0.0, u) is form
    assert type(with_rank_one(form, 2.0, u)) is BandedRankOne
    assert type(with_rank_one(Zero(5), 2.0, u)) is RankOneUpdate
    np.testing.assert_allclose(with_rank_one(form, 2.0, u).dense(), H + 2 * np.outer(u, u))


# ------------------------------------------------------------------------------------------ in the curvatures

FORMS = {
    "tridiagonal": band(12, 1, lift=4.0)[0],
    "indefinite": band(12, 2)[0],
    "rank one": BandedRankOne(band(12, 1)[0], 2.0, np.linspace(1, 2, 12)),
    "negative rank one": BandedRankOne(band(12, 1, lift=4.0)[0], -0.1, np.linspace(1, 2, 12)),
    "low rank": low_rank(12, 3),
    "sum": Sum(low_rank(12, 3), -0.5, band(12, 1)[0]),
}


@pytest.mark.parametrize("name", FORMS)
def test_as_a_curvature(name):
    x = np.random.default_rng(5).standard_normal(12)
    problem = Quadratic(FORMS[name])
    check_curvature(curvature.exact, Point(problem, x))
    point = Point(problem, x)
    point.objective.H.structured(point.metric)
    curvature.exact.start(point)(point)
    by_structure = "by its structure" in point.counts.choices["curvature"]
    assert by_structure == (name != "sum")
    assert point.counts.nhev == (name == "sum")
    assert eigvalsh(FORMS["indefinite"].dense())[0] < 0  # or the test is of definite matrices only


@pytest.mark.parametrize("make", [Diagonal, lambda d: Banded(np.stack([d, np.full(d.size, np.nan)]))])
def test_the_noise_level(make):
    """Of the size of eps |H|/|B|, and not raised by one variable that the metric hardly sees."""
    n = 10
    for H, B in ((3.0, 1.0), (3e6, 1e-3), (1e-9, 1e5)):
        noise = make(np.full(n, H)).structured(as_metric(np.full(n, B), n)).lam_noise
        assert noise == pytest.approx(10 * EPS * H / B)
    B = np.logspace(-16, 16, n)
    assert make(B + 1.0).structured(as_metric(B, n)).lam_noise <= 20 * EPS
