"""Our fits against scikit-learn's: coefficients at tight tolerances, the objective at the defaults."""

import warnings

import numpy as np
import pytest
import sklearn.linear_model as peer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from gnsopt.estimators import LogisticRegression, LogisticRegressionPath, PoissonRegressor
from tests.libraries import MULTINOMIAL

LOADERS = {"breast_cancer": load_breast_cancer, "digits": load_digits, "iris": load_iris}


@pytest.fixture(params=LOADERS)
def samples(request):
    X, y = LOADERS[request.param](return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def weight(samples):
    return np.random.default_rng(0).integers(0, 4, len(samples[1])) / 2.0


def objective(model, X, y, C=1.0):
    """``C sum_i l_i + |v|^2 / 2``, from the coefficients alone."""
    Z = X @ model.coef_.T + model.intercept_
    if Z.shape[1] == 1:
        Z = np.hstack([np.zeros_like(Z), Z])
    own = Z[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return C * (np.logaddexp.reduce(Z, axis=1) - own).sum() + 0.5 * (model.coef_**2).sum()


def tight(**options):
    """scikit-learn's Newton, run to the end: where its line search gives up at rounding level it warns."""
    solver = "newton-cholesky" if MULTINOMIAL else "newton-cg"
    return peer.LogisticRegression(tol=1e-12, solver=solver, max_iter=1000, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"C": 0.01, "fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 3.0, 1: 0.5}, "C": 3.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_same_coefficients(samples, weight, options, weighted):
    X, y = samples
    w = weight if weighted else None
    if weighted and options.get("class_weight") == "balanced":  # older versions balance without the sample weights
        counts = np.bincount(y, weights=weight)
        theirs = tight(class_weight=dict(enumerate(weight.sum() / (counts.size * counts))))
    else:
        theirs = tight(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y, w)
    ours = LogisticRegression(tol=1e-11, **options).fit(X, y, w)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert np.abs(ours.coef_ - theirs.coef_).max() < 1e-6
    intercepts = theirs.intercept_ - (theirs.intercept_.mean() if len(theirs.intercept_) > 1 else 0.0)
    assert np.abs(ours.intercept_ - intercepts).max() < 1e-6
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert ours.decision_function(X).shape == theirs.decision_function(X).shape
    for name in ("predict_proba", "predict_log_proba"):
        assert getattr(ours, name)(X) == pytest.approx(getattr(theirs, name)(X), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("scaled", [True, False])
def test_the_default_fit_has_an_objective_at_least_as_low(samples, C, scaled):
    X, y = samples
    X = X if scaled else X * np.logspace(-1, 1, X.shape[1])
    theirs = peer.LogisticRegression(C=C)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
    assert objective(LogisticRegression(C=C).fit(X, y), X, y, C) <= objective(theirs, X, y, C)


def test_result_is_the_mean_of_the_objective(samples):
    X, y = samples
    model = LogisticRegression(C=0.5, tol=1e-6).fit(X, y)
    assert model.result_.fun * 0.5 * len(y) == pytest.approx(objective(model, X, y, 0.5), rel=1e-12)
    assert model.n_iter_[0] == model.result_.nit


def test_l2_is_the_penalty_of_the_mean_loss(samples, weight):
    X, y = samples
    by_C = LogisticRegression(C=0.3, tol=1e-11).fit(X, y, weight)
    by_l2 = LogisticRegression(C=7.0, l2=1 / (0.3 * weight.sum()), tol=1e-11).fit(X, y, weight)
    each = LogisticRegression(l2=np.full(X.shape[1], by_l2.l2), tol=1e-11).fit(X, y, weight)
    assert by_l2.coef_ == pytest.approx(by_C.coef_, abs=1e-8)
    assert each.coef_ == pytest.approx(by_C.coef_, abs=1e-8)


def test_without_a_penalty_classes_still_sum_to_zero():
    X, y = load_iris(return_X_y=True)
    X, y = X[:, :2], y.copy()
    y[::7] = 0  # not separable
    ours = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    none = LogisticRegression(penalty=None, tol=1e-10).fit(X, y)
    theirs = peer.LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cg", max_iter=1000).fit(X, y)
    for model in (ours, none):
        assert model.coef_.sum(axis=0) == pytest.approx(np.zeros(2), abs=1e-12)
        assert model.intercept_.sum() == pytest.approx(0.0, abs=1e-12)
        assert model.coef_ == pytest.approx(theirs.coef_ - theirs.coef_.mean(axis=0), abs=1e-5)


@pytest.mark.parametrize("alpha", [1e-3, 1.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_poisson_agrees(alpha, fit_intercept):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 6))
    y, w = rng.poisson(np.exp(1.0 + X @ np.linspace(-0.5, 0.5, 6))), rng.uniform(0.1, 2.0, 300)
    options = {"alpha": alpha, "fit_intercept": fit_intercept}
    theirs = peer.PoissonRegressor(solver="newton-cholesky", tol=1e-10, **options).fit(X, y, w)
    ours = PoissonRegressor(tol=1e-10, **options).fit(X, y, w)
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-8)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-8)
    assert ours.predict(X) == pytest.approx(theirs.predict(X), rel=1e-7)
    assert ours.score(X, y, w) == pytest.approx(theirs.score(X, y, w), rel=1e-9)


def test_path_agrees_with_single_fits(samples, weight):
    X, y = samples
    train, held = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0
    Cs = [10.0, 1e-3, 0.1]
    path = LogisticRegressionPath(Cs, tol=1e-10)
    path.fit(X[train], y[train], weight[train], validation=(X[held], y[held]))
    assert path.Cs_ == pytest.approx(sorted(Cs))
    assert np.all(np.diff(path.l2s_) < 0)
    for k, C in enumerate(path.Cs_):
        single = LogisticRegression(C=C, tol=1e-10).fit(X[train], y[train], weight[train])
        assert path.coefs_[k] == pytest.approx(single.coef_, abs=1e-6)
        assert path.intercepts_[k] == pytest.approx(single.intercept_, abs=1e-6)
        assert path.scores_[k] == single.score(X[held], y[held])
    assert path.best_index_ == np.argmax(path.scores_)
    assert path.score(X[held], y[held]) == path.scores_.max()
    by_l2 = LogisticRegressionPath(l2s=path.l2s_, tol=1e-10).fit(X[train], y[train], weight[train])
    assert by_l2.coefs_ == pytest.approx(path.coefs_, abs=1e-6)
    assert by_l2.best_index_ == 2
    assert not hasattr(by_l2, "scores_")
