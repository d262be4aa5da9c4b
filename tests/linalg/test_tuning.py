"""Tuners: their probabilities, their regret on known costs, and omega over shifted systems."""

import numpy as np
import pytest

from gnsopt.linalg.tuning import (
    Binned,
    ChebyshevBandit,
    Explore,
    TsallisINF,
    golden_section,
    omega_grid,
    tsallis_probabilities,
)

GRID = np.linspace(1.0, 1.9, 6)


def play(tuner, cost, contexts):
    """Costs of the proposals over a sequence of contexts."""
    total = []
    for c in contexts:
        total.append(cost(tuner.propose(c), c))
        tuner.report(total[-1])
    return np.array(total)


class TestTsallis:
    @pytest.mark.parametrize("eta", [2.0, 0.1, 1e-3])
    def test_probabilities(self, eta):
        """They sum to one, are the formula's, and minimise ``<p, losses> - (4/eta) sum sqrt p``."""
        losses = np.array([3.0, 0.0, 500.0, 1.0])
        p = tsallis_probabilities(losses, eta)
        assert p.sum() == pytest.approx(1, abs=1e-14)
        x = losses - 2 / (eta * np.sqrt(p))  # one number for all
        np.testing.assert_allclose(x, x[0], rtol=1e-9)
        assert x[0] <= losses.min() - 2 / eta

        def value(q):
            return q @ losses - 4 / eta * np.sqrt(q).sum()

        rng = np.random.default_rng(0)
        for _ in range(50):
            q = 0.99 * p + 0.01 * rng.dirichlet(np.ones(4))
            assert value(p) <= value(q)

    def test_finds_the_best_arm(self):
        rng = np.random.default_rng(0)
        costs = play(TsallisINF(GRID), lambda w, c: 20 + 60 * abs(w - 1.54) + rng.integers(5), np.zeros(4000))
        best = 20 + 60 * 0.0 + 2
        assert costs[:200].mean() > best + 5
        assert costs[-1000:].mean() < best + 2.5

    def test_its_regret_is_below_the_bound(self):
        """Two values of costs in [0, 1] (scale 1): the pseudo-regret is at most ``4 sqrt(k T) + 1``."""
        T, regret = 2000, []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            tuner = TsallisINF([0.0, 1.0], seed=seed, scale=1.0)
            gaps = 0.0
            for _ in range(T):
                arm = tuner.propose()
                tuner.report(float(rng.random() < (0.4 if arm == 0 else 0.6)))
                gaps += 0.2 * arm
            regret.append(gaps)
        assert np.mean(regret) <= 4 * np.sqrt(2 * T) + 1
        assert np.mean(regret) < 0.25 * 0.1 * T

    def test_same_seed_same_choices(self):
        def cost(w, c):
            return 10 * w

        runs = [play(TsallisINF(GRID, seed=s), cost, np.zeros(50)) for s in (0, 0, 1)]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0], runs[2])


class TestContexts:
    def cost(self, w, c):
        """The best value moves with the context, from 1.0 to 1.9."""
        return 20 + 100 * (w - 1.0 - 0.9 * c) ** 2

    def contexts(self, T, seed=0):
        return np.random.default_rng(seed).random(T)

    @pytest.mark.parametrize(
        "tuner",
        [
            lambda: ChebyshevBandit(GRID, (0.0, 1.0)),
            lambda: Binned(lambda i: TsallisINF(GRID, seed=i), (0.0, 1.0), 5),
            lambda: Binned(lambda i: Explore(GRID, 3), (0.0, 1.0), 5),
        ],
        ids=["chebyshev", "binned tsallis", "binned exploration"],
    )
    def test_are_used(self, tuner):
        """In the end cheaper than the best single value, which costs 28 in the mean."""
        contexts = self.contexts(4000)
        fixed = min(np.mean([self.cost(w, c) for c in contexts]) for w in GRID)
        assert play(tuner(), self.cost, contexts)[-1000:].mean() < fixed - 2
        blind = play(TsallisINF(GRID), self.cost, contexts)[-1000:].mean()
        assert blind > fixed - 0.5

    def test_the_fit_is_the_bounded_least_squares(self):
        tuner = ChebyshevBandit(GRID, (0.0, 1.0), degree=3)
        contexts = self.contexts(300)
        play(tuner, self.cost, contexts)
        for arm in range(GRID.size):
            theta, G, c = tuner._theta[arm], tuner._gram[arm], tuner._right[arm] / tuner._scale()
            slope = G @ theta - c
            bound = 2 * tuner._largest / (tuner._scale() * np.maximum(np.arange(4), 1))
            bound[0] = tuner._largest / tuner._scale()
            assert np.all(np.abs(theta) <= bound)
            inside = np.abs(theta) < bound * (1 - 1e-9)
            np.testing.assert_allclose(slope[inside], 0, atol=1e-4 * np.abs(c).max())
            assert np.all(slope[~inside] * theta[~inside] <= 1e-9)

    def test_contexts_outside_of_the_interval_are_its_ends(self):
        tuner = Binned(lambda i: Explore([float(i)]), (0.0, 1.0), 4)
        assert [tuner.propose(c) for c in (-5.0, 0.1, 0.6, 99.0)] == [0.0, 0.0, 2.0, 3.0]
        play(ChebyshevBandit(GRID, (0.0, 1.0)), self.cost, [-3.0, 7.0, 0.5])


def test_exploration_is_deterministic():
    tuner = Explore([3.0, 1.0, 2.0], tries=2)
    assert play(tuner, lambda w, c: w, np.zeros(9)).tolist() == [3, 1, 2, 3, 1, 2, 1, 1, 1]


def test_golden_section():
    calls = []

    def cost(w):
        calls.append(w)
        return np.ceil(40 * abs(w - 1.62) + 7)

    assert golden_section(cost, 1.0, 1.95) == pytest.approx(1.62, abs=0.04)
    assert len(calls) <= 13
    assert len(set(calls)) == len(calls)


def test_grid():
    np.testing.assert_allclose(omega_grid(20)[[0, 1, -1]], [1.0, 1.05, 1.95])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TsallisINF([]), "grid has shape"),
        (lambda: Explore([1.0], 0), "tries=0"),
        (lambda: ChebyshevBandit(GRID, (1.0, 1.0)), "must be an interval"),
        (lambda: ChebyshevBandit(GRID, (0.0, 1.0), degree=0), "degree=0"),
        (lambda: Binned(lambda i: Explore(GRID), (0.0, 1.0), 0), "bins=0"),
    ],
)
def test_bad_settings(make, says):
    with pytest.raises(ValueError, match=says):
        make()
