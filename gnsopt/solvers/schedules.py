r"""Step sizes fixed before the run, for ``Adaptive(lr=...)``: arrays with one entry for each iteration.

For f convex with subgradients bounded by B and ``|x_1 - x*| <= R``:

`linear_decay`   ``h_k = R (N + 1 - k)/(B (N + 1)^{3/2})`` gives ``f(x_{N+1}) - f* <= B R/sqrt(N + 1)``, which no method
                 can better on that class [1]
`from_weights`   ``h_t = w_t sum_{p > t} w_p / sum_p w_p``: any weights make a schedule for the last iterate, with
                 ``f(x_T) - f* <= (R^2 + sum_t w_t^2 |g_t|^2)/(2 sum_t w_t)`` [2, Theorem 1]; see `bound`
`refined`        that with weights ``1/|g_t|^2`` from the norms of an earlier run, smoothed [2]
`cosine_power`   between the cosine (power 1) and a fall that is steep at first [3]

References
----------
[1] Zamani, Glineur, "Exact convergence rate of the last iterate in subgradient methods", 2307.11134.
[2] Defazio, Cutkosky, Mehta, Mishchenko, "When, why and how much? Adaptive learning rate scheduling by refinement",
2310.07831.
[3] Hundt, Jain, Hager, "sharpDARTS: faster and more accurate differentiable architecture search", 1903.09900.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown


def linear_decay(N: int, R: float = 1.0, B: float = 1.0) -> Array:
    """Return the optimal step sizes of N subgradient steps, falling linearly.

    Parameters
    ----------
    N : int
        Steps.
    R : float, default=1.0
        Distance of the start from a minimiser.
    B : float, default=1.0
        Bound of the subgradients.

    Returns
    -------
    ndarray of shape (N,)
        ``R (N + 1 - k)/(B (N + 1)^{3/2})`` for k = 1, ..., N.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    _check_steps(N)
    R, B = as_number(R, "R"), as_number(B, "B")
    if not (0 < R < np.inf and 0 < B < np.inf):
        raise ValueError(f"R={R} and B={B} must be positive and finite")
    return np.asarray(R / B * np.arange(N, 0, -1) / (N + 1) ** 1.5)


def from_weights(w: ArrayLike) -> Array:
    """Return the step sizes for which the last iterate inherits the regret of the weights `w`.

    Parameters
    ----------
    w : array_like of shape (T,)
        Weights, positive.

    Returns
    -------
    ndarray of shape (T,)
        ``w_t sum_{p > t} w_p / sum_p w_p``; the last entry is 0.
    """
    w = _positive(w, "w")
    after = np.append(np.cumsum(w[::-1])[::-1][1:], 0.0)
    return np.asarray(w * (after / w.sum()))


def bound(w: ArrayLike, norms: ArrayLike, R: float) -> float:
    """Return ``(R^2 + sum_t w_t^2 |g_t|^2)/(2 sum_t w_t)``, which ``f(x_T) - f*`` cannot exceed.

    Parameters
    ----------
    w : array_like of shape (T,)
        Weights, positive, fixed before the run; the steps are those of `from_weights`.
    norms : array_like of shape (T,)
        Norms of the subgradients ``g_1, ..., g_T`` of that run.
    R : float
        Distance of the start from a minimiser.

    Returns
    -------
    float
        The bound.

    Raises
    ------
    ValueError
        If a weight is not positive, the lengths differ, a norm is negative or not finite, or R is.
    """
    w, G = _positive(w, "w"), as_array(norms, "norms", finite=False)
    R = as_number(R, "R")
    if G.shape != w.shape or not (np.isfinite(G).all() and np.all(G >= 0)):
        raise ValueError(f"norms has shape {G.shape}; it must hold {w.size} finite numbers >= 0, one for each weight")
    if not 0 <= R < np.inf:
        raise ValueError(f"R={R} must be a finite number >= 0")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = float((np.square(R) + np.sum((w * G) ** 2)) / (2 * w.sum()))
    if not np.isfinite(value):
        raise ValueError(f"w, norms and R={R} leave the range of float64; rescale them")
    return value


def refined(norms: ArrayLike, *, power: int = 2, width: float = 0.1) -> Array:
    """Return the schedule that the gradient norms of an earlier run suggest, with largest entry 1.

    Parameters
    ----------
    norms : array_like of shape (T,)
        Norms of its gradients, positive: Euclidean for the gradient method, l1 for Adam and its kin.
    power : int, default=2
        Weights are ``1/norms^power``: 2 for the gradient method, 1 for l1 norms.
    width : float, default=0.1
        Width of the median filter as a part of T, made odd; the ends are reflected. 0 takes the norms as they are.

    Returns
    -------
    ndarray of shape (T,)
        Step sizes up to a factor; the last one is 0.

    Raises
    ------
    ValueError
        If a norm is not positive, there are fewer than two, `power` is not finite, or `width` is not in [0, 1).
    """
    G, width = _positive(norms, "norms"), as_number(width, "width")
    power = as_number(power, "power")  # type: ignore[assignment]
    if G.size < 2 or not 0 <= width < 1:
        raise ValueError(f"norms holds {G.size} entries, at least 2 are needed; width={width} must lie in [0, 1)")
    if not abs(power) <= 100:
        raise ValueError(f"power={power} must be finite, and at most 100 in size")
    smooth = median_filter(G, size=2 * int(width * G.size / 2) + 1, mode="mirror")
    steps = from_weights((smooth / smooth.min()) ** -float(power))
    return np.asarray(steps / steps.max())


def cosine_power(N: int, first: float = 0.1, last: float = 1e-4, power: float = 10.0) -> Array:
    """Return step sizes that fall from `first` towards `last` along a power of a cosine.

    With ``p_k = (1 + cos(pi k/N))/2`` they are ``last + (first - last) (P^{p_k + 1} - P)/(P^2 - P)``; P = 1 stands for
    the limit, the cosine itself.

    Parameters
    ----------
    N : int
        Steps.
    first, last : float, default=0.1, 1e-4
        Where the steps begin and what they would reach at step N.
    power : float, default=10.0
        P, positive.

    Returns
    -------
    ndarray of shape (N,)
        The steps for k = 0, ..., N - 1.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    _check_steps(N)
    first, last, power = as_number(first, "first"), as_number(last, "last"), as_number(power, "power")
    if not (0 < power < np.inf and 0 <= last <= first < np.inf):
        raise ValueError(f"power={power}, first={first}, last={last} must satisfy power > 0 and 0 <= last <= first")
    p = (1 + np.cos(np.pi * np.arange(N) / N)) / 2
    q = p if power == 1 else np.expm1(p * np.log(power)) / (power - 1)
    return np.asarray(last + (first - last) * q)


def _check_steps(N: Any) -> None:
    if not (isinstance(N, int | np.integer) and 1 <= N < 2**48):
        raise ValueError(f"N={shown(N)} must be an integer of at least 1")


def _positive(values: ArrayLike, name: str) -> Array:
    out = as_array(values, name, finite=False)
    if out.ndim != 1 or out.size == 0 or not (np.isfinite(out).all() and np.all(out > 0)):
        raise ValueError(f"{name} must be a sequence of positive numbers; drop what is zero or not finite")
    return out
