r"""Equality-constrained optimisation: ``min f(x)`` subject to ``c(x) = 0``.

=====================  ==================================================================
`AdaSketchNewton`      the solver, in two modes
`ConstrainedProblem`   an objective and constraints
`Equalities`           constraints by callables, `LinearEqualities` by matrix, `Stacked`
`KKTStatus`            how a run ended
=====================  ==================================================================

==============================  =======================================  ====================
symbol in papers                meaning                                  in code
==============================  =======================================  ====================
``L = f + y'c``                 Lagrangian                               ``p.gL, p.H``
``G``                           Jacobian of c                            ``p.G``
``F = (g_L, c)``                KKT residual                             ``p.F`` (its norm)
``Gamma``                       ``[[B, G'], [G, 0]]``                    ``Gamma``
``L_eta``                       exact augmented Lagrangian               `AugmentedLagrangian`
==============================  =======================================  ====================
"""

from gnsopt.constrained.adasketch_newton import AdaSketchNewton
from gnsopt.constrained.constraints import Constraints, Equalities, LinearEqualities, Stacked
from gnsopt.constrained.merit import AugmentedLagrangian, Fletcher
from gnsopt.constrained.point import KKTPoint, Primal, Work
from gnsopt.constrained.problem import ConstrainedProblem
from gnsopt.constrained.status import KKTStatus

__all__ = [
    "AdaSketchNewton",
    "AugmentedLagrangian",
    "ConstrainedProblem",
    "Constraints",
    "Equalities",
    "Fletcher",
    "KKTPoint",
    "KKTStatus",
    "LinearEqualities",
    "Primal",
    "Stacked",
    "Work",
]
