r"""Curvature by secant updates: SciPy's quasi-Newton strategies as they are.

A strategy keeps a matrix with ``H_{k+1} (x_{k+1} - x_k) = g_{k+1} - g_k``, from gradients alone:

    BFGS:  H+ = H - (H s)(H s)'/<s, H s> + y y'/<s, y>,         s = x+ - x,   y = g(x+) - g(x),
    SR1:   H+ = H + (y - H s)(y - H s)'/<s, y - H s>.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import BFGS, HessianUpdateStrategy

from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import Engine
from gnsopt.curvature.spectral import MODES, attached, check_room, project
from gnsopt.linalg.forms import Dense
from gnsopt.point import Point

STRATEGY: type = HessianUpdateStrategy  # a class, which scipy-stubs declare as a protocol
DIRECT = ("auto", "cholesky", "tridiagonal", "spectral")


@dataclass(frozen=True)
class Secant:
    r"""A quasi-Newton matrix, updated with the steps and gradient differences of the run.

    Parameters
    ----------
    strategy : scipy.optimize.HessianUpdateStrategy, optional
        ``BFGS()`` (the default), ``SR1()`` or one's own, with its settings. It is never changed: each run initialises
        a copy with ``initialize(n, "hess")``.
    mode : {"clip", "absolute"}, default="clip"
        Projection of a matrix that is not positive definite (SR1), see `Projected`.
    solver : {"auto", "cholesky", "tridiagonal", "spectral"}, default="auto"
        How shifted systems with a positive definite matrix are solved.

    Notes
    -----
    The matrix is the identity until the first update, which rescales it (``init_scale="auto"``). Updates are taken
    between the points at which the model is called: the accepted ones. No Hessian is evaluated, so ``nhev`` and
    ``nhessp`` stay 0.

    This is outside the theory of gradient-normalised smoothness: ``|hess f - H|_*`` has no bound of the form
    ``C1 + C2 |g|_*^{1 - beta}`` that holds in general. `gnsopt.diagnostics.inexactness` fits one along a run.

    References
    ----------
    [1] Nocedal, Wright, "Numerical optimization", 2nd edition (2006), pp. 140-146.
    """

    strategy: Any = None
    mode: str = "clip"
    solver: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what is no strategy, no mode, or no direct solver."""
        settle(self)
        if self.strategy is not None and not isinstance(self.strategy, STRATEGY):
            cure = "pass an instance, BFGS()" if isinstance(self.strategy, type) else "pass BFGS() or SR1()"
            raise TypeError(f"strategy={self.strategy!r} is not a HessianUpdateStrategy of scipy.optimize: {cure}")
        if self.mode not in MODES:
            raise ValueError(f"mode={self.mode!r} is unknown; choose one of {sorted(MODES)}")
        if self.solver not in DIRECT:
            raise ValueError(f"solver={self.solver!r}: a secant matrix is dense; choose one of {DIRECT}")

    def start(self, x: Point) -> Build:
        """Begin a run with a fresh copy of the strategy."""
        n, name = x.x.size, type(self.strategy).__name__ if self.strategy is not None else "BFGS"
        check_room(n, f"curvature {name}")
        strategy = BFGS() if self.strategy is None else copy.deepcopy(self.strategy)
        strategy.initialize(n, "hess")
        engine = Engine(self.solver, theta=0.25, floor=0.0, max_products=0)  # direct: the accuracies are not used
        last: Point | None = None

        def build(x: Point) -> Curvature:
            nonlocal last
            if last is not None:
                s, y = x.x - last.x, x.g - last.g
                if np.any(s) and np.any(y):  # SciPy warns of y = 0, which says nothing
                    strategy.update(s, y)
            last = x
            H = Dense(np.array(strategy.get_matrix(), dtype=float))
            if lapack.dpotrf(H.lower(), lower=1, overwrite_a=1, clean=0)[1] == 0:
                return Curvature(H, engine.attach(H, x, name), x.counts)
            form = project(H.lower(), x.metric, self.mode)
            return attached(form, x, f"{name}, its {MODES[self.mode]} by dense eigendecomposition")

        return build
