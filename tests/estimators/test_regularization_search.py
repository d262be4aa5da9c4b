"""The estimator that chooses its penalties: conventions, agreement with grids, refit, warnings."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnsopt.estimators import RegularizationSearch


@parametrize_with_checks([RegularizationSearch(), RegularizationSearch("feature", cv=None)])
def test_scikit_learn_conventions(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many penalties on a few samples, and separable data
        check(estimator)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    order = np.random.default_rng(0).permutation(y.size)
    return X[order[:300]], y[order[:300]], X[order[300:]], y[order[300:]]


def held_out(X, y, fold, C):
    losses = []
    for k in np.unique(fold):
        model = LogisticRegression(C=C, tol=1e-8, max_iter=10_000).fit(X[fold != k], y[fold != k])
        losses.append(log_loss(y[fold == k], model.predict_proba(X[fold == k])))
    return np.mean(losses)


def test_one_penalty_is_no_worse_than_a_grid_of_it(cancer):
    X, y = cancer[:2]
    fold = np.arange(y.size) % 4
    search = RegularizationSearch(cv=fold, search_tol=1e-6).fit(X, y)
    grid = {C: held_out(X, y, fold, C) for C in np.logspace(-2, 1.5, 15)}
    best = min(grid, key=grid.get)
    assert search.validation_loss_ == pytest.approx(held_out(X, y, fold, float(search.C_[0])), rel=1e-5)
    assert search.validation_loss_ <= grid[best] + 1e-9
    assert abs(np.log(search.C_[0] / best)) <= 0.6


def test_the_final_fit_is_that_of_all_samples_at_the_chosen_penalty(cancer):
    X, y, X_test, y_test = cancer
    search = RegularizationSearch().fit(X, y)
    other = LogisticRegression(C=float(search.C_[0]), tol=1e-9, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(search.coef_, other.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(search.intercept_, other.intercept_, rtol=1e-3, atol=1e-4)
    assert search.score(X_test, y_test) == other.score(X_test, y_test)


@pytest.mark.parametrize(("groups", "count"), [("class", 3), ("feature", 4), ("weight", 12), (np.repeat([0, 1], 6), 2)])
def test_groups_have_penalties_of_their_own(groups, count):
    X, y = load_iris(return_X_y=True)
    one = RegularizationSearch(cv=3, C0=1.0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # twelve penalties on 150 samples
        many = RegularizationSearch(groups, cv=3, C0=1.0).fit(X, y)
    assert many.C_.shape == (count,)
    assert np.unique(many.C_).size > 1
    assert many.validation_loss_ < one.validation_loss_ + 1e-9
    assert np.all((many.C_ >= 1e-4 * (1 - 1e-12)) & (many.C_ <= 1e4 * (1 + 1e-12)))


def test_a_useless_feature_is_penalised_away():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4))
    y = (X[:, 0] + 0.3 * rng.standard_normal(400) > 0).astype(int)
    search = RegularizationSearch("feature", cv=5).fit(X, y)
    assert search.C_[0] > 10 * search.C_[1:].max()


def test_sparse_and_dense_data_give_the_same(cancer):
    X, y = cancer[:2]
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    dense, sparse = (RegularizationSearch(cv=3).fit(A, y) for A in (X, csr_array(X)))
    np.testing.assert_allclose(dense.C_, sparse.C_, rtol=1e-4)
    np.testing.assert_allclose(dense.coef_, sparse.coef_, rtol=1e-3, atol=1e-6)


def test_one_part_may_be_held_out(cancer):
    X, y = cancer[:2]
    search = RegularizationSearch(cv=None, validation_fraction=0.25).fit(X, y)
    assert len(search.search_.x) == X.shape[1] + 1
    assert search.search_.success


def test_many_penalties_are_warned_of(cancer):
    X, y = cancer[:2]
    with pytest.warns(UserWarning, match="30 penalties are chosen on 75 held-out samples"):
        RegularizationSearch("feature", cv=None, search_iter=20, search_tol=1e-2).fit(X, y)


def test_many_penalties_fit_the_held_out_set_and_not_the_test_set(cancer):
    X, y, X_test, y_test = cancer
    one = RegularizationSearch().fit(X, y)
    with pytest.warns(UserWarning, match="say"):
        many = RegularizationSearch("feature", search_tol=1e-4).fit(X, y)  # far on, steps depend on rounding
    assert many.validation_loss_ < 0.9 * one.validation_loss_
    loss = [log_loss(y_test, model.predict_proba(X_test)) for model in (one, many)]
    assert loss[1] > many.validation_loss_ * 1.2
    assert loss[1] > loss[0]


def test_a_search_that_ends_early_is_warned_of(cancer):
    X, y = cancer[:2]
    with pytest.warns(ConvergenceWarning, match="the search stopped"):
        RegularizationSearch(search_iter=1, search_tol=1e-12).fit(X, y)


def test_folds_shrink_to_the_rarest_class():
    X, y = load_iris(return_X_y=True)
    keep = np.concatenate([np.arange(50), np.arange(50, 100), [100, 120, 140]])
    search = RegularizationSearch(cv=10, C0=1.0).fit(X[keep], y[keep])
    assert len(search.search_.x) == 3 * 3 * 5


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"C0": 1e9}, "C0=1000000000.0 must lie in"),
        ({"C_bounds": (1.0, -1.0)}, "C0"),
        ({"C_bounds": 3}, "C_bounds=3"),
        ({"groups": "row"}, "groups='row'"),
        ({"cv": 1}, "cv=1"),
        ({"cv": None, "validation_fraction": 2}, "validation_fraction=2"),
        ({"search_iter": -1}, "search_iter"),
        ({"method": "gradient"}, "method='gradient'"),
    ],
)
def test_misuse_is_an_error(cancer, changes, match):
    with pytest.raises(ValueError, match=match):
        RegularizationSearch(**changes).fit(*cancer[:2])


def test_a_class_of_one_sample_cannot_be_held_out():
    X = np.random.default_rng(0).standard_normal((10, 2))
    with pytest.raises(ValueError, match="only one sample"):
        RegularizationSearch().fit(X, np.arange(10) == 0)


def noisy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    return X, (X[:, 0] + rng.standard_normal(120) > 0).astype(int), np.arange(120) % 3


def test_a_search_without_a_step_is_warned_of():
    X, y, fold = noisy()
    with pytest.warns(ConvergenceWarning, match="took no step from C0=0.1"):
        search = RegularizationSearch(cv=fold).fit(1e-4 * X, y)
    assert search.search_.nit == 0


def test_a_search_that_starts_at_the_minimum_is_not():
    X, y, fold = noisy()
    C = RegularizationSearch(cv=fold, search_tol=1e-8).fit(X, y).C_
    assert RegularizationSearch(cv=fold, C0=float(C[0])).fit(X, y).search_.nit == 0  # a warning would be an error


def test_the_validation_loss_is_that_of_the_solved_lower_level():
    X, y, fold = noisy()
    with pytest.warns(ConvergenceWarning, match="the search stopped"):
        search = RegularizationSearch(method="bome", search_iter=20, cv=fold).fit(X, y)
    exact = held_out(X, y, fold, float(search.C_[0]))
    assert abs(search.search_.fun - exact) > 1e-4
    assert search.validation_loss_ == pytest.approx(exact, rel=1e-5)
