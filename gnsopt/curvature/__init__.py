r"""Curvature models: callables ``Point -> Curvature``; every one works in every solver.

===========================  =========================  ===========================================================
in the papers                name                       matrix
===========================  =========================  ===========================================================
exact Hessian                ``exact``                  ``hess f``; ``auto`` takes it for convex problems
weighted Gauss-Newton        ``gauss_newton``           `LogSumExp`: ``A' diag(pi) A / mu`` (`Composite`: ``outer=``)
Gauss-Newton + Fisher term   ``gauss_newton``           powers of a residual: ``r^{p-2} J'J + (p-2) r^{-p} g g'``
generalised Gauss-Newton     ``gauss_newton``           `Composite`: ``J' (hess phi) J``; linear models, where it is
                                                        the exact Hessian: ``A' (hess loss) A + l2``
Fisher term alone            ``fisher``                 powers of a residual: ``(p-2) r^{-p} g g'``
empirical Fisher             ``fisher``                 sums of losses: ``sum_i w_i grad l_i grad l_i'`` (+ l2)
exact diagonal               ``diagonal``               ``diag(max(diag(hess f), 0))``
zero matrix                  ``zero``                   0: normalised gradient steps
projected Hessian            ``projected``              positive part; ``projected:absolute``: absolute value
top-k spectral               ``topk:k``                 k largest eigenvalues, clipped at zero
lazy                         ``lazy:m``                 any of them, kept for m steps
subsampled                   ``subsampled:fraction``    that of a fixed subset of rows
Newton sketch                ``sketch``, ``sketch:m``   its sum over rows sketched anew at each point; the size grows
random subspace              ``subspace:k``             the Hessian in k random directions, one eigenvalue for the rest
secant                       ``secant``, `BFGS()`       quasi-Newton updates; ``secant:sr1``
M-FAC                        ``mfac``                   rank-one sum of per-sample gradients; ``mfac:m``: of the last m
                                                        gradients; ``mfac:gauss_newton``: the true Fisher matrix
K-FAC                        ``kfac``                   Kronecker factors of dense layers; ``kfac:fisher``: empirical
MKOR                         ``mkor``, ``mkor:r``       averages of Kronecker factors of rank r
TrAct                        ``tract``                  one-sided Kronecker factors; ``tract:first``: of the first layer
Hutchinson's diagonal        ``hutchinson``             8 products with random signs (``hutchinson:p``: p of them);
                                                        ``row_norm``: the limit of AdaHessian's
AdaHessian, Sophia           ``adahessian``/``sophia`` their diagonals; Sophia's clips each variable's step
fixed majoriser              ``majorizer``              Boehning and Lindsay's bound, factorised once
===========================  =========================  ===========================================================

Each of `FromProblem`, `Lazy`, `Projected`, `TopK`, `Subsampled`, `Secant` states its inexactness: the constants of
``|hess f - H|_* <= C1 + C2 |g|_*^{1 - beta}``. `gnsopt.diagnostics.inexactness` measures them along a run.
"""

from gnsopt.curvature.base import Build, Curvature, CurvatureModel, start
from gnsopt.curvature.diagonals import AdaHessian, Hutchinson, RowNorm, Sophia
from gnsopt.curvature.kronecker import MKOR, Kronecker
from gnsopt.curvature.majorizer import Majorizer
from gnsopt.curvature.merging import merge
from gnsopt.curvature.models import (
    NAMES,
    FromProblem,
    Lazy,
    auto,
    diagonal,
    exact,
    fisher,
    gauss_newton,
    lazy,
    load_curvatures,
    projected,
    resolve,
    secant,
    sketch,
    zero,
)
from gnsopt.curvature.rank_one_sum import RankOneSum
from gnsopt.curvature.secant import Secant
from gnsopt.curvature.sketched import RandomSubspace, Sketched
from gnsopt.curvature.spectral import Projected, TopK
from gnsopt.curvature.subsampled import Subsampled

__all__ = [
    "MKOR",
    "NAMES",
    "AdaHessian",
    "Build",
    "Curvature",
    "CurvatureModel",
    "FromProblem",
    "Hutchinson",
    "Kronecker",
    "Lazy",
    "Majorizer",
    "Projected",
    "RandomSubspace",
    "RankOneSum",
    "RowNorm",
    "Secant",
    "Sketched",
    "Sophia",
    "Subsampled",
    "TopK",
    "auto",
    "diagonal",
    "exact",
    "fisher",
    "gauss_newton",
    "lazy",
    "load_curvatures",
    "merge",
    "projected",
    "resolve",
    "secant",
    "sketch",
    "start",
    "zero",
]
