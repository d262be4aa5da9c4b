"""Wide linear models run in the coordinates of their row space: the same iterates, the same truth."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import gnsopt
from gnsopt.curvature import exact
from gnsopt.linalg.design import Design
from gnsopt.linalg.span import RowSpan


def wide(seed, n=40, d=300, classes=2, centred=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.2, 2.0, d)
    if centred:
        X -= X.mean(axis=0)
    return X, rng.integers(0, classes, n)


@pytest.mark.parametrize("centred", [False, True])
def test_the_basis_is_orthonormal_and_carries_the_rows(centred):
    X, _ = wide(0, centred=centred)
    span = RowSpan(Design(X))
    Q = np.stack([span.vector(e) for e in np.eye(span.L.shape[1])], axis=1)
    assert span.L.shape[1] == 40 - centred
    np.testing.assert_allclose(Q.T @ Q, np.eye(Q.shape[1]), atol=1e-11)
    np.testing.assert_allclose(span.L @ Q.T, X, atol=1e-11)


def test_a_rank_that_is_not_clear_gives_no_basis():
    X, _ = wide(1)
    X[1] = X[0] + 6e-7 * np.random.default_rng(9).standard_normal(300)
    with pytest.raises(ArithmeticError, match="rank"):
        RowSpan(Design(X))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_iterates_are_those_of_the_solves_by_the_data(classes, intercept, centred, sparse):
    X, y = wide(2, classes=classes, centred=centred)
    if sparse:
        X = np.where(np.abs(X) > 1.0, X, 0.0)
    problem = (gnsopt.Logistic if classes == 2 else gnsopt.Softmax)(
        csr_array(X) if sparse else X, y, l2=1e-2, fit_intercept=intercept
    )
    run = gnsopt.minimize(problem, options={"keep_x": True, "gtol": 1e-10})
    reference = gnsopt.minimize(problem, options={"keep_x": True, "gtol": 1e-10, "curvature": exact.using("cholesky")})
    assert run.success
    assert run.nhev >= 1
    few = min(run.nit, reference.nit) if classes == 2 else 0  # many classes are solved inexactly
    for a, b in zip(run.trace.x[: few + 1], reference.trace.x, strict=False):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(problem.predict(run.x, X), problem.predict(reference.x, X), atol=1e-7)
    twin = gnsopt.Logistic(X, y, l2=1e-2, fit_intercept=intercept) if classes == 2 else problem
    assert abs(run.fun - twin.fun(run.x, twin.prepare(run.x))) <= 1e-14
    assert np.abs(twin.grad(run.x, twin.prepare(run.x))).max() <= 1e-10
    assert np.abs(run.jac - twin.grad(run.x, twin.prepare(run.x))).max() <= 1e-15


@pytest.mark.parametrize("maxiter", [0, 1, 3])
def test_what_is_reported_on_the_way_is_true(maxiter):
    X, y = wide(3)
    problem = gnsopt.Logistic(X, y, l2=1e-3, fit_intercept=True)
    seen = []
    run = gnsopt.minimize(problem, callback=lambda x: seen.append(x), options={"maxiter": maxiter, "keep_x": True})
    assert len(seen) == run.nit == maxiter
    for x, f, gnorm in zip(run.trace.x, run.trace["fun"], run.trace["gnorm"], strict=True):
        z = problem.prepare(x)
        assert abs(problem.fun(x, z) - f) <= 1e-13
        assert abs(np.abs(problem.grad(x, z)).max() - gnorm) <= 1e-13


def test_one_matrix_of_the_rows_serves_the_run_and_other_starts_take_the_data():
    X, y = wide(4, n=60, d=4000)
    problem = gnsopt.Logistic(X, y, l2=1e-3)
    first = gnsopt.minimize(problem)
    assert first.curvature.endswith("(n = 60), in the row space of 4000 variables")
    again = gnsopt.minimize(problem, first.x)
    assert first.success
    assert again.success
    assert again.nit <= 1
    closer = gnsopt.Logistic(X, y, l2=5e-4)
    warm = gnsopt.minimize(closer, first.x)  # a start in the row space
    assert warm.success
    assert warm.nhev <= 1 + warm.nit
    assert warm.nit < gnsopt.minimize(closer).nit
    moved = gnsopt.minimize(problem, np.ones(problem.n))
    np.testing.assert_allclose(moved.x, first.x, atol=1e-5)
    assert gnsopt.minimize(problem, options={"gtol": 0.0}).jac == pytest.approx(0.0, abs=1e-13)


def test_poisson_and_squares_take_the_same_way():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((30, 400)) / 20
    for problem in (
        gnsopt.problems.SquaredLoss(X, rng.standard_normal(30), l2=1e-2),
        gnsopt.problems.PoissonRegression(X, rng.poisson(2.0, 30), l2=1e-2, fit_intercept=True),
    ):
        run = gnsopt.minimize(problem, options={"gtol": 1e-11})
        reference = gnsopt.minimize(problem, options={"gtol": 1e-11, "curvature": exact.using("cholesky")})
        assert run.success
        np.testing.assert_allclose(run.x, reference.x, atol=1e-8)


def test_nearly_dependent_rows_cost_no_digits():
    X, y = wide(6)
    X[1] = X[0] + 1e-4 * np.random.default_rng(9).standard_normal(300)
    problem = gnsopt.Logistic(X, y, l2=1e-3)
    run = gnsopt.minimize(problem, options={"maxiter": 3, "keep_x": True})
    for x, f, gnorm in zip(run.trace.x, run.trace["fun"], run.trace["gnorm"], strict=True):
        z = problem.prepare(x)
        assert abs(problem.fun(x, z) - f) <= 1e-13
        assert abs(np.abs(problem.grad(x, z)).max() - gnorm) <= 1e-12


def ill_scaled(seed=7, n=4, d=8, scale=6):
    """Rows whose Gram matrix has a condition number of 1e10: its factor is off by more than rounding of the rows."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * np.logspace(-scale, scale, d), rng.standard_normal(n)


