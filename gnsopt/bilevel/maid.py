r"""MAID: the method of adaptive inexact descent [1], with every option of its release and of the authors' later code.

    input theta, eps, delta, alpha;  rho, nu in (0, 1);  rho_up, nu_up > 1;  0 < lam < eta < 1;  max_backtracks
    repeat
        for j = max_backtracks, max_backtracks + 1, ...
            (x, q, z, w) <- inexact gradient: eps, delta <- nu eps, nu delta until w <= (1 - eta) |z|     [Alg. 3.2]
            for i < j:  theta+ = theta - rho^i alpha z;  x+ <- lower solve to eps
                accept where  U+(x+, eps+) <= U-(x, eps) - lam alpha |z|^2,                               [Lemma 3.5]
                U+- = g +- |grad g| eps +- L_g eps^2 / 2   (convex g: no last term in U-)
            no trial accepted:  eps, delta <- nu eps, nu delta
        alpha <- rho_up alpha;  eps, delta <- nu_up eps, nu_up delta

A lower solve "to eps" is one with ``|grad h| <= mu eps``; its attained accuracy ``|grad h|/mu`` enters all bounds (the
papers use eps: wider, never wrong). With a box, ``alpha |z|^2`` is ``<z, theta - clip(theta - alpha z)>``.

Departures from the authors' release, whose choices the theory does not allow: the bounds use the declared constants,
not guesses from one random perturbation; the value of the current point is that of the accuracy it has now. Near a
stationary point float64 ends the shrinking of eps: the run then ends with status "accuracy-floor", not with an error.

References
----------
[1] Salehi, Mukherjee, Roberts, Ehrhardt, "An adaptively inexact first-order method for bilevel optimization with
    application to hyperparameter learning", SIAM J. Math. Data Sci. 7 (2025), 2308.10098.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gnsopt.bilevel.fields import check_count, check_positive
from gnsopt.bilevel.hypergradient import Evaluation, Oracle
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run

PRESET: Any = "preset"  # stands for the value of the preset: None has a meaning of its own
PAPER = {
    "eps0": 0.1,
    "alpha0": "hoag",
    "eta": 1e-4,
    "lam": 1e-8,
    "rho": 0.5,
    "rho_up": 10 / 9,
    "nu": 0.5,
    "nu_up": 1.05,
    "max_backtracks": 10,
    "max_rounds": 50,
    "test_error": True,
}
PRESETS: dict[str, dict[str, Any]] = {  # where they differ from the paper's
    "paper": {},
    "release": {"eta": 1e-4, "lam": 1e-8, "rho": 0.9, "rho_up": 10 / 9, "nu": 0.5, "nu_up": 1.05, "alpha0": 0.1},
    "later": {
        "eta": 0.5,
        "lam": 0.1,
        "rho": 0.5,
        "rho_up": 1.2,
        "nu": 0.5,
        "nu_up": 1.1,
        "max_backtracks": 20,
        "max_rounds": 50,
        "eps0": None,
        "alpha0": None,
        "test_error": False,
    },
}


@dataclass(frozen=True)
class Maid(Method):
    r"""Method of adaptive inexact descent (``"maid"``).

    Parameters
    ----------
    eps0 : float or None, default=0.1
        First accuracy of the lower solve; None is 0.02 of that of the first lower iterate.
    delta0 : float or None, default=None
        First residual of the adjoint; None is `eps0`.
    alpha0 : float, "hoag" or None, default="hoag"
        First step; ``"hoag"`` is ``sqrt(d)/|z|``, None the step that changes theta by one per cent.
    eta : float, default=1e-4
        The hypergradient is accepted where its error is at most ``(1 - eta) |z|``.
    lam : float, default=1e-8
        Fraction of the decrease in the line search, below `eta`.
    rho, rho_up : float, default=0.5, 10/9
        Factors of the step after a rejected and an accepted trial.
    nu, nu_up : float, default=0.5, 1.05
        Factors of the accuracies after a failure and a success.
    max_backtracks : int, default=10
        Trials of the first line search of an outer step; one more after each failure.
    max_rounds : int, default=50
        Rounds of more accuracy in an outer step at the most.
    test_error : bool, default=True
        Whether the error of the hypergradient is tested before the line search; without it a failed line search alone
        raises the accuracy.
    bound : {"paper", "adjoint"}, default="paper"
        Which bound of that error, see `gnsopt.bilevel.certificates`.
    convex_upper : bool, default=False
        Whether g is convex in x, which sharpens U-.
    reference : float, default=0.0
        Weight eta_r of the Zhang-Hager reference value ``C <- (eta_r Q C + U-)/(eta_r Q + 1)``, with the monotone test
        as fallback; 0 is the monotone method, 0.85 that of the authors' later code.
    barzilai_borwein : bool, default=False
        First trial ``<s, s>/<s, y>`` instead of ``rho_up alpha``.
    fixed : bool, default=False
        Never change the accuracies: the method of fixed accuracy that MAID is compared with.
    preset : {"paper", "release", "later"}, default="paper"
        Where the defaults come from (those above are the paper's); fields that are given by hand win.
    lower_solver : str or Solver, default="fista"
        As in `MaidQN`; ``"fista"`` takes constant steps with the declared ``mu`` and ``L``.
    linear : str, default="cg"
        How linear systems are solved.
    forcing : float, default=0.1
        Relative residual of inexact lower Newton steps.
    """

    name: ClassVar[str] = "maid"
    requires: ClassVar[tuple[str, ...]] = ("upper", "cross_t", "mu", "constants", "J_norm")

    eps0: float | None = PRESET
    delta0: float | None = None
    alpha0: Any = PRESET
    eta: float = PRESET
    lam: float = PRESET
    rho: float = PRESET
    rho_up: float = PRESET
    nu: float = PRESET
    nu_up: float = PRESET
    max_backtracks: int = PRESET
    max_rounds: int = PRESET
    test_error: bool = PRESET
    bound: str = "paper"
    convex_upper: bool = False
    reference: float = 0.0
    barzilai_borwein: bool = False
    fixed: bool = False
    preset: str = "paper"
    lower_solver: Any = "fista"
    linear: str = "cg"
    forcing: float = 0.1

    def __post_init__(self) -> None:
        """Fill in the preset and check the hyper-parameters."""
        if self.preset not in PRESETS:
            raise ValueError(f"preset={self.preset!r} is unknown; choose one of {tuple(PRESETS)}")
        for name, value in {**PAPER, **PRESETS[self.preset]}.items():
            given = getattr(self, name)
            if isinstance(given, str) and given == PRESET:
                object.__setattr__(self, name, value)
        steps = {} if isinstance(self.alpha0, str) and self.alpha0 == "hoag" else {"alpha0": self.alpha0}
        check_positive(eps0=self.eps0, delta0=self.delta0, eta=self.eta, lam=self.lam, forcing=self.forcing, **steps)
        check_positive(rho=self.rho, rho_up=self.rho_up, nu=self.nu, nu_up=self.nu_up)
        check_count(max_backtracks=self.max_backtracks, max_rounds=self.max_rounds)
        if not 0 < self.lam < self.eta < 1:
            raise ValueError(f"lam={self.lam} and eta={self.eta} must satisfy 0 < lam < eta < 1")
        if not (0 < self.rho < 1 and 0 < self.nu < 1 and self.rho_up >= 1 and self.nu_up >= 1):
            raise ValueError("rho and nu must lie in (0, 1), rho_up and nu_up be at least 1")
        if self.bound not in ("paper", "adjoint"):
            raise ValueError(f"bound={self.bound!r} must be 'paper' or 'adjoint'")
        if not (isinstance(self.reference, Real) and 0 <= self.reference < 1):
            raise ValueError(f"reference={self.reference!r} must lie in [0, 1)")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and the accepted iterates, with ``eps_asked``, ``alpha``, ``backtracks``, ``rounds``."""
        oracle = Oracle(run, self.lower_solver, self.linear, self.forcing, self.convex_upper)
        oracle.certified = True  # the method knows no other bounds
        now = oracle.at(run.theta)
        eps = self.eps0
        if eps is None:
            eps = 0.02 * max(b.descent.residual / b.mu for b in now.blocks)
        delta = eps if self.delta0 is None else self.delta0
        eps, delta = self.gradient(now, eps, delta)
        alpha, C, Q = self.first_step(now), -np.inf, 0.0
        yield now.iterate(eps_asked=eps, alpha=np.nan, backtracks=0, rounds=0)
        while True:
            for rounds in range(self.max_rounds):
                if rounds:
                    if self.fixed or (now.exhausted and now.rho > delta):
                        raise EndOfRun("accuracy-floor")
                    eps, delta = self.gradient(now, self.nu * eps, self.nu * delta)
                low = now.sandwich[0]
                Cn = (self.reference * Q * C + low) / (self.reference * Q + 1) if np.isfinite(C) else low
                found = self.line_search(
                    oracle, run, now, eps, delta, alpha, max(Cn, low), self.max_backtracks + rounds
                )
                if found is not None:
                    break
            else:
                raise EndOfRun("accuracy-floor")
            after, step, backtracks = found
            C, Q = Cn, self.reference * Q + 1
            if not self.fixed:
                eps, delta = self.nu_up * eps, self.nu_up * delta
            eps, delta = self.gradient(after, eps, delta)
            alpha = self.next_step(now, after, step)
            now = after
            yield now.iterate(eps_asked=eps, alpha=step, backtracks=backtracks, rounds=rounds)

    def gradient(self, now: Evaluation, eps: float, delta: float) -> tuple[float, float]:
        """Solve to `eps` and `delta`, smaller ones until the error of z is small; return the last ones (Alg. 3.2)."""
        while True:
            for block in now.blocks:
                block.solve(block.mu * eps)
                block.adjoint(delta)
            now._z = None
            if not self.test_error or self.fixed:
                return eps, delta
            error = now.paper_error if self.bound == "paper" else now.error
            if error <= (1 - self.eta) * np.linalg.norm(now.z):
                return eps, delta
            small = error + now.oracle.run.stationarity(now.theta, now.z) <= now.oracle.run.tol
            if small or (now.exhausted and now.rho > delta):
                return eps, delta
            eps, delta = self.nu * eps, self.nu * delta

    def line_search(
        self,
        oracle: Oracle,
        run: Run,
        now: Evaluation,
        eps: float,
        delta: float,
        alpha: float,
        level: float,
        trials: int,
    ) -> tuple[Evaluation, float, int] | None:
        """Return the first trial whose upper bound is below the level, with its step and number, or None."""
        for i in range(trials):
            theta = run.clip(now.theta - alpha * now.z)
            after = oracle.at(theta, now)
            for block in after.blocks:
                block.solve(block.mu * eps)
            if after.sandwich[1] <= level - self.lam * float(now.z @ (now.theta - theta)):
                return after, alpha, i
            alpha *= self.rho
        return None

    def first_step(self, now: Evaluation) -> float:
        """Return the first step."""
        size = max(float(np.linalg.norm(now.z)), 1e-300)
        if self.alpha0 == "hoag":
            return float(np.sqrt(now.theta.size)) / size
        if self.alpha0 is None:
            return 0.01 * max(float(np.linalg.norm(now.theta)), 1.0) / size
        return float(self.alpha0)

    def next_step(self, now: Evaluation, after: Evaluation, alpha: float) -> float:
        """Return the first trial of the next line search."""
        if self.barzilai_borwein:
            s, y = after.theta - now.theta, after.z - now.z
            if s @ y > 0:
                return float(s @ s / (s @ y))
        return self.rho_up * alpha
