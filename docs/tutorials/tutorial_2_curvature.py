r"""
A new curvature model
=====================

A curvature model says what stands for the Hessian, and how the shifted systems :math:`(H + \lambda B)h = -g` of the
solvers are solved. This tutorial derives a model that is not in the library, the *block diagonal*: the variables are
grouped, and interactions between groups are dropped.

What a model is
---------------

A callable ``Point -> Curvature``. The curvature answers ``solve(lam, b)``, ``matvec(v)`` and ``lam_noise``, the shift
below which rounding decides. What a run has to remember (a factor, a history) lives in the function that ``start(x)``
returns, so that one model may serve many runs.

The approximation and its error
-------------------------------

Let :math:`E` be what is dropped, :math:`\nabla^2 f = H + E`. The theory of gradient-normalised smoothness asks two
things of an approximation: that H is semidefinite, and that :math:`\|E\|` is small, at best small *relative to the
gradient*. Diagonal blocks of a semidefinite matrix are semidefinite; for k blocks :math:`\nabla^2 f \preceq k H`. But
:math:`\|E\|` does not vanish at the solution, so the rate is linear, not quadratic. We shall see it.

The shifted solve is one Cholesky factorisation for each block, :math:`k (n/k)^3` instead of :math:`n^3`.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve

import gnsopt
from gnsopt.curvature import Curvature
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.forms import Dense, Shifted, noise
from gnsopt.testing import check_curvature


class BlockShifted(Shifted):
    """``(H + lam B)^{-1}`` for a block diagonal H and a metric B that is a vector."""

    def __init__(self, blocks, metric):
        self.blocks, self.metric = blocks, metric
        self.lam_noise = noise(np.concatenate([block.diagonal() for block in blocks]), metric)

    def solve(self, lam, b):
        h, begin = np.empty_like(b), 0
        for block in self.blocks:
            part = slice(begin, begin + len(block))
            try:
                factor = cho_factor(block + lam * np.diag(self.metric[part]))
            except np.linalg.LinAlgError:
                raise NotPositiveDefinite(f"lam = {lam}") from None
            h[part] = cho_solve(factor, b[part])
            begin = part.stop
        return h


@dataclass(frozen=True)
class BlockDiagonal:
    """The diagonal blocks of the Hessian, `size` variables each."""

    size: int

    def start(self, x):
        n = x.x.size
        if x.metric.diagonal is None:
            raise ValueError("metric: block-diagonal curvature needs a diagonal one; pass metric=None")
        metric = np.broadcast_to(np.asarray(x.metric.diagonal, dtype=float), n).copy()

        def build(x):
            H = x.hess().dense()
            blocks = [H[i : i + self.size, i : i + self.size] for i in range(0, n, self.size)]
            x.counts.nhev += 1
            return Curvature(Dense(block_diag(*blocks)), BlockShifted(blocks, metric), x.counts)

        return build


# %%
# The check
# ---------
#
# At a point: solutions against products for shifts from tiny to huge, symmetry, definiteness, counts, and that
# nothing is remembered that belongs to another point.

rng = np.random.default_rng(0)
groups = np.eye(40) + np.kron(np.eye(4), 0.4 * rng.standard_normal((10, 10)))  # four groups of ten features ...
X = rng.standard_normal((2000, 40)) @ (groups + 0.03 * rng.standard_normal((40, 40)))  # ... that hardly interact
y = np.sign(X @ rng.standard_normal(40) / 6 + rng.logistic(size=2000))
problem = gnsopt.Logistic(X, y, l2=1e-3)

check_curvature(BlockDiagonal(10), gnsopt.Point(problem, 0.1 * rng.standard_normal(40)))

# %%
# A model that forgets the shift is caught, with the size of the error:


class Forgetful(BlockShifted):
    def solve(self, lam, b):
        return super().solve(0.9 * lam, b)


@dataclass(frozen=True)
class WrongModel(BlockDiagonal):
    def start(self, x):
        build = super().start(x)

        def wrong(x):
            H = build(x)
            H.shifted = Forgetful(H.shifted.blocks, H.shifted.metric)
            return H

        return wrong


try:
    check_curvature(WrongModel(10), gnsopt.Point(problem, 0.1 * rng.standard_normal(40)))
except AssertionError as error:
    print(error)

# %%
# In the solvers
# --------------
#
# The model goes where a name goes, and into every second-order solver. From blocks of one variable (the diagonal) to
# one block of all (the Hessian):

fig, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
for size in (1, 5, 10, 20, 40):
    run = gnsopt.GradNormSmooth(BlockDiagonal(size), metric=None).minimize(problem, gtol=1e-10, maxiter=200)
    axis.semilogy(run.trace["nit"], run.trace["gnorm"], label=f"blocks of {size}")
    print(f"blocks of {size:2d}: {run.nit:3d} iterations, {run.message}")
axis.set(xlabel="iteration", ylabel=r"$\|g\|_\infty$", title="Block diagonals of one Hessian")
axis.legend()
plt.show()

# %%
# Linear for all but the last, as the error said. Blocks that are the groups of the data arrive; smaller ones do not
# in 200 iterations, for what they drop is as large as what they keep. A block diagonal is an assumption about the data,
# not a cheaper Hessian: where all features interact no block smaller than all arrives, and where none do, every one
# does, at its linear rate:

for name, mixing in (("all interact", np.eye(40) + 0.4 * rng.standard_normal((40, 40))), ("none do", np.eye(40))):
    X = rng.standard_normal((2000, 40)) @ mixing
    y = np.sign(X @ rng.standard_normal(40) / 6 + rng.logistic(size=2000))
    for size in (1, 20, 40):
        solver = gnsopt.GradNormSmooth(BlockDiagonal(size), metric=None)
        run = solver.minimize(gnsopt.Logistic(X, y, l2=1e-3), gtol=1e-10, maxiter=200)
        print(f"{name:12s} blocks of {size:2d}: {run.nit:3d} iterations, converged: {run.success}")

# %%
# This model assembles the Hessian and throws most of it away. One that is meant for use would assemble the blocks
# alone.
#
# An entry point of the group ``gnsopt.curvatures`` makes the model of another package a name for ``curvature=``.
# ``SuperNewton(BlockDiagonal(10))`` and the other solvers work in the same way:

print(gnsopt.SuperNewton(BlockDiagonal(10), metric=None).minimize(problem).message)
