"""SOR and SSOR against Young's theory and dense algebra; incomplete Cholesky; both as preconditioners of a run."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array, eye_array, kron

from gnsopt import GradNormSmooth
from gnsopt.curvature import exact
from gnsopt.linalg.forms import as_form
from gnsopt.linalg.incomplete import IncompleteCholesky, incomplete_cholesky
from gnsopt.linalg.krylov import conjugate_gradients
from gnsopt.linalg.newton_schulz import InverseTracker
from gnsopt.linalg.precond import Apply
from gnsopt.linalg.relaxation import SSOR, best_omega, jacobi_radius, sor, sor_rate, ssor_inverse
from gnsopt.linalg.tuning import Explore, omega_grid
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature

BETA = np.cos(np.pi / 11)  # of the Laplacian on the 10 x 10 grid


def laplacian(k):
    T = diags_array([-np.ones(k - 1), 2 * np.ones(k), -np.ones(k - 1)], offsets=[-1, 0, 1])
    return csr_array(kron(eye_array(k), T) + kron(T, eye_array(k)))


def random_spd(n=25, seed=0):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.3)
    return M @ M.T + np.diag(rng.uniform(0.5, 2, n)), rng.standard_normal(n)


def iteration_matrix(A, omega):
    D, L = np.diag(np.diag(A)), np.tril(A, -1)
    return np.eye(len(A)) - np.linalg.solve(D / omega + L, A)


class TestYoung:
    def test_best_omega_of_the_grid(self):
        assert abs(jacobi_radius(laplacian(10)) - BETA) <= 1e-12
        assert abs(best_omega(BETA) - (1 + (BETA / (1 + np.sqrt(1 - BETA**2))) ** 2)) <= 1e-12
        assert abs(best_omega(jacobi_radius(laplacian(10))) - 1.5603879212747742) <= 1e-12

    @pytest.mark.parametrize("omega", [0.5, 1.0, 1.3, 1.5, 1.7, 1.95])
    def test_rate_is_the_spectral_radius(self, omega):
        radius = np.abs(np.linalg.eigvals(iteration_matrix(laplacian(10).toarray(), omega))).max()
        assert abs(sor_rate(omega, BETA) - radius) <= 1e-12

    def test_the_best_omega_minimises_the_rate(self):
        best = best_omega(BETA)
        assert sor_rate(best, BETA) == pytest.approx(best - 1, abs=1e-12)
        assert all(sor_rate(omega, BETA) > best - 1 + 1e-12 for omega in (best - 1e-3, best + 1e-3, 1.0))

    def test_a_short_run_nearly_finds_it(self):
        assert best_omega(jacobi_radius(laplacian(10), steps=12)) == pytest.approx(best_omega(BETA), abs=1e-3)
        shifted = jacobi_radius(laplacian(10), shift=0.3)
        assert shifted == pytest.approx(4 * BETA / 4.3, abs=1e-12)

    @pytest.mark.parametrize("beta", [-0.1, 1.0])
    def test_bad_radius(self, beta):
        with pytest.raises(ValueError, match="must lie in"):
            best_omega(beta)


class TestSOR:
    @pytest.mark.parametrize("omega", [0.7, 1.0, 1.5])
    @pytest.mark.parametrize("shift", [0.0, 0.4])
    def test_iterates(self, omega, shift):
        A, b = random_spd()
        M = A + shift * np.eye(len(A))
        x = np.zeros(len(A))
        sizes = [np.linalg.norm(b)]
        for _ in range(7):
            x = x + np.linalg.solve(np.diag(np.diag(M)) / omega + np.tril(M, -1), b - M @ x)
            sizes.append(np.linalg.norm(b - M @ x))
        found = sor(A, b, omega, shift=shift, maxiter=7, rtol=0)
        np.testing.assert_allclose(found.x, x, rtol=1e-11)
        np.testing.assert_allclose(found.residuals, sizes, rtol=1e-10)
        assert (found.iterations, found.converged) == (7, False)

    def test_converges_to_the_solution_and_the_best_omega_is_the_fastest(self):
        A = laplacian(10)
        b = np.random.default_rng(0).standard_normal(100)
        steps = {omega: sor(A, b, omega).iterations for omega in (1.0, 1.2, 1.4, 1.6, 1.8)}
        found = sor(A, b)
        assert found.converged
        np.testing.assert_allclose(A @ found.x, b, atol=1.1e-8 * np.linalg.norm(b))
        assert found.iterations <= min(steps.values())
        assert steps[1.0] > 4 * found.iterations
        again = sor(A, b, x0=found.x, atol=1e-6)
        assert again.iterations == 0

    def test_a_matrix_that_is_not_definite_ends(self):
        found = sor(np.array([[1.0, 3.0], [3.0, 1.0]]), np.ones(2), 1.0, maxiter=100_000)
        assert not found.converged
        assert found.iterations < 2000

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ((np.eye(2), np.ones(2), 2.0), "omega=2.0 must lie in"),
            ((np.zeros((2, 2)), np.ones(2), 1.0), "diagonal entry in row 0 is 0.0"),
            ((np.ones((2, 3)), np.ones(2), 1.0), "must be square"),
        ],
    )
    def test_bad_input(self, arguments, says):
        with pytest.raises(ValueError, match=says):
            sor(*arguments)
        if arguments[0].shape == (2, 2) and arguments[0][0, 0]:
            with pytest.raises(ValueError, match="row 0 is 0.0"):
                sor(np.eye(2), np.ones(2), 1.0, shift=-1.0)


class TestSSOR:
    @pytest.mark.parametrize("omega", [0.6, 1.0, 1.7])
    def test_is_its_formula(self, omega):
        A, b = random_spd()
        M = A + 0.3 * np.eye(len(A))
        D, L = np.diag(np.diag(M)), np.tril(M, -1)
        P = (D + omega * L) @ np.linalg.inv(D) @ (D + omega * L.T) / (omega * (2 - omega))
        np.testing.assert_allclose(ssor_inverse(csr_array(A), omega, 0.3)(b), np.linalg.solve(P, b), rtol=1e-10)

    def test_iterations_on_a_grid(self):
        """30 x 30: three to four times fewer than CG, fewest around 1.7 or 1.8."""
        A, b = laplacian(30), np.random.default_rng(0).standard_normal(900)
        plain = conjugate_gradients(A, b).iterations
        steps = {
            w: conjugate_gradients(A, b, preconditioner=ssor_inverse(A, w)).iterations for w in (1.0, 1.7, 1.8, 1.9)
        }
        assert plain > 2 * steps[1.0] > 3 * steps[1.7]
        assert abs(steps[1.7] - steps[1.8]) <= 2
        assert steps[1.9] > steps[1.8]


class TestIncompleteCholesky:
    def test_of_a_full_pattern_is_cholesky(self):
        rng = np.random.default_rng(0)
        M = rng.standard_normal((12, 12))
        A = M @ M.T + np.eye(12)
        L, lift = incomplete_cholesky(A, shift=0.2)
        assert lift == 0
        np.testing.assert_allclose(L.toarray(), np.linalg.cholesky(A + 0.2 * np.eye(12)), rtol=1e-10)

    def test_agrees_with_the_matrix_on_its_pattern(self):
        A = laplacian(12)
        L, lift = incomplete_cholesky(A)
        assert lift == 0
        assert L.nnz == (A.nnz + 144) / 2
        product, pattern = (L @ L.T).toarray(), A.toarray() != 0
        np.testing.assert_allclose(product[pattern], A.toarray()[pattern], atol=1e-13)
        assert np.abs(product[~pattern]).max() > 0.1

    def test_fewer_iterations_than_symmetric_gauss_seidel(self):
        A, b = laplacian(30), np.random.default_rng(0).standard_normal(900)
        apply = preconditioner(IncompleteCholesky(), A)
        steps = conjugate_gradients(A, b, preconditioner=apply).iterations
        assert steps < conjugate_gradients(A, b, preconditioner=ssor_inverse(A, 1.0)).iterations

    def test_dropping(self):
        A, b = random_spd(40)
        kept = [incomplete_cholesky(A, drop)[0].nnz for drop in (0.0, 0.05, 0.2, 0.99)]
        assert kept == sorted(kept, reverse=True)
        assert kept[-1] == 40
        L, _ = incomplete_cholesky(A, 0.99)
        np.testing.assert_allclose(L.diagonal() ** 2, A.diagonal(), rtol=1e-14)

    def test_a_breakdown_is_lifted(self):
        """Kershaw's matrix: positive definite, its incomplete factor is not."""
        A = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
        assert np.linalg.eigvalsh(A).min() > 0
        L, lift = incomplete_cholesky(A)
        assert lift > 0
        product = (L @ L.T).toarray()
        np.testing.assert_allclose(product[A != 0], (A + lift * np.diag(np.diag(A)))[A != 0], atol=1e-12)

    @pytest.mark.parametrize("size", [2, 4])
    def test_vectors_of_another_length(self, size):
        """Compiled loops would read beyond their end."""
        A, wrong = np.diag([2.0, 3.0, 4.0]), np.ones(size)
        with pytest.raises(ValueError, match=rf"b has shape \({size},\)"):
            sor(A, wrong, 1.0)
        with pytest.raises(ValueError, match=rf"x0 has shape \({size},\)"):
            sor(A, np.ones(3), 1.0, x0=wrong)
        with pytest.raises(ValueError, match=rf"r has shape \({size},\)"):
            ssor_inverse(A, 1.0)(wrong)
        with pytest.raises(ValueError, match="maxiter=-1"):
            sor(A, np.ones(3), 1.0, maxiter=-1)

    def test_integers_are_numbers(self):
        A, b = np.diag([2.0, 3.0, 4.0]), [1, 1, 1]
        np.testing.assert_allclose(ssor_inverse(A, 1.0)(b), [1 / 2, 1 / 3, 1 / 4], rtol=1e-15)
        np.testing.assert_allclose(sor(A, b, 1.0, x0=[0, 0, 1]).x, [1 / 2, 1 / 3, 1 / 4], rtol=1e-15)

    def test_bad_settings(self):
        with pytest.raises(ValueError, match="drop=1.0"):
            IncompleteCholesky(1.0)
        with pytest.raises(ValueError, match="row 0 is -1.0"):
            incomplete_cholesky(np.eye(2), shift=-2.0)
        with pytest.raises(ValueError, match="omega=0.0"):
            SSOR(0.0)


