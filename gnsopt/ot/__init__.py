r"""Entropic and sparsity-constrained optimal transport.

    minimise  <C, P> + reg sum_ij P_ij log P_ij      over  P >= 0,  P 1 = a,  P'1 = b

``ot.solve(a, b, C, reg=...)`` is all that most users need. Potentials are in units of the cost,

    P_ij = exp((phi_i + psi_j - C_ij)/reg),

whatever the method; ``reg`` is the epsilon of OTT and GeomLoss, the reg of POT, 1/eta of Sinkhorn-Newton-Sparse. It
gives smooth plans, potentials and gradients. For the bare cost of a small problem an exact solver of the linear program
(``scipy.optimize.linear_sum_assignment``, POT's network simplex) is faster than any small reg.

===================  ===============================================================================================
`solve`              the solution, with plan, values, bounds and certificates; ``rho=`` unbalanced, ``constraints=``
`Problem`            data and checks
costs                `CostMatrix` (stored), `PointCloud` (computed by blocks, O(n + m) memory), `Grid` (images)
`round_plan`         a plan next to a given one that has the marginals exactly
gradients            `value_gradients`, `point_gradients`; of the plan: `plan_vjp`, `plan_jvp`
divergence           `sinkhorn_divergence`, debiased
methods              `Auto`, `Newton`, `Sinkhorn`, `SinkhornNewtonSparse`: solvers over `SemiDual` or `Dual`
`sparsity_constrained`  plans with at most k sources for each target
===================  ===============================================================================================
"""

import importlib
from typing import TYPE_CHECKING

from gnsopt.ot.auto import Auto
from gnsopt.ot.constrained import Constraint
from gnsopt.ot.divergence import Divergence, sinkhorn_divergence
from gnsopt.ot.dual import Dual
from gnsopt.ot.geometry import CostMatrix, Geometry, PointCloud
from gnsopt.ot.gradients import Gradients, plan_jvp, plan_vjp, point_gradients, value_gradients
from gnsopt.ot.grid import Grid
from gnsopt.ot.newton import Newton
from gnsopt.ot.problem import Infeasible, Problem
from gnsopt.ot.result import Interval, NotConverged, OTResult
from gnsopt.ot.rounding import round_plan
from gnsopt.ot.semidual import SemiDual
from gnsopt.ot.sinkhorn import Sinkhorn
from gnsopt.ot.sns import SinkhornNewtonSparse
from gnsopt.ot.solve import METHODS, solve

__all__ = [
    "METHODS",
    "Auto",
    "Constraint",
    "CostMatrix",
    "Divergence",
    "Dual",
    "Geometry",
    "Gradients",
    "Grid",
    "Infeasible",
    "Interval",
    "Newton",
    "NotConverged",
    "OTResult",
    "PointCloud",
    "Problem",
    "SemiDual",
    "Sinkhorn",
    "SinkhornNewtonSparse",
    "plan_jvp",
    "plan_vjp",
    "point_gradients",
    "round_plan",
    "sinkhorn_divergence",
    "solve",
    "sparsity_constrained",
    "value_gradients",
]

if TYPE_CHECKING:  # a __getattr__ that type checkers saw would give a type to every misspelt name
    from gnsopt.ot.sparsity import sparsity_constrained
else:

    def __getattr__(name):
        """Import what is needed less often at its first use."""
        if name == "sparsity_constrained":
            return importlib.import_module("gnsopt.ot.sparsity").sparsity_constrained
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
