"""scikit-learn's own checks of an estimator, and its tools with ours inside."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gnsopt.estimators import LogisticRegression, LogisticRegressionPath, PoissonRegressor


@parametrize_with_checks(
    [
        LogisticRegression(),
        LogisticRegression(class_weight="balanced", warm_start=True, solver="super-newton"),
        LogisticRegressionPath(Cs=3),
        PoissonRegressor(),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return X, np.array(["malignant", "benign"])[y]


def test_in_a_pipeline_and_a_grid_search(cancer):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [1e-3, 0.1, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(*cancer)
    assert search.best_params_["logisticregression__C"] == 0.1
    assert search.score(*cancer) > 0.98


def test_in_a_calibrated_classifier(cancer):
    X, y = cancer
    model = CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=3).fit(X, y)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(len(y)))
    assert model.score(X, y) > 0.97


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_intercept_has_the_type_of_the_coefficients(fit_intercept):
    """As scikit-learn's own array, whose tests ask it for its dtype."""
    X, y = load_iris(return_X_y=True)
    model = PoissonRegressor(fit_intercept=fit_intercept).fit(X, y)
    assert isinstance(model.intercept_, np.float64)


@pytest.mark.parametrize(
    "model", [LogisticRegression(C=2.0), LogisticRegressionPath(Cs=2), PoissonRegressor(alpha=0.1)]
)
def test_pickle_and_clone(model):
    X, y = load_iris(return_X_y=True)
    fitted = clone(model).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(X), fitted.predict(X))
    assert str(copy.deepcopy(fitted).get_params()) == str(model.get_params())
    fresh = clone(fitted)
    assert not [name for name in vars(fresh) if name.endswith("_")]


def test_names_of_features_are_kept_and_asked_for():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression().fit(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_sparse_rows_and_sparse_coefficients(kind):
    X, y = load_iris(return_X_y=True)
    X = np.where(X > 3, X, 0.0)
    dense, sparse = LogisticRegression(tol=1e-10).fit(X, y), LogisticRegression(tol=1e-10, warm_start=True)
    sparse.fit(kind(X), y)
    assert sparse.coef_ == pytest.approx(dense.coef_, abs=1e-8)
    assert issparse(sparse.sparsify().coef_)
    for rows in (X, kind(X)):
        assert sparse.predict_proba(rows) == pytest.approx(dense.predict_proba(X), abs=1e-8)
    assert sparse.fit(kind(X), y).n_iter_[0] == 0  # the warm start reads sparse coefficients
    assert isinstance(sparse.sparsify().densify().coef_, np.ndarray)


def test_sparse_rows_with_long_indices():
    X, y = load_iris(return_X_y=True)
    rows = csr_array(np.where(X > 6, X, 0.0))
    short = LogisticRegression().fit(rows, y)
    rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    assert LogisticRegression().fit(rows, y).coef_ == pytest.approx(short.coef_, abs=1e-12)


def test_import_gnsopt_leaves_the_estimators_alone():
    code = (
        "import gnsopt, sys; assert 'gnsopt.estimators' not in sys.modules; "
        "assert not any(name.startswith('sklearn') for name in sys.modules); gnsopt.estimators.LogisticRegression()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
