"""Projected and top-k curvature against dense eigendecompositions of the pencil (hess f, B); the Lanczos process."""

import numpy as np
import pytest
from scipy.linalg import eigh

from gnsopt import GradNormSmooth, Logistic, Objective, Status
from gnsopt.curvature import Projected, TopK, resolve
from gnsopt.curvature.spectral import lanczos
from gnsopt.datasets import make_logistic
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.metric import as_metric
from gnsopt.point import Counts, Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature

N = 30


class Quartic(Objective):
    """``sum (x_i^2 - 1)^2 / 4 + <Q x, x> / 2``: a Hessian that is indefinite around zero, where f has a saddle."""

    def __init__(self, n=N, products_only=False):
        M = np.random.default_rng(3).standard_normal((n, n))
        self.n, self.Q, self.products = n, 0.1 * (M + M.T) / np.sqrt(n), products_only

    def offers(self, name):
        return name == ("hessp" if self.products else "hess") or super().offers(name) and name not in ("hess", "hessp")

    def fun(self, x, z):
        return float(np.sum((x**2 - 1) ** 2) / 4 + x @ self.Q @ x / 2)

    def grad(self, x, z):
        return x**3 - x + self.Q @ x

    def hess(self, x, z):
        return np.diag(3 * x**2 - 1) + self.Q

    def hessp(self, x, z, v):
        return self.hess(x, z) @ v


def metrics(n):
    rng = np.random.default_rng(5)
    W = rng.standard_normal((n, n))
    return {"identity": None, "diagonal": np.geomspace(0.1, 10, n), "dense": W @ W.T / n + np.eye(n)}


def at(problem, metric, seed=1):
    x = 0.6 * np.random.default_rng(seed).standard_normal(problem.n)
    return Point(problem, x, Counts(), as_metric(metric, problem.n))


def dense(curvature, n):
    return np.stack([curvature.matvec(e) for e in np.eye(n)], axis=1)


def pencil(x):
    """Dense Hessian, metric, and eigenpairs ``H V = B V diag(s)``, ``V' B V = I`` by LAPACK's generalised solver."""
    H = x.hess().dense()
    B = np.stack([x.metric.apply(e) for e in np.eye(x.x.size)])
    return H, B, *eigh(H, B)


def norm(E, B):
    return np.abs(eigh(E, B, eigvals_only=True)).max()


@pytest.mark.parametrize("metric", ["identity", "diagonal", "dense"])
@pytest.mark.parametrize("mode", ["clip", "absolute"])
class TestProjected:
    def test_is_the_projection_in_the_metric(self, mode, metric):
        x = at(Quartic(), metrics(N)[metric])
        H, B, s, V = pencil(x)
        assert s[0] < -0.1 < 0.1 < s[-1]
        wanted = B @ V @ np.diag(np.maximum(s, 0) if mode == "clip" else np.abs(s)) @ V.T @ B
        C = Projected(mode).start(x)(x)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(dense(C, N), wanted, rtol=0, atol=1e-11 * scale)
        np.testing.assert_allclose(C.form.dense(), wanted, rtol=0, atol=1e-11 * scale)
        diagonal = C.form.diagonal()
        if metric == "dense":
            assert diagonal is None
        else:
            np.testing.assert_allclose(diagonal, wanted.diagonal(), rtol=0, atol=1e-11 * scale)
        b = np.random.default_rng(0).standard_normal(N)
        for lam in (1e-6, 0.1, 10.0):
            np.testing.assert_allclose(C.solve(lam, b), np.linalg.solve(wanted + lam * B, b), rtol=1e-8, atol=1e-8)

    def test_inexactness_is_the_negative_part(self, mode, metric):
        x = at(Quartic(), metrics(N)[metric])
        H, B, s, _ = pencil(x)
        C1 = -s[0] if mode == "clip" else -2 * s[0]
        assert norm(H - dense(Projected(mode).start(x)(x), N), B) == pytest.approx(C1, rel=1e-10)


def test_projected_leaves_a_convex_hessian_alone():
    problem = PROBLEMS["logistic-breast-cancer"]()
    x = at(problem, problem.metric().diagonal)
    C = Projected().start(x)(x)
    np.testing.assert_allclose(dense(C, problem.n), x.hess().dense(), rtol=0, atol=1e-13)
    run = GradNormSmooth(curvature="projected").minimize(problem)
    exact = GradNormSmooth(curvature="exact").minimize(problem)
    assert run.success
    assert run.nit == exact.nit
    assert run.nhev == run.nit
    np.testing.assert_allclose(run.x, exact.x, rtol=1e-9)


def test_one_decomposition_serves_all_shifts():
    x = at(Quartic(), None)
    C = Projected().start(x)(x)
    for lam in np.geomspace(1e-3, 1e3, 20):
        C.solve(lam, x.g)
    assert (x.counts.nhev, x.counts.nsolve) == (1, 20)


