"""What Logistic, Softmax and LogSumExp make of their data: weights, storage, dtypes, intercepts, units."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from scipy.special import expit, softmax

from gnsopt import GradNormSmooth, Logistic, LogSumExp, PoissonRegression, Softmax, SquaredLoss
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.problems import MLP

PROBLEMS = [Logistic, Softmax]


def draw(problem, n=60, d=7, density=1.0, seed=0):
    """Data of two classes, or three for Softmax."""
    if problem is Logistic:
        return make_logistic(n, d, density=density, seed=seed)
    return make_softmax(n, d, 3, density=density, seed=seed)


def everything(problem, x, v):
    """All that an objective says at `x`, along `v`, as arrays."""
    z = problem.prepare(x)
    forms = {kind: getattr(problem, kind)(x, z) for kind in ("hess", "gauss_newton", "fisher") if problem.offers(kind)}
    out = {"fun": problem.fun(x, z), "grad": problem.grad(x, z), "difference": problem.difference(x, z, v)}
    for kind, form in forms.items():
        out |= {kind: form.dense(), f"{kind} v": form.matvec(v), f"{kind} diagonal": form.diagonal()}
    return out


def assert_same(one, other, rtol=1e-12):
    assert one.keys() == other.keys()
    for name in one:
        scale = np.abs(other[name]).max()
        np.testing.assert_allclose(one[name], other[name], rtol=rtol, atol=rtol * scale, err_msg=name)


def at(problem, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(problem.n), rng.standard_normal(problem.n)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
class TestWeights:
    def test_zero_removes_a_sample(self, problem, intercept):
        X, y = draw(problem)
        keep = np.arange(60) % 3 != 0
        assert set(y[keep]) == set(y)
        X[~keep] *= 100  # would be seen
        with_zeros = problem(X, y, 0.1, intercept, sample_weight=keep.astype(float))
        without = problem(X[keep], y[keep], 0.1, intercept)
        assert_same(everything(with_zeros, *at(without)), everything(without, *at(without)))

    def test_two_doubles_a_sample(self, problem, intercept):
        X, y = draw(problem)
        w = np.ones(60)
        w[:10] = 2
        weighted = problem(X, y, 0.1, intercept, sample_weight=w)
        doubled = problem(np.vstack([X, X[:10]]), np.append(y, y[:10]), 0.1, intercept)
        assert_same(everything(weighted, *at(weighted)), everything(doubled, *at(doubled)))

    def test_only_ratios_matter(self, problem, intercept):
        X, y = draw(problem)
        w = np.random.default_rng(2).uniform(0.5, 2, 60)
        # the sum of the second ones overflows
        one, other = (problem(X, y, 0.1, intercept, sample_weight=c * w) for c in (1e-307, 5e306))
        assert_same(everything(one, *at(one)), everything(other, *at(other)))

    def test_a_number_is_no_weight(self, problem, intercept):
        X, y = draw(problem)
        one, other = (problem(X, y, 0.1, intercept, sample_weight=w) for w in (None, 3.0))
        assert_same(everything(one, *at(one)), everything(other, *at(other)))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
class TestStorage:
    @pytest.mark.parametrize("kind", [csr_array, csr_matrix, csc_array, coo_array])
    def test_sparse_is_dense(self, problem, intercept, kind):
        X, y = draw(problem, d=25, density=0.1)
        w = np.random.default_rng(2).uniform(0, 2, 60)
        sparse = problem(kind(X), y, np.linspace(0, 1, 25), intercept, sample_weight=w)
        dense = problem(X.toarray(), y, np.linspace(0, 1, 25), intercept, sample_weight=w)
        assert sparse.design.sparse
        assert not dense.design.sparse
        assert_same(everything(sparse, *at(dense)), everything(dense, *at(dense)))
        for name in ("row_norms", "row_gram"):
            np.testing.assert_allclose(
                getattr(sparse.design, name), getattr(dense.design, name), rtol=1e-13, atol=1e-13
            )

    @pytest.mark.parametrize(
        "curvature", ["exact", "exact:cg", "exact:row-space", "gauss_newton", "fisher", "diagonal"]
    )
    def test_sparse_runs_as_dense(self, problem, intercept, curvature):
        X, y = draw(problem, n=40, d=25, density=0.1)
        solver = GradNormSmooth(curvature=curvature)
        model = problem(X, y, 0.1, intercept)
        sparse = solver.minimize(model, gtol=1e-9)
        dense = solver.minimize(problem(X.toarray(), y, 0.1, intercept), gtol=1e-9)
        assert sparse.success
        assert sparse.nit == dense.nit
        # not x: the intercepts of a softmax are known up to a common constant
        np.testing.assert_allclose(model.predict(sparse.x, X), model.predict(dense.x, X), atol=1e-7)

    def test_full_sparse_is_kept_dense(self, problem, intercept):
        X, y = draw(problem)
        full = problem(csr_array(X), y, 0.1, intercept)
        assert not full.design.sparse
        np.testing.assert_array_equal(full.design.X, X)

    def test_duplicate_entries_add_up(self, problem, intercept):
        X, y = draw(problem, d=25, density=0.1)
        C = X.tocoo()
        places = (np.append(C.row, C.row[:9]), np.append(C.col, C.col[:9]))
        double = coo_array((np.append(C.data, C.data[:9]), places), shape=X.shape)
        assert_same(
            everything(one := problem(double, y, 0.1, intercept), *at(one)),
            everything(problem(double.toarray(), y, 0.1, intercept), *at(one)),
        )

    def test_the_users_sparse_matrix_is_not_touched(self, problem, intercept):
        """Unsorted indices, a duplicate entry and a stored zero: sorted in a copy."""
        _, y = draw(problem, n=8, d=12)
        y[:3] = [0, 1, 2] if problem is Softmax else [1, -1, 1]
        data, indices, indptr = np.array([1.0, 2.0, 0.0, 4.0]), np.array([5, 1, 3, 3]), np.array([0, 2, *[4] * 7])
        X = csr_array((data.copy(), indices.copy(), indptr.copy()), shape=(8, 12))
        one = problem(X, y, 0.1, intercept)
        everything(one, *at(one))
        np.testing.assert_array_equal(X.data, data)
        np.testing.assert_array_equal(X.indices, indices)
        np.testing.assert_array_equal(X.indptr, indptr)
        assert one.design.sparse
        np.testing.assert_array_equal(one.design.X.toarray(), X.toarray())

    @pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, np.uint8, bool])
    @pytest.mark.parametrize("sparse", [False, True])
    def test_any_real_dtype(self, problem, intercept, dtype, sparse):
        X, y = draw(problem, d=25)
        X = (np.abs(X) * (np.abs(X) > 1.7)).astype(dtype)
        small = problem(csr_array(X) if sparse else X, y, 0.1, intercept)
        assert small.design.X.dtype == np.float64
        assert small.design.sparse == sparse
        assert_same(everything(small, *at(small)), everything(problem(X.astype(float), y, 0.1, intercept), *at(small)))

    @pytest.mark.parametrize("layout", ["C", "F", "strided", "read-only", "list"])
    def test_any_layout_and_never_written(self, problem, intercept, layout):
        X, y = draw(problem)
        given = {
            "C": X.copy,
            "F": lambda: np.asfortranarray(X),
            "strided": lambda: np.repeat(X, 2, axis=1)[:, ::2],
            "read-only": X.copy,
            "list": X.tolist,
        }[layout]()
        if layout == "read-only":
            given.flags.writeable = y.flags.writeable = False
        one = problem(given, y, 0.1, intercept)
        x, v = at(one)
        x.flags.writeable = v.flags.writeable = False
        assert_same(everything(one, x, v), everything(problem(X, y, 0.1, intercept), x, v))
        np.testing.assert_array_equal(np.asarray(given), X)


@pytest.mark.parametrize("density", [1.0, 0.1])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_intercept_is_a_column_of_ones_without_penalty(problem, density):
    X, y = draw(problem, d=12, density=density)
    A = X if density == 1.0 else X.toarray()
    w = np.random.default_rng(2).uniform(0, 2, 60)
    l2 = np.linspace(0.1, 1, 12)
    implicit = problem(X, y, l2, fit_intercept=True, sample_weight=w)
    explicit = problem(np.hstack([A, np.ones((60, 1))]), y, np.append(l2, 0.0), sample_weight=w)
    assert_same(everything(implicit, *at(implicit)), everything(explicit, *at(implicit)))
    np.testing.assert_allclose(implicit.design.row_norms, explicit.design.row_norms, rtol=1e-14)


@pytest.mark.parametrize("sparse", [False, True])
def test_log_sum_exp_sparse_and_dtypes(sparse):
    X, _ = make_logistic(40, 25, density=0.1)
    b = np.arange(40) % 7
    other = X if sparse else X.toarray().astype(np.float32)
    one, reference = (
        LogSumExp(other, b, 0.5),
        LogSumExp(np.asarray(X.toarray(), dtype=other.dtype), b.astype(float), 0.5),
    )
    assert one.design.sparse == sparse
    assert_same(everything(one, *at(one)), everything(reference, *at(one)))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_labels_of_any_kind(problem):
    X, y = draw(problem)
    reference = problem(X, y, 0.1)
    names = np.array(["ant", "bee", "cat"])[np.unique(y, return_inverse=True)[1]]
    for labels in (names, names.tolist(), names.astype(object), y.astype(int), y[:, None], y.astype(np.float32)):
        one = problem(X, labels, 0.1)
        assert_same(everything(one, *at(one)), everything(reference, *at(one)))
    assert list(problem(X, names).classes) == sorted(set(names))


def test_the_larger_label_is_the_positive_one():
    X, y = draw(Logistic)
    x, _ = at(problem := Logistic(X, y))
    margins = X @ x
    assert problem.fun(x, problem.prepare(x)) == pytest.approx(np.mean(np.log1p(np.exp(-y * margins))), rel=1e-13)
    np.testing.assert_allclose(problem.predict(x, X), expit(margins), rtol=1e-14)


@pytest.mark.parametrize("intercept", [False, True])
def test_predictions_are_probabilities(intercept):
    X, y = draw(Softmax)
    problem = Softmax(X, y, 0.01, intercept)
    x, _ = at(problem)
    V = x.reshape(-1, 3)
    Z = X @ V[:7] + (V[7] if intercept else 0)
    np.testing.assert_allclose(problem.predict(x, X), softmax(Z, axis=1), rtol=1e-13)
    X, y = draw(Logistic)
    problem = Logistic(X, y, 0.01, intercept)
    x, _ = at(problem)
    np.testing.assert_allclose(problem.predict(x, X), expit(X @ x[:7] + (x[7] if intercept else 0)), rtol=1e-13)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("l2", [0.3, 1e-3])
def test_softmax_of_two_classes_is_logistic_with_half_the_penalty(l2, intercept):
    """At the minimiser the two columns are -w/2 and w/2, whose penalty is that of w with l2/2."""
    X, y = draw(Logistic)
    two, one = Softmax(X, y, l2, intercept), Logistic(X, y, l2 / 2, intercept)
    a, b = (GradNormSmooth().minimize(p, gtol=1e-12) for p in (two, one))
    assert a.success
    assert b.success
    assert a.fun == pytest.approx(b.fun, rel=1e-13)
    V = a.x.reshape(-1, 2)
    np.testing.assert_allclose(V[:, 1] - V[:, 0], b.x, atol=1e-9)
    np.testing.assert_allclose(V.sum(axis=1), 0.0, atol=1e-9)
    # and at any x of that shape
    w = at(one)[0]
    x = np.stack([-w / 2, w / 2], axis=1).ravel()
    assert two.fun(x, two.prepare(x)) == pytest.approx(one.fun(w, one.prepare(w)), rel=1e-13)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_softmax_ignores_a_common_shift_where_there_is_no_penalty(l2):
    X, y = draw(Softmax)
    problem = Softmax(X, y, l2, fit_intercept=True)
    x, v = at(problem)
    shift = np.zeros((8, 3))
    shift[(slice(None) if l2 == 0 else 7), :] = 5.0
    assert_same(everything(problem, x + shift.ravel(), v), everything(problem, x, v), rtol=1e-11)


@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("l2", [0.0, 1e-6])
@pytest.mark.parametrize("curvature", ["auto", "exact:cg", "gauss_newton", "fisher", "diagonal"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_units_from_1e_minus_8_to_1e8(problem, curvature, l2, intercept, density):
    """Columns in any units: no warning (an error here), no value that is not finite, f never rises."""
    X, y = draw(problem, n=200, d=9, density=density)
    X = X * np.logspace(-8, 8, 9) if density == 1.0 else csr_array(X.multiply(np.logspace(-8, 8, 9)))
    res = GradNormSmooth(curvature=curvature).minimize(problem(X, y, l2, intercept), maxiter=25)
    assert np.isfinite(res.x).all()
    assert np.isfinite(res.jac).all()
    assert res.fun < res.trace["fun"][0]
    assert np.isfinite(res.trace["fun"]).all()
    assert (np.diff(res.trace["fun"]) <= 1e-12).all()


@pytest.mark.parametrize("size", [1e-8, 1e8])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_one_unit_for_all_columns_changes_nothing(problem, size):
    """Scaling X by c and the penalty by c^2 gives the same f at x/c; both runs reach it."""
    X, y = draw(problem)
    a = GradNormSmooth().minimize(problem(X, y, 0.01), gtol=1e-10)
    b = GradNormSmooth().minimize(problem(size * X, y, 0.01 * size**2), gtol=1e-10 * size)
    assert a.success
    assert b.success
    assert b.fun == pytest.approx(a.fun, rel=1e-12)
    np.testing.assert_allclose(size * b.x, a.x, atol=1e-7)


@pytest.mark.parametrize("kind", [Logistic, Softmax, SquaredLoss, PoissonRegression, MLP])
def test_predictions_of_what_is_no_point_are_refused(kind):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((8, 3)), np.arange(8) % 2
    problem = kind(X, y)
    x = np.zeros(problem.n)
    good = problem.predict(x, X)
    np.testing.assert_array_equal(problem.predict(x.tolist(), X), good)
    for bad in (x[1:], np.append(x, 0.0), x[:, None], 1.0, [], x + np.nan, x + np.inf, ["a"] * x.size, x + 1j, None):
        with pytest.raises(ValueError, match=r"^x .*"):
            problem.predict(bad, X)
    with pytest.raises(ValueError, match="X has 2 columns; the model has 3 features"):
        problem.predict(x, X[:, :2])
    if kind is not MLP:
        far = problem.predict(np.full(problem.n, 1e150), np.abs(X))
        assert not np.isnan(far).any()
        with pytest.raises(ValueError, match="x has entries up to 1e[+]308: scores of X leave the range"):
            problem.predict(np.full(problem.n, 1e308), 1e3 * np.abs(X))
