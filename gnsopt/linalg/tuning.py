r"""Tune one parameter of a linear solver over a sequence of systems, from their costs alone.

A tuner answers ``propose(context)`` with a value of the parameter for the next system and is told of its cost by
``report(cost)``. The context is a number that is known before, such as the shift.

=================  ================================================================================================
`TsallisINF`       a bandit over a grid, without context: as cheap as the best value of the grid, up to O(sqrt(T))
`ChebyshevBandit`  a bandit over a grid whose costs are polynomials of the context: as cheap as the best value for
                   each context
`Binned`           one tuner for each interval of contexts
`Explore`          each value of the grid `tries` times, in a fixed order, then the best: no randomness
=================  ================================================================================================

Where the best value is known in closed form (`gnsopt.linalg.relaxation.best_omega`) none of them is needed.

References
----------
[1] Khodak, Chow, Balcan, Talwalkar, "Learning to relax: setting solver parameters across a sequence of linear system
   instances", ICLR 2024, 2310.02246.
[2] Zimmert, Seldin, "Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits", JMLR 22 (2021).
[3] Foster, Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML 2020.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from gnsopt._typing import Array
from gnsopt.linalg.sketches import keyed

SWEEPS = 5  # of coordinate descent for each fit, which starts at the last one
NEWTON = 20  # steps of Newton's method for the normaliser of Tsallis-INF; it needs four to six


def omega_grid(count: int = 20, lowest: float = 1.0, largest: float = 1.95) -> Array:
    """Return equidistant relaxations.

    Parameters
    ----------
    count : int, default=20
        How many.
    lowest, largest : float, default=1.0, 1.95
        The ends.

    Returns
    -------
    ndarray of shape (count,)
        The grid.
    """
    return np.linspace(lowest, largest, count)


class Tuner(ABC):
    """Chooses one of the values of a grid for each system of a sequence.

    Parameters
    ----------
    grid : sequence of float
        Values.
    """

    def __init__(self, grid: Sequence[float] | Array) -> None:
        self.grid = np.asarray(grid, dtype=float)
        if self.grid.ndim != 1 or self.grid.size == 0:
            raise ValueError(f"grid has shape {self.grid.shape}; it must be a sequence of at least one value")
        self._arm = 0

    def propose(self, context: float = 0.0) -> float:
        """Return the value for the next system."""
        self._arm = self.choose(context)
        return float(self.grid[self._arm])

    @abstractmethod
    def choose(self, context: float) -> int:
        """Return the index of the value for the next system."""

    @abstractmethod
    def report(self, cost: float) -> None:
        """Take note of the cost of the value that was proposed last."""


def tsallis_probabilities(losses: Array, eta: float) -> Array:
    r"""Return ``p_i = 4 / (eta (losses_i - x))^2`` with x such that they sum to one.

    Parameters
    ----------
    losses : ndarray of shape (k,)
        Estimated total losses.
    eta : float
        Learning rate, positive.

    Returns
    -------
    ndarray of shape (k,)
        Probabilities.
    """
    x = float(losses.min()) - 2.0 / eta  # here the sum is one at the least, and Newton's method falls monotonically
    for _ in range(NEWTON):
        p = 4.0 / (eta * (losses - x)) ** 2
        step = (p.sum() - 1.0) / (eta * float((p**1.5).sum()))
        x -= step
        if abs(step) <= 1e-15 * abs(x):
            break
    p = 4.0 / (eta * (losses - x)) ** 2
    return np.asarray(p / p.sum())


class TsallisINF(Tuner):
    """Follow the regularised leader with Tsallis entropy 1/2 and importance-weighted losses: ``eta_t = 2/sqrt(t)``.

    Parameters
    ----------
    grid : sequence of float
        Values.
    seed : int, default=0
        Seed of the choices.
    scale : float, optional
        Costs are divided by it; by default by the mean of the costs so far, less one.
    """

    def __init__(self, grid: Sequence[float] | Array, seed: int = 0, scale: float | None = None) -> None:
        super().__init__(grid)
        self._rng = keyed(seed, "tsallis")
        self._scale = scale
        self._losses = np.zeros(self.grid.size)
        self._t, self._total, self._p = 0, 0.0, np.full(self.grid.size, 1.0 / self.grid.size)

    def choose(self, context: float) -> int:
        """Draw from the regularised leader's distribution."""
        self._t += 1
        mean = self._total / max(self._t - 1, 1) - 1.0
        scale = self._scale if self._scale is not None else (mean if mean > 0 else 1.0)
        self._p = tsallis_probabilities(self._losses / scale, 2.0 / np.sqrt(self._t))
        return int(self._rng.choice(self.grid.size, p=self._p))

    def report(self, cost: float) -> None:
        """Add the cost over its probability."""
        self._total += cost
        self._losses[self._arm] += (cost - 1.0) / self._p[self._arm]


