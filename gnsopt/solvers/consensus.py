r"""Consensus methods: values of f only, weighed by ``exp(-alpha f)``.

The consensus point of a cloud is ``v = sum_i w_i v_i exp(-alpha f(v_i)) / sum_i w_i exp(-alpha f(v_i))``.

`ConsensusHopping`   ``x_{k+1}`` is the consensus point of the normal law around ``x_k`` [1]. On a quadratic with
                     Hessian H it is the proximal step ``x - (I/tau + H)^{-1} g`` with ``tau = alpha sigma^2``, exactly.
`consensus_based`    particles that drift to their consensus point under noise [2], for global minimisation.

References
----------
[1] Riedl, Klock, Geldhauser, Fornasier, "Gradient is all you need?", 2306.09778.
[2] Carrillo, Jin, Li, Zhu, "A consensus-based global optimization method for high dimensional machine learning
problems", ESAIM: COCV 27 (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, as_seed, shown
from gnsopt.exceptions import StepFailure
from gnsopt.globalization import decrease
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver, check_x0

NODES = 200_000  # of a tensor grid at the most (chosen)
MOST = 1e7  # steps of a cloud, at the most (chosen)


@dataclass(frozen=True)
class ConsensusHopping(Solver):
    r"""Consensus hopping (method ``"consensus-hopping"``), which uses no gradient but to stop.

    With `sigma` and `alpha` it is the method of the paper. Without them, which is ours, the law is taken along one
    coordinate at a time by three Gauss-Hermite nodes, ``2 n + 1`` values of f for a step (exact for separable f up to
    the quadrature); each coordinate has a tau and a sigma of its own: tau falls until
    ``f(x) - f(v) >= sum_j (v - x)_j^2/(4 tau_j)``, and sigma follows the length of the steps.

    Parameters
    ----------
    sigma : float, optional
        Standard deviation of the cloud.
    alpha : float, optional
        Inverse temperature. Both or neither are given.
    nodes : int or str, default="quadrature:9"
        Of the method of the paper: a number of random normal points, or the tensor grid of ``"quadrature:k"``, k
        Gauss-Hermite nodes in each direction, which is exact in the limit and deterministic.
    seed : int, default=0
        Seed of the random points.
    max_trials : int, default=60
        Trials of tau at the most.
    """

    requires_gradient: ClassVar[bool] = False
    order: ClassVar[int] = 1

    sigma: Any = None
    alpha: Any = None
    nodes: Any = "quadrature:9"
    seed: int = 0
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if not (self.sigma is None and self.alpha is None):
            for name in ("sigma", "alpha"):
                value = getattr(self, name)
                if not (isinstance(value, Real) and 0 < as_number(value, name) < np.inf):
                    both = f"sigma={shown(self.sigma)} and alpha={shown(self.alpha)}"
                    raise ValueError(f"{both} must be positive numbers, or both None")
                object.__setattr__(self, name, float(value))
        text = shown(self.nodes) if not isinstance(self.nodes, str) else self.nodes
        count = text.removeprefix("quadrature:")
        if not (count.isdigit() and len(count) < 10 and 1 <= int(count) <= (100 if count != text else NODES)):
            choices = "a number of random points or 'quadrature:k', 1 <= k <= 100"
            raise ValueError(f"nodes={shown(self.nodes)} must be {choices}")

    def descends(self, problem: Objective) -> bool:
        """Return whether f never rises: without `sigma` and `alpha`."""
        return self.sigma is None

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the consensus points with ``sigma`` and ``tau``."""
        if self.sigma is None:
            yield from self._along_coordinates(x)
        rng = np.random.default_rng(self.seed)
        while True:
            xi, w = self._cloud(x.x.size, rng)
            values = np.array([x.at(x.x + self.sigma * row).f for row in xi])
            x = x.at(x.x + self.sigma * (xi.T @ softmin(values, self.alpha, w)))
            if not x.finite:
                raise StepFailure("f is not finite at the consensus point")
            yield x, {"sigma": self.sigma, "tau": self.alpha * self.sigma**2}

    def _cloud(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return normal points, or the tensor grid of the quadrature, and their weights."""
        if not str(self.nodes).startswith("quadrature:"):
            return rng.standard_normal((int(self.nodes), n)), np.ones(int(self.nodes))
        nodes, weights = hermegauss(int(str(self.nodes).removeprefix("quadrature:")))
        if nodes.size**n > NODES:
            raise ValueError(f"nodes={self.nodes!r}: a grid in {n} variables is too large; take a number of points")
        return np.array(list(product(nodes, repeat=n))), np.array([np.prod(w) for w in product(weights, repeat=n)])

    def _along_coordinates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        sigma, tau = np.full(x.x.size, 0.1), np.ones(x.x.size)
        while True:
            promised = np.inf
            for trial in range(1, self.max_trials + 1):
                if trial % 8 == 1:
                    sigma = sigma if trial == 1 else sigma / 16
                    E = self._values(x, FAR * sigma)
                h, tau = hop(E, sigma, tau)
                with np.errstate(over="ignore", invalid="ignore"):
                    bound = float(np.sum(h * h / tau)) / 4
                promised = bound if bound > 0 and not np.isfinite(promised) else promised  # by the first trial
                y = x.at(x.x + h)
                if bound > 0 and decrease(x, y) >= bound and y.finite:
                    break
                tau = tau / 2
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            x, used, was = y, tau, sigma
            tau, sigma = 2 * tau, np.clip(np.abs(h), SIGMA_MIN * np.maximum(1.0, np.abs(x.x)), 4 * sigma)
            yield x, {"sigma": float(was.max()), "tau": float(used.max()), "trials": trial}

    def _values(self, x: Point, distance: Array) -> Array:
        """Return f at ``x + distance_j e_j``, x and ``x - distance_j e_j``, shape (3, n)."""
        E = np.full((3, x.x.size), x.f)
        for j, e in enumerate(np.diag(distance)):
            E[0, j], E[2, j] = x.at(x.x + e).f, x.at(x.x - e).f
        return E


FAR = float(np.sqrt(3.0))  # the nodes of three-point Gauss-Hermite quadrature are 0 and +- this
WEIGHTS = np.array([1.0, 4.0, 1.0])[:, None] / 6
CENTRE = 0.85  # weight of the middle node: 2/3 for f linear, 0.85 where tau H_jj = 2/3 (chosen)
SIGMA_MIN = 1e-6  # of the size of x: below, differences of f are rounding (chosen)


def hop(E: Array, sigma: Array, tau: Array) -> tuple[Array, Array]:
    """Return the step to the consensus point of three nodes on each coordinate, with the tau that it was taken for.

    Where the middle node has nearly all of the weight, a valley lies between the others and the quadrature does not
    see it: tau is halved there.

    Parameters
    ----------
    E : ndarray of shape (3, n)
        Values of f at the nodes.
    sigma, tau : ndarray of shape (n,)
        Deviation and proximal step of each coordinate.

    Returns
    -------
    h : ndarray of shape (n,)
        The step.
    tau : ndarray of shape (n,)
        As used.
    """
    for _ in range(200):
        w = softmin(E, tau / sigma**2, WEIGHTS)
        if not np.any(blind := w[1] > CENTRE):
            break
        tau = np.where(blind, tau / 2, tau)
    return FAR * sigma * (w[0] - w[2]), tau


def softmin(values: Array, alpha: Array | float, weights: Array | float = 1.0) -> Array:
    """Return ``w_i exp(-alpha f_i) / sum_j w_j exp(-alpha f_j)`` along the first axis; values not finite get 0.

    Parameters
    ----------
    values : ndarray of shape (m, ...)
        Values ``f_i``.
    alpha : ndarray or float
        Inverse temperature.
    weights : ndarray or float, default=1.0
        Weights ``w_i``.

    Returns
    -------
    ndarray of shape (m, ...)
        The weights of the consensus point.
    """
    values = np.where(np.isfinite(values), values, np.inf)
    least = np.min(values, axis=0)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        w = weights * np.exp(-alpha * np.where(np.isfinite(values), values - least, np.inf))
        return np.asarray(w / np.sum(w, axis=0))


@dataclass(frozen=True)
class Consensus:
    """Where particles agreed.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Consensus point at the end.
    fun : float
        Its value.
    nfev : int
        Values of f that were used.
    spread : ndarray of shape (steps + 1,)
        Root mean square distance of the particles from their mean, along the run.
    """

    x: Array
    fun: float
    nfev: int
    spread: Array


def consensus_based(
    fun: Callable[[Array], float],
    x0: ArrayLike,
    *,
    deviation: float = 4.0,
    particles: int = 100,
    drift: float = 1.0,
    noise: float = 1.6**0.5,
    anisotropic: bool = True,
    alpha: float = 1000.0,
    dt: float = 0.01,
    T: float = 10.0,
    seed: int = 0,
) -> Consensus:
    r"""Minimise `fun` globally by ``dV = -drift (V - v) dt + noise |V - v| dW`` for a cloud around `x0`.

    The mean of the squared distances falls when ``2 drift > noise^2``, with isotropic noise ``2 drift > n noise^2``.

    Parameters
    ----------
    fun : callable
        ``fun(x)``, a number or an array of one; values that are not finite count as infinite.
    x0 : array_like of shape (n,)
        Mean of the particles at the beginning.
    deviation : float, default=4.0
        Their standard deviation.
    particles : int, default=100
        How many.
    drift, noise : float, default=1.0, sqrt(1.6)
        Of the equation.
    anisotropic : bool, default=True
        Noise of the size of each component of ``V - v``, rather than of its norm.
    alpha : float, default=1000.0
        Inverse temperature of the consensus point v.
    dt, T : float, default=0.01, 10.0
        Time step and end.
    seed : int, default=0
        Seed of all that is random.

    Returns
    -------
    Consensus
        The consensus point, to be polished by any solver.

    Raises
    ------
    ValueError
        If an argument is out of range, `fun` returns no number, or not one of its values at the particles is finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gnsopt.solvers import consensus_based
    >>> found = consensus_based(lambda x: np.sum(x**2 - 10 * np.cos(2 * np.pi * x)), [2.0, 2.0], dt=0.05, T=5.0)
    >>> bool(np.max(np.abs(found.x)) < 0.01)
    True
    """
    x0 = as_array(check_x0(x0, None), "x0")
    if not callable(fun):
        raise TypeError(f"fun={shown(fun)} is not callable; pass fun(x), which returns a number")
    for name, value in (("deviation", deviation), ("drift", drift), ("alpha", alpha), ("dt", dt), ("T", T)):
        if not 0 < as_number(value, name) < np.inf:
            raise ValueError(f"{name}={shown(value)} must be positive and finite")
    whole = isinstance(particles, int | np.integer) and 2 <= particles < 2**48
    if not (0 <= as_number(noise, "noise") < np.inf and whole):
        both = f"noise={shown(noise)} must be at least 0 and particles={shown(particles)} an integer of at least 2"
        raise ValueError(both)
    deviation, drift, alpha, dt, T, noise = map(float, (deviation, drift, alpha, dt, T, noise))
    if T / dt > MOST:
        raise ValueError(f"T={T} over dt={dt} makes more than {MOST:.0e} steps; take a larger dt")
    rng = np.random.default_rng(as_seed(seed))
    V = x0 + deviation * rng.standard_normal((particles, x0.size))
    steps, cure = round(T / dt), f"change x0, deviation={deviation} or dt={dt}"
    spread = np.empty(steps + 1)
    for step in range(steps + 1):
        if not np.isfinite(V).all():
            raise ValueError(f"the particles leave the range of float64 in step {step}; {cure}")
        values = np.array([_number(fun(row.copy())) for row in V])
        if not np.isfinite(values).any():
            raise ValueError(f"fun has no finite value at the {particles} particles of step {step}; {cure}")
        v = V.T @ softmin(values, alpha)
        with np.errstate(over="ignore"):
            spread[step] = np.sqrt(np.mean((V - V.mean(axis=0)) ** 2) * x0.size)
        if step < steps:
            away = V - v
            size = np.abs(away) if anisotropic else np.linalg.norm(away, axis=1, keepdims=True)
            with np.errstate(over="ignore", invalid="ignore"):
                V = V - drift * dt * away + noise * np.sqrt(dt) * size * rng.standard_normal(V.shape)
    return Consensus(v, _number(fun(v.copy())), particles * (steps + 1) + 1, spread)


def _number(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"fun returned {value!r}; it must return one real number")
    return float(array.reshape(-1)[0])
