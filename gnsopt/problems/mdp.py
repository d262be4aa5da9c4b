r"""Policy optimisation in a finite Markov decision process, all expectations exact.

    pi_sa = softmax_a(x_s),  P_pi, r_pi the chain and the rewards of pi,  V = (I - gamma P_pi)^{-1} r_pi,
    Q = r + gamma P V,  A = Q - V,  w = (I - gamma P_pi')^{-1} rho         (expected discounted visits)

    f(x) = -rho'V,   df/dx_sa = -w_s pi_sa A_sa,   Fisher = blockdiag((1 - gamma) w_s (diag pi_s - pi_s pi_s'))

f is not convex, but every stationary point at which all states are visited is reached at infinity, at the value that
policy iteration finds: `certified_optimum`. The natural gradient ascent direction is ``A/(1 - gamma)`` up to a constant
for each state; from the uniform policy T steps of size eta along it leave at most
``log(actions)/(eta T) + 1/((1 - gamma)^2 T)`` for rewards in [0, 1] [1].

References
----------
[1] Agarwal, Kakade, Lee, Mahajan, "On the theory of policy gradient methods", JMLR 22 (2021).
[2] Fatkhullin, Barakat, Kireeva, He, "Stochastic policy gradient methods: improved sample complexity for
Fisher-non-degenerate policies", 2302.01734.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lu_factor, lu_solve
from scipy.special import softmax

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.objective import Objective


@dataclass
class Evaluation:
    """A policy and what it earns.

    Parameters
    ----------
    pi : ndarray of shape (S, A)
        The policy.
    chain : tuple
        LU factors of ``I - gamma P_pi``.
    V, w : ndarray of shape (S,)
        Values and expected discounted visits of the states.
    advantage : ndarray of shape (S, A)
        ``Q - V``.
    """

    pi: Array
    chain: Any
    V: Array
    w: Array
    advantage: Array


@dataclass(frozen=True)
class Optimum:
    """An optimal deterministic policy.

    Parameters
    ----------
    value : float
        Its expected reward ``rho'V*``: no policy has more than `value` plus `gap`.
    gap : float
        Bound by the Bellman residual, ``max_sa |Q - V|_+ / (1 - gamma)``.
    policy : ndarray of shape (S,)
        The action in each state.
    V : ndarray of shape (S,)
        Its values.
    iterations : int
        Of policy iteration.
    """

    value: float
    gap: float
    policy: Array
    V: Array
    iterations: int


class TabularMDP(Objective):
    """Minus the expected discounted reward of a softmax policy; variables are the scores (S, A) in a row.

    Parameters
    ----------
    P : array_like of shape (S, A, S)
        Transition probabilities ``P[s, a, t]`` from s to t.
    r : array_like of shape (S, A)
        Rewards.
    gamma : float, default=0.9
        Discount in [0, 1).
    rho : array_like of shape (S,), optional
        Law of the first state; uniform by default.

    Raises
    ------
    ValueError
        If shapes differ, a law does not add up to 1 or gamma is out of range.

    Examples
    --------
    >>> import gnsopt
    >>> from gnsopt.problems import TabularMDP
    >>> process = TabularMDP.random(20, 5)
    >>> best = process.certified_optimum().value
    >>> print(f"{best:.4f} {-gnsopt.minimize(process, method='gns').fun:.4f}")
    8.5184 8.5184
    """

    def __init__(self, P: ArrayLike, r: ArrayLike, gamma: float = 0.9, rho: ArrayLike | None = None) -> None:
        self.P: Array = as_array(P, "P", finite=False).copy()
        self.r: Array = as_array(r, "r", finite=False).copy()
        if self.P.ndim != 3 or self.r.ndim != 2 or self.P.size == 0 or self.P.shape != (*self.r.shape, self.r.shape[0]):
            raise ValueError(f"P has shape {self.P.shape} and r {self.r.shape}; they must be (S, A, S) and (S, A)")
        S = self.r.shape[0]
        self.rho: Array = np.full(S, 1 / S) if rho is None else as_array(rho, "rho", finite=False).copy()
        laws = [self.P.reshape(-1, S), self.rho[None]]
        if self.rho.shape != (S,) or not all(
            np.all(law >= 0) and np.all(abs(law.sum(axis=1) - 1) <= 1e-10) for law in laws
        ):
            raise ValueError("P and rho must hold laws: not negative, each adding up to 1")
        self.gamma, self.n = as_number(gamma, "gamma"), self.r.size
        if not (np.isfinite(self.r).all() and 0 <= self.gamma < 1):
            raise ValueError(f"r must be finite and gamma={shown(gamma)} lie in [0, 1)")

    @classmethod
    def random(cls, states: int, actions: int, gamma: float = 0.9, seed: int = 0) -> TabularMDP:
        """Return a process of uniform rewards in [0, 1] and transitions drawn from the flat law on the simplex.

        Parameters
        ----------
        states, actions : int
            Numbers of states and actions.
        gamma : float, default=0.9
            Discount.
        seed : int, default=0
            Seed.

        Returns
        -------
        TabularMDP
            The process.
        """
        rng = np.random.default_rng(seed)
        P = rng.exponential(size=(states, actions, states))
        return cls(P / P.sum(axis=2, keepdims=True), rng.random((states, actions)), gamma)

    def evaluate(self, pi: Array) -> Evaluation:
        """Return values, visits and advantages of a policy.

        Parameters
        ----------
        pi : ndarray of shape (S, A)
            Probabilities of the actions.

        Returns
        -------
        Evaluation
            What it earns.
        """
        chain = lu_factor(np.eye(len(pi)) - self.gamma * np.einsum("sa,sat->st", pi, self.P))
        V = lu_solve(chain, np.sum(pi * self.r, axis=1))
        w = lu_solve(chain, self.rho, trans=1)
        return Evaluation(pi, chain, V, w, self.r + self.gamma * self.P @ V - V[:, None])

    def prepare(self, x: Array) -> Evaluation | None:
        """Return the evaluation of the policy of the scores `x`; None where they are not finite."""
        return self.evaluate(softmax(x.reshape(self.r.shape), axis=1)) if np.isfinite(x).all() else None

    def fun(self, x: Array, z: Evaluation | None) -> float:
        """Return ``-rho'V``."""
        return np.nan if z is None else -float(self.rho @ z.V)

    def grad(self, x: Array, z: Evaluation | None) -> Array:
        """Return ``-w_s pi_sa A_sa``."""
        return np.full(self.n, np.nan) if z is None else -(z.w[:, None] * z.pi * z.advantage).ravel()

    def hessp(self, x: Array, z: Evaluation, v: Array) -> Array:
        """Return the product with the Hessian: the derivatives of the two linear solves along `v`."""
        U = v.reshape(self.r.shape)
        dpi = z.pi * (U - np.sum(z.pi * U, axis=1, keepdims=True))
        dP = np.einsum("sa,sat->st", dpi, self.P)
        dV = lu_solve(z.chain, np.sum(dpi * self.r, axis=1) + self.gamma * dP @ z.V)
        dw = lu_solve(z.chain, self.gamma * dP.T @ z.w, trans=1)
        dA = self.gamma * self.P @ dV - dV[:, None]
        return -((dw[:, None] * z.pi + z.w[:, None] * dpi) * z.advantage + z.w[:, None] * z.pi * dA).ravel()

    def fisher(self, x: Array, z: Evaluation) -> Array:
        """Return the Fisher matrix of the policy under its own visits; zero along constants of each state."""
        S, A = self.r.shape
        F = np.zeros((S, A, S, A))
        s = np.arange(S)
        F[s, :, s, :] = z.pi[:, :, None] * (np.eye(A) - z.pi[:, None, :])
        return np.asarray((1 - self.gamma) * z.w[:, None, None, None] * F).reshape(self.n, self.n)

    def natural_gradient(self, z: Evaluation) -> Array:
        """Return ``A/(1 - gamma)``: the natural direction of ascent of the reward.

        Parameters
        ----------
        z : Evaluation
            The policy.

        Returns
        -------
        ndarray of shape (n,)
            The direction, whose product with the Fisher matrix is minus the gradient of f.
        """
        return (z.advantage / (1 - self.gamma)).ravel()

    def certified_optimum(self) -> Optimum:
        """Return an optimal policy by policy iteration, and set `f_star`.

        Returns
        -------
        Optimum
            Its value and the bound of its error.
        """
        actions, k = np.argmax(self.r, axis=1), 0
        while True:
            k += 1
            z = self.evaluate(np.eye(self.r.shape[1])[actions])
            better = np.argmax(z.advantage, axis=1)
            gain = np.take_along_axis(z.advantage, better[:, None], axis=1)[:, 0]
            rounding = 100 * np.finfo(float).eps * (1 + float(np.max(np.abs(z.V))))
            if not np.any(gain > rounding):
                break
            actions = np.where(gain > rounding, better, actions)
        value = float(self.rho @ z.V)
        self.f_star = -value
        return Optimum(value, max(float(gain.max()), 0.0) / (1 - self.gamma), actions, z.V, k)
