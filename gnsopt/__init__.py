"""Deterministic full-batch solvers for convex and non-convex problems.

==================  ============================================  =======================
symbol in papers    meaning                                       in code
==================  ============================================  =======================
``x, x+``           current and trial point                       ``x, y`` (`Point`)
``f, g, H``         value, gradient, (approximate) Hessian        ``x.f, x.g, H``
``B``               metric of the norms                           ``metric=``
``lambda, gamma``   damping, radius: ``lambda = |g|_*/gamma``     ``lam, gamma``
``A, a_i``          design and its rows                           ``design``
``mu``              smoothing of log-sum-exp                      ``mu``
``tau``             penalty ``tau/2 |x|^2``                       ``l2``
==================  ============================================  =======================

Three doors: ``GradNormSmooth(...).minimize(problem)``, ``gnsopt.minimize(problem_or_fun, ...)`` and
``scipy.optimize.minimize(..., method=GradNormSmooth())``. All losses are means over samples.
"""

import importlib
from typing import TYPE_CHECKING

from gnsopt import blocks, constrained, curvature, datasets
from gnsopt.blocks import RowBlocks
from gnsopt.checkpoint import Checkpoint
from gnsopt.constrained import AdaSketchNewton, ConstrainedProblem
from gnsopt.linalg.metric import Metric, gram_metric
from gnsopt.minimize import minimize
from gnsopt.objective import Objective
from gnsopt.point import Counts, Point
from gnsopt.problems import (
    ChebyshevChain,
    Composite,
    LinearModel,
    Logistic,
    LogSumExp,
    NonlinearEquations,
    PoissonRegression,
    PolytopeFeasibility,
    ResidualPower,
    Rosenbrock,
    RosenbrockEquations,
    Softmax,
    SquaredLoss,
    WorstCaseChain,
)
from gnsopt.solver import Solver
from gnsopt.solvers import (
    SOLVERS,
    AcceleratedNewton,
    CubicNewton,
    ExtrapolatedNewton,
    FastGradientMethod,
    GradientMethod,
    GradNormSmooth,
    LineNewton,
    SuperNewton,
)
from gnsopt.stopping import GradientNorm, MaxIterations, MaxTime, Status, Target

__version__ = "0.1.0"

__all__ = [
    "SOLVERS",
    "AcceleratedNewton",
    "AdaSketchNewton",
    "ChebyshevChain",
    "Checkpoint",
    "Composite",
    "ConstrainedProblem",
    "Counts",
    "CubicNewton",
    "ExtrapolatedNewton",
    "FastGradientMethod",
    "GradNormSmooth",
    "GradientMethod",
    "GradientNorm",
    "LineNewton",
    "LinearModel",
    "LogSumExp",
    "Logistic",
    "MaxIterations",
    "MaxTime",
    "Metric",
    "NonlinearEquations",
    "Objective",
    "Point",
    "PoissonRegression",
    "PolytopeFeasibility",
    "ResidualPower",
    "Rosenbrock",
    "RosenbrockEquations",
    "RowBlocks",
    "Softmax",
    "Solver",
    "SquaredLoss",
    "Status",
    "SuperNewton",
    "Target",
    "WorstCaseChain",
    "__version__",
    "blocks",
    "constrained",
    "curvature",
    "datasets",
    "gram_metric",
    "minimize",
]

if TYPE_CHECKING:  # a __getattr__ that type checkers saw would give a type to every misspelt name
    from gnsopt import bilevel as bilevel
    from gnsopt import diagnostics as diagnostics
    from gnsopt import estimators as estimators
    from gnsopt import ot as ot
    from gnsopt import plotting as plotting
    from gnsopt import registry as registry
    from gnsopt import testing as testing
else:

    def __getattr__(name):
        """Import a package that is needed less often, or takes a while to load, at its first use."""
        if name in ("bilevel", "diagnostics", "estimators", "ot", "plotting", "registry", "testing"):
            return importlib.import_module(f"gnsopt.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
