r"""Kronecker factors of dense layers: K-FAC, rank-r MKOR and the one-sided form of TrAct.

For a layer ``s = a V`` with inputs a and output gradients u,

    block of the Gauss-Newton matrix  =  sum_i w_i (a_i a_i') (x) E[u_i u_i']  ~  A (x) G,
    A = sum_i w_i a_i a_i',   G = sum_i w_i E[u_i u_i'],

the expectation over labels drawn from the model. The blocks of different layers are taken as uncorrelated. This is
exact where one of the two moments is the same for all samples: one sample, the squared loss of a linear model, softmax
at V = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from gnsopt._typing import Array
from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import MEMORY, Engine
from gnsopt.exceptions import MissingRequirement, StepFailure
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.kronecker import Block, KroneckerForm
from gnsopt.linalg.layers import Layer
from gnsopt.point import Point

OUTPUTS = ("gauss_newton", "fisher", "identity")
LAYERS = ("all", "first")
NAMES = {"gauss_newton": "Kronecker factors", "fisher": "Kronecker factors of the empirical Fisher matrix"}


@dataclass(frozen=True)
class Kronecker:
    r"""``blockdiag(A_l (x) G_l)`` plus the problem's penalty, with exact shifted solves in the eigenbases.

    Parameters
    ----------
    outputs : {"gauss_newton", "fisher", "identity"}, default="gauss_newton"
        G: the true Fisher moment of the output gradients (K-FAC [1]), that of the gradients themselves, or the identity
        (TrAct [2]: ``W - eta grad (A + lam I)^{-1}``, the step whose outputs match a gradient step in them best).
    layers : {"all", "first"}, default="all"
        Which layers; the matrix of the others is the penalty alone. TrAct's authors take the first.

    Raises
    ------
    ValueError
        If a name is unknown.

    Notes
    -----
    For networks (`gnsopt.problems.MLP`) and linear models. For linear least squares the one-sided form is the Hessian.
    The inexactness has no bound of the form ``C1 + C2 |g|_*^{1 - beta}`` that tends to zero at a solution:
    ``C1 = sup |Gauss-Newton - A (x) G|_*``, about 0.4 of the matrix at a random point of softmax.

    References
    ----------
    [1] Martens, Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 1503.05671.
    [2] Petersen, Borgelt, Ermon, "TrAct: making first-layer pre-activations trainable", 2410.23970.
    """

    outputs: str = "gauss_newton"
    layers: str = "all"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        settle(self)
        if self.outputs not in OUTPUTS:
            raise ValueError(f"outputs={self.outputs!r} is unknown; choose one of {OUTPUTS}")
        if self.layers not in LAYERS:
            raise ValueError(f"layers={self.layers!r} is unknown; choose one of {LAYERS}")

    def start(self, x: Point) -> Build:
        """Check that the problem has layers and begin a run."""
        kind = "gauss_newton" if self.outputs == "identity" else self.outputs
        check_layers(x, kind, "Kronecker")
        engine = Engine("auto", theta=0.25, floor=1e-8, max_products=20_000)
        label = NAMES.get(self.outputs, "one-sided Kronecker factors")

        def build(x: Point) -> Curvature:
            blocks = factors(x, kind)
            if self.outputs == "identity":
                blocks = [Block(b.A, np.eye(b.shape[1]), b.ridge) for b in blocks]
            if self.layers == "first":
                blocks[1:] = [Block(b.A, np.zeros_like(b.G), b.ridge) for b in blocks[1:]]
            form = KroneckerForm(blocks)
            return Curvature(form, engine.attach(form, x, label), x.counts)

        return build


@dataclass(frozen=True)
class MKOR:
    r"""Kronecker factors that are moving averages of matrices of rank r, as in MKOR.

    ``A <- gamma A + (1 - gamma) A_r`` and the same for G, both the identity at first, where ``A_r`` is the best
    approximation of rank r of the moment of the inputs.

    Parameters
    ----------
    rank : int, default=1
        r; 0 takes ``A_r = m m'`` for the mean m of the inputs (of the output gradients), which is what the paper does.
    gamma : float, default=0.9
        Weight of the past (chosen).

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    The paper updates the two inverses by Sherman and Morrison's formula (`gnsopt.linalg.kronecker.average_inverse`,
    where what is wrong with its printed line is told) and has no shift; here the average itself is kept, so that
    shifted solves are exact. Where the whole batch is seen, the mean output gradient is the gradient of the biases: it
    vanishes at a solution, and so does what ``rank=0`` learns of G. The paper's rescaling of the step to the length of
    the gradient, and its norm stabiliser, are no part of a curvature: the radius of the solver takes their place.

    References
    ----------
    [1] Mozaffari, Li, Zhang, Dehnavi, "MKOR: momentum-enabled Kronecker-factor-based optimizer using rank-1 updates",
       2306.01685.
    """

    rank: int = 1
    gamma: float = 0.9

    def __post_init__(self) -> None:
        """Check the numbers."""
        settle(self)
        if not (isinstance(self.rank, int | np.integer) and not isinstance(self.rank, bool) and self.rank >= 0):
            raise ValueError(f"rank={self.rank!r} must be an integer of at least 0")
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma={self.gamma} must lie in (0, 1)")

    def start(self, x: Point) -> Build:
        """Check that the problem has layers and begin a run with identities."""
        kind = "gauss_newton" if self.rank else "fisher"
        check_layers(x, kind, "MKOR")
        engine = Engine("auto", theta=0.25, floor=1e-8, max_products=20_000)
        kept: list[Block] = []

        def build(x: Point) -> Curvature:
            nonlocal kept
            old = kept or [Block(np.eye(b.shape[0]), np.eye(b.shape[1]), b.ridge) for b in factors(x, kind)]
            new = self._of_low_rank(x, kind)
            kept = [Block(self._mixed(a.A, b.A), self._mixed(a.G, b.G), b.ridge) for a, b in zip(old, new, strict=True)]
            form = KroneckerForm(kept)
            return Curvature(form, engine.attach(form, x, f"MKOR of rank {max(self.rank, 1)}"), x.counts)

        return build

    def _mixed(self, old: Array, new: Array) -> Array:
        return np.asarray(self.gamma * old + (1 - self.gamma) * new)

    def _of_low_rank(self, x: Point, kind: str) -> list[Block]:
        if self.rank:
            return [Block(_top(b.A, self.rank), _top(b.G, self.rank), b.ridge) for b in factors(x, kind)]
        blocks = []
        for layer in _layers(x, kind):
            a = layer.weight @ layer.inputs
            g = sum((np.sqrt(layer.weight) @ u for u in layer.roots), start=np.zeros(layer.shape[1]))
            blocks.append(Block(np.outer(a, a), np.outer(g, g), layer.ridge))
        return blocks


def check_layers(x: Point, kind: str, name: str) -> None:
    """Refuse problems without layers.

    Parameters
    ----------
    x : Point
        Where a run begins.
    kind : str
        The matrix that is factored.
    name : str
        The model, for the message.

    Raises
    ------
    MissingRequirement
        If the problem is neither a network nor a linear model.
    """
    problem = x.objective
    linear = hasattr(problem, "design") and hasattr(problem, "weight")
    if not (hasattr(problem, "layers") or linear):
        raise MissingRequirement(
            f"{type(problem).__name__} has no layers: curvature {name} needs a network (MLP) or a linear model "
            "(Logistic, Softmax, ...); use curvature='gauss_newton' or 'diagonal'"
        )
    problem.require(kind, f"curvature {name}")


def factors(x: Point, kind: str) -> list[Block]:
    """Return the Kronecker factors of each layer of a network, or of a linear model.

    Parameters
    ----------
    x : Point
        Where.
    kind : {"gauss_newton", "fisher"}
        The matrix that is factored.

    Returns
    -------
    list of Block
        First layer first.

    Raises
    ------
    ValueError
        If a factor would not fit into memory.
    """
    form: Form = x.hess(kind)
    x.counts.nhev += 1
    if not isinstance(form, Gram):
        blocks = [Block(part.input_moment(), part.output_moment(), part.ridge) for part in _layers(x, kind)]
    else:
        design, k = form.design, form.k
        if 40.0 * design.n_columns**2 > MEMORY:
            raise ValueError(
                f"Kronecker factors of {design.n_columns} inputs do not fit into memory; use curvature='diagonal'"
            )
        L = np.tril(design.gram_lower(vars(x.objective)["weight"]))
        G = np.zeros((k, k))
        for a in range(k):
            for b in range(a + 1):
                G[a, b] = G[b, a] = form.rows.pair(a, b).sum()
        blocks = [Block(L + np.tril(L, -1).T, G, form.ridge.reshape(-1, k)[:, 0])]
    if not all(np.isfinite(b.A).all() and np.isfinite(b.G).all() for b in blocks):
        raise StepFailure("a Kronecker factor is not finite")
    return blocks


def _layers(x: Point, kind: str) -> list[Layer]:
    form: Any = x.hess(kind)
    if not isinstance(form, Gram):
        found: list[Layer] = form.layers()
        return found
    design, k = form.design, form.k
    A = design.X.toarray() if design.sparse else design.X
    A = np.hstack([A, np.ones((design.n_samples, 1))]) if design.intercept else A
    basis = np.eye(k)
    ones = np.ones(design.n_samples)
    roots = [form.rows.half(ones if k == 1 else np.tile(e, (design.n_samples, 1))).reshape(-1, k) for e in basis]
    weight: Array = vars(x.objective)["weight"]
    return [Layer(A, weight, roots, (design.n_columns, k), form.ridge.reshape(-1, k)[:, 0])]


def _top(M: Array, r: int) -> Array:
    """Best approximation of rank r of a positive semidefinite matrix."""
    n = M.shape[0]
    s, V = eigh(M, subset_by_index=(max(0, n - r), n - 1), check_finite=False)
    return np.asarray((V * np.maximum(s, 0.0)) @ V.T)
