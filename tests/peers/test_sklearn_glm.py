"""scikit-learn's own tests of generalised linear models, pointed at our `PoissonRegressor`.

The adapter is ours with scikit-learn's solvers as names of our methods; models of other distributions are refused.
"""

import inspect

import pytest
import sklearn.linear_model._glm as glm
from sklearn._loss import HalfPoissonLoss

from gnsopt import estimators
from tests.peers.suite import OTHER_ARRAYS, Suite, collected, find, not_applicable
from tests.peers.table import check

OTHER = "of another class (Gamma, Tweedie, binomial, the general one), which ours lacks"
SUITE = Suite(
    find("sklearn.linear_model._glm.tests.test_glm"),
    "scikit-learn",
    "estimators.PoissonRegressor",
    "PoissonRegressor",
    apart=(
        (OTHER_ARRAYS, "of arrays of other libraries than NumPy"),
        ("(Binomial|Gamma|Tweedie)Regressor|test_normal_ridge|test_tweedie|test_glm_identity", OTHER),
        ("verbosity|test_linalg_warning", "of what its Newton solver prints, or hands over to another"),
    ),
    failures=(
        ("test_glm_wrong_y_range", "asks for the words of an error; ours has its own"),
        (
            r"unpenalized_hstacked_X\[long-PoissonRegressor\(\)-False-newton-cholesky",
            "asks for the smallest of many minimisers; rounding moves the last steps of cubic Newton, whose damping "
            "vanishes, among them by 2e-4 (1e-4 is allowed)",
        ),
    ),
)
DEFAULT = inspect.signature(estimators.PoissonRegressor).parameters["solver"].default
SOLVERS = {"lbfgs": DEFAULT, "newton-cholesky": "cubic-newton"}


class PoissonRegressor(estimators.PoissonRegressor):
    """Ours with scikit-learn's defaults and names of solvers."""

    def __init__(
        self, *, alpha=1.0, fit_intercept=True, solver="lbfgs", max_iter=100, tol=1e-4, warm_start=False, verbose=0
    ):
        super().__init__(
            alpha=alpha,
            fit_intercept=fit_intercept,
            solver=solver,
            max_iter=max_iter,
            tol=tol,
            warm_start=warm_start,
            verbose=verbose,
        )

    def fit(self, X, y, sample_weight=None):
        SUITE.used = True
        if self.solver not in SOLVERS:
            not_applicable("asks for a private solver")
        asked = self.solver
        self.solver = SOLVERS[asked]
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.solver = asked

    def __sklearn_tags__(self):
        SUITE.used = True
        return super().__sklearn_tags__()

    def _get_loss(self, xp=None, device=None):
        return HalfPoissonLoss()  # by which the tests compute the solution to compare with


def refusing(theirs):
    """Return a model of scikit-learn's that refuses to be fitted."""

    class Refused(theirs):
        def fit(self, X, y, sample_weight=None):
            not_applicable(OTHER)

    Refused.__name__ = theirs.__name__
    return Refused


suite = SUITE.load(
    sklearn__linear_model__PoissonRegressor=PoissonRegressor,
    sklearn__linear_model__GammaRegressor=refusing(glm.GammaRegressor),
    sklearn__linear_model__TweedieRegressor=refusing(glm.TweedieRegressor),
    sklearn__linear_model___glm___GeneralizedLinearRegressor=refusing(glm._GeneralizedLinearRegressor),
)


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's tests take by default."""
    return 42


globals().update(collected(suite))


def test_the_table_is_true(request):
    check(SUITE, request)
