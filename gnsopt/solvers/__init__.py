"""The solvers, one paper's algorithm a file, and the table of their names."""

from gnsopt.solver import Solver
from gnsopt.solvers import schedules
from gnsopt.solvers.accelerated_newton import AcceleratedNewton
from gnsopt.solvers.adaptive import Adaptive
from gnsopt.solvers.consensus import ConsensusHopping, consensus_based
from gnsopt.solvers.cubic_newton import CubicNewton
from gnsopt.solvers.extrapolated_newton import ExtrapolatedNewton
from gnsopt.solvers.fast_gradient_method import FastGradientMethod
from gnsopt.solvers.grad_norm_smooth import GradNormSmooth
from gnsopt.solvers.gradient_method import GradientMethod
from gnsopt.solvers.gradient_transport import GradientTransport
from gnsopt.solvers.least_squares_layer import LeastSquaresLayer
from gnsopt.solvers.levenberg_marquardt import LevenbergMarquardt
from gnsopt.solvers.line_newton import LineNewton
from gnsopt.solvers.momentum import HeavyBall, Nesterov, RobustMomentum, SpectralMomentum, TripleMomentum
from gnsopt.solvers.super_newton import SuperNewton
from gnsopt.solvers.target_surrogate import TargetSurrogate

SOLVERS: dict[str, type[Solver]] = {
    "gns": GradNormSmooth,
    "line-newton": LineNewton,
    "super-newton": SuperNewton,
    "cubic-newton": CubicNewton,
    "gradient": GradientMethod,
    "fast-gradient": FastGradientMethod,
    "accelerated-newton": AcceleratedNewton,
    "extrapolated-newton": ExtrapolatedNewton,
    "levenberg-marquardt": LevenbergMarquardt,
    "heavy-ball": HeavyBall,
    "nesterov": Nesterov,
    "triple-momentum": TripleMomentum,
    "robust-momentum": RobustMomentum,
    "spectral-momentum": SpectralMomentum,
    "adaptive": Adaptive,
    "target-surrogate": TargetSurrogate,
    "consensus-hopping": ConsensusHopping,
    "gradient-transport": GradientTransport,
}

__all__ = [
    "SOLVERS",
    "AcceleratedNewton",
    "Adaptive",
    "ConsensusHopping",
    "CubicNewton",
    "ExtrapolatedNewton",
    "FastGradientMethod",
    "GradNormSmooth",
    "GradientMethod",
    "GradientTransport",
    "HeavyBall",
    "LeastSquaresLayer",
    "LevenbergMarquardt",
    "LineNewton",
    "Nesterov",
    "RobustMomentum",
    "SpectralMomentum",
    "SuperNewton",
    "TargetSurrogate",
    "TripleMomentum",
    "consensus_based",
    "schedules",
]
