"""M-FAC against dense inverses, its recursion, windows and pruning."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, Softmax
from gnsopt.curvature import RankOneSum
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement, NotPositiveDefinite
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.mfac import GradientWindow, RankOneInverse, rows_count, rows_of
from gnsopt.point import Counts, Point
from gnsopt.problems import MLP, Rosenbrock

RNG = np.random.default_rng(0)


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def network():
    X = np.random.default_rng(1).standard_normal((9, 3))
    return MLP(X, np.arange(9) % 3, hidden=(5,), l2=1e-2)


def per_sample_gradients(problem, x):
    """By the gradient of the problem of one sample."""
    X = problem._input[:, :-1]
    labels = problem.classes[problem._label]
    extra = np.zeros((3, 3))  # one sample of weight zero for each class, so that all classes are there
    rows = []
    for a, y in zip(X, labels, strict=True):
        one = MLP(
            np.vstack([a, extra]), np.append(y, problem.classes), hidden=(5,), l2=0.0, sample_weight=[1.0, 0, 0, 0]
        )
        rows.append(one.grad(x, one.prepare(x)))
    return np.array(rows)


def log_probability_gradients(problem, x):
    """``sqrt(p_ik) grad log p(k | x_i)``, by the gradient of the problem whose only sample is i with label k."""
    X = problem._input[:, :-1]
    P = problem.predict(x, X)
    extra = np.zeros((3, 3))
    rows = []
    for a, p in zip(X, P, strict=True):
        for k in range(3):
            one = MLP(np.vstack([a, extra]), [k, 0, 1, 2], hidden=(5,), l2=0.0, sample_weight=[1.0, 0, 0, 0])
            rows.append(-np.sqrt(p[k]) * one.grad(x, one.prepare(x)))
    return np.array(rows)


@pytest.mark.parametrize("lam", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("kind", ["fisher", "gauss_newton"])
def test_rows_of_a_network_give_the_dense_inverse(kind, lam):
    problem = network()
    x = Point(problem, problem.start())
    rows = (per_sample_gradients if kind == "fisher" else log_probability_gradients)(problem, x.x)
    F = rows.T @ rows / 9 + np.diag(problem.ridge)
    dense = getattr(problem, kind)(x.x, x.z).dense()
    assert relative(dense, F) < 1e-14  # the true Fisher matrix is the Gauss-Newton matrix
    b = RNG.standard_normal(problem.n)
    h = RankOneSum(kind).start(x)(x).solve(lam, b)
    assert relative(h, np.linalg.inv(F + lam * np.eye(problem.n)) @ b) < 1e-12
    V, ridge = rows_of(problem.gauss_newton(x.x, x.z))
    np.testing.assert_array_equal(ridge, problem.ridge)
    assert V.shape == (27, problem.n)


@pytest.mark.parametrize("metric", [None, 3.0, "diagonal", "dense"])
def test_past_gradients_after_a_hundred_updates_give_the_dense_inverse(metric):
    n, m = 30, 8
    B = {"diagonal": np.geomspace(0.1, 10, n), "dense": np.eye(n) + 0.1}.get(metric, metric)
    B = as_metric(B, n)
    dense = np.stack([B.apply(e) for e in np.eye(n)])
    window, gradients = GradientWindow(m, B), RNG.standard_normal((100, n))
    for t, g in enumerate(gradients, start=1):
        window.push(g)
        if t in (1, 5, 8, 9, 50, 100):
            G = gradients[max(0, t - m) : t]
            F = G.T @ G / len(G)
            form = window.form()
            assert relative(form.dense(), F) < 1e-14
            solves = form.structured(B)
            for lam in (1e-1, 1.0, 10.0):
                h = solves.solve(lam, g)
                assert relative(h, np.linalg.inv(F + lam * dense) @ g) < 1e-12


def test_the_window_of_a_run_holds_its_last_gradients():
    problem = Logistic(*make_logistic(40, 6, seed=1), l2=1e-2)
    model, seen = RankOneSum("window", m=3), []

    class Spy:
        def start(self, x):
            build = model.start(x)

            def look(x):
                seen.append((x.g.copy(), build(x)))
                return seen[-1][1]

            return look

    GradNormSmooth(curvature=Spy()).minimize(problem, maxiter=6)
    assert len(seen) >= 6
    for t, (_, H) in enumerate(seen):  # also those before the latest: a later step must not change them
        G = np.array([g for g, _ in seen[max(0, t - 2) : t + 1]])
        assert relative(H.form.dense(), G.T @ G / len(G)) < 1e-14


def test_given_rows():
    G, b = RNG.standard_normal((6, 11)), RNG.standard_normal(11)
    F = RankOneSum(G)
    for lam in (1e-2, 1.0, 10.0):
        dense = np.linalg.inv(G.T @ G / 6 + lam * np.eye(11))
        inverse = F.inverse(lam)
        assert relative(F.solve(lam, b), dense @ b) < 1e-12
        assert relative(inverse.matvec(b), dense @ b) < 1e-12
        assert relative(inverse.diagonal(), dense.diagonal()) < 1e-12
        i, j = np.array([0, 3, 5, 5]), np.array([0, 8, 5, 10])
        assert relative(inverse.entries(i, j), dense[i, j]) < 1e-12
        assert inverse.entries(2, 7) == pytest.approx(dense[2, 7], rel=1e-11)
        assert relative(inverse.column(4), dense[:, 4]) < 1e-12
        assert (
            relative(RankOneSum(G, count=20.0).solve(lam, b), np.linalg.solve(G.T @ G / 20 + lam * np.eye(11), b))
            < 1e-12
        )
    np.testing.assert_allclose(F.matvec(b), G.T @ (G @ b) / 6, rtol=1e-13)
    tall = RNG.standard_normal((30, 4))
    np.testing.assert_allclose(
        RankOneSum(tall).solve(0.0, b[:4]), np.linalg.solve(tall.T @ tall / 30, b[:4]), rtol=1e-11
    )


@pytest.mark.parametrize("m", [3, 9])
def test_entries_from_the_end(m):
    G = RNG.standard_normal((m, 6))
    dense, inverse = np.linalg.inv(G.T @ G / m + 0.5 * np.eye(6)), RankOneInverse(G, 0.5)
    i, j = np.array([-1, 5, 0, -6]), np.array([5, -1, -6, -2])
    np.testing.assert_allclose(inverse.entries(i, j), dense[i, j], rtol=1e-12)
    np.testing.assert_allclose(inverse.column(-2), dense[:, -2], rtol=1e-12)
    for wrong in (6, -7, 1.0):
        with pytest.raises(IndexError, match="from -6 to 5"):
            inverse.entries(0, wrong)


@pytest.mark.parametrize("m", [12, 40])
@pytest.mark.parametrize("lam", [1e-10, 1e-16, 1e-300])
def test_many_rows_and_a_small_shift(m, lam):
    """As many rows as variables: Woodbury's formula has no digit left."""
    G = np.random.default_rng(1).standard_normal((m, 6))
    dense, inverse = np.linalg.inv(G.T @ G / m + lam * np.eye(6)), RankOneInverse(G, lam)
    b, w = np.arange(1.0, 7.0), np.ones(6)
    for found, wanted in (
        (inverse.matvec(b), dense @ b),
        (inverse.diagonal(), dense.diagonal()),
        (inverse.entries([1, 2], [1, 4]), dense[[1, 2], [1, 4]]),
        (inverse.pruning_scores(w), 1 / (2 * dense.diagonal())),
        (inverse.prune(w, 2), w - dense[:, 2] / dense[2, 2]),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("lam", [np.nan, np.inf])
def test_shifts_that_are_not_finite(lam):
    for rows in (np.ones((2, 3)), np.ones((4, 3))):
        for use in (lambda F: F.solve(lam, np.ones(3)), lambda F: F.inverse(lam)):
            with pytest.raises(ValueError, match=f"lam={lam}"):
                use(RankOneSum(rows))


def test_small_shifts_lose_no_digits():
    """Woodbury's formula would: the gradient lies in the span of the rows, and ``|b|/lam`` is 1e12 times the answer."""
    G = RNG.standard_normal((5, 20))
    b = G.T @ RNG.standard_normal(5)
    h = RankOneSum(G).solve(1e-12, b)
    wanted = np.linalg.lstsq(G.T @ G / 5, b, rcond=1e-10)[0]
    assert relative(G @ h, G @ wanted) < 1e-12
    assert relative(G.T @ (G @ h) / 5 + 1e-12 * h, b) < 1e-13


def test_one_row_is_a_step_size_rule():
    g, lam = RNG.standard_normal(7), 0.3
    np.testing.assert_allclose(RankOneSum(g[None]).solve(lam, g), g / (lam + g @ g), rtol=1e-14)


def test_recursion_of_the_paper():
    """``v_i``, ``q_i`` computed row by row give the same inverse."""
    G, lam = RNG.standard_normal((6, 9)), 0.7
    m, v, q = 6, [], []
    for g in G:
        w = g / lam
        for vj, qj in zip(v, q, strict=True):
            w = w - vj * (vj @ g) / qj
        v.append(w)
        q.append(m + g @ w)
    inverse = np.eye(9) / lam - sum(np.outer(a, a) / b for a, b in zip(v, q, strict=True))
    columns = RankOneInverse(G, lam)
    assert relative(np.stack([columns.column(k) for k in range(9)]), inverse) < 1e-14


def test_pruning_scores_are_the_losses_of_a_quadratic():
    G, lam = RNG.standard_normal((6, 9)), 0.2
    H = G.T @ G / 6 + lam * np.eye(9)
    w = RNG.standard_normal(9)
    inverse = RankOneSum(G).inverse(lam)
    scores = inverse.pruning_scores(w)
    for q in range(9):
        pruned = inverse.prune(w, q)
        assert pruned[q] == 0.0
        d = pruned - w
        assert 0.5 * d @ H @ d == pytest.approx(scores[q], rel=1e-12)
        rest = np.arange(9) != q  # the best point with w_q = 0
        others = w[rest] - np.linalg.solve(H[np.ix_(rest, rest)], -w[q] * H[rest, q])
        np.testing.assert_allclose(pruned[rest], others, rtol=1e-11)


@pytest.mark.parametrize("kind", ["fisher", "gauss_newton"])
@pytest.mark.parametrize("loss", [Logistic, Softmax])
def test_wide_linear_models_by_rows(loss, kind):
    """Fewer rows than variables, an intercept without a penalty: the same steps as the problem's own matrix."""
    X, y = make_logistic(12, 30, seed=2) if loss is Logistic else make_softmax(8, 30, 3, seed=2)
    problem = loss(X, y, l2=1e-2, fit_intercept=True)
    x = Point(problem, 0.1 * RNG.standard_normal(problem.n))
    dense, b = getattr(problem, kind)(x.x, x.z).dense(), RNG.standard_normal(problem.n)
    H = RankOneSum(kind).start(x)(x)
    for lam in (1e-6, 1e-3, 1.0):
        h = H.solve(lam, b)
        residual = dense @ h + lam * h - b
        assert np.linalg.norm(residual) < 1e-11 * (np.linalg.norm(dense) * np.linalg.norm(h) + np.linalg.norm(b))


def test_rows_are_counted_before_they_are_made(monkeypatch):
    problem = network()
    x = Point(problem, problem.start())
    for kind, most in (("fisher", 9), ("gauss_newton", 27)):
        form = getattr(problem, kind)(x.x, x.z)
        assert rows_count(form) == most >= len(rows_of(form)[0])
    X, y = make_softmax(8, 30, 3, seed=2)
    wide = Softmax(X, y)
    z = wide.prepare(np.zeros(wide.n))
    for form, most in ((wide.fisher(z.Z, z), 8), (wide.gauss_newton(z.Z, z), 24)):
        assert rows_count(form) == most >= len(rows_of(form)[0])
    tall = Softmax(*make_softmax(80, 4, 3, seed=2))
    point = Point(tall, np.zeros(tall.n))
    assert RankOneSum("gauss_newton").start(point)(point).form is point.hess("gauss_newton")  # as it is
    monkeypatch.setattr("gnsopt.curvature.rank_one_sum.MEMORY", 100.0)
    for kind in ("fisher", "gauss_newton"):
        with pytest.raises(ValueError, match="rows of 38 entries need .* GB; use fewer rows"):
            RankOneSum(kind).start(x)(x)


def test_no_rows_are_a_zero_matrix():
    problem = Logistic(np.zeros((4, 6)), [0, 1, 0, 1])
    x = Point(problem, np.zeros(6))
    b = RNG.standard_normal(6)
    np.testing.assert_allclose(RankOneSum("fisher").start(x)(x).solve(2.0, b), b / 2, rtol=1e-15)
    np.testing.assert_allclose(RankOneSum(np.zeros((3, 6))).solve(2.0, b), b / 2, rtol=1e-15)
    np.testing.assert_allclose(RankOneSum(np.zeros((0, 6))).solve(2.0, b), b / 2, rtol=1e-15)


def test_a_callable_makes_the_rows():
    problem = Logistic(*make_logistic(30, 5, seed=3), l2=1e-2)

    def rows(x):
        return x.objective.design.X * (x.z.R * 30)[:, None]

    counts = Counts()
    x = Point(problem, RNG.standard_normal(5), counts)
    H = RankOneSum(rows).start(x)(x)
    assert relative(H.form.dense(), problem.fisher(x.x, x.z).dense() - 1e-2 * np.eye(5)) < 1e-13
    wrong = RankOneSum(lambda x: np.ones((2, 4)))
    with pytest.raises(ValueError, match="rows have 4 entries; the problem has 5"):
        wrong.start(x)(x)


def test_misuse():
    for wrong, error, text in (
        ("samples", ValueError, "'samples'.*choose one of"),
        (np.ones(3), ValueError, r"shape \(3,\)"),
        ([[1.0, np.nan]], ValueError, "finite"),
        ({"a": 1}, TypeError, "pass one of"),
    ):
        with pytest.raises(error, match=text):
            RankOneSum(wrong)
    with pytest.raises(ValueError, match="m=0"):
        RankOneSum("window", m=0)
    with pytest.raises(ValueError, match="count=-1"):
        RankOneSum(np.eye(2), count=-1)
    with pytest.raises(TypeError, match="depend on a point; pass an array"):
        RankOneSum("fisher").solve(1.0, np.ones(3))
    with pytest.raises(ValueError, match=r"b has shape \(4,\)"):
        RankOneSum(np.eye(3)).solve(1.0, np.ones(4))
    for refused in (RankOneSum(np.ones((1, 3))).solve, lambda lam, b: RankOneSum(np.ones((1, 3))).inverse(lam)):
        with pytest.raises(NotPositiveDefinite, match=r"lam = 0\.0"):
            refused(0.0, np.ones(3))
    problem = Rosenbrock()
    with pytest.raises(MissingRequirement, match="fisher.*it offers hess"):
        RankOneSum("fisher").start(Point(problem, problem.start()))