class ChebyshevBandit(Tuner):
    r"""A contextual bandit (SquareCB) whose costs are Chebyshev polynomials of the context.

    Parameters
    ----------
    grid : sequence of float
        Values.
    contexts : tuple of (float, float)
        Interval of the contexts; those outside count as its ends.
    degree : int, default=6
        Degree of the polynomials.
    seed : int, default=0
        Seed of the choices.

    Notes
    -----
    Each value keeps a least-squares fit of ``(cost - 1)/scale`` with ``|theta_0| <= 1/N`` and
    ``|theta_j| <= 2 (b - a) L / (scale j)``, ``K`` the largest cost seen, ``L = K/(b - a)``, ``scale = K N``,
    ``N = 2 + 4 (b - a)(L/K)(1 + log degree)``, by cyclic coordinate descent on its normal equations. The value of least
    prediction gets the probability that the others, ``1/(k + eta gap)``, leave. [1] does not fix eta; here
    ``eta = 2 sqrt(k t / (1/N^2 + S))`` with the squared errors S of the predictions made so far (chosen).
    """

    def __init__(
        self, grid: Sequence[float] | Array, contexts: tuple[float, float], degree: int = 6, seed: int = 0
    ) -> None:
        super().__init__(grid)
        if not contexts[0] < contexts[1]:
            raise ValueError(f"contexts={contexts} must be an interval")
        if degree < 1:
            raise ValueError(f"degree={degree} must be at least 1")
        self._ends, self._degree = contexts, degree
        self._rng = keyed(seed, "chebyshev bandit")
        k, m = self.grid.size, degree + 1
        self._gram, self._right = np.zeros((k, m, m)), np.zeros((k, m))
        self._theta = np.zeros((k, m))
        self._largest, self._t, self._errors = 0.0, 0, 0.0
        self._features, self._guess = np.zeros(m), 0.0

    def choose(self, context: float) -> int:
        """Draw by inverse gaps."""
        a, b = self._ends
        u = min(max(2 * (context - a) / (b - a) - 1, -1.0), 1.0)
        self._features = np.cos(np.arange(self._degree + 1) * np.arccos(u))
        k = self.grid.size
        self._t += 1
        if self._largest == 0.0:
            return int(self._rng.integers(k))
        predicted = self._theta @ self._features
        best = int(np.argmin(predicted))
        eta = 2.0 * np.sqrt(k * self._t / ((self._largest / self._scale()) ** 2 + self._errors))
        p = 1.0 / (k + eta * (predicted - predicted[best]))
        p[best] = 0.0
        p[best] = 1.0 - p.sum()
        arm = int(self._rng.choice(k, p=p))
        self._guess = float(predicted[arm])
        return arm

    def report(self, cost: float) -> None:
        """Update the fit of the value; all fits where the scale changes."""
        value, arm = cost - 1.0, self._arm
        self._gram[arm] += np.outer(self._features, self._features)
        self._right[arm] += value * self._features
        rescaled = cost > self._largest
        if not rescaled:
            self._errors += (value / self._scale() - self._guess) ** 2
        self._largest = max(self._largest, cost)
        for i in range(self.grid.size) if rescaled else (arm,):
            self._fit(i)

    def _scale(self) -> float:
        return self._largest * (2.0 + 4.0 * (1.0 + np.log(self._degree)))

    def _fit(self, arm: int) -> None:
        scale = self._scale()
        bound = 2.0 * self._largest / (scale * np.maximum(np.arange(self._degree + 1), 1.0))
        bound[0] = self._largest / scale  # 1/N
        G, c, theta = self._gram[arm], self._right[arm] / scale, self._theta[arm]
        if G[0, 0] == 0.0:
            return
        for _ in range(SWEEPS):
            for j in range(theta.size):
                if G[j, j] > 0:
                    step = (c[j] - float(G[j] @ theta)) / G[j, j]
                    theta[j] = min(max(theta[j] + step, -bound[j]), bound[j])


