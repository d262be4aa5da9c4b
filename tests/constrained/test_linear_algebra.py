"""KKT solvers, row spaces, quadratic models in a ball, and sketch-and-project, each against dense algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from experiments.adasketch.problems import pde_control
from gnsopt.constrained import ConstrainedProblem, KKTPoint, LinearEqualities, Primal, Work, kkt
from gnsopt.constrained.rows import DenseRows, SparseRows
from gnsopt.constrained.trust import projected_lanczos, trust_region
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.sketch_and_project import SketchAndProject, equilibration
from gnsopt.linalg.sketches import keyed
from gnsopt.objective import Callables


def quadratic(H, A, sparse=False):
    """``min x'Hx/2 + sum x`` subject to ``A x = 1``."""
    n = H.shape[0]
    matrix = csr_array(H) if sparse else H
    f = Callables(lambda x: 0.5 * x @ H @ x + x.sum(), n, jac=lambda x: H @ x + 1.0, hess=lambda x: matrix)
    c = LinearEqualities(csr_array(A) if sparse else A, np.ones(A.shape[0]))
    return KKTPoint(Primal(ConstrainedProblem(f, c), np.zeros(n), Work()), np.zeros(A.shape[0]))


def instance(n=9, m=3, seed=0, low=0.5):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return Q @ np.diag(np.linspace(low, 3.0, n)) @ Q.T, rng.standard_normal((m, n))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver", kkt.SOLVERS)
def test_newton_steps_solve_the_system(solver, sparse):
    if solver == "qdldl":
        pytest.importorskip("qdldl")
    H, A = instance()
    p = quadratic(H, A, sparse)
    step = kkt.SOLVERS[solver](p, 1e-9, 0, 0)
    K = np.block([[H, A.T], [A, np.zeros((3, 3))]])
    r = K @ np.concatenate([step.dx, step.dy]) + np.concatenate([p.gL, p.c])
    assert np.linalg.norm(r) <= 1e-8
    assert step.shift == 0.0
    assert step.curvature > 0


@pytest.mark.parametrize("solver", ["dense", "lu", "qdldl", "minres"])
def test_indefinite_hessians_are_made_definite(solver):
    if solver == "qdldl":
        pytest.importorskip("qdldl")
    H, A = instance(low=-2.0)
    p = quadratic(H, A)
    step = kkt.SOLVERS[solver](p, 1e-9, 0, 0)
    assert step.shift > 0
    assert step.curvature > 0
    np.testing.assert_allclose(A @ step.dx, -p.c, atol=1e-7)
    Z = DenseRows(A).Z
    u = Z @ (Z.T @ step.dx)
    v = step.dx - u
    assert (p.gL + H @ v) @ u < 0, "the tangential part descends"


def test_conjugate_gradients_report_negative_curvature():
    H, A = instance(low=-2.0)
    with pytest.raises(NotPositiveDefinite):
        kkt.cg_step(quadratic(H, A), 1e-9, 0, 0)


@pytest.mark.parametrize("solver", ["dense", "lu", "cg", "minres"])
def test_dependent_rows_are_met_by_least_squares(solver):
    H, A = instance()
    A = np.vstack([A, A[0] + A[1]])
    p = quadratic(H, A)  # right-hand sides of ones: inconsistent
    step = kkt.SOLVERS[solver](p, 1e-9, 0, 0)
    assert np.isfinite(step.dx).all()
    least = np.linalg.lstsq(A, -p.c, rcond=None)[0]
    assert np.linalg.norm(A @ step.dx + p.c) <= 1.01 * np.linalg.norm(A @ least + p.c) + 1e-6


def test_sparse_and_dense_row_spaces_agree():
    _, A = instance()
    rng = np.random.default_rng(5)
    dense, sparse, g, c = DenseRows(A), SparseRows(csr_array(A)), rng.standard_normal(9), rng.standard_normal(3)
    np.testing.assert_allclose(sparse.range_step(c), dense.range_step(c), atol=1e-12)
    np.testing.assert_allclose(sparse.multipliers(g), dense.multipliers(g), atol=1e-12)
    np.testing.assert_allclose(sparse.gram_solve(c), dense.gram_solve(c), atol=1e-12)
    np.testing.assert_allclose(dense.gram_solve(c), np.linalg.solve(A @ A.T, c), atol=1e-12)
    np.testing.assert_allclose(A @ sparse.project(g), 0.0, atol=1e-13)
    assert (dense.deficient, sparse.deficient) == (False, False)


