"""A problem in blocks is the problem of all rows: values, derivatives, matrices, runs."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.optimize import LinearConstraint
from scipy.sparse import csr_array

from gnsopt import (
    GradNormSmooth,
    Logistic,
    PoissonRegression,
    RowBlocks,
    Softmax,
    SquaredLoss,
    curvature,
    datasets,
    minimize,
)
from gnsopt.blocks import split
from gnsopt.exceptions import MissingRequirement
from gnsopt.registry import SOLVERS
from gnsopt.testing import check_objective, check_solver

FAMILIES = {"logistic": Logistic, "softmax": Softmax, "squared": SquaredLoss, "poisson": PoissonRegression}
N, D = 157, 6


def rows(family, sparse=False, dtype=float):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((N, D)) * (rng.random((N, D)) < (0.2 if sparse else 1.0))).astype(dtype)
    scores = 2 * X[:, 0] + rng.logistic(size=N)
    y = {
        "logistic": np.where(scores > 0, 7, 3),
        "softmax": np.array(["a", "bc", "d", "e"])[np.digitize(scores, [-1, 0, 1])],
        "squared": scores,
        "poisson": np.maximum(np.round(scores), 0),
    }[family]
    return (csr_array(X) if sparse else X), y, np.round(3 * rng.random(N))


def both(family, sparse=False, l2=1e-2, fit_intercept=True, weighted=True, size=20, dtype=float):
    X, y, w = rows(family, sparse, dtype)
    w = w if weighted else None
    whole = FAMILIES[family](X, y, l2=l2, fit_intercept=fit_intercept, sample_weight=w)
    return whole, RowBlocks(family, split(X, y, w, rows=size), l2=l2, fit_intercept=fit_intercept)


def close(a, b, rtol=1e-14):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= rtol * max(np.abs(b).max(), 1e-300)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [1, 20, 500])  # blocks of one row, uneven ones, one block
def test_values_and_derivatives(family, sparse, size):
    whole, blocks = both(family, sparse, size=size)
    rng = np.random.default_rng(1)
    x, v = 0.3 * rng.standard_normal(whole.n), rng.standard_normal(whole.n)
    a, b = whole.prepare(x), blocks.prepare(x)
    assert blocks.n == whole.n
    close(blocks.fun(x, b), whole.fun(x, a))
    close(blocks.grad(x, b), whole.grad(x, a))
    close(blocks.metric().diagonal, whole.metric().diagonal)
    close(blocks.difference(x, b, 1e-3 * v), whole.difference(x, a, 1e-3 * v), 1e-13)
    for kind in ("hess", "gauss_newton", "fisher"):
        H, G = getattr(blocks, kind)(x, b), getattr(whole, kind)(x, a)
        close(H.dense(), G.dense())
        close(H.matvec(v), G.matvec(v))
        close(H.diagonal(), G.diagonal())
        for mine, theirs in zip(H.class_blocks(), G.class_blocks(), strict=True):
            close(np.tril(mine), np.tril(theirs))
        assert (H.product_price, H.dense_price) == (G.product_price, G.dense_price)  # the same choices
        assert (H.class_blocks_price, H.rows.sums_to_zero) == (G.class_blocks_price, G.rows.sums_to_zero)
    if family != "poisson":
        close(blocks.bound().dense(), whole.bound().dense())
    assert hasattr(blocks, "bound") == hasattr(whole, "bound")
    close(blocks.predict(x, rows(family)[0]), whole.predict(x, rows(family)[0]))


@pytest.mark.parametrize("family", FAMILIES)
def test_derivatives_by_their_slopes(family):
    check_objective(both(family)[1])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_automatic_run_is_that_in_memory(family, intercept):
    whole, blocks = both(family, fit_intercept=intercept, weighted=False)
    ours, theirs = minimize(blocks, tol=1e-10), minimize(whole, tol=1e-10)
    assert ours.success
    for name in ("nit", "nfev", "njev", "nhev", "nhessp", "nsolve", "curvature"):
        assert ours[name] == theirs[name], name
    assert abs(ours.fun - theirs.fun) <= 1e-14 * abs(theirs.fun)


@pytest.mark.parametrize("name", ["exact:cg", "exact:spectral", "auto"])
@pytest.mark.parametrize("n", [400, 1600])
def test_many_classes_by_products_and_class_blocks(name, n):
    """Conjugate gradients buy a sample of the rows and the class blocks at the same products as in memory."""
    X, y = datasets.make_softmax(n, 30, 12, seed=3)
    whole, blocks = Softmax(X, y, l2=1e-4), RowBlocks(Softmax, split(X, y, rows=64), l2=1e-4)
    ours, theirs = (minimize(p, method="gns", options={"curvature": name}, tol=1e-9) for p in (blocks, whole))
    assert ours.success
    assert (ours.nit, ours.nhev, ours.nhessp) == (theirs.nit, theirs.nhev, theirs.nhessp)
    assert abs(ours.fun - theirs.fun) <= 1e-13 * abs(theirs.fun)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver(solver):
    first_order = getattr(SOLVERS[solver], "order", 2) < 2 or solver in ("gradient", "fast-gradient")
    _, blocks = both("logistic")
    check_solver(SOLVERS[solver](), blocks, gtol=1e-4 if first_order else 1e-6, monotone=False)


WITHOUT_ROWS = (
    *("auto", "exact", "fisher", "diagonal", "zero", "projected", "secant", "lazy:3", "topk:2", "hutchinson:3"),
    *("row_norm", "adahessian", "sophia", "majorizer", "subspace:2", "mfac:6", "mfac:gauss_newton"),
)


@pytest.mark.parametrize("name", WITHOUT_ROWS)
def test_every_curvature_without_rows(name):
    whole, blocks = both("logistic")
    ours, theirs = (minimize(p, method="gns", options={"curvature": name, "maxiter": 12}) for p in (blocks, whole))
    assert (ours.nit, ours.curvature) == (theirs.nit, theirs.curvature)
    assert abs(ours.fun - theirs.fun) <= 1e-12 * abs(theirs.fun)


@pytest.mark.parametrize("name", ["subsampled:0.5", "sketch:5", "kfac", "tract:first"])
def test_curvature_of_single_rows_is_refused(name):
    with pytest.raises((MissingRequirement, ValueError), match="curvature|RowBlocks"):
        GradNormSmooth(curvature=curvature.resolve(name)).minimize(both("logistic")[1])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sparse", [False, True])
def test_sampled_rows_are_those_in_memory(family, sparse):
    whole, blocks = both(family, sparse)
    x = np.linspace(-0.5, 0.5, whole.n)
    for kind in ("hess", "fisher"):
        H, G = (getattr(p, kind)(x, p.prepare(x)).sampled(40) for p in (blocks, whole))
        assert (H.dense_price, H.class_blocks_price) == (G.dense_price, G.class_blocks_price)
        close(H.dense(), G.dense())
    assert blocks.sample(40) is blocks.sample(40)


def test_wide_rows_run_too():
    X, y = datasets.make_logistic(15, 45, seed=4)
    ours, theirs = RowBlocks("logistic", split(X, y, rows=4), l2=0.1), Logistic(X, y, l2=0.1)
    assert ours.metric().diagonal == pytest.approx(theirs.metric().diagonal, rel=1e-14)
    close(minimize(ours, tol=1e-12).x, minimize(theirs, tol=1e-12).x, 1e-9)


def test_float32_integers_and_lists():
    whole, blocks = both("logistic", dtype=np.float32)
    x = np.linspace(-1, 1, whole.n)
    close(blocks.fun(x, blocks.prepare(x)), whole.fun(x, whole.prepare(x)))
    X, y = [[1, 2], [3, 4], [0, 1]], [True, False, True]
    close(RowBlocks("logistic", split(X, y, rows=2)).metric().diagonal, Logistic(X, y).metric().diagonal)


def test_class_weights_and_a_class_that_is_in_one_block_only():
    X, y, w = rows("softmax")
    order = np.argsort(y, kind="stable")
    X, y, w = X[order], y[order], w[order]
    factor = np.array([1.0, 2.0, 0.0, 3.0])
    codes = np.searchsorted(np.unique(y), y)
    whole = Softmax(X, y, l2=0.1, sample_weight=w * factor[codes])
    blocks = RowBlocks("softmax", split(X, y, w, rows=30), l2=0.1, class_weight=factor)
    x = np.linspace(-1, 1, whole.n)
    close(blocks.grad(x, blocks.prepare(x)), whole.grad(x, whole.prepare(x)))
    close(blocks.metric().diagonal, whole.metric().diagonal)
    assert list(blocks.classes) == list(whole.classes)


def test_accuracy_is_that_of_the_predictions():
    for family in ("logistic", "softmax"):
        whole, blocks = both(family)
        X, y, _ = rows(family)
        x = minimize(whole).x
        chances = whole.predict(x, X)
        best = (chances > 0.5).astype(int) if chances.ndim == 1 else chances.argmax(axis=1)
        assert blocks.accuracy(x) == np.mean(whole.classes[best] == y)


def test_penalty_can_change():
    whole, blocks = both("logistic", l2=np.linspace(0, 1, D))
    blocks.set_l2(np.linspace(0, 1, D))
    x = np.ones(whole.n)
    close(blocks.fun(x, blocks.prepare(x)), whole.fun(x, whole.prepare(x)))
    assert not blocks.penalised


def test_pickles_and_runs_in_threads_at_once():
    _, blocks = both("logistic")
    expected = minimize(blocks).x
    assert (minimize(pickle.loads(pickle.dumps(blocks))).x == expected).all()
    with ThreadPoolExecutor(3) as pool:
        assert all((result.x == expected).all() for result in pool.map(minimize, [blocks] * 6))


def test_constraints():
    whole, blocks = both("logistic")
    sums_to_one = LinearConstraint(np.ones((1, whole.n)), 1, 1)
    ours, theirs = (minimize(problem, constraints=sums_to_one) for problem in (blocks, whole))
    assert ours.success
    assert ours.nit == theirs.nit
    assert abs(ours.fun - theirs.fun) <= 1e-12


def test_accuracy_and_predictions_of_what_is_no_point_are_refused():
    X, y, *_ = rows("logistic")
    problem = RowBlocks("logistic", split(X, y, rows=50))
    x = np.zeros(problem.n)
    assert problem.accuracy(x.tolist()) == problem.accuracy(x)
    for bad in (x[1:], x + np.nan, 1.0, ["a"] * x.size, None):
        with pytest.raises(ValueError, match=r"^x .*"):
            problem.accuracy(bad)
        with pytest.raises(ValueError, match=r"^x .*"):
            problem.predict(bad, X)
