"""Estimators on Dask arrays: the coefficients of the arrays in memory, predictions when asked for."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import StandardScaler

from gnsopt import Logistic, RowBlocks
from gnsopt.blocks import split
from gnsopt.estimators import LogisticRegression, LogisticRegressionPath, PoissonRegressor

da = pytest.importorskip("dask.array")

X, codes = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
names = np.array(["a", "bb", "c"])[codes]
w = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
DX = da.from_array(X, chunks=(37, 3))


def dask(a, chunks=50):
    return da.from_array(a, chunks=chunks)


@pytest.mark.parametrize("y", [names, (codes > 0).astype(int)], ids=["words", "two"])
@pytest.mark.parametrize("class_weight", [None, "balanced", "dict"])
@pytest.mark.parametrize("weights", [None, w], ids=["equal", "weights"])
def test_logistic_regression(y, class_weight, weights):
    if class_weight == "dict":
        class_weight = dict(zip(np.unique(y).tolist(), [1.0, 2.0, 0.5], strict=False))
    settings = {"C": 2.0, "class_weight": class_weight, "tol": 1e-10}
    ours = LogisticRegression(**settings).fit(DX, dask(y), None if weights is None else dask(weights, 41))
    theirs = LogisticRegression(**settings).fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-9)
    assert (ours.n_iter_, ours.n_features_in_) == (theirs.n_iter_, 4)
    assert list(ours.classes_) == list(theirs.classes_)


@pytest.mark.parametrize("y", [names, (codes > 0).astype(int)], ids=["three", "two"])
def test_predictions_are_lazy_and_the_same(y):
    model = LogisticRegression().fit(DX, dask(y))
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        lazy, now = getattr(model, method)(DX), getattr(model, method)(X)
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype) == (now.shape, now.dtype)
        assert (lazy.chunks[0]) == DX.chunks[0]
        computed = lazy.compute()
        assert (computed == now).all() if method == "predict" else np.abs(computed - now).max() < 1e-13
    assert model.score(DX, dask(y)) == model.score(X, y)


def test_chunks_of_unknown_sizes_and_empty_ones():
    keep = X[:, 0] > np.where(np.arange(len(X)) < 60, 10.0, -1.0)  # nothing of the first chunk
    mask = da.from_array(keep, chunks=37)
    U, v = DX[mask], dask(names, 37)[mask]
    ours, theirs = LogisticRegression(tol=1e-10).fit(U, v), LogisticRegression(tol=1e-10).fit(X[keep], names[keep])
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)
    assert (ours.predict(U).compute() == theirs.predict(X[keep])).all()
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        LogisticRegression().fit(U, names[keep])
    with pytest.raises(ValueError, match="hold no samples"):
        LogisticRegression().fit(DX[mask & ~mask], dask(names, 37)[mask & ~mask])


def test_poisson_and_the_path():
    ours, theirs = PoissonRegressor(tol=1e-10).fit(DX, codes), PoissonRegressor(tol=1e-10).fit(X, codes)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.predict(DX).compute(), theirs.predict(X), rtol=1e-9)
    ours = LogisticRegressionPath(Cs=4, tol=1e-10).fit(DX, dask(codes))
    theirs = LogisticRegressionPath(Cs=4, tol=1e-10).fit(X, codes)
    np.testing.assert_allclose(ours.coefs_, theirs.coefs_, atol=1e-6)


def test_misuse():
    for fit, message in (
        (lambda: LogisticRegression().fit(DX, codes[:-1]), "y has 149 rows; X has 150"),
        (lambda: LogisticRegression().fit(DX, np.zeros(150)), "only one class"),
        (lambda: LogisticRegression().fit(DX, None), "requires y"),
        (lambda: LogisticRegression().fit(DX[:, 0], codes), "dimension"),
        (lambda: LogisticRegression(C=-1).fit(DX, codes), "C=-1"),
        (lambda: PoissonRegressor().fit(DX, -codes), "chunk 1: y has a value of -1"),
        (lambda: LogisticRegression().fit(da.where(DX > 1, np.nan, DX), codes), "chunk 0: X contains NaN"),
        (lambda: LogisticRegression().fit(DX, codes).predict(DX[:, :2]), "expecting"),
        (lambda: LogisticRegression().fit(DX, dask(X[:, 0] + 0.1)), "continuous"),
        (lambda: LogisticRegression(fit_intercept="no").fit(DX, codes), "fit_intercept='no' must be True or False"),
        (lambda: PoissonRegressor(fit_intercept=None).fit(DX, codes), "fit_intercept=None must be True or False"),
    ):
        with pytest.raises(ValueError, match=message):
            fit()
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(DX)


def test_labels_that_are_many_are_no_continuous_target():
    letters = np.arange(150) % 26
    assert len(LogisticRegression(max_iter=30).fit(DX, dask(letters)).classes_) == 26


@pytest.mark.parametrize("weight", ["balanced", {0: 1.0, 1: 1e308, 2: 1.0}])
def test_weights_whose_sum_is_above_float64(weight):
    """In memory and in chunks; with C the total counts, and has no number."""
    huge = np.full(150, 2.0**1023)
    fits = [
        LogisticRegression(l2=0.1, class_weight=weight, tol=1e-10).fit(*data)
        for data in ((DX, dask(codes), dask(huge)), (X, codes, huge), (X, codes))
    ]
    for ours in fits[:2]:
        np.testing.assert_allclose(ours.coef_, fits[2].coef_, rtol=0, atol=1e-9)
    for data in ((DX, dask(codes), dask(huge)), (X, codes, huge)):
        with pytest.raises(ValueError, match="C=1.0 times the sum of sample_weight leaves float64"):
            LogisticRegression().fit(*data)
    path = LogisticRegressionPath(l2s=[0.1, 0.0], max_iter=3)
    with pytest.warns(ConvergenceWarning):
        assert list(path.fit(X, codes > 0, huge).Cs_) == [0.0, np.inf]


def test_on_a_cluster(client):
    with client.as_current():
        ours = LogisticRegression(tol=1e-10).fit(DX, dask(names))
        assert (ours.predict(DX).compute() == names).mean() > 0.9
    theirs = LogisticRegression(tol=1e-10).fit(X, names)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)


def test_the_problem_takes_them_too(client):
    whole = Logistic(X, codes > 0, l2=0.1)
    x = np.linspace(-1, 1, 4)
    for where in (None, client):
        blocks = RowBlocks("logistic", split(DX, dask(codes > 0)), l2=0.1, client=where)
        assert blocks.fun(x, blocks.prepare(x)) == pytest.approx(whole.fun(x, whole.prepare(x)), rel=1e-14)