def test_a_clipped_matrix_is_singular():
    x = at(Quartic(), None)
    C = Projected().start(x)(x)
    with pytest.raises(NotPositiveDefinite):
        C.solve(0.0, x.g)


@pytest.mark.parametrize("curvature", ["projected", "projected:absolute", "topk:10", TopK(10, residual=True)])
@pytest.mark.parametrize("products_only", [False, True])
def test_finds_a_minimum_of_a_function_that_is_not_convex(curvature, products_only):
    problem = Quartic(products_only=products_only)
    x0 = 1e-3 * np.random.default_rng(0).standard_normal(N)  # next to a saddle: all curvatures are negative
    assert np.linalg.eigvalsh(Quartic().hess(x0, None))[-1] < 0
    run = GradNormSmooth(curvature=curvature).minimize(problem, x0, gtol=1e-8)
    assert run.success
    assert np.abs(problem.grad(run.x, None)).max() <= 1e-8
    assert np.linalg.eigvalsh(problem.hess(run.x, None))[0] > 0.1
    assert np.all(np.diff(run.trace["fun"]) <= 1e-15)  # two roundings of f*, which is about -1


@pytest.mark.parametrize("model", ["projected", "topk:3", "secant"])
def test_what_does_not_fit_into_memory_is_refused(model):
    class Large(Objective):
        n = 10_000

        def hessp(self, x, z, v):
            raise AssertionError("not before the check")

        def grad(self, x, z):
            return np.ones(self.n)

    x = Point(Large(), np.zeros(Large.n))
    if model == "topk:3":
        resolve(model).start(x)  # needs no dense matrix
    else:
        with pytest.raises(ValueError, match=r"4 GB.*10000 x 10000.*topk:20"):
            resolve(model).start(x)


@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("model", [Projected(), TopK(3)])
def test_a_hessian_with_nan_is_a_status(model, n):
    class Broken(Quartic):
        def hess(self, x, z):
            H = super().hess(x, z)
            H[1, 0] = H[0, 1] = np.nan if x[0] != 0.5 else H[1, 0]
            return H

    run = GradNormSmooth(curvature=model).minimize(Broken(n), np.full(n, 0.5))
    assert run.status == Status.STEP_FAILURE
    assert np.isfinite(run.x).all()


def test_misuse():
    with pytest.raises(ValueError, match="mode='none'"):
        Projected("none")
    with pytest.raises(ValueError, match="k=0"):
        TopK(0)
    with pytest.raises(ValueError, match=r"tol=2\.0"):
        TopK(3, tol=2.0)
    with pytest.raises(ValueError, match="max_products=3"):
        TopK(3, max_products=3)
    problem = PROBLEMS["logsumexp"]()
    with pytest.raises(TypeError, match="fisher"):
        TopK(3, kind="fisher").start(Point(problem, problem.start()))


