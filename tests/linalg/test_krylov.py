"""Conjugate gradients by any window, deflation and recycled Ritz vectors against dense solves and the theory."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import cg

from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.krylov import Deflation, RitzCollector, conjugate_gradients
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.precond import Preconditioner
from gnsopt.linalg.shifted import Accuracy, KrylovShifted

N = 60


def matrix(condition, n=N, seed=0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (Q * np.geomspace(1, 1 / condition, n)) @ Q.T, rng.standard_normal(n)


def iterates(A, b, steps, **options):
    return [conjugate_gradients(A, b, rtol=0, maxiter=k, **options).x for k in range(1, steps + 1)]


@pytest.mark.parametrize("form", [np.asarray, csr_array, lambda A: lambda v: A @ v])
@pytest.mark.parametrize("window", [1, 2, None])
def test_solves(window, form):
    A, b = matrix(1e3)
    found = conjugate_gradients(form(A), b, window=window, rtol=1e-10)
    assert found.converged
    assert found.products == found.iterations == found.residuals.size - 1
    assert np.linalg.norm(b - A @ found.x) <= 2e-10 * np.linalg.norm(b)
    np.testing.assert_allclose(found.x, np.linalg.solve(A, b), rtol=1e-6)


@pytest.mark.parametrize("window", [1, 2, 5, None])
def test_every_window_gives_the_iterates_of_cg(window):
    """With a fixed symmetric preconditioner; SciPy's CG is the reference."""
    A, b = matrix(50)
    d = 1 / np.linspace(1, 3, N)
    for M in (None, lambda r: d * r):
        theirs = []
        scipy_M = None if M is None else np.diag(d)
        cg(A, b, rtol=0, maxiter=12, M=scipy_M, callback=lambda x, theirs=theirs: theirs.append(x.copy()))
        for ours, reference in zip(iterates(A, b, 12, preconditioner=M, window=window), theirs, strict=True):
            np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-12 * np.linalg.norm(reference))


def test_no_window_is_steepest_descent():
    A, b = matrix(20)
    x = np.zeros(N)
    for ours in iterates(A, b, 5, window=0):
        r = b - A @ x
        x = x + (r @ r) / (r @ A @ r) * r
        np.testing.assert_allclose(ours, x, rtol=1e-12, atol=1e-13)
    rate = (20 - 1) / (20 + 1)
    found = conjugate_gradients(A, b, window=0, rtol=0, maxiter=100)
    error = found.x - np.linalg.solve(A, b)
    first = np.linalg.solve(A, b)
    assert np.sqrt(error @ A @ error) <= rate**100 * np.sqrt(first @ A @ first)


def test_rate():
    """``|e_k|_A <= 2 ((sqrt k - 1)/(sqrt k + 1))^k |e_0|_A``."""
    A, b = matrix(400)
    x = np.linalg.solve(A, b)
    rate = (20 - 1) / (20 + 1)
    for k, ours in enumerate(iterates(A, b, 30), start=1):
        assert np.sqrt((ours - x) @ A @ (ours - x)) <= 2 * rate**k * np.sqrt(x @ A @ x)


def test_a_longer_window_bears_a_preconditioner_that_changes():
    """One Gauss-Seidel sweep is neither symmetric nor the inverse of one matrix; CG's recurrence stalls with it."""
    A, b = matrix(1e3)
    L = np.tril(A)

    def sweep(r):
        return np.linalg.solve(L, r)

    steps = {
        w: conjugate_gradients(A, b, preconditioner=sweep, window=w, maxiter=400).iterations for w in (1, 2, 8, None)
    }
    assert steps[None] <= steps[8] < steps[2] < steps[1]
    nonlinear = conjugate_gradients(A, b, preconditioner=lambda r: np.linalg.solve(L, r) + 0.1 * np.abs(r), window=None)
    assert nonlinear.converged


def test_recomputed_residuals_are_true_ones():
    A, b = matrix(1e3)
    found = conjugate_gradients(A, b, recompute=True)
    assert found.products == 2 * found.iterations
    assert found.residuals[-1] == pytest.approx(np.linalg.norm(b - A @ found.x), rel=1e-6)


def test_start_and_limits():
    A, b = matrix(1e3)
    x = np.linalg.solve(A, b)
    assert conjugate_gradients(A, b, x0=x).iterations == 0
    short = conjugate_gradients(A, b, maxiter=3)
    assert (short.converged, short.iterations) == (False, 3)
    zero = conjugate_gradients(A, np.zeros(N))
    assert zero.converged
    np.testing.assert_array_equal(zero.x, 0)


def test_indefinite_matrices_end_without_convergence():
    found = conjugate_gradients(np.diag([1.0, -1.0, 2.0]), np.ones(3))
    assert not found.converged
    assert np.isfinite(found.x).all()