def test_dependent_rows_are_noticed():
    _, A = instance()
    A = np.vstack([A, 2 * A[1]])
    assert DenseRows(A).deficient
    assert SparseRows(csr_array(A)).deficient
    c = A @ np.ones(9)
    np.testing.assert_allclose(A @ SparseRows(csr_array(A)).range_step(c), -c, atol=1e-6)
    assert DenseRows(np.zeros((2, 4))).Z.shape == (4, 4)


@given(st.integers(0, 10**6), st.floats(0.05, 20.0), st.booleans())
def test_ball_models_are_minimised(seed, radius, hard):
    """The optimality conditions of More and Sorensen, necessary and sufficient."""
    rng = np.random.default_rng(seed)
    lam = np.sort(rng.standard_normal(5)) * 10.0 ** rng.integers(-2, 3)
    b = rng.standard_normal(5)
    if hard:
        b[0] = 0.0
    u = trust_region(lam, b, radius)
    length = np.linalg.norm(u)
    assert length <= radius * (1 + 1e-9)
    moved = np.abs(u) > 1e-6 * length
    mu = float(np.median(-(b + lam * u)[moved] / u[moved]))
    scale = np.abs(lam).max() + abs(mu)
    np.testing.assert_allclose((lam + mu) * u, -b, atol=1e-6 * (np.linalg.norm(b) + scale * length))
    assert mu >= -1e-6 * scale
    assert lam[0] + mu >= -1e-6 * scale
    assert mu <= 1e-6 * scale or length >= radius * (1 - 1e-6)


@pytest.mark.parametrize("low", [-1e200, -1e120, -1e17, -1.0])
def test_ball_models_of_any_scale(low):
    """``low u_0^2/2`` rules: the minimiser is on the boundary, along ``-e_0``, to the weight of the rest."""
    u = trust_region(np.array([low, 1.0]), np.array([1.0, 1.0]), 1e-3)
    assert np.linalg.norm(u) == pytest.approx(1e-3, rel=1e-9)
    if low < -1e10:
        np.testing.assert_allclose(u, [-1e-3, 0.0], atol=1e-12)
    steep = trust_region(np.array([1.0, 2.0]), np.array([1e150, 0.0]), 1.0)
    np.testing.assert_allclose(steep, [-1.0, 0.0], rtol=1e-9)


def test_krylov_models_match_dense_ones():
    H, A = instance(n=12, low=-1.0)
    rows, sparse = DenseRows(A), SparseRows(csr_array(A))
    q = np.random.default_rng(7).standard_normal(12)
    for radius in (0.1, 1.0, 10.0):
        u, exact = projected_lanczos(aslinearoperator(H), sparse.project, q, radius), rows.tangent(H, q, radius)

        def model(u):
            return q @ u + 0.5 * u @ H @ u

        np.testing.assert_allclose(A @ u, 0.0, atol=1e-10)
        assert model(u) <= 0.98 * model(exact)
    assert not np.any(projected_lanczos(H, sparse.project, 0 * q, 1.0))


def test_normal_steps_lower_the_violation():
    _, A = instance()
    c = np.array([3.0, -2.0, 1.0])
    for rows in (DenseRows(A), SparseRows(csr_array(A))):
        full = rows.range_step(c)
        for radius in (0.1, 0.5, 2 * np.linalg.norm(full)):
            v = rows.normal(c, radius)
            assert np.linalg.norm(v) <= radius * (1 + 1e-9)
            assert np.linalg.norm(c + A @ v) < np.linalg.norm(c)
        np.testing.assert_allclose(v, full, atol=1e-9)


