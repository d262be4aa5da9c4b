"""What the estimators say when a fit does not end well, when they are misused, and what they keep between fits."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Peer

import gnsopt
from gnsopt.estimators import LogisticRegression, LogisticRegressionPath, PoissonRegressor
from gnsopt.linalg.design import Design
from gnsopt.stopping import Status

X, Y = load_iris(return_X_y=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_too_few_iterations_warn_with_the_cure(classes):
    few = Y < classes
    with pytest.warns(ConvergenceWarning, match=r"raise max_iter \(now 2\)") as caught:
        model = LogisticRegression(max_iter=2).fit(X[few], Y[few])
    assert model.n_iter_[0] == 2
    assert caught[0].filename == __file__  # the line that called fit


def test_a_tolerance_below_rounding_warns():
    with pytest.warns(ConvergenceWarning, match="raise tol"):
        LogisticRegression(tol=0.0).fit(X, Y)


@pytest.mark.parametrize(
    "penalty",
    [{"C": np.inf}, {"l2": 0.0}, {"penalty": None}, {"C": np.inf, "fit_intercept": False}],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_separable_data_without_a_penalty_warn(classes, penalty):
    y = np.arange(12) % classes
    rows = np.eye(classes)[y] + 0.01 * np.random.default_rng(0).standard_normal((12, classes))
    with pytest.warns(ConvergenceWarning, match="set C finite"):
        model = LogisticRegression(**penalty).fit(rows, y)
    assert model.result_.status == Status.AT_INFINITY
    assert model.score(rows, y) == 1.0


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_one_feature_without_a_penalty_is_enough(fit_intercept):
    rows = np.column_stack([np.tile([-1.0, 1.0], 6), np.repeat([-1.0, 1.0], 6)])
    with pytest.warns(ConvergenceWarning, match="l2 > 0 for every feature"):
        LogisticRegression(l2=[1.0, 0.0], fit_intercept=fit_intercept).fit(rows, rows[:, 1] > 0)


def test_a_class_of_weight_zero_is_no_reason_to_warn():
    weight = np.where(Y == 2, 0.0, 1.0)
    model = LogisticRegression(tol=1e-9).fit(X, Y, weight)
    assert model.predict_proba(X) == pytest.approx(
        Peer(tol=1e-8, max_iter=1000).fit(X, Y, weight).predict_proba(X), abs=1e-5
    )
    assert set(model.predict(X)) == {0, 1}


def test_counts_without_a_minimiser_warn_where_a_feature_leaves():
    rows = (Y == 0)[:, None].astype(float)
    with pytest.warns(ConvergenceWarning, match="set alpha > 0"):
        PoissonRegressor(alpha=0.0).fit(rows, Y)
    assert PoissonRegressor(alpha=0.1).fit(rows, np.zeros(len(Y))).predict(rows).max() < 1e-5


def test_an_interrupt_is_not_swallowed():
    class Interrupted(gnsopt.GradNormSmooth):
        def iterates(self, x):
            raise KeyboardInterrupt
            yield

    with pytest.raises(KeyboardInterrupt):
        LogisticRegression(solver=Interrupted()).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": 0.0}, "C=0.0 must be a positive number"),
        ({"C": "1"}, "C='1' must be"),
        ({"l2": -1.0}, "l2"),
        ({"penalty": "l1"}, "penalty='l1'"),
        ({"solver": "lbfgs"}, "solver='lbfgs' is unknown"),
        ({"solver": 3}, "solver=3"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"max_iter": 1.5}, "max_iter=1.5"),
        ({"fit_intercept": 2}, "fit_intercept=2"),
        ({"class_weight": "uniform"}, "class_weight"),
    ],
    ids=str,
)
def test_misuse_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**options).fit(X, Y)


@pytest.mark.parametrize("options", [{"Cs": 0}, {"Cs": []}, {"Cs": [1.0, -1.0]}, {"l2s": []}, {"l2s": [-1.0]}], ids=str)
def test_misuse_of_a_path_is_named(options):
    with pytest.raises(ValueError, match="Cs|C=|l2|penalties"):
        LogisticRegressionPath(**options).fit(X, Y)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [(-np.ones(150), {}, "negative"), (Y, {"alpha": -1.0}, "alpha=-1.0"), (Y, {"alpha": np.inf}, "alpha=inf")],
)
def test_misuse_of_poisson_is_named(y, options, message):
    with pytest.raises(ValueError, match=message):
        PoissonRegressor(**options).fit(X, y)


@pytest.mark.parametrize("model", [LogisticRegression(), PoissonRegressor(alpha=0.1)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_warm_start(model, fit_intercept):
    model.set_params(warm_start=True, fit_intercept=fit_intercept).fit(X, Y)
    first = model.coef_.copy()
    assert np.all(model.n_iter_ > 0)
    assert np.all(model.fit(X, Y).n_iter_ == 0)
    assert model.coef_ == pytest.approx(first, abs=1e-12)
    assert np.all(model.fit(X[:, :2], Y).n_iter_ > 0)  # another shape: from zero
    assert np.all(model.set_params(warm_start=False).fit(X[:, :2], Y).n_iter_ > 0)


@pytest.mark.parametrize("solver", ["super-newton", gnsopt.GradNormSmooth(curvature="fisher"), gnsopt.CubicNewton()])
def test_any_solver(solver):
    ours = LogisticRegression(solver=solver, tol=1e-9).fit(X, Y)
    assert ours.coef_ == pytest.approx(LogisticRegression(tol=1e-9).fit(X, Y).coef_, abs=1e-5)


def test_scikit_learn_calls_work_as_they_are():
    options = {"penalty": "l2", "C": 0.1, "random_state": 0, "n_jobs": None, "verbose": 0, "max_iter": 100}
    shared = set(options) | {"tol", "fit_intercept", "class_weight", "solver", "warm_start"}
    assert shared <= set(Peer().get_params())
    assert LogisticRegression(**options).fit(X, Y).score(X, Y) > 0.9


def test_verbose_prints_the_iterations(capsys):
    LogisticRegression(verbose=1).fit(X, Y)
    assert "gnorm" in capsys.readouterr().out


def test_large_counts_start_at_the_best_constant():
    model = PoissonRegressor().fit(X, np.full(len(X), 1e5))
    assert model.n_iter_ == 0
    assert model.predict(X) == pytest.approx(1e5)


def test_a_path_fitted_again_forgets_its_scores():
    path = LogisticRegressionPath(Cs=2).fit(X, Y, validation=(X, Y))
    assert path.scores_.shape == (2,)
    assert not hasattr(path.fit(X, Y), "scores_")


def test_log_probabilities_do_not_underflow():
    rows, labels = load_breast_cancer(return_X_y=True)
    for few, y in ((rows, labels), (X, Y)):
        model = LogisticRegression().fit(few, y)
        far = model.predict_log_proba(1e4 * few)
        assert np.isfinite(far).all()
        assert far.min() < -1000


@pytest.mark.parametrize("wide", [False, True])
def test_a_path_shares_its_design_and_is_warm(monkeypatch, wide):
    rng = np.random.default_rng(5)
    rows, y = rng.standard_normal((40, 300) if wide else (300, 40)), rng.integers(0, 2, 40 if wide else 300)
    made, grams = [], []
    init, gram = Design.__init__, Design.row_gram.func

    def counted(self, *arguments):
        made.append(self)
        init(self, *arguments)

    def counted_gram(self):
        grams.append(self)
        return gram(self)

    monkeypatch.setattr(Design, "__init__", counted)
    monkeypatch.setattr(Design.row_gram, "func", counted_gram)
    l2s = np.logspace(0, -3, 8)
    path = LogisticRegressionPath(l2s=l2s).fit(rows, y)
    assert sum(design.X.shape == rows.shape for design in made) == 1
    assert len(grams) <= 1
    cold = [LogisticRegression(l2=l2).fit(rows, y).n_iter_[0] for l2 in l2s]
    assert path.n_iter_.sum() < sum(cold)
