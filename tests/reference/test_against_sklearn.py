"""The same minimisers as scikit-learn, whose objective is C sum loss + |w|^2/2, that is C = 1/(n l2)."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from gnsopt import GradNormSmooth, Logistic, Softmax
from tests.libraries import MULTINOMIAL


def load(name):
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X / 16.0, y
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(
    ("name", "problem", "l2"),
    [("breast_cancer", Logistic, 1e-3), ("breast_cancer", Logistic, 1 / 569), ("digits", Softmax, 1e-2)],
)
def test_same_minimiser(name, problem, l2, intercept, weighted, sparse):
    X, y = load(name)
    n, d = X.shape
    w = np.random.default_rng(0).uniform(0.0, 2.0, n) if weighted else np.ones(n)
    model = LogisticRegression(
        solver="newton-cholesky" if MULTINOMIAL else "newton-cg",
        C=1 / (w.sum() * l2),
        tol=1e-11,
        fit_intercept=intercept,
        max_iter=1000,
    ).fit(X, y, sample_weight=w)
    theirs = np.hstack([model.coef_, model.intercept_[:, None]])[:, : d + intercept].T.ravel()

    f = problem(csr_array(X) if sparse else X, y, l2, fit_intercept=intercept, sample_weight=w)
    res = GradNormSmooth().minimize(f, gtol=1e-11)
    assert res.success
    # at our point, by their prediction and their loss
    V = res.x.reshape(d + intercept, -1)
    Z = X @ V[:d] + (V[d] if intercept else 0.0)
    P = np.exp(Z - Z.max(axis=1, keepdims=True)) if Z.shape[1] > 1 else np.exp(-np.logaddexp(0, Z * [[1.0, -1.0]]))
    value = log_loss(y, P / P.sum(axis=1, keepdims=True), sample_weight=w) + 0.5 * l2 * np.sum(V[:d] ** 2)
    assert abs(res.fun - value) <= 1e-12 * max(1.0, value)
    assert abs(res.fun - f.fun(theirs, f.prepare(theirs))) <= 1e-9
    # intercepts of the softmax are known up to a common constant
    ours, theirs = (v.reshape(d + intercept, -1)[:d] for v in (res.x, theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_published_optima():
    X, y = load("breast_cancer")
    res = GradNormSmooth().minimize(Logistic(X, y, 1 / 569), gtol=1e-12)
    assert abs(res.fun - 0.0665690080089) <= 5e-14
    X, y = load("digits")
    res = GradNormSmooth().minimize(Softmax(X, y, 1 / 1797), gtol=1e-11)
    assert abs(res.fun - 0.202285620239) <= 5e-13
