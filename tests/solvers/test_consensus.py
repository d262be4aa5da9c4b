"""Consensus hopping is a proximal step on quadratics; particles find the global minimum, from a seed."""

import numpy as np
import pytest

from gnsopt import Status
from gnsopt.objective import Callables
from gnsopt.solvers import ConsensusHopping, consensus_based
from gnsopt.solvers.consensus import softmin

H = np.array([[3.0, 1.0], [1.0, 2.0]])
C = np.array([1.0, -0.5])


def quadratic():
    return Callables(lambda x: 0.5 * float((x - C) @ H @ (x - C)), 2, jac=lambda x: H @ (x - C))


def proximal_step(x, tau):
    return x - np.linalg.solve(np.eye(2) / tau + H, H @ (x - C))


def test_quadrature_on_a_quadratic_is_the_proximal_step():
    x, sigma, alpha = np.array([1.5, 0.3]), 0.3, 20.0
    step = ConsensusHopping(sigma, alpha, nodes="quadrature:60").minimize(
        quadratic(), x, maxiter=1, gtol=0, keep_x=True
    )
    np.testing.assert_allclose(step.trace.x[1], proximal_step(x, alpha * sigma**2), atol=8e-10)
    assert step.trace["tau"][1] == pytest.approx(alpha * sigma**2)


def test_random_clouds_come_near_at_their_rate():
    x, sigma, alpha = np.array([1.5, 0.3]), 0.3, 20.0
    errors = []
    for nodes in (100, 10_000):
        found = [
            ConsensusHopping(sigma, alpha, nodes=nodes, seed=seed).minimize(
                quadratic(), x, maxiter=1, gtol=0, keep_x=True
            )
            for seed in range(8)
        ]
        steps = np.array([run.trace.x[1] for run in found])
        errors.append(np.sqrt(np.mean((steps - proximal_step(x, alpha * sigma**2)) ** 2)))
    assert 4 < errors[0] / errors[1] < 25  # a factor 10 by theory


def test_hopping_goes_to_the_minimum():
    result = ConsensusHopping(0.2, 50.0, nodes="quadrature:25").minimize(quadratic(), [2.0, 1.0], gtol=1e-6)
    assert result.success
    found = ConsensusHopping().minimize(quadratic(), [2.0, 1.0], gtol=1e-9)
    assert found.success
    np.testing.assert_allclose(found.x, C, atol=1e-8)
    assert np.all(np.diff(found.trace["fun"]) <= 0)


def test_hopping_needs_values_only():
    """With a wrong gradient, which decides about stopping alone, the points are the same."""
    right = ConsensusHopping().minimize(quadratic(), [2.0, 1.0], gtol=0, maxiter=12, keep_x=True).trace.x
    wrong = Callables(quadratic()._fun, 2, jac=lambda x: np.array([1.0, 7.0]))
    np.testing.assert_array_equal(
        ConsensusHopping().minimize(wrong, [2.0, 1.0], maxiter=12, keep_x=True).trace.x, right
    )


def test_softmin_weighs_by_value_and_ignores_what_is_not_finite():
    w = softmin(np.array([1.0, 2.0, np.nan, np.inf, -np.inf]), 1.0)
    np.testing.assert_allclose(w, [1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1)), 0, 0, 0])
    np.testing.assert_allclose(softmin(np.array([1e300, 1e301]), 1e10), [1, 0])


def rastrigin(v):
    return float(np.sum(v**2) + 2.5 * np.sum(1 - np.cos(2 * np.pi * v)))


def test_particles_find_the_valley_of_the_global_minimum():
    """Four dimensions, hundreds of local minima, a cloud whose mean is far away: the values there are about 64."""
    found = [consensus_based(rastrigin, np.full(4, 4.0), dt=0.02, seed=seed) for seed in range(3)]
    assert min(run.fun for run in found) < 0.8  # the paper calls this a success
    assert max(run.fun for run in found) < 2.5  # one coordinate in the valley next to the best
    assert all(run.spread[-1] < 0.1 * run.spread[0] for run in found)
    assert found[0].nfev == 100 * 501 + 1
    assert found[0].fun == rastrigin(found[0].x)


def test_drift_without_noise_contracts_as_it_should():
    """All particles move to v by the factor 1 - drift dt: so does their spread."""
    run = consensus_based(lambda x: float(x @ x), [1.0, 2.0], noise=0.0, T=1.0, dt=0.1, drift=0.5, particles=20)
    np.testing.assert_allclose(run.spread, run.spread[0] * 0.95 ** np.arange(11), rtol=1e-12)


@pytest.mark.parametrize("anisotropic", [True, False])
def test_seeds(anisotropic):
    settings = {"T": 0.2, "particles": 10, "anisotropic": anisotropic}
    one, same = (consensus_based(rastrigin, [1.0, 2.0], seed=3, **settings) for _ in range(2))
    np.testing.assert_array_equal(one.x, same.x)
    assert not np.array_equal(one.x, consensus_based(rastrigin, [1.0, 2.0], seed=4, **settings).x)


def test_values_come_as_numbers_or_as_arrays_of_one():
    settings = {"T": 0.1, "particles": 10}
    one = consensus_based(rastrigin, [1.0, 2.0], **settings)
    for wrap in (lambda f: np.array([f]), lambda f: np.array([[f]]), np.float64):
        np.testing.assert_array_equal(
            consensus_based(lambda x, w=wrap: w(rastrigin(x)), [1.0, 2.0], **settings).x, one.x
        )
    for wrong in (lambda x: x, lambda x: None, lambda x: 1j):
        with pytest.raises(ValueError, match="one real number"):
            consensus_based(wrong, [1.0, 2.0], **settings)


def test_without_a_finite_value_there_is_no_consensus():
    with pytest.raises(ValueError, match="no finite value at the 10 particles of step 0"):
        consensus_based(lambda x: np.nan, [1.0, 2.0], particles=10)
    some = consensus_based(lambda x: rastrigin(x) if x[0] > 1 else np.nan, [1.0, 2.0], particles=10, T=0.1)
    assert np.isfinite(some.x).all()


def test_misuse():
    with pytest.raises(ValueError, match="sigma=.*alpha="):
        ConsensusHopping(sigma=1.0)
    with pytest.raises(ValueError, match="nodes="):
        ConsensusHopping(1.0, 1.0, nodes="grid")
    with pytest.raises(ValueError, match="dt="):
        consensus_based(rastrigin, [1.0], dt=0.0)
    with pytest.raises(ValueError, match="particles="):
        consensus_based(rastrigin, [1.0], particles=1)
    with pytest.raises(ValueError, match="grid in 3 variables"):
        ConsensusHopping(1.0, 1.0, nodes="quadrature:99").minimize(Callables(rastrigin, 3), [1.0, 2.0, 0.0])


def test_a_value_that_is_not_finite_ends_the_paper_s_method():
    broken = Callables(lambda x: np.nan if x[0] < 1.9 else float(x @ x), 2, jac=lambda x: 2 * x)
    result = ConsensusHopping(0.5, 5.0, nodes=20).minimize(broken, [2.0, 0.0], maxiter=50)
    assert result.status in (Status.STEP_FAILURE, Status.MAXITER)
    assert np.isfinite(result.fun)
