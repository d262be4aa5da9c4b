"""Spectra against eigenvalues: quadrature, bounds, traces; the split, the noise of batches, the report."""

import numpy as np
import pytest

from gnsopt import Logistic
from gnsopt.datasets import make_logistic
from gnsopt.diagnostics import noise_scale, plot_spectrum, predicted_outliers, report, spectrum, split
from gnsopt.diagnostics.spectrum import signs
from gnsopt.linalg.lanczos import ritz
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.problems import MLP


def matrix(n, seed=0, negative=5):
    """Most eigenvalues in a bulk near zero, a few outliers, some below zero."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    d = np.concatenate([[30.0, 17.0, 9.0], rng.uniform(-0.5, 0.0, negative), rng.uniform(0.1, 1.0, n - 3 - negative)])
    return (Q * d) @ Q.T, np.sort(d)


def test_quadrature_is_exact_to_its_degree():
    A, _ = matrix(60)
    v = np.random.default_rng(1).standard_normal(60)
    v /= np.linalg.norm(v)
    found = ritz(lambda u: A @ u, v, 3)
    power = v.copy()
    for k in range(6):
        assert np.sum(found.weights * found.values**k) == pytest.approx(v @ power, rel=1e-10), k
        power = A @ power
    assert abs(np.sum(found.weights * found.values**6) - v @ power) > 1e-4 * abs(v @ power)


def test_an_eigenvalue_lies_within_each_error():
    A, d = matrix(80)
    found = ritz(lambda u: A @ u, np.ones(80), 12)
    distance = np.min(np.abs(found.values[:, None] - d), axis=1)
    assert np.all(distance <= found.errors * (1 + 1e-8) + 1e-12)
    assert found.errors[-1] < 1e-6 < found.errors.max()


def test_exhausted_space_ends_the_process():
    found = ritz(lambda u: np.array([2.0, 2.0, 5.0]) * u, np.ones(3), 3)
    np.testing.assert_allclose(found.values, [2, 5], rtol=1e-14)
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3], rtol=1e-13)
    assert np.all(found.errors == 0)


def test_probes_are_signs_and_the_same_every_time():
    assert set(np.unique(signs(13, 4))) == {-1.0, 1.0}
    np.testing.assert_array_equal(signs(13, 4), signs(13, 4, seed=0))
    assert np.any(signs(13, 4) != signs(13, 4, seed=1))


def test_traces_of_periodic_matrices():
    """80 x 80 equal blocks ``I_8``: probes of period 8, columns of a Hadamard matrix, find 51200 instead of 640."""
    A = np.kron(np.ones((80, 80)), np.eye(8)) + 1e-9 * np.eye(640)
    deviation = np.sqrt(2 * (np.sum(A**2) - np.sum(np.diag(A) ** 2)) / 8)  # of the mean of 8 probes of random signs
    traces = [spectrum(A, seed=seed).trace() for seed in (None, *range(1, 20))]
    assert abs(traces[0] - 640) < 3 * deviation
    assert abs(np.mean(traces) - 640) < 3 * deviation / np.sqrt(20)
    mean, error = spectrum(A).mean(lambda a: a)
    assert abs(640 * mean - 640) < 4 * 640 * error


@pytest.mark.parametrize("kind", ["hess", "gauss_newton"])
def test_trace_of_a_network(kind):
    """Its weights of one layer repeat with the period of the next one."""
    rng = np.random.default_rng(0)
    problem = MLP(1 + rng.random((30, 8)), np.arange(30) % 4, hidden=(16,), l2=0.0)
    x = Point(problem, 0.5 * rng.standard_normal(problem.n))
    mean, error = spectrum(x, kind=kind, dense=0).mean(lambda a: a)
    assert abs(mean - spectrum(x, kind=kind).mean(lambda a: a)[0]) < 4 * error


@pytest.mark.parametrize("seed", [None, 3])
def test_lanczos_agrees_with_all_eigenvalues(seed):
    A, d = matrix(300)
    exact = spectrum(A)
    assert exact.exact
    np.testing.assert_allclose(exact.values[0], d, atol=1e-12)
    found = spectrum(A, dense=0, probes=12, steps=60, seed=seed)
    assert not found.exact
    spread = np.sqrt(2 * (np.sum(A**2) - np.sum(np.diag(A) ** 2)) / 12)  # of the estimate, for random signs
    assert abs(found.trace() - np.sum(d)) < 3 * spread
    mean, error = found.mean(lambda a: a)
    assert abs(300 * mean - np.sum(d)) < 5 * 300 * error
    for (value, bound), true in zip(found.extremes(), (d[0], d[-1]), strict=True):
        assert abs(value - true) <= bound + 1e-9
    assert exact.inertia() == (5, 0, 295)
    assert found.inertia(1e-3)[0] == pytest.approx(5, abs=3)
    assert exact.participation() == pytest.approx(np.sum(d) ** 2 / np.sum(d**2), rel=1e-12)
    grid = np.linspace(-5, 35, 4001)
    for each in (exact, found):
        assert np.sum(each.density(grid, 0.3)) * 0.01 == pytest.approx(1, abs=1e-6)
    assert np.max(np.abs(exact.density(grid, 0.3) - found.density(grid, 0.3))) < 0.05 * exact.density(grid, 0.3).max()


def test_logdet():
    A, d = matrix(200, negative=0)
    assert spectrum(A).logdet() == pytest.approx(np.sum(np.log(d)), rel=1e-12)
    assert spectrum(A, dense=0, probes=16).logdet() == pytest.approx(np.sum(np.log(d)), rel=0.05)
    assert np.isnan(spectrum(matrix(50)[0]).logdet())


def network():
    rng = np.random.default_rng(0)
    return MLP(rng.standard_normal((12, 4)), np.arange(12) % 3, hidden=(8,), l2=0.0)


def test_split_of_a_network():
    """Zero eigenvalues of the Gauss-Newton part: at least n minus samples times outputs; the parts add up."""
    problem = network()
    x = Point(problem, 0.5 * np.random.default_rng(1).standard_normal(problem.n))
    found = split(x)
    assert problem.n - 12 * 3 > 0
    assert found.part.inertia()[1] >= problem.n - 12 * 3
    assert found.part.inertia()[0] == 0
    assert found.rest.inertia()[0] > 0
    assert found.hessian.trace() == pytest.approx(found.part.trace() + found.rest.trace(), rel=1e-10)


def test_at_the_minimum_of_a_linear_model_nothing_is_left():
    X, y = make_logistic(40, 5, seed=0)
    found = split(Point(Logistic(X, y, l2=0.1), np.ones(5)))
    assert max(abs(end[0]) for end in found.rest.extremes()) < 1e-14


@pytest.mark.parametrize("outlier", [4.0, 2.0, 0.5, -3.0])
def test_outliers_in_wigner_noise(outlier):
    n, s = 900, 1.0
    rng = np.random.default_rng(0)
    N = rng.standard_normal((n, n)) * s / np.sqrt(n)
    N = (N + N.T) / np.sqrt(2)
    N[0, 0] += outlier
    values = np.linalg.eigvalsh(N)
    seen = values[-1] if outlier > 0 else values[0]
    assert seen == pytest.approx(float(predicted_outliers([outlier], s)[0]), abs=0.08)


def test_noise_scale_is_that_of_batches():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((50, 8)) * np.geomspace(0.2, 2, 8)
    F = G.T @ G / 50
    squares = []
    for _ in range(3000):
        B = G[rng.integers(50, size=5)]
        squares.append(np.sum((B.T @ B / 5 - F) ** 2) / 8)
    assert noise_scale(G, 5) ** 2 == pytest.approx(np.mean(squares), rel=0.05)
    assert noise_scale(G[:4], 2) == pytest.approx(noise_scale(np.vstack([G[:4]] * 3), 2), rel=1e-12)
    assert noise_scale(G[:1], 3) == pytest.approx(0.0, abs=1e-7)


class Bowl(Objective):
    """``sum d x^2 / 2``."""

    n = 6
    d = np.array([5.0, 4.0, 3.0, 2.0, 1.0, -1.0])

    def fun(self, x, z):
        return 0.5 * float(x @ (self.d * x))

    def grad(self, x, z):
        return self.d * x

    def hess(self, x, z):
        return np.diag(self.d)


def test_report_of_a_known_point():
    found = report(Point(Bowl(), np.array([3.0, 0.0, 0.0, 0.0, 4.0, 0.0])), shape=(2, 3))
    assert found.sharpness == pytest.approx(5, rel=1e-12)
    assert found.least == pytest.approx(-1, rel=1e-12)
    assert found.trace == pytest.approx(14, rel=1e-12)
    assert found.along_gradient == pytest.approx((5 * 15**2 + 4**2) / (15**2 + 4**2), rel=1e-12)
    assert (found.norm, found.sparsity, found.rank) == (5.0, 4 / 6, 2)
    assert found.stable_rank == pytest.approx(25 / 16)
    assert "sharpness 5" in str(found)


def test_plot():
    axes = plot_spectrum(spectrum(matrix(40)[0]), label="H")
    assert axes.get_yscale() == "log"
    assert np.nanmax(axes.lines[0].get_ydata()) > 0


def test_misuse():
    with pytest.raises(ValueError, match="n=None"):
        spectrum(lambda v: v)
    with pytest.raises(ValueError, match="square"):
        spectrum(np.ones((2, 3)))
    with pytest.raises(ValueError, match="probes=0"):
        spectrum(np.eye(3), probes=0)
    with pytest.raises(ValueError, match="s=-1"):
        predicted_outliers([1.0], -1)
    with pytest.raises(ValueError, match="batch"):
        noise_scale(np.ones(3), 1)


def test_a_product_that_is_not_finite_is_told():
    assert ritz(lambda v: np.full(3, np.nan), np.ones(3), 3).values.size == 0
    assert ritz(lambda v: np.array([np.inf, 0.0, 0.0]), np.ones(3), 3).values.size == 0
    with pytest.raises(ValueError, match="A: a product of .* is not finite"):
        spectrum(lambda v: v * np.inf, n=600)
