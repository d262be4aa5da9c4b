"""scikit-learn's own tests of `LogisticRegression`, pointed at ours.

Left out are tests that name one of scikit-learn's solvers, its private functions, `LogisticRegressionCV` or its array
API and callback protocols, found by their source, and those of `NOT_APPLICABLE`, each with the reason. With
scikit-learn 1.9 twelve apply and pass: two and three classes, sparsified coefficients, inconsistent input, coefficients
that are written to, NaN, intercept scaling of zero, sample weights that stay as they were, and the like.
"""

import inspect
import re
import warnings

import pytest

from gnsopt.estimators import LogisticRegression

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    suite = pytest.importorskip("sklearn.linear_model.tests.test_logistic")

FOREIGN = re.compile(
    r"[\"'](lbfgs|liblinear|newton-cg|newton-cholesky|sag|saga)[\"']|SOLVERS|_logistic_regression_path|\w_path\("
    r"|LogisticRegressionCV|_MultinomialLoss|linear_model\._|array_api|callback"
)
NOT_APPLICABLE = {
    "test_logreg_predict_proba_multinomial": "calls the private method _predict_proba_lr",
    "test_logisticregression_warns_with_n_jobs": "a deprecation of its own: ours takes n_jobs silently, as documented",
}


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's tests take by default."""
    return 42


def applicable():
    """Yield the names of the tests that speak of a logistic regression in general."""
    for name, test in vars(suite).items():
        if name.startswith("test_") and name not in NOT_APPLICABLE and not FOREIGN.search(inspect.getsource(test)):
            yield name


NAMES = sorted(applicable())
suite.LogisticRegression = LogisticRegression
globals().update({name: getattr(suite, name) for name in NAMES})


def test_a_fair_share_of_the_suite_applies():
    assert len(NAMES) >= 8, NAMES
