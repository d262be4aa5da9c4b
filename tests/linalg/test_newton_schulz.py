"""Newton-Schulz: the residual squares, the count of steps, pseudo-inverses, and an inverse tracked along a run."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth
from gnsopt.curvature import exact
from gnsopt.linalg.forms import Dense
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.newton_schulz import InverseTracker, contraction, newton_schulz
from gnsopt.registry import PROBLEMS


def spd(condition, n=30, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return (Q * np.geomspace(1, 1 / condition, n)) @ Q.T


@pytest.mark.parametrize("condition", [10, 1e3, 1e5])
def test_inverse(condition):
    S = spd(condition)
    found = newton_schulz(S)
    assert found.converged
    wanted = np.linalg.inv(S)
    assert np.linalg.norm(found.M - wanted) <= 1e-10 * np.linalg.norm(wanted)


def test_the_residual_squares_exactly():
    S = spd(50)
    M = S / np.linalg.norm(S @ S)
    for _ in range(6):
        R = np.eye(30) - M @ S
        M = newton_schulz(S, M, maxiter=1).M
        np.testing.assert_allclose(np.eye(30) - M @ S, R @ R, atol=1e-13)


def test_a_close_start_is_right_after_three_steps():
    """|I - M S| = 0.05 becomes 2.5e-3, 6.25e-6, 3.9e-11."""
    rng = np.random.default_rng(0)
    S = spd(100)
    E = rng.standard_normal((30, 30))
    E *= 0.05 / np.linalg.norm(E, 2)
    M = (np.eye(30) - E) @ np.linalg.inv(S)
    for k, bound in enumerate((2.5e-3, 6.25e-6, 3.91e-11), start=1):
        found = newton_schulz(S, M, maxiter=k)
        assert np.linalg.norm(np.eye(30) - found.M @ S, 2) <= bound * 1.01


@pytest.mark.parametrize("condition", [10, 1e2, 1e4, 1e6])
def test_number_of_steps(condition):
    """About ``2 log2(condition) + log2 log(1/eps)``; 11, 18, 31 and 45 were seen for eight digits."""
    steps = newton_schulz(spd(condition), tol=1e-8).errors.size
    assert steps == pytest.approx(2 * np.log2(condition) + np.log2(np.log(1e8)), abs=3.5)


@pytest.mark.parametrize("shape", [(20, 8), (8, 20), (12, 12)])
def test_pseudo_inverse(shape):
    rng = np.random.default_rng(0)
    S = rng.standard_normal((shape[0], 6)) @ rng.standard_normal((6, shape[1]))
    found = newton_schulz(S)
    assert found.M.shape == shape[::-1]
    np.testing.assert_allclose(found.M, np.linalg.pinv(S, rcond=1e-10), atol=1e-9)
    np.testing.assert_array_equal(newton_schulz(np.zeros(shape)).M, 0)


def test_refused():
    with pytest.raises(ValueError, match=r"S has shape \(3,\)"):
        newton_schulz(np.ones(3))
    with pytest.raises(ValueError, match="finite matrix"):
        newton_schulz([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"M has shape \(2, 3\).*\(3, 2\)"):
        newton_schulz(np.ones((2, 3)), np.ones((2, 3)))
    np.testing.assert_allclose(newton_schulz([[1, 1, 1], [1, 1, 1]]).M, np.ones((3, 2)) / 6, rtol=1e-15)


def test_converges_for_starts_below_two_over_the_square_and_not_beyond():
    S = spd(20)
    size = np.linalg.norm(S, 2) ** 2
    assert newton_schulz(S, 1.99 * S / size).converged
    assert not newton_schulz(S, 2.01 * S / size).converged


def test_contraction_is_the_norm():
    S = spd(30)
    M = np.linalg.inv(S + 0.02 * np.eye(30))
    wanted = np.linalg.norm(np.eye(30) - M @ S, 2)
    assert 0.8 * wanted <= contraction(S, M, 60) <= wanted * (1 + 1e-12)
    assert contraction(S, np.linalg.inv(S)) < 1e-12


class TestTracker:
    def test_corrects_small_changes_and_factorises_large_ones(self):
        metric = as_metric(None, 30)
        tracker = InverseTracker(steps=2).start()
        S, b = spd(50), np.random.default_rng(1).standard_normal(30)
        changes = [S, 1.05 * S, 1.1 * S, 5 * S]
        for A in changes:
            apply = tracker.at_point(Dense(A), None, metric).at(1e-3, metric)
            x = apply(b)
            assert np.linalg.norm(A @ x + 1e-3 * x - b) <= 1e-4 * np.linalg.norm(b)
        assert (tracker.factorised, tracker.corrected) == (2, 2)

    def test_a_shift_is_a_change_too(self):
        metric = as_metric(np.linspace(1, 2, 30), 30)
        tracker = InverseTracker().start()
        preconditioner = tracker.at_point(Dense(spd(50)), None, metric)
        for lam in (1e-2, 1e-2, 1.02e-2, 10.0):
            preconditioner.at(lam, metric)
        assert (tracker.factorised, tracker.corrected) == (2, 1)

    def test_saves_factorisations_in_a_run(self):
        """The shift of the method halves and doubles: corrected where it moves by less than half."""
        problem = PROBLEMS["logistic-breast-cancer"]()
        trackers = []

        class Watched(InverseTracker):
            def start(self):
                trackers.append(super().start())
                return trackers[-1]

        run = GradNormSmooth(curvature=exact.using("cg", preconditioner=Watched())).minimize(problem, gtol=1e-10)
        assert run.success
        assert trackers[0].corrected >= 2
        assert trackers[0].factorised + trackers[0].corrected <= run.nsolve
        assert run.nhessp <= 2.5 * run.nsolve

    @pytest.mark.parametrize(("options", "says"), [({"accept": 1.0}, "accept=1.0"), ({"steps": -1}, "steps=-1")])
    def test_bad_settings(self, options, says):
        with pytest.raises(ValueError, match=says):
            InverseTracker(**options)
