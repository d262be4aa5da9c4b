"""Newton sketch against dense algebra, its growth, its debiasing; curvature in a random subspace."""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt import GradNormSmooth, Logistic, PoissonRegression, Rosenbrock, Softmax
from gnsopt.curvature import Lazy, RandomSubspace, Sketched
from gnsopt.curvature.sketched import sketched_root, unbiased_share
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.mfac import RankOneForm
from gnsopt.linalg.sketches import KINDS, draw, keyed
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature

M, D = 90, 7


def logistic(sparse=False, intercept=True, l2=1e-2, seed=0):
    X, y = make_logistic(M, D, density=0.25 if sparse else 1.0, seed=seed)
    return Logistic(X, y, l2=l2, fit_intercept=intercept)


def softmax():
    X, y = make_softmax(M, D, 3, seed=0)
    return Softmax(X, y, l2=1e-2, fit_intercept=True)


def somewhere(problem, scale=1.0):
    return Point(problem, scale * np.random.default_rng(2).standard_normal(problem.n))


def dense(curvature, n):
    return np.stack([curvature.matvec(e) for e in np.eye(n)], axis=1)


class TestMatrix:
    @pytest.mark.parametrize("sparse", [False, True])
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_that_of_the_sketched_root(self, kind, sparse):
        """``X'S'SX + ridge`` with the dense S of the same key, and the solve behind it."""
        problem = logistic(sparse)
        x = somewhere(problem)
        H = Sketched(20, adaptive=False, sketch=kind, seed=4).start(x)(x)
        p = 1 / (1 + np.exp(-x.z.Z))
        w = p * (1 - p) / M
        A = np.column_stack([problem.design.X.toarray() if sparse else problem.design.X, np.ones(M)])
        S = draw(kind, 20, M, keyed(4, "newton sketch", 0), problem.design.X, np.sqrt(w)).dense()
        Y = S @ (np.sqrt(w)[:, None] * A)
        wanted = Y.T @ Y + np.diag([1e-2] * D + [0.0])
        np.testing.assert_allclose(dense(H, D + 1), wanted, rtol=0, atol=1e-13)
        b = np.random.default_rng(4).standard_normal(D + 1)
        np.testing.assert_allclose(H.solve(0.1, b), np.linalg.solve(wanted + 0.1 * np.eye(D + 1), b), rtol=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("matrix", ["hess", "fisher"])
    def test_its_mean_is_the_hessian_also_with_many_outputs(self, kind, matrix):
        problem = softmax()
        x = somewhere(problem, 0.5)
        form = x.hess(matrix)
        wanted = form.dense() - np.diag(form.ridge)
        draws = 1500
        total, squares = np.zeros_like(wanted), np.zeros_like(wanted)
        for k in range(draws):
            Y = sketched_root(form, kind, 30, keyed(0, "mean", k))
            G = Y.T @ Y
            total += G
            squares += G * G
        error = np.sqrt((squares / draws - (total / draws) ** 2) / draws)
        assert np.all(np.abs(total / draws - wanted) <= 6 * error + 1e-12)

    @pytest.mark.parametrize("make", [logistic, softmax])
    def test_a_hadamard_sketch_of_all_rows_is_newton(self, make):
        """An isometry of 128 rows for 90: the exact Hessian (for k outputs, k of them of 128 rows do not suffice)."""
        problem = make()
        x = somewhere(problem)
        form = x.hess()
        if form.k == 1:
            Y = sketched_root(form, "srht", 128, keyed(0, "isometry"))
            np.testing.assert_allclose(Y.T @ Y + np.diag(form.ridge), form.dense(), rtol=0, atol=1e-14)
        H = Sketched(M * form.k).start(x)(x)
        assert H.form is form
        assert "sketched" not in x.counts.choices["curvature"]

    def test_leverage_and_scale(self):
        """With rows of weight zero, only the others are drawn."""
        X, y = make_logistic(M, D, seed=0)
        w = (np.arange(M) % 3 == 0).astype(float)
        problem = Logistic(X, y, l2=1e-2, sample_weight=w)
        x = somewhere(problem)
        kept = Logistic(X[w > 0], y[w > 0], l2=1e-2)
        H = Sketched(4000, adaptive=False, sketch="leverage").start(x)
        assert H(x).form is x.hess()  # more rows than there are: the whole
        Y = sketched_root(x.hess(), "leverage", 20_000, keyed(0, "t"))
        wanted = kept.hess(x.x, kept.prepare(x.x)).dense()
        np.testing.assert_allclose(Y.T @ Y + 1e-2 * np.eye(D), wanted, rtol=0, atol=0.02 * np.abs(wanted).max())


class TestRun:
    def test_another_sketch_at_each_point_the_same_in_each_run(self):
        problem = logistic()
        x = somewhere(problem)
        model = Sketched(10, adaptive=False)
        build, again = model.start(x), model.start(x)
        first, second = dense(build(x), D + 1), dense(build(x), D + 1)
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, dense(again(x), D + 1))
        np.testing.assert_array_equal(second, dense(again(x), D + 1))
        assert not np.array_equal(first, dense(Sketched(10, adaptive=False, seed=1).start(x)(x), D + 1))

    def test_grows_where_the_gradient_does_not_fall(self):
        """By the square of what is missing, at least twice, at most 8 times, never beyond 8 n; it never shrinks."""
        problem = logistic()
        x = somewhere(problem)
        solution = GradNormSmooth().minimize(problem, gtol=1e-12).x
        near = [Point(problem, solution + t * (x.x - solution)) for t in (1e-2, 5e-3, 1e-4, 9e-5, 8e-5, 7e-5)]
        build = Sketched(3).start(x)
        sizes = [build(y).form.rows.shape[0] for y in near]
        q = [b.dual_norm / a.dual_norm for a, b in itertools.pairwise(near)]
        wanted = [3]
        for ratio in q:
            grown = int(np.ceil(wanted[-1] * np.clip((ratio / 0.15) ** 2, 2, 32))) if ratio > 0.15 else wanted[-1]
            wanted.append(min(grown, 64))
        assert sizes == wanted
        assert sizes[1] == sizes[2] > 2 * 3
        assert sizes[-1] == 64
        build = Sketched(10, slow=0.45).start(x)
        assert [build(y).form.rows.shape[0] for y in near[:2]] == [10, 20]
        assert Sketched(100).start(x)(x).form is x.hess()

    def test_counts(self):
        problem = logistic()
        x = somewhere(problem)
        for m in (5, 20):
            before = x.counts.nhev
            Sketched(m).start(x)(x)
            assert x.counts.nhev == before + 1 + (m == 20)  # sketched; assembled for Cholesky

    @pytest.mark.parametrize("curvature", ["sketch", "sketch:40", "sketch:40:gaussian", Sketched(30, debias=True)])
    def test_reaches_the_minimum(self, curvature):
        for problem in (logistic(), softmax(), logistic(sparse=True, intercept=False)):
            exact = GradNormSmooth(curvature="exact").minimize(problem, gtol=1e-10)
            run = GradNormSmooth(curvature=curvature).minimize(problem, gtol=1e-8, maxiter=300)
            assert run.success
            np.testing.assert_allclose(run.x, exact.x, atol=1e-5)

    def test_composes_with_lazy(self):
        run = GradNormSmooth(curvature=Lazy(3, Sketched(40))).minimize(logistic(), gtol=1e-8, maxiter=300)
        assert run.success
        assert "kept for 3 uses" in run.curvature

    def test_wide_data_never_form_a_dense_matrix(self):
        """20 000 variables: five rows of them, not a matrix of 3 GB."""
        rng = np.random.default_rng(0)
        X = csr_array((np.ones(400), (np.arange(400) // 8, rng.choice(20_000, 400, replace=False))), shape=(50, 20_000))
        problem = Logistic(X, np.arange(50) % 2, l2=1e-2, fit_intercept=True)
        x = somewhere(problem, 0.1)
        H = Sketched(5, adaptive=False).start(x)(x)
        assert isinstance(H.form, RankOneForm)
        assert H.form.structured(x.metric) is not None
        h = H.solve(1e-3, x.g)
        assert np.linalg.norm(H.matvec(h) + 1e-3 * h - x.g) <= 1e-10 * np.linalg.norm(x.g)


class TestDebias:
    def test_the_mean_of_the_inverse(self):
        """Gaussian rows, a ridge: what is left is of the order 1/m, as in m/(m - d - 1) against m/(m - d)."""
        rng = np.random.default_rng(0)
        n, d, m = 400, 20, 60
        X = rng.standard_normal((n, d)) * np.geomspace(1, 0.03, d)
        ridge = np.full(d, 1e-2 * n)
        wanted = np.linalg.inv(X.T @ X + np.diag(ridge))
        root = np.linalg.cholesky(X.T @ X + np.diag(ridge))
        grams, shares = [], []
        for k in range(4000):
            Y = draw("gaussian", m, n, keyed(0, "debias", k)).apply(X)
            grams.append(Y.T @ Y)
            shares.append(unbiased_share(Y, ridge))
        G, t = np.stack(grams), np.array(shares)[:, None, None]
        plain = np.linalg.inv(G + np.diag(ridge)).mean(axis=0)
        debiased = np.linalg.inv(G / t + np.diag(ridge)).mean(axis=0)
        shortened = (t * np.linalg.inv(G + np.diag(ridge))).mean(axis=0)
        bias = [np.linalg.norm(root.T @ (mean - wanted) @ root, 2) for mean in (plain, debiased, shortened)]
        assert bias[0] > 0.2
        assert bias[1] < min(2 / m, bias[0] / 8)
        assert bias[2] > 0.4 * bias[0]  # the plain inverse times t: right where there is no ridge alone

    def test_the_share_solves_its_equation(self):
        rng = np.random.default_rng(1)
        for m, d in ((30, 8), (10, 25), (200, 3)):
            Y, ridge = rng.standard_normal((m, d)), rng.uniform(0.5, 20.0, d)
            t = unbiased_share(Y, ridge)
            G = Y.T @ Y
            wanted = 1 - np.trace(np.linalg.solve(G + t * np.diag(ridge), G)) / m
            assert t == pytest.approx(max(wanted, 0.05), abs=1e-5)

    def test_its_limits(self):
        rng = np.random.default_rng(1)
        assert unbiased_share(rng.standard_normal((10, 25)), np.zeros(25)) == 0.05  # no inverse at all
        assert unbiased_share(rng.standard_normal((400, 4)), np.zeros(4)) == pytest.approx(0.99, abs=1e-5)  # 1 - d/m
        assert unbiased_share(np.zeros((4, 3)), np.zeros(3)) == 1.0
        assert unbiased_share(rng.standard_normal((40, 4)), np.full(4, 1e12)) == pytest.approx(1.0, abs=1e-5)

    def test_steps_are_not_too_long(self):
        """With a small sketch a full step goes up; a debiased one goes down."""
        problem = logistic(l2=1e-3)
        x = Point(problem, np.zeros(problem.n))
        falls = {False: 0, True: 0}
        for debias in falls:
            for seed in range(40):
                H = Sketched(12, False, "gaussian", debias=debias, seed=seed).start(x)(x)
                falls[debias] += x.at(x.x - H.solve(0.0, x.g)).f < x.f
        assert 2 * falls[False] < falls[True]


class TestRandomSubspace:
    def test_is_newton_inside_and_a_gradient_step_outside(self):
        problem = logistic()
        n = problem.n
        x = Point(problem, somewhere(problem).x, metric=as_metric(np.geomspace(0.5, 2, n), n))
        k, rest, lam = 3, 7.0, 0.2
        H = RandomSubspace(k, rest, seed=2).start(x)(x)
        root = np.sqrt(np.geomspace(0.5, 2, n))
        Q = np.linalg.qr(keyed(2, "random subspace", 0).standard_normal((n, k)))[0]
        W = x.hess().dense() / root / root[:, None]
        wanted = Q @ (Q.T @ W @ Q) @ Q.T + rest * (np.eye(n) - Q @ Q.T)
        np.testing.assert_allclose(dense(H, n), root[:, None] * wanted * root, rtol=0, atol=1e-12)
        h = np.linalg.solve(wanted + lam * np.eye(n), x.g / root) / root
        np.testing.assert_allclose(H.solve(lam, x.g), h, rtol=1e-10)

    def test_tends_to_randomised_subspace_newton(self):
        problem = logistic()
        x = somewhere(problem)
        H = RandomSubspace(3, 1e30).start(x)(x)
        S = keyed(0, "random subspace", 0).standard_normal((problem.n, 3))  # any basis of the subspace
        wanted = S @ np.linalg.solve(S.T @ x.hess().dense() @ S, S.T @ x.g)
        np.testing.assert_allclose(H.solve(1e-15, x.g), wanted, rtol=1e-9)

    def test_the_whole_space_is_newton(self):
        problem = logistic()
        x = somewhere(problem)
        H = RandomSubspace(100).start(x)(x)
        np.testing.assert_allclose(dense(H, problem.n), x.hess().dense(), rtol=0, atol=1e-13)

    def test_products_are_counted_and_runs_converge(self):
        problem = PROBLEMS["rosenbrock-callables"]()
        x = somewhere(problem)
        RandomSubspace(2).start(x)(x)
        assert x.counts.nhessp == 2
        run = GradNormSmooth(curvature="subspace:4").minimize(logistic(), gtol=1e-6, maxiter=500)
        assert run.success

    def test_products_suffice(self):
        class Products(Rosenbrock):
            def offers(self, name):
                return name == "hessp" or (name != "hess" and super().offers(name))

            def hessp(self, x, z, v):
                return super().hess(x, z) @ v

        problem = Products()
        check_curvature(RandomSubspace(1), somewhere(problem), memory=True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Sketched(0), "m=0 must be an integer of at least 1"),
        (lambda: Sketched(2.5), "m=2.5"),
        (lambda: Sketched(sketch="gauss"), "sketch='gauss' is unknown"),
        (lambda: Sketched(kind="exact"), "kind='exact' is unknown"),
        (lambda: Sketched(solver="lu"), "solver='lu' is unknown"),
        (lambda: Sketched(slow=0.0), "slow=0.0 must lie in"),
        (lambda: Sketched(sketch="srht", debias=True), "independent columns"),
        (lambda: RandomSubspace(0), "k=0"),
        (lambda: RandomSubspace(2, rest=-1.0), "rest=-1.0 must be positive"),
        (lambda: RandomSubspace(2, rest=np.inf), "rest=inf must be positive"),
    ],
)
def test_bad_settings(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_problems_without_rows_are_refused():
    x = somewhere(PROBLEMS["rosenbrock"]())
    with pytest.raises(MissingRequirement, match="no rows to sketch.*topk:20"):
        Sketched().start(x)
    x = somewhere(PROBLEMS["logsumexp"]())
    with pytest.raises(MissingRequirement, match="hess of LogSumExp is a RankOneUpdate: use kind='gauss_newton'"):
        Sketched().start(x)(x)
    check_curvature(Sketched(12, kind="gauss_newton"), x, memory=True)


def test_a_matrix_that_is_not_finite_is_a_failed_step_not_an_exception():
    rng = np.random.default_rng(0)
    problem = PoissonRegression(rng.standard_normal((30, 3)), rng.poisson(1.0, 30), l2=1e-2)
    run = GradNormSmooth(curvature="sketch:10").minimize(problem, np.full(3, 300.0), maxiter=5)
    assert np.isfinite(run.x).all()


def test_mushrooms(data):
    """8124 rows: the growing sketch ends where the exact Hessian ends, in a few more steps."""
    X, y = data("mushrooms")
    problem = Logistic(X, y, l2=1e-4)
    exact = GradNormSmooth(curvature="exact").minimize(problem, gtol=1e-8)
    run = GradNormSmooth(curvature="sketch").minimize(problem, gtol=1e-8)
    assert run.success
    assert run.fun == pytest.approx(exact.fun, rel=1e-10)
    assert run.nit <= 3 * exact.nit
