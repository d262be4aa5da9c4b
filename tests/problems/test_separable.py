"""Without a penalty, separable data have no minimiser: the run must say so, and only then."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array

from gnsopt import FastGradientMethod, GradientMethod, GradNormSmooth, Logistic, Softmax, Status, SuperNewton
from gnsopt.datasets import make_logistic, make_softmax


def separable(problem, n=80, d=12, density=1.0):
    if problem is Logistic:
        return make_logistic(n, d, density=density, separable=True)
    return make_softmax(n, d, 3, density=density, separable=True)


def noisy(problem, n=300, d=4, density=1.0):
    if problem is Logistic:
        return make_logistic(n, d, density=density)
    return make_softmax(n, d, 3, density=density)


def quasi_separable(n_classes, shift=0.0):
    """The first feature separates its samples (the last class on one side) and is `shift` for the others, which mix.

    Along the first axis no margin falls, some grow and the others stay; the second axis has a finite minimiser.
    """
    rng = np.random.default_rng(0)
    mixed, split = 30, 20
    y = np.append(rng.integers(n_classes, size=mixed), np.repeat([0, n_classes - 1], split // 2))
    X = np.stack(
        [np.append(np.full(mixed, shift), rng.uniform(1, 2, split)), rng.standard_normal(mixed + split)], axis=1
    )
    X[mixed : mixed + split // 2, 0] *= -1
    return X, y


def assert_at_infinity(res):
    assert res.status == Status.AT_INFINITY == 6
    assert not res.success
    assert np.abs(res.jac).max() <= 1e-8
    assert np.isfinite(res.x).all()
    assert "l2" in res.message


def has_no_minimiser(X, y):
    """Decide by linear programming: is there a direction along which no margin falls and some grows?

    Maximise the sum of s over directions with margins >= s, 0 <= s <= 1: zero unless there is one.
    """
    n, d = X.shape
    classes, label = np.unique(y, return_inverse=True)
    k = classes.size
    margins = []
    for a, own in zip(X, label, strict=True):
        for c in set(range(k)) - {own}:
            row = np.zeros((d, k))
            row[:, own], row[:, c] = a, -a
            margins.append(row.ravel())
    M = np.array(margins)
    m = len(M)
    lp = linprog(
        np.append(np.zeros(d * k), -np.ones(m)),
        A_ub=np.hstack([-M, np.eye(m)]),
        b_ub=np.zeros(m),
        bounds=[(None, None)] * (d * k) + [(0, 1)] * m,
    )
    assert lp.status == 0
    return bool(lp.fun < -0.5)


SOLVERS = [
    GradNormSmooth(),
    GradNormSmooth(growth="paper"),
    GradNormSmooth(curvature="exact:cg"),
    GradNormSmooth(curvature="fisher"),
    SuperNewton(),
]
NAMES = ["gns", "gns-paper", "gns-cg", "gns-fisher", "super-newton"]


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_separable_data(problem, intercept, density, solver):
    X, y = separable(problem, density=density)
    if density < 1:
        full = np.flatnonzero(abs(X).sum(axis=1))  # an empty row has the margin 0 whatever x is
        X, y = X[full], y[full]
    assert_at_infinity(solver.minimize(problem(X, y, 0.0, intercept)))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_more_features_than_samples(problem, intercept):
    X, y = separable(problem, n=15, d=40)
    rng = np.random.default_rng(0)
    assert_at_infinity(GradNormSmooth().minimize(problem(X, rng.permutation(y), 0.0, intercept)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_quasi_separable_data(problem, solver, sparse):
    X, y = quasi_separable(2 if problem is Logistic else 3)
    X = csr_array(X) if sparse else X
    assert_at_infinity(solver.minimize(problem(X, y)))


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_quasi_separable_with_an_intercept(problem):
    """All samples shifted by 3 along the first axis: the direction needs the intercept."""
    X, y = quasi_separable(2 if problem is Logistic else 3)
    X[:, 0] += 3.0  # the direction of recession is now (1, 0) with the intercept -3
    assert_at_infinity(GradNormSmooth().minimize(problem(X, y, 0.0, fit_intercept=True)))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_said_exactly_where_linear_programming_says_so(problem, intercept):
    """Few samples with entries -1, 0, 1: separable, quasi-separable and neither."""
    said, truth = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        k = 2 if problem is Logistic else 3
        n = int(rng.integers(3 * k, 7 * k))
        X, y = rng.integers(-1, 2, (n, 3)).astype(float), np.append(np.arange(k), rng.integers(k, size=n - k))
        res = GradNormSmooth().minimize(problem(X, y, 0.0, intercept))
        said.append(res.status == Status.AT_INFINITY)
        truth.append(has_no_minimiser(np.hstack([X, np.ones((n, 1))]) if intercept else X, y))
    assert 5 < sum(truth) < 35
    assert said == truth


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_an_outlier_separates_nothing(problem):
    """One sample of size 1e10 dwarfs the margins of the others, of which one falls along any direction."""
    X = np.array([[1e10], [1.0], [1.0], [-1.0], [-1.0]])
    y = np.array([1, 1, 0, 0, 1])
    assert not has_no_minimiser(X / np.abs(X), y)
    assert GradNormSmooth().minimize(problem(X, y), gtol=1e-6).status == Status.CONVERGED


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_directions_that_change_nothing_separate_nothing(problem):
    """Collinear columns, and a one-hot code beside the intercept: the minimisers are a subspace, and there are some."""
    X, y = noisy(problem)
    one_hot = np.eye(3)[np.arange(len(y)) % 3]
    for collinear in (np.hstack([X, X]), np.hstack([X, one_hot])):
        res = GradNormSmooth().minimize(problem(collinear, y, 0.0, fit_intercept=True))
        assert res.status == Status.CONVERGED


@pytest.mark.data
@pytest.mark.parametrize("name", ["a1a", "a9a", "mushrooms"])
def test_real_data_without_minimiser(data, name):
    """Rare binary features that go with one label only (mushrooms: all of it is separable)."""
    assert_at_infinity(GradNormSmooth().minimize(Logistic(*data(name))))


@pytest.mark.data
@pytest.mark.parametrize("name", ["heart_scale", "ijcnn1", "diabetes_scale"])
@pytest.mark.parametrize("intercept", [False, True])
def test_real_data_with_a_minimiser(data, name, intercept):
    assert GradNormSmooth().minimize(Logistic(*data(name), 0.0, intercept)).status == Status.CONVERGED


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_samples_of_weight_zero_do_not_count(problem):
    X, y = separable(problem)
    flipped = y.copy()
    flipped[:5] = np.roll(np.unique(y), 1)[np.searchsorted(np.unique(y), y[:5])]
    w = np.ones(len(y))
    w[:5] = 0
    assert_at_infinity(GradNormSmooth().minimize(problem(X, flipped, sample_weight=w)))
    assert GradNormSmooth().minimize(problem(X[:, :1], flipped)).success


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_a_feature_without_penalty_that_separates(problem):
    X, y = quasi_separable(2 if problem is Logistic else 3)
    assert_at_infinity(GradNormSmooth().minimize(problem(X, y, l2=[0.0, 0.1])))
    assert GradNormSmooth().minimize(problem(X, y, l2=[0.1, 0.0])).success


@pytest.mark.parametrize(
    "solver", [*SOLVERS, GradientMethod(), FastGradientMethod()], ids=[*NAMES, "gradient", "fast-gradient"]
)
@pytest.mark.parametrize("density", [1.0, 0.5])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_not_said_of_data_that_are_not_separable(problem, intercept, density, solver):
    X, y = noisy(problem, density=density)
    res = solver.minimize(problem(X, y, 0.0, intercept))
    assert res.success
    assert res.status == Status.CONVERGED


@pytest.mark.parametrize("l2", [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_not_said_with_a_penalty(problem, intercept, density, l2):
    X, y = separable(problem, density=density)
    res = GradNormSmooth().minimize(problem(X, y, l2, intercept))
    assert res.status == Status.CONVERGED


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_not_said_at_a_start_that_is_the_minimiser(problem):
    """No step was taken: the zero step separates nothing."""
    X, y = noisy(problem)
    first = GradNormSmooth().minimize(problem(X, y), gtol=1e-12)
    again = GradNormSmooth().minimize(problem(X, y), first.x, gtol=1e-8)
    assert (again.nit, again.status) == (0, Status.CONVERGED)


@pytest.mark.parametrize("problem", [Logistic, Softmax])
def test_the_limits_of_a_run_come_first(problem):
    X, y = separable(problem)
    assert GradNormSmooth().minimize(problem(X, y), maxiter=2).status == Status.MAXITER


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_without_weight_sends_its_intercept_to_infinity_whatever_the_penalty(classes):
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((30, 3)), np.arange(30) % classes
    problem = Logistic if classes == 2 else Softmax
    assert GradNormSmooth().minimize(problem(X, y, l2=0.1, fit_intercept=True)).success
    weight = (y != 1).astype(float)
    assert_at_infinity(GradNormSmooth().minimize(problem(X, y, l2=0.1, fit_intercept=True, sample_weight=weight)))
    assert GradNormSmooth().minimize(problem(X, y, l2=0.1, sample_weight=weight)).success
