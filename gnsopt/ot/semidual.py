r"""The semi-dual of entropic transport: the row potentials are eliminated exactly, the column potentials remain.

In dimensionless potentials (y over reg) and for mass one,

    f(y) = <a, L(y)> - <b, y>,      L_i(y) = log sum_j exp(y_j - C_ij/reg),      x = log a - L(y),
    P_ij = exp(x_i + y_j - C_ij/reg),    P 1 = a,    grad = P'1 - b,    hess = diag(P'1) - P' diag(1/a) P.

f is convex and cannot overflow; ``|grad|_1`` is the L1 error of both marginals, because the rows are exact. The Hessian
is the Laplacian of a graph: its null vector is 1, along which f is constant. One Sinkhorn iteration is
``y <- y + log(b / P'1)``, a step that never raises f.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.exceptions import MissingRequirement
from gnsopt.kernels import sinkhorn as passes
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.objective import Objective
from gnsopt.ot.anchor import Anchor
from gnsopt.ot.geometry import Geometry
from gnsopt.ot.gibbs import Kernel
from gnsopt.ot.grid import Grid
from gnsopt.ot.grid_kernel import GridKernel
from gnsopt.point import Point


class State:
    """The plan at one y as ``P = diag(u) E diag(v)``, by the anchored kernel E.

    Parameters
    ----------
    anchor : Anchor
        The kernel of the run.
    reg : float
        Regularisation.
    y : ndarray of shape (m,)
        Column potentials over reg.
    a, b : ndarray of shape (n,), (m,)
        Marginals.
    """

    def __init__(self, anchor: Anchor, reg: float, y: Array, a: Array, b: Array) -> None:
        self._anchor, self._reg, self._y, self._a = anchor, reg, y, a
        if not np.isfinite(y).all():
            self.L, self.c, self.f, self.trusted = np.full_like(a, np.nan), np.full_like(b, np.nan), np.nan, False
            return
        kernel, self._v, shift = anchor.at(y, reg)
        self._generation = anchor.generation
        self._s, c = kernel.scale(self._v, a)
        self._u = a / self._s
        self.L = kernel.top + np.log(self._s) + shift
        self.c = c * self._v
        self.trusted = bool(c.min() > kernel.tiny)
        self.f = float(a @ self.L) - float(b @ y)

    def scalings(self) -> tuple[Kernel, Array, Array]:
        """Return ``E, u, v``; the kernel is built again where the run has moved on since."""
        if self._anchor.generation != self._generation:
            kernel, self._v, _ = self._anchor.at(self._y, self._reg)
            self._generation = self._anchor.generation
            self._s = kernel.scale(self._v, self._a)[0]
            self._u = self._a / self._s
        assert self._anchor.kernel is not None
        return self._anchor.kernel, self._u, self._v

    def kernel_at(self, y: Array) -> tuple[Kernel, Array]:
        """Return the kernel of the run and the column scalings at other potentials."""
        kernel, v, _ = self._anchor.at(y, self._reg)
        return kernel, v

    def weights(self) -> tuple[Kernel, Array, Array]:
        """Return ``E, w, v`` with ``P' diag(1/r) P = diag(v) E' diag(w) E diag(v)``, r being the row sums of P."""
        kernel, u, v = self.scalings()
        return kernel, u / self._s, v  # u^2/r, also where r has underflowed

    def matvec(self, d: Array) -> Array:
        """Return ``P d``."""
        kernel, u, v = self.scalings()
        return np.asarray(u * kernel.dot(v * d))

    def rmatvec(self, d: Array) -> Array:
        """Return ``P' d``."""
        kernel, u, v = self.scalings()
        return np.asarray(v * kernel.rdot(u * d))


