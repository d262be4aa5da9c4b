"""The papers' objectives, one file each."""

from gnsopt.problems.chebyshev import ChebyshevChain
from gnsopt.problems.composite import Composite, PseudoHuber, Separable, SmoothMax, Softplus, Squared
from gnsopt.problems.coordinate_differences import CoordinateDifferences
from gnsopt.problems.linear import LinearModel
from gnsopt.problems.logistic import Logistic
from gnsopt.problems.logsumexp import LogSumExp
from gnsopt.problems.matrix_factorization import MatrixFactorization
from gnsopt.problems.mdp import TabularMDP
from gnsopt.problems.mlp import MLP
from gnsopt.problems.modular_addition import ModularAddition
from gnsopt.problems.nonlinear_equations import NonlinearEquations, NormPower
from gnsopt.problems.nonlinear_regression import NonlinearRegression, load_nist
from gnsopt.problems.poisson import PoissonRegression
from gnsopt.problems.polytope import PolytopeFeasibility
from gnsopt.problems.relu_network import TwoLayerReLU
from gnsopt.problems.residual_power import ResidualPower
from gnsopt.problems.rosenbrock import Rosenbrock, RosenbrockEquations
from gnsopt.problems.softmax import Softmax
from gnsopt.problems.squared import SquaredLoss
from gnsopt.problems.worst_case import WorstCaseChain

__all__ = [
    "ChebyshevChain",
    "Composite",
    "CoordinateDifferences",
    "LinearModel",
    "LogSumExp",
    "Logistic",
    "MLP",
    "MatrixFactorization",
    "ModularAddition",
    "NonlinearEquations",
    "NonlinearRegression",
    "NormPower",
    "PoissonRegression",
    "PolytopeFeasibility",
    "PseudoHuber",
    "ResidualPower",
    "Rosenbrock",
    "RosenbrockEquations",
    "Separable",
    "SmoothMax",
    "Softmax",
    "Softplus",
    "Squared",
    "SquaredLoss",
    "TabularMDP",
    "TwoLayerReLU",
    "WorstCaseChain",
    "load_nist",
]
