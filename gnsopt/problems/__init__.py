"""The papers' objectives, one file each."""

from gnsopt.problems.chebyshev import ChebyshevChain
from gnsopt.problems.linear import LinearModel
from gnsopt.problems.logistic import Logistic
from gnsopt.problems.logsumexp import LogSumExp
from gnsopt.problems.nonlinear_equations import NonlinearEquations
from gnsopt.problems.poisson import PoissonRegression
from gnsopt.problems.polytope import PolytopeFeasibility
from gnsopt.problems.residual_power import ResidualPower
from gnsopt.problems.rosenbrock import Rosenbrock, RosenbrockEquations
from gnsopt.problems.softmax import Softmax
from gnsopt.problems.squared import SquaredLoss
from gnsopt.problems.worst_case import WorstCaseChain

__all__ = [
    "ChebyshevChain",
    "LinearModel",
    "LogSumExp",
    "Logistic",
    "NonlinearEquations",
    "PoissonRegression",
    "PolytopeFeasibility",
    "ResidualPower",
    "Rosenbrock",
    "RosenbrockEquations",
    "Softmax",
    "SquaredLoss",
    "WorstCaseChain",
]