def preconditioner(model, A) -> Apply:
    """What a run's preconditioner answers for a matrix without a shift."""
    from gnsopt.linalg.forms import Dense
    from gnsopt.linalg.metric import as_metric

    metric = as_metric(None, A.shape[0])
    return model.start().at_point(Dense(A.toarray()), lambda v: A @ v, metric).at(1e-300, metric)


MODELS = [
    SSOR(1.2),
    SSOR(tune=lambda: Explore(omega_grid(4))),
    IncompleteCholesky(0.01),
    InverseTracker(),
]


class TestInRuns:
    @pytest.mark.parametrize("model", MODELS, ids=["ssor", "ssor tuned", "ic", "tracker"])
    @pytest.mark.parametrize("name", ["logistic", "softmax-iris", "chebyshev", "squared"])
    def test_solves_keep_their_promise(self, name, model):
        problem = PROBLEMS[name]()
        x = Point(problem, 0.3 * np.random.default_rng(0).standard_normal(problem.n))
        curvature = exact.using("cg", theta=0.1, floor=0.0, preconditioner=model)
        metrics = None if isinstance(model, InverseTracker) else (None, np.geomspace(0.1, 10, problem.n))
        check_curvature(curvature, x, theta=0.1, memory=True, metrics=metrics)

    @pytest.mark.parametrize("model", MODELS, ids=["ssor", "ssor tuned", "ic", "tracker"])
    def test_runs_end_at_the_same_point(self, model):
        problem = PROBLEMS["logistic-breast-cancer"]()
        wanted = GradNormSmooth(curvature="exact").minimize(problem, gtol=1e-10)
        run = GradNormSmooth(curvature=exact.using("cg", preconditioner=model)).minimize(problem, gtol=1e-10)
        assert run.success
        np.testing.assert_allclose(run.x, wanted.x, atol=1e-7)
        assert "preconditioner: " in run.curvature
        assert run.nhev >= run.nit  # assembled at each point

    @pytest.mark.parametrize("model", [SSOR(), IncompleteCholesky()])
    def test_a_dense_metric_is_refused(self, model):
        problem = PROBLEMS["logistic"]()
        curvature = exact.using("cg", preconditioner=model)
        with pytest.raises(ValueError, match="metric: .* needs a diagonal metric"):
            GradNormSmooth(curvature=curvature, metric=2 * np.eye(problem.n)).minimize(problem)


def test_a_users_sparse_hessian_keeps_its_entries():
    A = csr_array(np.diag(np.arange(1.0, 5.0)) - 0.3 * np.eye(4, k=1) - 0.3 * np.eye(4, k=-1))
    form = as_form(A, 4)
    assert form.matrix.nnz == A.nnz
    np.testing.assert_array_equal(form.matvec(np.ones(4)), A @ np.ones(4))
