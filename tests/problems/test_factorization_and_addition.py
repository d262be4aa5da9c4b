"""Matrix factorisation and modular addition: derivatives, minima in closed form, exact solutions."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth
from gnsopt.problems import MatrixFactorization, ModularAddition
from gnsopt.testing import check_objective


def factorization(rank=2, noise=0.1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    return MatrixFactorization(X, X @ rng.standard_normal((4, 3)) + noise * rng.standard_normal((30, 3)), rank)


def value(problem, x):
    return problem.fun(x, problem.prepare(x))


@pytest.mark.parametrize("problem", [factorization(), ModularAddition(5, 7, l2=1e-2)])
def test_contract(problem):
    check_objective(problem)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_run_of_factorization_ends_at_the_closed_form(rank):
    problem = factorization(rank)
    best = problem.certified_optimum()
    for seed in range(3):
        problem.seed = seed
        result = GradNormSmooth(curvature="gauss_newton").minimize(problem, gtol=1e-9)
        assert result.success
        assert result.fun == pytest.approx(best, rel=1e-9)


def test_full_rank_is_least_squares():
    problem = factorization(3)
    residual = np.linalg.lstsq(problem.X, problem.Y, rcond=None)[1]
    assert problem.certified_optimum() == pytest.approx(0.5 * residual.sum() / 30, rel=1e-12)


def test_gauss_newton_is_the_hessian_without_residual():
    problem = factorization(2, noise=0.0)
    problem.Y = problem.X @ np.ones((4, 3))  # of rank one
    x = np.concatenate([np.tile([1.0, 0.0], 3), np.ones(4), np.zeros(4)])
    z = problem.prepare(x)
    assert np.max(np.abs(z.R)) < 1e-15
    exact = np.array([problem.hessp(x, z, e) for e in np.eye(problem.n)])
    np.testing.assert_allclose(problem.gauss_newton(x, z), exact, atol=1e-13)


def test_synthetic_is_ill_conditioned_and_solvable():
    problem = MatrixFactorization.synthetic()
    assert problem.X.shape == (1000, 6)
    assert problem.Y.shape == (1000, 10)
    assert problem.certified_optimum() < 1e-25


@pytest.mark.parametrize("p", [3, 5, 11])
def test_fourier_network_is_exact(p):
    problem = ModularAddition(p, 3 * (p - 1) + 2)
    x = problem.fourier_network()
    assert value(problem, x) < 1e-28
    assert problem.f_star == 0
    assert problem.accuracy(x) == 1
    assert np.max(np.abs(problem.grad(x, problem.prepare(x)))) < 1e-14
    assert problem.accuracy(problem.start()) < 0.6


def test_variable_projection_removes_the_last_layer():
    problem = ModularAddition(5, 6, l2=1e-3)
    x = problem.top_layer(problem.start())
    g = problem.grad(x, problem.prepare(x))
    assert np.max(np.abs(g[-30:])) < 1e-14
    assert np.max(np.abs(g[:-30])) > 1e-6
    worse = [
        value(problem, x + 1e-3 * np.append(np.zeros(60), v)) for v in np.random.default_rng(0).standard_normal((5, 30))
    ]
    assert min(worse) > value(problem, x)


def test_misuse():
    with pytest.raises(ValueError, match="p=4 must be odd"):
        ModularAddition(4, 40).fourier_network()
    with pytest.raises(ValueError, match="at least 3"):
        ModularAddition(5, 6).fourier_network()
    with pytest.raises(ValueError, match="l2=-1"):
        ModularAddition(5, 6, l2=-1)
    with pytest.raises(ValueError, match="as many rows"):
        MatrixFactorization(np.ones((3, 2)), np.ones((2, 2)), 1)