def assert_true(run, problem):
    """Value and gradient are those of the point, to the last bit."""
    z = problem.prepare(run.x)
    assert run.fun == problem.fun(run.x, z)
    np.testing.assert_array_equal(run.jac, problem.grad(run.x, z))


@pytest.mark.parametrize("norm", ["inf", "2", "dual", 3.0])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", ["line-newton", "gns"])
def test_no_run_ends_on_what_the_factor_says(norm, seed, method):
    X, b = ill_scaled(seed, scale=5 + seed % 2)
    problem = gnsopt.SquaredLoss(X, b)
    for options in ({"gtol": 1e-6}, {"gtol": 1e-9, "f_target": 1e-15}, {"maxiter": 2}):
        run = gnsopt.minimize(problem, method=method, options={"norm": norm, "maxiter": 200, **options})
        assert_true(run, problem)
        assert run.trace["fun"][-1] == run.fun or not run.success
        if run.status == gnsopt.Status.CONVERGED:
            size = problem.metric().dual_norm(run.jac) if norm == "dual" else np.linalg.norm(run.jac, float(norm))
            assert size <= options.get("gtol", 1e-8)
        if run.status == gnsopt.Status.TARGET_REACHED:
            assert run.fun <= 1e-15


def test_a_refused_success_goes_on_by_the_data():
    problem = gnsopt.SquaredLoss(*ill_scaled())
    run = gnsopt.minimize(problem, options={"norm": "2", "gtol": 1e-6})
    assert run.success
    assert "row space of" not in run.curvature
    assert_true(run, problem)


def test_rows_of_the_trace_are_true_where_the_factor_rounds():
    problem = gnsopt.SquaredLoss(*ill_scaled())
    run = gnsopt.minimize(problem, options={"gtol": 1e-6, "keep_x": True})
    for x, f in zip(run.trace.x, run.trace["fun"], strict=True):
        rounding = 1e-14 * np.sqrt(f)  # of scores of one in a residual
        assert abs(problem.fun(x, problem.prepare(x)) - f) <= 1e-10 * f + rounding


def test_a_callback_is_told_the_truth_and_moves_nothing():
    X, y = wide(8)
    X[3] = X[2] + 1e-9 * X[3]  # a row that the basis leaves out
    problem, seen = gnsopt.Logistic(X, y, l2=1e-6), []
    run = gnsopt.minimize(problem, callback=lambda intermediate_result: seen.append(intermediate_result))
    for point in seen:
        assert_true(point, problem)
    alone = gnsopt.minimize(problem)
    np.testing.assert_array_equal(alone.x, run.x)
    assert (alone.nfev, alone.njev) == (run.nfev, run.njev)


@pytest.mark.parametrize("seed", range(8))
def test_what_a_wide_run_leaves_on_disk_is_taken_up_again(seed, tmp_path):
    problem = gnsopt.SquaredLoss(*ill_scaled(seed), l2=1e-8)
    for nit in (1, 2):
        file = gnsopt.Checkpoint(tmp_path / f"{nit}.npz", resume=True, iterations=1)
        seen = []

        def killed(x, seen=seen, nit=nit):
            seen.append(x)
            if len(seen) > nit:
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            gnsopt.minimize(problem, callback=killed, options={"checkpoint": file, "gtol": 0.0})
        assert_true(gnsopt.minimize(problem, options={"checkpoint": file, "gtol": 1e-6, "maxiter": 200}), problem)


def test_a_step_reads_the_data_once(monkeypatch):
    X, y = wide(9, n=60, d=2000)
    reads = []
    for kind, name in ((RowSpan, "vector"), (Design, "matvec"), (Design, "rmatvec")):
        whole = getattr(kind, name)

        def read(self, v, whole=whole, kind=kind):
            wide_ones = kind is RowSpan or self.n_columns == 2000
            reads.extend([kind] * wide_ones)
            return whole(self, v)

        monkeypatch.setattr(kind, name, read)
    run = gnsopt.minimize(gnsopt.Logistic(X, y, l2=1e-4))
    assert run.success
    assert run.nit >= 3
    assert len(reads) <= run.nit + 6  # start and end: scores and gradient by the data, x lifted


def test_the_last_point_of_a_line_is_evaluated_anew():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 6)) * np.logspace(-3, 3, 6)
    problem = gnsopt.Softmax(X, rng.integers(0, 3, 200), l2=1e-6)
    for options in ({"norm": "dual", "gtol": 1e-3}, {"maxiter": 2}, {"f_target": 1.05}):
        run = gnsopt.minimize(problem, method="line-newton", options=options)
        assert run.nit > 0
        assert_true(run, problem)
