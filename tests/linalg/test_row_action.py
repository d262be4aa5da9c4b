"""Kaczmarz and coordinate descent: exact one-step means, limits, and every choice against dense solutions."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt.kernels import relaxation as kernel
from gnsopt.linalg.row_action import CHOICES, coordinate_descent, kaczmarz, solve_small


def system(m=40, n=12, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * rng.uniform(0.2, 2, (m, 1))
    A[3] = 0.0
    return A, rng.standard_normal(n)


def one_step(A, b, x, i):
    S = csr_array(A)
    out = x.copy()
    squares = (A * A).sum(axis=1)
    kernel.kaczmarz(S.indptr, S.indices, S.data, squares, np.array([i]), b, out)
    return out


def test_the_mean_of_a_kaczmarz_step():
    """``E|e_+|^2 = |e|^2 - |A e|^2/|A|_F^2`` exactly, over all rows with their probabilities."""
    A, solution = system()
    b, x = A @ solution, np.ones(12)
    p = (A * A).sum(axis=1) / np.sum(A * A)
    mean = sum(p[i] * np.sum((one_step(A, b, x, i) - solution) ** 2) for i in range(40))
    e = x - solution
    assert mean == pytest.approx(e @ e - np.sum((A @ e) ** 2) / np.sum(A * A), rel=1e-14)


def test_the_mean_of_a_coordinate_step():
    """``E|e_+|_A^2 = |e|_A^2 - |r|^2/tr A``, at most ``(1 - lambda_min/tr A) |e|_A^2``."""
    B, solution = system()
    A = B.T @ B + 0.1 * np.eye(12)
    b, x, S = A @ solution, np.ones(12), csr_array(A)
    total = 0.0
    for i in range(12):
        y, r = x.copy(), b - A @ x
        kernel.coordinate_steps(S.indptr, S.indices, S.data, A.diagonal().copy(), np.array([i]), y, r)
        np.testing.assert_allclose(r, b - A @ y, atol=1e-11)
        e = y - solution
        total += A[i, i] / np.trace(A) * (e @ A @ e)
    e = x - solution
    r = b - A @ x
    assert total == pytest.approx(e @ A @ e - r @ r / np.trace(A), rel=1e-12)
    assert total <= (1 - np.linalg.eigvalsh(A)[0] / np.trace(A)) * (e @ A @ e)


@pytest.mark.parametrize("choice", CHOICES)
class TestEveryChoice:
    def test_kaczmarz(self, choice):
        A, solution = system()
        for form in (A, csr_array(A)):
            found = kaczmarz(form, A @ solution, choice=choice, rtol=1e-11)
            assert found.converged
            np.testing.assert_allclose(found.x, solution, atol=1e-8)

    def test_coordinate_descent(self, choice):
        B, solution = system()
        A = B.T @ B + 0.1 * np.eye(12)
        for form in (A, csr_array(A)):
            found = coordinate_descent(form, A @ solution, choice=choice, rtol=1e-11)
            assert found.converged
            np.testing.assert_allclose(found.x, solution, atol=1e-8)

    def test_limits(self, choice):
        A, _ = system()
        found = kaczmarz(A, np.ones(40), choice=choice, sweeps=3)  # inconsistent
        assert (found.converged, found.iterations) == (False, 3)
        assert np.isfinite(found.x).all()
        assert kaczmarz(A, np.zeros(40), choice=choice).iterations == 0

    def test_same_seed_same_bits(self, choice):
        A, solution = system()
        one, other, third = (kaczmarz(A, A @ solution, choice=choice, sweeps=2, rtol=0, seed=s).x for s in (0, 0, 1))
        np.testing.assert_array_equal(one, other)
        assert np.array_equal(one, third) == (choice in ("cyclic", "greedy"))


def test_kaczmarz_from_zero_finds_the_least_norm():
    A, _ = system(8, 20)
    b = A @ np.ones(20)
    found = kaczmarz(A, b, rtol=1e-12)
    np.testing.assert_allclose(found.x, np.linalg.pinv(A) @ b, atol=1e-9)


@pytest.mark.parametrize("choice", ["random", "uniform", "cyclic"])
def test_extended_kaczmarz_is_least_squares(choice):
    A, _ = system()
    b = np.random.default_rng(1).standard_normal(40)
    found = kaczmarz(A, b, extended=True, choice=choice, rtol=1e-12, sweeps=3000)
    assert found.converged
    np.testing.assert_allclose(found.x, np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-9)


@pytest.mark.parametrize("choice", ["random", "uniform", "cyclic"])
@pytest.mark.parametrize("block", [3, 5, 100])
def test_blocks(block, choice):
    A, solution = system()
    found = kaczmarz(A, A @ solution, block=block, choice=choice, rtol=1e-11)
    assert found.converged
    np.testing.assert_allclose(found.x, solution, atol=1e-8)
    G = A.T @ A + 0.1 * np.eye(12)
    found = coordinate_descent(G, G @ solution, block=block, choice=choice, rtol=1e-11)
    assert found.converged
    np.testing.assert_allclose(found.x, solution, atol=1e-8)
    if block == 100 and choice != "random":  # the whole system at once (a row of zeros has no probability)
        assert found.iterations <= 2


def test_greedy_and_blocks_take_fewer_sweeps():
    B, solution = system(200, 60, seed=3)
    A = B.T @ B
    sweeps = {c: coordinate_descent(A, A @ solution, choice=c).iterations for c in ("uniform", "greedy")}
    assert sweeps["greedy"] < sweeps["uniform"]
    assert coordinate_descent(A, A @ solution, choice="uniform", block=20).iterations < sweeps["uniform"]


def test_mean_rate_of_random_kaczmarz():
    """Over 40 seeds the mean square error after a sweep keeps ``(1 - 1/k^2)^m``, k the scaled condition."""
    A, solution = system()
    A = np.delete(A, 3, axis=0)
    b = A @ solution
    rate = 1 - np.linalg.svd(A, compute_uv=False)[-1] ** 2 / np.sum(A * A)
    errors = [np.sum((kaczmarz(A, b, sweeps=2, rtol=0, seed=s).x - solution) ** 2) for s in range(40)]
    assert np.mean(errors) <= rate**78 * np.sum(solution**2)


class TestSmallSystems:
    def test_definite_and_singular(self):
        rng = np.random.default_rng(0)
        M = rng.standard_normal((5, 5))
        G, b = M @ M.T, rng.standard_normal(5)
        np.testing.assert_allclose(solve_small(G, b), np.linalg.solve(G, b), rtol=1e-8)
        low = M[:, :3] @ M[:, :3].T
        np.testing.assert_allclose(solve_small(low, low @ b), np.linalg.pinv(low, rcond=1e-12) @ low @ b, atol=1e-9)
        np.testing.assert_array_equal(solve_small(np.zeros((2, 2)), np.zeros(2)), 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"choice": "best"}, "choice='best' is unknown"),
        ({"block": 0}, "block=0"),
        ({"block": 2, "choice": "greedy"}, "is for block=1"),
    ],
)
def test_bad_settings(options, says):
    for solver in (kaczmarz, coordinate_descent):
        with pytest.raises(ValueError, match=says):
            solver(np.eye(3), np.ones(3), **options)
    with pytest.raises(ValueError, match="extended=True is for single rows"):
        kaczmarz(np.eye(3), np.ones(3), extended=True, block=2)


def test_coordinate_descent_wants_a_positive_diagonal():
    with pytest.raises(ValueError, match="diagonal entry in row 1 is 0.0"):
        coordinate_descent(np.diag([1.0, 0.0]), np.ones(2))


def test_vectors_that_do_not_fit():
    for solver in (kaczmarz, coordinate_descent):
        with pytest.raises(ValueError, match=r"b has shape \(5,\).*wants \(6,\)"):
            solver(np.eye(6), np.ones(5))
        with pytest.raises(ValueError, match=r"x0 has shape \(6, 1\)"):
            solver(np.eye(6), np.ones(6), x0=np.ones((6, 1)))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_matrix_of_zeros(choice):
    with pytest.raises(ValueError, match="A is zero and b is not"):
        kaczmarz(np.zeros((2, 2)), np.ones(2), choice=choice)
    assert kaczmarz(np.zeros((2, 2)), np.zeros(2), choice=choice).converged
    if choice != "greedy":
        assert kaczmarz(np.zeros((2, 2)), np.ones(2), choice=choice, extended=True).converged


@pytest.mark.parametrize(("choice", "block"), [*((choice, 1) for choice in CHOICES), ("cyclic", 2), ("random", 2)])
def test_an_indefinite_matrix_ends_before_overflow(choice, block):
    """Eigenvalues 3 and -1; within a block it is definite where the block is ``[0, 1]`` or ``[2, 3]``."""
    A = np.kron(np.array([[1.0, 2.0], [2.0, 1.0]]), np.eye(2))
    found = coordinate_descent(A, np.arange(1.0, 5.0), choice=choice, block=block, sweeps=300)
    assert not found.converged
    assert found.iterations < 300
    assert np.isfinite(found.x).all()
    assert found.residuals[-1] > 1e10 * found.residuals[0]