class Binned(Tuner):
    """One tuner for each of `bins` equal intervals of contexts.

    Parameters
    ----------
    make : callable
        ``make(i) -> Tuner`` for the i-th interval; all of the same grid.
    contexts : tuple of (float, float)
        The whole interval; contexts outside belong to its ends.
    bins : int, default=5
        How many.
    """

    def __init__(self, make: Callable[[int], Tuner], contexts: tuple[float, float], bins: int = 5) -> None:
        if not (contexts[0] < contexts[1] and bins >= 1):
            raise ValueError(f"contexts={contexts} must be an interval, and bins={bins} at least 1")
        self._tuners = [make(i) for i in range(bins)]
        super().__init__(self._tuners[0].grid)
        self._ends, self._used = contexts, 0

    def propose(self, context: float = 0.0) -> float:
        """Return the value of the interval's tuner."""
        a, b = self._ends
        bins = len(self._tuners)
        self._used = min(max(int(bins * (context - a) / (b - a)), 0), bins - 1)
        return self._tuners[self._used].propose(context)

    def choose(self, context: float) -> int:
        """Return the index of the value of the interval's tuner."""
        return self._tuners[self._used].choose(context)

    def report(self, cost: float) -> None:
        """Tell the tuner that proposed."""
        self._tuners[self._used].report(cost)


class Explore(Tuner):
    """Each value of the grid `tries` times, in the order of the grid; then always the one of least mean cost.

    Parameters
    ----------
    grid : sequence of float
        Values.
    tries : int, default=1
        Trials of each value.
    """

    def __init__(self, grid: Sequence[float] | Array, tries: int = 1) -> None:
        super().__init__(grid)
        if tries < 1:
            raise ValueError(f"tries={tries} must be at least 1")
        self._tries = tries
        self._counts, self._totals = np.zeros(self.grid.size), np.zeros(self.grid.size)

    def choose(self, context: float) -> int:
        """Return the next value to be tried, or the best one."""
        if self._counts.min() < self._tries:
            return int(np.argmin(self._counts))
        return int(np.argmin(self._totals / self._counts))

    def report(self, cost: float) -> None:
        """Update the mean."""
        self._counts[self._arm] += 1
        self._totals[self._arm] += cost


def golden_section(cost: Callable[[float], float], lowest: float, largest: float, tol: float = 0.01) -> float:
    """Return the minimiser of a unimodal cost, with values in steps such as iteration counts, to `tol`.

    Parameters
    ----------
    cost : callable
        ``cost(value)``.
    lowest, largest : float
        The interval.
    tol : float, default=0.01
        Length of the interval at which to stop.

    Returns
    -------
    float
        The best value that was tried.
    """
    ratio = (np.sqrt(5.0) - 1) / 2
    a, b = lowest, largest
    tried: dict[float, float] = {}

    def at(value: float) -> float:
        if value not in tried:
            tried[value] = cost(value)
        return tried[value]

    c, d = b - ratio * (b - a), a + ratio * (b - a)
    while b - a > tol:
        if at(c) <= at(d):
            b, d = d, c
            c = b - ratio * (b - a)
        else:
            a, c = c, d
            d = a + ratio * (b - a)
    at(c)
    return min(tried, key=lambda value: (tried[value], value))
