"""Curvature table x problem table x metrics (identity, diagonal, dense: inside the check), and each linear solver."""

import numpy as np
import pytest

from gnsopt import LinearModel, curvature
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.forms import Gram
from gnsopt.point import Point
from gnsopt.problems import MLP
from gnsopt.registry import CURVATURES, PROBLEMS
from gnsopt.testing import check_curvature

LAYERED = ("kfac", "kfac:fisher", "mkor", "mkor:2", "tract", "tract:first")
DIRECT = ("cholesky", "tridiagonal", "spectral")


def no_sum(problem):
    """Whether the Hessian is no sum over rows of a design."""
    return not isinstance(Point(problem, problem.start()).hess(), Gram)


REFUSES = {  # model: (where it must refuse, what its refusal says)
    "gauss_newton": (lambda problem: not problem.offers("gauss_newton"), "gauss_newton.*it offers"),
    "fisher": (lambda problem: not problem.offers("fisher"), "fisher.*it offers"),
    "diagonal": (lambda problem: not problem.offers("hess"), "no diagonal; return an array"),
    "subsampled:0.5": (lambda problem: not isinstance(problem, LinearModel), "needs a linear model.*use "),
    "sketch": (no_sum, "needs a .*use "),
    "sketch:5": (no_sum, "needs a .*use "),
    "mfac": (lambda problem: not problem.offers("fisher"), "fisher.*it offers"),
    "mfac:gauss_newton": (lambda problem: not problem.offers("gauss_newton"), "gauss_newton.*it offers"),
    **dict.fromkeys(LAYERED, (lambda problem: not isinstance(problem, LinearModel | MLP), "has no layers.*use ")),
    "majorizer": (lambda problem: not hasattr(problem, "bound"), "has no bound.*use "),
}
MEMORY = {"lazy:3", "secant", "secant:sr1", "sketch", "sketch:5", "subspace:2"}  # the last three: of the step's number
MEMORY |= {"mfac:6", "mkor", "mkor:2", "adahessian"}
LARGE = {"logistic-breast-cancer"}  # the same classes as the smaller ones


def point(name, scale=1.0):
    problem = PROBLEMS[name]()
    return Point(problem, scale * np.random.default_rng(0).standard_normal(problem.n))


@pytest.mark.parametrize("model", CURVATURES)
@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in LARGE])
def test_model_passes(name, model):
    x = point(name)
    lacks, cure = REFUSES.get(model, (lambda problem: False, ""))
    if lacks(x.objective):
        with pytest.raises(MissingRequirement, match=cure):
            curvature.start(CURVATURES[model], x)(x)
    else:
        check_curvature(CURVATURES[model], x, memory=model in MEMORY)


@pytest.mark.parametrize("solver", DIRECT)
@pytest.mark.parametrize(
    "name", ["logistic", "softmax-wide", "logsumexp", "composite", "rosenbrock", "rosenbrock-differences"]
)
def test_direct_solver_passes(name, solver):
    check_curvature(curvature.exact.using(solver), point(name))


@pytest.mark.parametrize("kind", ["hess", "gauss_newton", "fisher"])
@pytest.mark.parametrize("name", ["logistic", "logistic-sparse", "logistic-weighted", "logistic-wide", "softmax-wide"])
def test_row_space_solver_passes(name, kind):
    x = point(name)
    metrics = (None, 3.0, np.geomspace(0.1, 10.0, x.objective.n)) if x.objective.k == 1 else (None, 3.0)
    check_curvature(curvature.FromProblem(kind, "row-space"), x, metrics=metrics)


@pytest.mark.parametrize("theta", [0.25, 1e-4])
@pytest.mark.parametrize("name", ["logistic", "logistic-wide", "softmax-sparse", "logsumexp", "rosenbrock"])
def test_conjugate_gradients_keep_their_promise(name, theta):
    check_curvature(curvature.exact.using("cg", theta=theta, floor=0.0), point(name), theta=theta)


def test_conjugate_gradients_stop_at_their_floor():
    check_curvature(curvature.exact.using("cg", theta=0.1, floor=1e-3), point("logistic"), theta=0.1, floor=1e-3)


@pytest.mark.parametrize("name", ["logistic", "softmax-sparse"])
def test_lazy_curvature_is_stale_within_a_run(name):
    """The other side of ``memory=True``: the check sees that lazy models answer from an earlier point."""
    with pytest.raises(AssertionError, match="^stale: at the second point of a run"):
        check_curvature(curvature.lazy(3), point(name))


def test_lazy_of_one_step_is_fresh():
    check_curvature(curvature.lazy(1), point("logistic"))
