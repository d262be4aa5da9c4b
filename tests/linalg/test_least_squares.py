"""Iterative Hessian sketch at its rates, and sketch-preconditioned least squares, against dense solutions."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt.linalg.least_squares import iterative_hessian_sketch, sketched_least_squares
from gnsopt.linalg.sketches import KINDS, draw, keyed


def problem(n=2000, d=100, condition=1e4, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d)) * np.geomspace(1, 1 / condition, d)
    return A, rng.standard_normal(n)


def rates(rho, refresh, seeds=4, **options):
    """Mean factor of ``|A (x - x*)|^2`` per step, after the first five."""
    A, b = problem(600, 60)
    solution = np.linalg.lstsq(A, b, rcond=None)[0]
    found = []
    for seed in range(seeds):
        errors = []
        for steps in (5, 13):
            x = iterative_hessian_sketch(
                A, b, int(60 / rho), refresh=refresh, maxiter=steps, rtol=0, seed=seed, **options
            ).x
            errors.append(np.sum((A @ (x - solution)) ** 2))
        found.append(np.log(errors[1] / errors[0]) / 8)
    return np.exp(np.mean(found))


class TestIterativeHessianSketch:
    @pytest.mark.parametrize("rho", [0.5, 0.25, 0.125])
    def test_refreshed_sketches_contract_by_rho(self, rho):
        assert rates(rho, True) == pytest.approx(rho, abs=0.06)

    @pytest.mark.parametrize("rho", [0.5, 0.25, 0.125])
    def test_one_sketch_with_momentum_does_too(self, rho):
        assert rates(rho, False) == pytest.approx(rho, abs=0.06)

    def test_averaging(self):
        """q sketches: the rate is ``(g - 1)/(g - 1 + q)``, g = m/(m - d); q = 1 is the plain one."""
        assert rates(0.25, True, seeds=3, average=3) == pytest.approx((1 / 3) / (1 / 3 + 3), abs=0.03)

    @pytest.mark.parametrize("sketch", ["gaussian", "countsketch", "sparse-sign", "srht"])
    @pytest.mark.parametrize("refresh", [True, False])
    def test_reaches_the_solution(self, refresh, sketch):
        A, b = problem(400, 12)
        for form in (A, csr_array(A)):
            found = iterative_hessian_sketch(form, b, 150, ridge=1e-3, refresh=refresh, sketch=sketch)
            assert found.converged
            wanted = np.linalg.solve(A.T @ A + 1e-3 * np.eye(12), A.T @ b)
            np.testing.assert_allclose(found.x, wanted, atol=1e-7 * np.abs(wanted).max())

    @pytest.mark.parametrize(
        ("m", "options", "says"),
        [
            (12, {}, "m=12 must be larger than the number of columns, 12"),
            (50, {"average": 0}, "average=0"),
            (50, {"average": 2, "refresh": False}, "average=2 must be"),
        ],
    )
    def test_bad_settings(self, m, options, says):
        A, b = problem(100, 12)
        with pytest.raises(ValueError, match=says):
            iterative_hessian_sketch(A, b, m, **options)

    def test_dependent_columns(self):
        A = np.ones((50, 2))
        with pytest.raises(ValueError, match="depend on each other; use ridge="):
            iterative_hessian_sketch(A, np.ones(50), 10, sketch="countsketch")
        assert iterative_hessian_sketch(A, np.ones(50), 20, ridge=1.0).converged


class TestSketchedLeastSquares:
    @pytest.mark.parametrize("kind", KINDS)
    def test_against_lapack(self, kind):
        A, b = problem(600, 20, condition=1e6)
        wanted = np.linalg.lstsq(A, b, rcond=None)[0]
        for form in (A, csr_array(A)):
            found = sketched_least_squares(form, b, sketch=kind)
            assert found.converged
            np.testing.assert_allclose(A @ found.x, A @ wanted, atol=1e-9 * np.linalg.norm(b))
            np.testing.assert_allclose(found.x, wanted, rtol=1e-5)

    def test_the_condition_is_that_of_the_sketch(self):
        """``A R^{-1}`` has a condition of about ``(1 + sqrt rho)/(1 - sqrt rho)``, 3 for m = 4 d, whatever A."""
        A, _ = problem(2000, 60, condition=1e8)
        for kind in ("gaussian", "sparse-sign", "srht"):
            R = np.linalg.qr(draw(kind, 240, 2000, keyed(0, "t")).apply(A), mode="r")
            s = np.linalg.svd(np.linalg.solve(R.T, A.T), compute_uv=False)
            assert 2 < s[0] / s[-1] < 3.3

    def test_iterations_follow_from_it(self):
        """CG at condition 3^2 gains a factor of two at each step, for any condition of the columns."""
        for condition in (1e1, 1e4, 1e8):
            A, b = problem(2000, 60, condition=condition)
            assert sketched_least_squares(A, b, rtol=1e-10).iterations <= 2 + np.log(2e10) / np.log(2)

    def test_ridge(self):
        A, b = problem(300, 20)
        found = sketched_least_squares(A, b, ridge=0.5)
        np.testing.assert_allclose(found.x, np.linalg.solve(A.T @ A + 0.5 * np.eye(20), A.T @ b), rtol=1e-8, atol=1e-12)

    def test_dependent_columns_and_few_rows(self):
        A, b = problem(300, 10, condition=10)
        B = np.column_stack([A, A[:, :3] @ np.ones(3), np.zeros(300)])
        found = sketched_least_squares(B, b)
        np.testing.assert_allclose(B @ found.x, A @ np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-10)
        wide = problem(20, 50, condition=10)[0]
        found = sketched_least_squares(wide, b[:20])
        np.testing.assert_allclose(wide @ found.x, b[:20], atol=1e-9)

    def test_sparse_data(self):
        rng = np.random.default_rng(0)
        A = csr_array(np.where(rng.random((3000, 40)) < 0.05, rng.random((3000, 40)), 0.0))
        b = rng.standard_normal(3000)
        found = sketched_least_squares(A, b)
        assert found.converged
        np.testing.assert_allclose(found.x, np.linalg.lstsq(A.toarray(), b, rcond=None)[0], rtol=1e-9)