class SemiDual(Objective):
    """The semi-dual of one transport problem between positive marginals of mass one.

    Parameters
    ----------
    geometry : Geometry
        The n x m cost; variables belong to its columns, so the smaller side should stand there.
    a, b : ndarray of shape (n,), (m,)
        Positive marginals of sum one.
    reg : float
        Regularisation, in units of the cost.
    keep : bool, default=True
        Keep a kernel for several points of a run; False computes in the log domain.
    """

    convex = True

    def __init__(self, geometry: Geometry, a: Array, b: Array, reg: float, *, keep: bool = True) -> None:
        self.geometry, self.a, self.b, self.reg, self.keep = geometry, a, b, reg, keep
        self.n = b.size
        self._anchor: Anchor | None = None
        self._last: dict[str, tuple[float, Array, Array]] = {}  # where the run is, for its result; shared by its twins

    def at(self, reg: float) -> SemiDual:
        """Return the same problem at another regularisation, within the same run."""
        twin = copy.copy(self)
        twin.reg = reg
        return twin

    def fresh(self) -> SemiDual:
        """Return a twin that keeps the kernel of one run."""
        twin = copy.copy(self)
        twin._anchor = Anchor(self.geometry, self.keep)
        return twin

    def start(self) -> Array:
        """Return ``log b``: the solution where the cost is a sum ``f_i + g_j``."""
        return np.log(self.b)

    def begin(self, x: Array | None, y: Array) -> Array:
        """Return the variables of the potentials: the column potentials."""
        return y

    def split(self, y: Array) -> tuple[Array | None, Array]:
        """Return row potentials, None unless the run has ended there (they follow), and column potentials."""
        reg, last, L = self._last.get("state", (0.0, y, y))
        return (np.log(self.a) - L if reg == self.reg and np.array_equal(last, y) else None), y

    def centred(self, y: Array) -> Array:
        """Return `y` without its mean, which f does not see and rounding does."""
        return y - float(self.b @ y)

    def metric(self) -> DiagonalMetric:
        """Return ``diag(b)``, which makes a damping mean the same for any number of places and any weights."""
        return DiagonalMetric(self.b)

    def prepare(self, y: Array) -> State:
        """Return the plan at `y`."""
        anchor = Anchor(self.geometry, self.keep) if self._anchor is None else self._anchor
        z = State(anchor, self.reg, y, self.a, self.b)
        self._last["state"] = self.reg, y, z.L
        return z

    def fun(self, y: Array, z: State) -> float:
        """Return f."""
        return z.f

    def grad(self, y: Array, z: State) -> Array:
        """Return ``P'1 - b``."""
        return z.c - self.b

    def hess(self, y: Array, z: State) -> TransportHessian:
        """Return the Laplacian as a form."""
        return TransportHessian(z)

    def row_potentials(self, z: State) -> Array:
        """Return ``x = log a - L(y)``."""
        return np.log(self.a) - z.L

    def column_update(self, y: Array, z: State) -> Array:
        """Return Sinkhorn's ``log b - log sum_i exp(x_i - C_ij/reg)``, in the log domain where sums underflow."""
        if z.trusted:
            return np.asarray(y + np.log(self.b) - np.log(z.c))
        return np.asarray(np.log(self.b) - column_logs(self.geometry, self.reg, self.row_potentials(z)))

    @property
    def bursts(self) -> bool:
        """Whether `sinkhorn` does several iterations at once: not where a pass over the kernel is dear."""
        kernel = None if self._anchor is None else self._anchor.kernel
        return kernel is None or kernel.bursts

    def sinkhorn(self, x: Point, steps: int) -> Point:
        """Return the point after up to `steps` Sinkhorn iterations: fewer where the kernel has to be anchored anew.

        Parameters
        ----------
        x : Point
            The point before.
        steps : int
            Iterations at the most; one is done where a pass is dear, so that limits are looked at after each.

        Returns
        -------
        Point
            The point after.
        """
        y, done = self.column_update(x.x, x.z), 1  # needs only the column sums, which are there
        if steps > 1 and x.z.trusted:
            kernel, v = x.z.kernel_at(y)
            if kernel.bursts:
                w = v.copy()
                done += kernel.burst(w, self.a, self.b, steps - 1)
                y = y + np.log(w / v)
        x.counts.njev += done - 1  # each iteration is a gradient; the last one counts with the point
        return x.at(y)


def transport(x: Point, solver: Any) -> SemiDual:
    """Return the problem of `x`.

    Parameters
    ----------
    x : Point
        Where a run begins.
    solver : Solver
        Who asks.

    Returns
    -------
    SemiDual
        The problem.

    Raises
    ------
    MissingRequirement
        If it is another kind of problem.
    """
    if not isinstance(x.objective, SemiDual):
        name = type(solver).__name__
        raise MissingRequirement(f"{name} solves transport problems, not a {type(x.objective).__name__}; use ot.solve")
    return x.objective


def error(x: Point) -> float:
    """Return the L1 error of the marginals, ``|grad|_1``.

    Parameters
    ----------
    x : Point
        A point of a dual.

    Returns
    -------
    float
        The error, for mass one.
    """
    return float(np.abs(x.g).sum())


def column_logs(geometry: Geometry, reg: float, x: Array) -> Array:
    """Return ``log sum_i exp(x_i - (C_ij - p_i - q_j)/reg)``; -inf for a column without a finite cost.

    Parameters
    ----------
    geometry : Geometry
        The cost, with its offsets p and q.
    reg : float
        Regularisation.
    x : ndarray of shape (n,)
        Row potentials over reg.

    Returns
    -------
    ndarray of shape (m,)
        The logarithms.
    """
    if isinstance(geometry, Grid):
        one, other = geometry.reduced_factors  # with the offsets of this geometry, not of the transposed one
        kernel = GridKernel(one.T, other.T, 1.0 / reg, x)
        return np.asarray(kernel.top + np.log(kernel.dot(np.ones(x.size))))
    p, q = geometry.offsets
    m = geometry.shape[1]
    top, total, work = np.full(m, -np.inf), np.zeros(m), np.empty((2, m))
    for rows, C in geometry.blocks():
        passes.columns(C, p[rows], q, 1.0 / reg, x[rows], top, total, work)
    with np.errstate(divide="ignore"):
        return np.asarray(top + np.log(total))


class TransportHessian(Form):
    """``diag(P'1 + ridge) - tau P' diag(1/r) P`` by products with the kernel.

    Parameters
    ----------
    z : State
        The plan.
    tau : float, default=1.0
        At most 1; below for rows whose sums are free.
    ridge : ndarray of shape (m,) or float, default=0.0
        Non-negative.
    """

    def __init__(self, z: State, tau: float = 1.0, ridge: Array | float = 0.0) -> None:
        self._z, self._tau = z, tau
        self._d = z.c + ridge
        self.n = z.c.size
        kernel, w, _ = z.weights()
        self.product_price = kernel.price
        self.dense_price = float(w.size) * self.n**2

    def matvec(self, d: Array) -> Array:
        """Return the product by one pass."""
        kernel, w, v = self._z.weights()
        return np.asarray(self._d * d - v * kernel.gram(v * d, self._tau * w))

    def diagonal(self) -> Array:
        """Return ``c_j + ridge_j - tau sum_i P_ij^2/r_i``."""
        kernel, w, v = self._z.weights()
        return np.asarray(self._d - v * v * kernel.squares(self._tau * w))

    def lower(self) -> Array:
        """Return the lower triangle, by a rank-n update."""
        kernel, w, v = self._z.weights()
        H = kernel.second_moment(self._tau * w)
        H *= -v
        H *= v[:, None]
        H.flat[:: self.n + 1] += self._d
        return H
