r"""The fixed majoriser [1]: a matrix above the Hessian everywhere, factorised once for a whole run.

For ``f(V) = sum_i w_i l_i(a_i'V) + l2`` with ``hess l_i <= D_i``,

    hess f(V) <= M = A' blockdiag(w_i D_i) A + l2  for all V,
    D = 1/4 (logistic),   (I - 1 1'/k) / 2 (softmax),   1 (squared: the Hessian itself),

so that ``f(x + h) <= f(x) + <g, h> + <M h, h>/2``: the step ``-M^{-1} g`` never raises f, with any shift either.

References
----------
[1] Boehning, Lindsay, "Monotonicity of quadratic-approximation algorithms", Ann. Inst. Statist. Math. 40 (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import METHODS, Engine
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.forms import Gram
from gnsopt.point import Point


@dataclass(frozen=True)
class Majorizer:
    r"""``A' blockdiag(w_i D_i) A + l2``, the same matrix for the whole run.

    Parameters
    ----------
    solver : {"auto", "cholesky", "tridiagonal", "spectral", "row-space", "cg"}, default="auto"
        How shifted systems are solved.

    Notes
    -----
    The inexactness is ``|hess f - M|_* <= C1 = |M|_*``, C2 = 0: a linear rate, with one factorisation.
    """

    solver: str = "auto"

    def __post_init__(self) -> None:
        """Refuse unknown solvers."""
        settle(self)
        if self.solver not in METHODS:
            raise ValueError(f"solver={self.solver!r} is unknown; choose one of {METHODS}")

    def using(self, solver: str) -> Majorizer:
        """Return the same model with another linear solver."""
        return Majorizer(solver)

    def start(self, x: Point) -> Build:
        """Build the matrix and begin a run; refuse problems without a bound on their curvature."""
        bound = getattr(x.objective, "bound", None)
        if bound is None:
            raise MissingRequirement(
                f"{type(x.objective).__name__} has no bound on its Hessian: curvature 'majorizer' needs Logistic, "
                "Softmax or SquaredLoss; use curvature='exact' or 'gauss_newton'"
            )
        form: Gram = bound()
        engine = Engine(self.solver, theta=0.25, floor=1e-8, max_products=20_000)
        kept: Curvature | None = None

        def build(x: Point) -> Curvature:
            nonlocal kept
            if kept is None:
                kept = Curvature(form, engine.attach(form, x, "fixed majoriser"), x.counts)
            return kept

        return build
