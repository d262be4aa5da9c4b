r"""L-BFGS-B on f with implicit gradients of a fixed accuracy: SciPy's method, for comparison and for easy problems.

Each value and gradient is that of a lower solve to ``|grad h| <= accuracy |grad h(x_0, theta_0)|``, with an adjoint of
the same relative accuracy. A fixed accuracy either wastes work or, where the slope sinks into its error, stalls the
line search: what `MaidQN` avoids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import Bounds, minimize

from gnsopt._typing import Array
from gnsopt.bilevel.hypergradient import Evaluation, Oracle
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run


@dataclass(frozen=True)
class Implicit(Method):
    """SciPy's L-BFGS-B with implicit gradients of a fixed accuracy (``"implicit"``).

    Parameters
    ----------
    accuracy : float, default=1e-8
        Lower gradient relative to the first one, and residual of the adjoint relative to the upper gradient.
    corrected : bool, default=True
        Whether the line search sees corrected values V; else g at the lower iterate.
    memory : int, default=10
        Pairs that L-BFGS-B keeps.
    lower_solver : str or Solver, default="newton"
        As in `MaidQN`.
    linear : str, default="auto"
        How linear systems are solved.
    forcing : float, default=0.1
        Relative residual of inexact lower Newton steps.
    """

    name: ClassVar[str] = "implicit"

    accuracy: float = 1e-8
    corrected: bool = True
    memory: int = 10
    lower_solver: Any = "newton"
    linear: str = "auto"
    forcing: float = 0.1

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        if not 0 < self.accuracy < 1:
            raise ValueError(f"accuracy={self.accuracy} must lie in (0, 1)")

    def play(self, run: Run, accept: Callable[[Iterate], None]) -> None:
        """Hand the start and SciPy's iterates to `accept`."""
        oracle = Oracle(run, self.lower_solver, self.linear, self.forcing)
        now = oracle.at(run.theta)
        scale = now.start

        def solve(now: Evaluation) -> None:
            for block in now.blocks:
                block.solve(self.accuracy * scale)
                block.adjoint(self.accuracy * float(np.linalg.norm(block.gx)))

        def fun(theta: Array) -> tuple[float, Array]:
            nonlocal now
            if not np.array_equal(theta, now.theta):
                now = oracle.at(run.clip(theta), now)
                solve(now)
            value = now.V if self.corrected else float(np.mean([block.g for block in now.blocks]))
            return value, now.z

        def callback(theta: Array) -> None:
            fun(theta)
            accept(now.iterate())

        solve(now)
        accept(now.iterate())
        end = minimize(  # type: ignore[call-overload]
            fun,
            run.theta,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(run.lower, run.upper),
            callback=callback,
            options={"maxcor": self.memory, "gtol": 0.0, "ftol": 0.0, "maxiter": 10**9, "maxfun": 10**9},
        )
        raise EndOfRun("accuracy-floor" if end.status != 1 else "budget")
