"""Policy gradients against differences and by enumeration; the optimum; the trackers of the gradient."""

from itertools import product

import numpy as np
import pytest

from gnsopt import GradNormSmooth
from gnsopt.objective import Callables
from gnsopt.problems import TabularMDP
from gnsopt.solvers import GradientTransport


@pytest.fixture
def mdp():
    return TabularMDP.random(5, 3, gamma=0.9, seed=0)


def point(mdp, seed=1):
    x = np.random.default_rng(seed).standard_normal(mdp.n)
    return x, mdp.prepare(x)


def test_value_is_that_of_a_long_run(mdp):
    """Power series of the chain, 500 steps."""
    x, z = point(mdp)
    chain, reward = np.einsum("sa,sat->st", z.pi, mdp.P), np.sum(z.pi * mdp.r, axis=1)
    law, total = mdp.rho.copy(), 0.0
    for t in range(500):
        total += 0.9**t * law @ reward
        law = law @ chain
    assert -mdp.fun(x, z) == pytest.approx(total, rel=1e-13)


def test_policy_gradient(mdp):
    x, z = point(mdp)
    t = 1e-5
    f = lambda x: mdp.fun(x, mdp.prepare(x))  # noqa: E731
    differences = [(f(x + t * e) - f(x - t * e)) / (2 * t) for e in np.eye(mdp.n)]
    np.testing.assert_allclose(mdp.grad(x, z), differences, atol=1e-8)


def test_hessian_products(mdp):
    x, z = point(mdp)
    t = 1e-5
    g = lambda x: mdp.grad(x, mdp.prepare(x))  # noqa: E731
    for v in np.eye(mdp.n)[::4]:
        np.testing.assert_allclose(mdp.hessp(x, z, v), (g(x + t * v) - g(x - t * v)) / (2 * t), atol=1e-8)


def test_natural_gradient_solves_the_fisher_system(mdp):
    """F (A/(1 - gamma)) is the gradient of the reward: the natural direction up to a constant for each state."""
    x, z = point(mdp)
    F = mdp.fisher(x, z)
    np.testing.assert_allclose(F @ mdp.natural_gradient(z), -mdp.grad(x, z), atol=1e-13)
    away = np.linalg.lstsq(F, -mdp.grad(x, z), rcond=1e-10)[0].reshape(5, 3) - mdp.natural_gradient(z).reshape(5, 3)
    np.testing.assert_allclose(away, away[:, :1] + np.zeros(3), atol=1e-11)
    assert np.linalg.eigvalsh(F)[0] > -1e-15
    constants = np.kron(np.eye(5), np.ones((3, 1)))
    np.testing.assert_allclose(F @ constants, 0, atol=1e-15)


def test_bound_of_natural_policy_gradient(mdp):
    best = mdp.certified_optimum().value
    for eta in (0.1, 1.0, 10.0):
        x = np.zeros(mdp.n)
        for T in range(1, 60):
            x = x + eta * mdp.natural_gradient(mdp.prepare(x))
            gap = best + mdp.fun(x, mdp.prepare(x))
            assert -1e-12 <= gap <= np.log(3) / (eta * T) + 1 / ((1 - 0.9) ** 2 * T)


@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_that_of_enumeration(seed):
    mdp = TabularMDP.random(4, 3, gamma=0.8, seed=seed)
    found = mdp.certified_optimum()
    values = [mdp.rho @ mdp.evaluate(np.eye(3)[list(actions)]).V for actions in product(range(3), repeat=4)]
    assert found.value == pytest.approx(max(values), rel=1e-13)
    assert found.gap < 1e-12
    assert mdp.f_star == -found.value
    assert found.iterations <= 10


def test_descent_reaches_the_optimum(mdp):
    """f is not convex, but what a descent method converges to is the optimum, at infinity."""
    best = mdp.certified_optimum().value
    result = GradNormSmooth(curvature="fisher").minimize(mdp, np.zeros(mdp.n), gtol=1e-9)
    assert result.success
    assert 0 <= best + result.fun < 1e-6


@pytest.mark.parametrize("tracker", ["igt", "harpg"])
def test_trackers_are_exact_on_quadratics(tracker):
    H = np.diag([1.0, 4.0, 9.0]) + 0.3
    problem = Callables(lambda x: 0.5 * float(x @ H @ x), 3, jac=lambda x: H @ x, hess=lambda x: H)
    result = GradientTransport(tracker, step=0.5).minimize(problem, [1.0, -2.0, 1.5], gtol=0, maxiter=40)
    assert np.nanmax(result.trace["error"]) < 1e-12


def test_midpoint_is_exact_on_cubics():
    problem = Callables(
        lambda x: float(np.sum(x**3 + x**2)), 2, jac=lambda x: 3 * x**2 + 2 * x, hess=lambda x: np.diag(6 * x + 2)
    )
    errors = {}
    for name, solver in (
        ("midpoint", GradientTransport("harpg", step=0.1)),
        ("drawn", GradientTransport("harpg", step=0.1, seed=0)),
        ("igt", GradientTransport("igt", step=0.1)),
    ):
        errors[name] = np.nanmax(solver.minimize(problem, [2.0, 1.0], gtol=0, maxiter=30).trace["error"])
    assert errors["midpoint"] < 1e-14
    assert min(errors["drawn"], errors["igt"]) > 1e-4


@pytest.mark.parametrize(("tracker", "step"), [("igt", 5.0), ("harpg", 5.0)])
def test_normalised_methods_climb(mdp, tracker, step):
    best = mdp.certified_optimum().value
    solver = GradientTransport(tracker, step=step)
    result = solver.minimize(mdp, np.zeros(mdp.n), gtol=0, maxiter=400, keep_x=True)
    lengths = np.linalg.norm(np.diff(result.trace.x, axis=0), axis=1)
    np.testing.assert_allclose(lengths, step * 2 / (np.arange(400) + 2), rtol=1e-9)
    first = best + result.trace["fun"][0]
    assert best + result.fun < 0.02 * first


def test_searched_steps_find_the_optimum(mdp):
    best = mdp.certified_optimum().value
    for tracker in ("igt", "harpg"):
        result = GradientTransport(tracker).minimize(mdp, np.zeros(mdp.n), gtol=1e-5)
        assert result.success
        assert best + result.fun < 1e-2
        assert np.all(np.diff(result.trace["fun"]) <= 1e-14)


def test_seeds_and_misuse(mdp):
    one, same, other = (
        GradientTransport("harpg", step=1.0, seed=seed).minimize(mdp, np.zeros(mdp.n), maxiter=20).x
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="tracker="):
        GradientTransport("sgd")
    with pytest.raises(ValueError, match="gamma=1"):
        TabularMDP(mdp.P, mdp.r, gamma=1.0)
    with pytest.raises(ValueError, match="adding up to 1"):
        TabularMDP(2 * mdp.P, mdp.r)
    unknown = mdp.P.copy()
    unknown[1, 0, 2] = np.nan
    for arguments in ((unknown, mdp.r), (mdp.P, mdp.r, 0.9, np.full(len(mdp.r), np.nan))):
        with pytest.raises(ValueError, match="P and rho must hold laws"):
            TabularMDP(*arguments)
    with pytest.raises(ValueError, match="must be"):
        TabularMDP(mdp.P, mdp.r.T)
