"""The solvers, one paper's algorithm a file, and the table of their names."""

from gnsopt.solver import Solver
from gnsopt.solvers.accelerated_newton import AcceleratedNewton
from gnsopt.solvers.cubic_newton import CubicNewton
from gnsopt.solvers.extrapolated_newton import ExtrapolatedNewton
from gnsopt.solvers.fast_gradient_method import FastGradientMethod
from gnsopt.solvers.grad_norm_smooth import GradNormSmooth
from gnsopt.solvers.gradient_method import GradientMethod
from gnsopt.solvers.super_newton import SuperNewton

SOLVERS: dict[str, type[Solver]] = {
    "gns": GradNormSmooth,
    "super-newton": SuperNewton,
    "cubic-newton": CubicNewton,
    "gradient": GradientMethod,
    "fast-gradient": FastGradientMethod,
    "accelerated-newton": AcceleratedNewton,
    "extrapolated-newton": ExtrapolatedNewton,
}

__all__ = [
    "SOLVERS",
    "AcceleratedNewton",
    "CubicNewton",
    "ExtrapolatedNewton",
    "FastGradientMethod",
    "GradNormSmooth",
    "GradientMethod",
    "SuperNewton",
]