@pytest.mark.parametrize("metric", ["identity", "diagonal", "dense"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("k", [2, 7, 100])
def test_topk_holds_the_largest_eigenpairs(k, residual, metric):
    n = 40
    x = at(Quartic(n), metrics(n)[metric])
    H, B, s, V = pencil(x)
    s, V = s[::-1], V[:, ::-1]
    kept = np.zeros(n)
    kept[:k] = np.maximum(s[:k], 0)
    if residual and k < n:
        kept[k:] = max(s[k], 0)
    wanted = B @ V @ np.diag(kept) @ V.T @ B
    C = TopK(k, residual, tol=1e-12).start(x)(x)
    np.testing.assert_allclose(dense(C, n), wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())
    b = np.random.default_rng(0).standard_normal(n)
    np.testing.assert_allclose(C.solve(0.3, b), np.linalg.solve(wanted + 0.3 * B, b), rtol=0, atol=1e-8)
    C1 = max(s[k], -s[-1]) if k < n else -s[-1]
    if residual and k < n:
        assert eigh(wanted - H, B, eigvals_only=True)[0] >= -1e-12
    else:
        assert norm(H - dense(C, n), B) == pytest.approx(C1, rel=1e-8)


def test_topk_is_accurate_in_spite_of_a_large_gap():
    """With b among eigenvectors 1e12 above the shift, a single projection leaves a residual of about 1e-4."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))[0]
    s = np.r_[1e6, 1e5, 1e4, np.full(57, 1e-8)]

    class Graded(Quartic):
        def hess(self, x, z):
            return Q @ np.diag(s) @ Q.T

    x = at(Graded(60), None)
    C = TopK(3, tol=1e-10).start(x)(x)
    h = C.solve(1e-6, Q[:, 0])
    assert np.linalg.norm(C.matvec(h) + 1e-6 * h - Q[:, 0]) < 1e-10


def test_topk_counts_its_products():
    calls = []

    class Counted(Quartic):
        def hessp(self, x, z, v):
            calls.append(1)
            return super().hessp(x, z, v)

    x = at(Counted(60, products_only=True), None)
    TopK(4).start(x)(x)
    assert 5 <= x.counts.nhessp == len(calls) < 60
    assert x.counts.nhev == 0


def test_topk_of_other_matrices():
    problem = PROBLEMS["logistic-breast-cancer"]()
    x = at(problem, None)
    C = TopK(problem.n, kind="fisher").start(x)(x)
    np.testing.assert_allclose(dense(C, problem.n), x.hess("fisher").dense(), rtol=0, atol=1e-13)


def test_more_eigenpairs_take_fewer_steps():
    problem = PROBLEMS["logistic-breast-cancer"]()
    nit = [GradNormSmooth(curvature=TopK(k)).minimize(problem).nit for k in (1, 5, 31)]
    assert nit[0] > nit[1] > nit[2] == GradNormSmooth(curvature="exact").minimize(problem).nit


@pytest.mark.parametrize("name", ["logistic", "logistic-wide", "softmax-iris", "logsumexp", "rosenbrock"])
@pytest.mark.parametrize(
    "model", [Projected(), Projected("absolute"), TopK(2), TopK(3, residual=True)], ids=lambda m: str(m)[:30]
)
def test_conforms(model, name):
    problem = PROBLEMS[name]()
    x = problem.start() + 0.3 * np.random.default_rng(0).standard_normal(problem.n)
    check_curvature(model, Point(problem, x))


class TestLanczos:
    def matrix(self, s, seed=0):
        Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(s), len(s))))[0]
        return (Q * s) @ Q.T, Q

    @pytest.mark.parametrize("by_size", [False, True])
    def test_extreme_pairs(self, by_size):
        s = np.r_[np.linspace(-9, 0, 40), np.linspace(0.1, 7, 60)]
        A, _ = self.matrix(s)
        theta, V = lanczos(lambda v: A @ v, 100, 4, by_size=by_size, tol=1e-10)
        wanted = s[np.argsort(-np.abs(s) if by_size else -s)][:4]
        np.testing.assert_allclose(theta[:4], wanted, rtol=1e-12)
        np.testing.assert_allclose(A @ V[:, :4], V[:, :4] * theta[:4], atol=1e-8)
        np.testing.assert_allclose(V.T @ V, np.eye(5), atol=1e-13)

    def test_residuals_are_as_promised(self):
        s = np.geomspace(1e-3, 100, 300)
        A, _ = self.matrix(s)
        calls = []
        theta, V = lanczos(lambda v: calls.append(1) or A @ v, 300, 10, tol=0.1)
        residuals = np.linalg.norm(A @ V[:, :10] - V[:, :10] * theta[:10], axis=0)
        assert residuals.max() <= 0.1 * theta[10]
        assert len(calls) < 60

    def test_low_rank(self):
        A, Q = self.matrix(np.r_[5.0, 3.0, np.zeros(48)])
        theta, V = lanczos(lambda v: A @ v, 50, 6)
        np.testing.assert_allclose(theta, [5, 3, 0, 0, 0, 0, 0], atol=1e-13)
        np.testing.assert_allclose(np.abs(V[:, :2].T @ Q[:, :2]), np.eye(2), atol=1e-12)
        np.testing.assert_allclose(V.T @ V, np.eye(7), atol=1e-13)

    @pytest.mark.parametrize("c", [0.0, 2.0, -2.0])
    def test_multiples_of_the_identity(self, c):
        theta, V = lanczos(lambda v: c * v, 30, 3)
        np.testing.assert_allclose(theta, np.full(4, c), atol=1e-14)
        np.testing.assert_allclose(V.T @ V, np.eye(4), atol=1e-13)

    def test_limits(self):
        A, _ = self.matrix(np.linspace(1, 2, 80))
        calls = []
        theta, V = lanczos(lambda v: calls.append(1) or A @ v, 80, 3, tol=1e-12, max_products=11)
        assert len(calls) == 11
        assert V.shape == (80, 4)
        assert np.all(theta <= 2 + 1e-12)  # Ritz values never exceed the spectrum
        theta, V = lanczos(lambda v: A[:2, :2] @ v, 2, 5)
        np.testing.assert_allclose(np.sort(theta), np.linalg.eigvalsh(A[:2, :2]), rtol=1e-12)

    def test_same_answer_twice_and_another_start(self):
        A, _ = self.matrix(np.geomspace(1, 100, 90))
        one, two, other = (lanczos(lambda v: A @ v, 90, 3, tol=1e-9, seed=s) for s in (0, 0, 1))
        assert np.array_equal(one[0], two[0])
        assert np.array_equal(one[1], two[1])
        assert not np.array_equal(one[1], other[1])
        np.testing.assert_allclose(one[0][:3], other[0][:3], rtol=1e-10)


def test_topk_on_sparse_data():
    """Rank 15 of 80 rows: more pairs than there are are asked for."""
    X, y = make_logistic(15, 60, density=0.3, seed=2)
    problem = Logistic(X, y, l2=1e-2)
    x = at(problem, None)
    C = TopK(18, residual=True, tol=1e-8).start(x)(x)
    np.testing.assert_allclose(dense(C, 60), x.hess().dense(), rtol=0, atol=1e-12)
