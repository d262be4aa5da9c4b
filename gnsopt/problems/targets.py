r"""Problems seen from their targets: ``f(x) = loss(Z(x)) + ridge/2 |x|^2``, Z what a model predicts (scores, outputs).

==================  ==================================================================
`LinearTargets`     linear models: ``Z = A V``, linear
`NetworkTargets`    `MLP`: the outputs of the last layer
`Variables`         any other problem: the variables themselves
==================  ==================================================================

All arrays U, Z and M have the shape of the targets; ``J`` is the derivative of Z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.rows import DiagonalRows, Rows, WeightRows
from gnsopt.linalg.structured import Diagonal
from gnsopt.objective import Objective
from gnsopt.problems.linear import LinearModel, Scores
from gnsopt.problems.mlp import MLP, NetworkForm, Pass


class Targets(ABC):
    """A problem as a loss of targets.

    Attributes
    ----------
    linear : bool
        Whether Z is linear in x.
    ridge : ndarray of shape (n,)
        Penalty of each variable.
    weight : ndarray
        Weights of the targets: the inner product of their space, in which a mean of losses has the curvature of one
        loss.
    """

    linear: bool
    ridge: Array
    weight: Array

    @abstractmethod
    def loss_gradient(self, z: Any) -> Array:
        """Return the gradient of the loss in the targets, from the shared work of the problem."""

    @abstractmethod
    def loss_hessian(self, z: Any) -> Rows:
        """Return the Hessian of the loss in the targets."""

    @abstractmethod
    def change(self, z: Any, x: Array, y: Array) -> tuple[Array, Any]:
        """Return ``Z(y) - Z(x)`` and the work at y that `pullback` and `pulled_back` need."""

    @abstractmethod
    def pullback(self, work: Any, U: Array) -> Array:
        """Return ``J' U``."""

    @abstractmethod
    def pulled_back(self, work: Any, rows: Rows) -> Form:
        """Return ``J' rows J + ridge``; of order n/k where the k outputs share one matrix."""

    def diagonal(self, M: Array) -> Rows:
        """Return the matrix ``diag(M)`` of the space of the targets."""
        return WeightRows(M) if M.ndim == 1 else DiagonalRows(M)


class LinearTargets(Targets):
    """The scores of a linear model.

    Parameters
    ----------
    problem : LinearModel
        The model.
    """

    linear = True

    def __init__(self, problem: LinearModel) -> None:
        self.problem, self.ridge = problem, problem.ridge
        w = problem.weight
        self.weight = w if problem.k == 1 else np.repeat(w[:, None], problem.k, axis=1)

    def loss_gradient(self, z: Scores) -> Array:
        """Return the residual."""
        return z.R

    def loss_hessian(self, z: Scores) -> Rows:
        """Return the blocks of the Hessian."""
        return self.problem.rows(z)

    def change(self, z: Scores, x: Array, y: Array) -> tuple[Array, None]:
        """Return ``A (y - x)``, without cancellation."""
        h = y - x
        return self.problem.design.matvec(h if self.problem.k == 1 else h.reshape(-1, self.problem.k)), None

    def pullback(self, work: Any, U: Array) -> Array:
        """Return ``A' U``."""
        return self.problem.design.rmatvec(U).reshape(-1)

    def pulled_back(self, work: Any, rows: Rows) -> Form:
        """Return ``A' rows A + ridge``; one matrix for all outputs where they have the same weights."""
        problem = self.problem
        if isinstance(rows, DiagonalRows) and np.all(rows.M == rows.M[:, :1]):
            return Gram(problem.design, WeightRows(rows.M[:, 0].copy()), problem.ridge[:: problem.k].copy())
        return Gram(problem.design, rows, problem.ridge)


class NetworkTargets(Targets):
    """The outputs of a network.

    Parameters
    ----------
    problem : MLP
        The network.
    """

    def __init__(self, problem: MLP) -> None:
        self.problem, self.ridge = problem, problem.ridge
        self.linear = len(problem.shapes) == 1
        self.weight = np.repeat(problem.weight[:, None], problem.k, axis=1)

    def loss_gradient(self, z: Pass) -> Array:
        """Return the gradient in the outputs."""
        return z.R

    def loss_hessian(self, z: Pass) -> Rows:
        """Return the blocks of the Hessian in the outputs."""
        return self.problem.outer(z)

    def change(self, z: Pass, x: Array, y: Array) -> tuple[Array, Pass]:
        """Return the change of the outputs; to rounding of the outputs, where the network is not linear."""
        if self.linear:
            return self.problem.pushforward(z, y - x), z
        work = self.problem.prepare(y)
        return work.Z - z.Z, work

    def pullback(self, work: Pass, U: Array) -> Array:
        """Return ``J' U`` by one pass backwards."""
        return self.problem.pullback(work, U)

    def pulled_back(self, work: Pass, rows: Rows) -> Form:
        """Return ``J' rows J + ridge``."""
        return NetworkForm(self.problem, work, rows)


class Variables(Targets):
    """The variables themselves as targets.

    Parameters
    ----------
    problem : Objective
        Any problem.
    """

    linear = True

    def __init__(self, problem: Objective) -> None:
        self.problem = problem
        self.ridge, self.weight = np.zeros(problem.n), np.ones(problem.n)

    def loss_gradient(self, z: Any) -> Array:
        """Refuse: the point knows it."""
        raise NotImplementedError

    def loss_hessian(self, z: Any) -> Rows:
        """Refuse: without a model, the Hessian of the loss is that of the problem."""
        raise MissingRequirement(
            f"{type(self.problem).__name__} is no loss of a model's outputs: use target_metric='identity' or "
            "'adagrad', or method='gns' with curvature='exact'"
        )

    def change(self, z: Any, x: Array, y: Array) -> tuple[Array, None]:
        """Return ``y - x``."""
        return y - x, None

    def pullback(self, work: Any, U: Array) -> Array:
        """Return `U`."""
        return U

    def pulled_back(self, work: Any, rows: Rows) -> Form:
        """Return the diagonal matrix."""
        return Diagonal(rows.diagonals()[:, 0])


def targets_of(problem: Objective) -> Targets:
    """Return the view of a problem from its targets.

    Parameters
    ----------
    problem : Objective
        Any problem.

    Returns
    -------
    Targets
        The view.
    """
    if isinstance(problem, LinearModel):
        return LinearTargets(problem)
    if isinstance(problem, MLP):
        return NetworkTargets(problem)
    return Variables(problem)
