"""scikit-learn's own tests of `LogisticRegression`, pointed at ours.

The adapter has scikit-learn's parameters. Each of its solvers for the multinomial problem with an l2 penalty is one of
our methods, so that the tests that go over solvers try ours one after the other.
"""

import inspect

import pytest
import sklearn.linear_model

from gnsopt import estimators
from tests.peers.suite import OTHER_ARRAYS, Suite, collected, find, not_applicable
from tests.peers.table import check

CROSS_VALIDATION = "of LogisticRegressionCV, a grid of penalties by folds, which ours has no class for"
SUITE = Suite(
    find("sklearn.linear_model.tests.test_logistic"),
    "scikit-learn",
    "estimators.LogisticRegression",
    "LogisticRegression",
    apart=(
        ("test_get_default_scorer", CROSS_VALIDATION),
        (OTHER_ARRAYS, "of arrays of other libraries than NumPy"),
        ("_callback_", "of scikit-learn's callbacks"),
        (
            r"test_penalty_deprecated\[LogisticRegression\]|_None_deprecated|_warns_with_n_jobs",
            "of a deprecation of its own",
        ),
        ("test_logreg_predict_proba_multinomial", "calls a private method"),
        ("test_newton_cholesky_fallback", "of how one of its solvers hands over to another"),
    ),
    failures=(
        ("test_max_iter", "asks for the words of a warning; ours has its own"),
        (
            "test_warm_start_newton_solver.*newton-cg",
            "asks that one step from a warm start is the second of two steps; super-newton, unlike line-newton, begins "
            "a run with its first H",
        ),
        ("test_dtype_match", "asks for float32 coefficients from float32 data; ours are float64 by design"),
    ),
)
DEFAULT = inspect.signature(estimators.LogisticRegression).parameters["solver"].default
# newton-cholesky is Newton's method with a search along the line, as our default is
SOLVERS = {"lbfgs": DEFAULT, "newton-cg": "super-newton", "newton-cholesky": DEFAULT}
THEIRS = sklearn.linear_model.LogisticRegression
DEFAULTS = {name: p.default for name, p in inspect.signature(THEIRS).parameters.items()}


class LogisticRegression(estimators.LogisticRegression):
    """Ours with the parameters of scikit-learn's, which are refused where ours has no such thing."""

    def __init__(
        self,
        penalty=DEFAULTS["penalty"],
        *,
        C=1.0,
        l1_ratio=DEFAULTS["l1_ratio"],
        dual=False,
        tol=1e-4,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=None,
        solver="lbfgs",
        max_iter=100,
        multi_class="auto",
        verbose=0,
        warm_start=False,
        n_jobs=None,
    ):
        super().__init__(
            penalty,
            C=C,
            tol=tol,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            random_state=random_state,
            solver=solver,
            max_iter=max_iter,
            verbose=verbose,
            warm_start=warm_start,
            n_jobs=n_jobs,
        )
        self.l1_ratio, self.dual, self.intercept_scaling = l1_ratio, dual, intercept_scaling
        self.multi_class = multi_class  # of scikit-learn < 1.7

    def fit(self, X, y, sample_weight=None):
        SUITE.used = True
        if self.solver not in SOLVERS:
            not_applicable("asks for liblinear, sag or saga")  # which first, the order of a set decides
        if self.penalty not in (DEFAULTS["penalty"], "l2", None) or self.l1_ratio not in (DEFAULTS["l1_ratio"], 0):
            not_applicable("asks for an l1 penalty")
        if self.multi_class == "ovr":
            not_applicable("asks for one classifier per class")
        asked = self.solver, self.penalty
        self.solver, self.penalty = SOLVERS[self.solver], None if self.penalty is None else "l2"
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.solver, self.penalty = asked


class LogisticRegressionCV(sklearn.linear_model.LogisticRegressionCV):
    """Refuses to be fitted."""

    def fit(self, X, y, sample_weight=None, **params):
        not_applicable(CROSS_VALIDATION)


def refused(*args, **options):
    not_applicable("calls a private function of scikit-learn")


suite = SUITE.load(
    sklearn__linear_model__LogisticRegression=LogisticRegression,
    sklearn__linear_model__LogisticRegressionCV=LogisticRegressionCV,
    sklearn__linear_model___logistic__LogisticRegression=LogisticRegression,  # where older versions take it from
    sklearn__linear_model___logistic__LogisticRegressionCV=LogisticRegressionCV,
)
suite.SOLVERS = tuple(SOLVERS)  # of the tests that go over solvers by themselves
for name in ("_logistic_regression_path", "_log_reg_scoring_path"):
    if hasattr(suite, name):
        setattr(suite, name, refused)


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's tests take by default."""
    return 42


globals().update(collected(suite))


def test_the_table_is_true(request):
    check(SUITE, request)
