"""Subsampled curvature against the Hessian of the problem that holds the drawn rows alone."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt import GradNormSmooth, Logistic, Softmax
from gnsopt.curvature import FromProblem, Lazy, Subsampled
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature

M, D = 90, 7


def data(kind, density=1.0):
    if kind is Logistic:
        return make_logistic(M, D, density=density, seed=0)
    return make_softmax(M, D, 3, density=density, seed=0)


def dense(curvature, n):
    return np.stack([curvature.matvec(e) for e in np.eye(n)], axis=1)


def rows_of(problem, model):
    """The drawn rows: those of a problem of the same weights whose only feature is the number of the row."""
    m = problem.design.n_samples
    numbered = Logistic(np.arange(m)[:, None], np.arange(m) % 2, sample_weight=problem.weight)
    x = Point(numbered, np.zeros(1))
    return model.start(x)(x).form.design.X[:, 0].astype(int)


@pytest.mark.parametrize("kind", ["hess", "gauss_newton", "fisher"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", [Logistic, Softmax])
class TestMatrix:
    def test_is_that_of_the_drawn_rows(self, loss, sparse, kind):
        X, y = data(loss, 0.25 if sparse else 1.0)
        assert (not isinstance(X, np.ndarray)) == sparse
        w = np.random.default_rng(1).uniform(0.1, 2, M)
        options = {"l2": np.geomspace(1e-3, 1e-1, D), "fit_intercept": True}
        problem = loss(X, y, sample_weight=w, **options)
        assert problem.design.sparse == sparse
        model = Subsampled(40, kind, seed=3)
        index = rows_of(problem, model)
        assert np.unique(index).size == 40
        assert set(y[index]) == set(y)
        part = loss(X[index], y[index], sample_weight=w[index], **options)
        x = Point(problem, np.random.default_rng(2).standard_normal(problem.n))
        H = model.start(x)(x)
        wanted = getattr(part, kind)(x.x, part.prepare(x.x)).dense()
        np.testing.assert_allclose(dense(H, problem.n), wanted, rtol=0, atol=1e-13)
        b = np.random.default_rng(4).standard_normal(problem.n)
        np.testing.assert_allclose(H.solve(0.1, b), np.linalg.solve(wanted + 0.1 * np.eye(problem.n), b), rtol=1e-9)

    def test_all_rows_are_the_whole_matrix(self, loss, sparse, kind):
        problem = loss(*data(loss, 0.25 if sparse else 1.0), l2=0.1)
        x = Point(problem, np.random.default_rng(2).standard_normal(problem.n))
        for rows in (1.0, M):
            H = Subsampled(rows, kind).start(x)(x)
            np.testing.assert_allclose(dense(H, problem.n), x.hess(kind).dense(), rtol=0, atol=1e-15)


def test_the_subset_is_fixed_by_the_seed():
    problem = Logistic(*data(Logistic), l2=0.1)
    drawn = rows_of(problem, Subsampled(0.2, seed=5))
    assert np.array_equal(drawn, rows_of(problem, Subsampled(0.2, seed=5)))
    assert np.array_equal(drawn, rows_of(problem, Subsampled(18, seed=5)))
    assert not np.array_equal(drawn, rows_of(problem, Subsampled(0.2, seed=6)))
    assert rows_of(problem, Subsampled(0.001)).size == 1
    x = Point(problem, np.zeros(D))
    build = Subsampled(0.2, seed=5).start(x)
    first, second = build(x), build(x.at(np.ones(D)))
    assert first.form.design is second.form.design
    assert not np.array_equal(first.form.rows.w, second.form.rows.w)


def test_rows_are_drawn_alike():
    """Each row about equally often: 400 draws of 30 of 90 rows; five standard deviations."""
    problem = Logistic(*data(Logistic), l2=0.1)
    times = np.zeros(M)
    for seed in range(400):
        times[rows_of(problem, Subsampled(30, seed=seed))] += 1
    assert np.abs(times - 400 / 3).max() < 5 * np.sqrt(400 * 2 / 9)


def test_rows_without_weight_are_not_drawn():
    X, y = data(Logistic)
    w = np.arange(M) % 3 == 0
    problem = Logistic(X, y, sample_weight=w.astype(float))
    assert np.all(rows_of(problem, Subsampled(20)) % 3 == 0)
    assert rows_of(problem, Subsampled(0.5)).size == 15
    with pytest.raises(ValueError, match="30 rows of positive weight"):
        Subsampled(31).start(Point(problem, np.zeros(D)))


@pytest.mark.parametrize("kind", ["hess", "fisher"])
def test_breast_cancer(kind):
    problem = PROBLEMS["logistic-breast-cancer"]()
    exact = GradNormSmooth(curvature="exact").minimize(problem, gtol=1e-10)
    runs = [GradNormSmooth(curvature=Subsampled(f, kind)).minimize(problem) for f in (0.1, 0.9)]
    whole = GradNormSmooth(curvature=FromProblem(kind)).minimize(problem)
    for run in runs:
        assert run.success
        np.testing.assert_allclose(run.x, exact.x, atol=1e-5)
        assert "of 569 rows" in run.curvature
    assert runs[0].nit > runs[1].nit
    if kind == "hess":
        assert runs[1].nit > whole.nit


def test_twice_and_sparse_bitwise():
    X, y = data(Logistic, 0.25)
    problem = Logistic(csr_array(X), y, l2=1e-2)
    solver = GradNormSmooth(curvature="subsampled:0.5")
    one, two = solver.minimize(problem), solver.minimize(Logistic(csr_array(X), y, l2=1e-2))
    assert one.success
    assert np.array_equal(one.x, two.x)
    assert one.nsolve == two.nsolve


def test_few_rows_are_solved_in_their_space():
    X, y = make_logistic(200, 120, seed=1)
    problem = Logistic(X, y, l2=1e-2)
    solver = GradNormSmooth(metric=None, curvature=Subsampled(20))
    run = solver.minimize(problem, maxiter=3)
    assert "20 of 200 rows by Cholesky in the space of the rows" in run.curvature
    other = GradNormSmooth(metric=None, curvature=Subsampled(20, solver="cholesky")).minimize(problem, maxiter=3)
    np.testing.assert_allclose(run.x, other.x, rtol=1e-9, atol=1e-12)


def test_with_other_models():
    problem = PROBLEMS["logistic-breast-cancer"]()
    run = GradNormSmooth(curvature=Lazy(3, Subsampled(0.5))).minimize(problem)
    assert run.success
    assert run.nhev < run.nit / 2


@pytest.mark.parametrize("name", ["logistic", "logistic-weighted", "logistic-wide", "softmax-iris", "softmax-wide"])
@pytest.mark.parametrize("model", [Subsampled(0.5), Subsampled(5, "fisher", solver="cholesky")], ids=["hess", "fisher"])
def test_conforms(model, name):
    problem = PROBLEMS[name]()
    check_curvature(model, Point(problem, problem.start() + 0.1), theta=model.theta, floor=model.floor)


def test_misuse():
    for rows in (0, 0.0, 1.5, -3, True, "many"):
        with pytest.raises(ValueError, match=r"fraction in \(0, 1\]"):
            Subsampled(rows)
    with pytest.raises(ValueError, match="kind='zero'"):
        Subsampled(0.5, "zero")
    with pytest.raises(ValueError, match="solver='qr'"):
        Subsampled(0.5, solver="qr")
    with pytest.raises(ValueError, match="theta"):
        Subsampled(0.5, theta=2.0)
    for name in ("rosenbrock", "logsumexp"):
        problem = PROBLEMS[name]()
        with pytest.raises(MissingRequirement, match="needs a linear model"):
            Subsampled(0.5).start(Point(problem, problem.start()))