def test_auto_goes_by_size_and_kind():
    def choice(problem):
        return kkt.choose(KKTPoint(Primal(problem, problem.x0, Work()), problem.y0))

    assert choice(pde_control(3)) == "dense"
    assert choice(pde_control(3, products=True)) == "dense"
    assert choice(pde_control(20)) == "lu"
    assert choice(pde_control(20, products=True)) == "cg"


# -------------------------------------------------------------------------------------------- sketch-and-project


def system(N=8, seed=0):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((N, N))
    return M + M.T + 4 * np.eye(N), rng.standard_normal(N)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("kind", "block"), [("kaczmarz", 1), ("gaussian", 1), ("rows", 4), ("gaussian", 4), ("countsketch", 4)]
)
def test_every_sketch_reaches_the_solution(kind, block, sparse):
    M, b = system()
    inner = SketchAndProject(csr_array(M) if sparse else M, b, kind, block, keyed(0, "test"))
    assert inner.run(1e-10, 100_000)
    np.testing.assert_allclose(inner.z, np.linalg.solve(M, b), atol=1e-8)
    np.testing.assert_allclose(inner.r, M @ inner.z - b, atol=1e-10)
    assert 0 < inner.steps < 100_000


@pytest.mark.parametrize("kind", ["rows", "gaussian"])
def test_a_full_block_takes_one_step(kind):
    M, b = system()
    inner = SketchAndProject(M, b, kind, 8, keyed(0, "test"))
    assert inner.run(1e-9, 100)
    assert inner.steps == 1


def test_a_run_can_be_taken_up_again():
    M, b = system()
    inner = SketchAndProject(M, b, "kaczmarz", 1, keyed(0, "test"))
    assert inner.run(1e-2, 10**6)
    steps = inner.steps
    assert inner.run(1e-8, 10**6)
    assert inner.steps > steps
    assert not SketchAndProject(M, b, "kaczmarz", 1, keyed(0, "test")).run(1e-8, 10)


@pytest.mark.parametrize("kind", ["kaczmarz", "gaussian"])
def test_the_error_never_grows_and_its_fall_is_the_projections(kind):
    """``|e+|^2 = |e|^2 - |P e|^2``: one step at a time, e falls and only along a direction of the range of M'."""
    M, b = system()
    inner, exact = SketchAndProject(M, b, kind, 1, keyed(1, "test")), np.linalg.solve(M, b)
    for k in range(1, 30):
        before = inner.z.copy()
        inner.run(0.0, k)
        step, e = inner.z - before, inner.z - exact
        assert abs(step @ e) <= 1e-10, "the new error is orthogonal to the step"


def test_expected_fall_of_kaczmarz():
    """Uniform rows: E|e+|^2 = |e|^2 - mean_i (a_i'e)^2/|a_i|^2, over all rows of one step."""
    M, b = system()
    e = -np.linalg.solve(M, b)
    falls = (M @ e) ** 2 / np.sum(M * M, axis=1)
    seen = []
    for seed in range(4000):
        inner = SketchAndProject(M, b, "kaczmarz", 1, np.random.default_rng(seed))
        inner.run(0.0, 1)
        seen.append(e @ e - np.sum((inner.z - np.linalg.solve(M, b)) ** 2))
    assert np.mean(seen) == pytest.approx(falls.mean(), abs=4 * falls.std() / np.sqrt(4000))


def test_equilibration_levels_the_rows():
    M = np.diag([1e6, 1.0, 1e-6]) + 1e-9
    d = equilibration(M)
    np.testing.assert_allclose(np.abs(d[:, None] * M * d).max(axis=1), 1.0, rtol=1e-2)
    np.testing.assert_allclose(equilibration(csr_array(M)), d)
    np.testing.assert_array_equal(equilibration(np.zeros((2, 2))), 1.0)


def test_misuse_of_sketches():
    M, b = system()
    with pytest.raises(ValueError, match="kind='hadamard'"):
        SketchAndProject(M, b, "hadamard", 1, keyed(0, "test"))
    with pytest.raises(ValueError, match="block=9"):
        SketchAndProject(M, b, "rows", 9, keyed(0, "test"))