class TestDeflation:
    def test_removes_the_eigenvalues_of_its_space(self):
        """With the ten smallest eigenvectors the rate is that of the rest of the spectrum."""
        A, b = matrix(1e6)
        s, V = np.linalg.eigh(A)
        deflation = Deflation(V[:, :30], A @ V[:, :30])
        found = conjugate_gradients(A, b, deflation=deflation, rtol=1e-10)
        assert found.converged
        np.testing.assert_allclose(A @ found.x, b, atol=2e-10 * np.linalg.norm(b))
        rest = np.sqrt(s[-1] / s[30])
        bound = np.log(2 * rest * 1e10) / np.log((rest + 1) / (rest - 1))
        assert found.iterations <= bound
        assert conjugate_gradients(A, b, rtol=1e-10, maxiter=100_000).iterations > bound

    def test_any_space_leaves_the_solution(self):
        A, b = matrix(1e3)
        W = np.random.default_rng(1).standard_normal((N, 5))
        W = np.column_stack([W, W[:, 0]])  # dependent columns too
        found = conjugate_gradients(A, b, deflation=Deflation(W, A @ W), rtol=1e-10)
        np.testing.assert_allclose(found.x, np.linalg.solve(A, b), rtol=1e-6)
        r = b - A @ Deflation(W, A @ W).coarse(b)
        np.testing.assert_allclose(W.T @ r, 0, atol=1e-11)

    def test_shifts_without_products(self):
        A, b = matrix(1e3)
        W = np.random.default_rng(1).standard_normal((N, 5))
        moved = Deflation(W, A @ W).shifted(0.3)
        np.testing.assert_allclose(moved.AW, A @ moved.W + 0.3 * moved.W, atol=1e-12)
        np.testing.assert_allclose(moved.W.T @ moved.AW, np.eye(5), atol=1e-12)

    def test_recycling_over_a_sequence(self):
        """Ten shifted systems: the Ritz vectors of each speed up the next."""
        A, _ = matrix(1e5)
        rng = np.random.default_rng(2)
        plain, recycled, W = [], [], None
        collector = RitzCollector(12, most=200)
        for c in np.linspace(0, 1e-5, 10):
            b = rng.standard_normal(N)
            M = A + c * np.eye(N)
            plain.append(conjugate_gradients(M, b, maxiter=10_000).products)
            deflation = None if W is None else Deflation(W, M @ W)
            found = conjugate_gradients(M, b, deflation=deflation, maxiter=10_000, watch=collector.watch)
            assert found.converged
            assert np.linalg.norm(b - M @ found.x) <= 2e-8 * np.linalg.norm(b)
            recycled.append(found.products + (0 if W is None else W.shape[1]))
            W = collector.ritz(deflation)[1]
        assert recycled[0] == plain[0]
        assert max(recycled[2:]) < 0.7 * min(plain[2:])

    def test_ritz_pairs_of_all_directions_are_eigenpairs(self):
        A, b = matrix(100, n=20)
        for which, end in (("smallest", np.s_[:3]), ("largest", np.s_[:-4:-1])):
            collector = RitzCollector(3, which=which)
            conjugate_gradients(A, b, window=None, rtol=1e-13, watch=collector.watch)
            theta, W = collector.ritz()
            np.testing.assert_allclose(theta, np.linalg.eigvalsh(A)[end], rtol=1e-8)
            np.testing.assert_allclose(A @ W, W * theta, atol=1e-8)

    @pytest.mark.parametrize(("arguments", "says"), [((0,), "k=0"), ((2, 0), "most=0"), ((2, 5, "middle"), "middle")])
    def test_bad_settings(self, arguments, says):
        with pytest.raises(ValueError, match=says):
            RitzCollector(*arguments)


class Sweep(Preconditioner):
    """One Gauss-Seidel sweep."""

    def __init__(self, A):
        self.A = A

    def at(self, lam, metric):
        L = np.tril(self.A) + lam * np.eye(N)
        return lambda r: np.linalg.solve(L, r)


class TestShiftedSolvesWithAWindow:
    @pytest.mark.parametrize("window", [2, 6, None])
    def test_against_dense(self, window):
        A, b = matrix(1e3)
        shifted = KrylovShifted(lambda v: A @ v, as_metric(None, N), Sweep(A), Accuracy(0.5, 1e-10), None, window)
        h = shifted.solve(1e-3, b)
        assert np.linalg.norm(A @ h + 1e-3 * h - b) <= 1.1e-10 * np.linalg.norm(b) or (
            np.linalg.norm(A @ h + 1e-3 * h - b) <= 0.5 * 1e-3 * np.linalg.norm(h)
        )

    def test_the_window_decides_the_products(self):
        A, b = matrix(1e3)
        products = {}
        for window in (1, 4, None):
            count = []
            shifted = KrylovShifted(
                lambda v, count=count: count.append(1) or A @ v,
                as_metric(None, N),
                Sweep(A),
                Accuracy(1e-9, 0.0),
                None,
                window,
            )
            shifted.solve(1e-3, b)
            products[window] = len(count)
        assert products[None] <= products[4] < products[1]

    def test_indefinite(self):
        shifted = KrylovShifted(lambda v: -v, as_metric(None, N), Sweep(np.eye(N)), Accuracy(0.5), None, 3)
        with pytest.raises(NotPositiveDefinite):
            shifted.solve(0.5, np.ones(N))
