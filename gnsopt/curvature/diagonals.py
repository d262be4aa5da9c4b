r"""Diagonal curvature: exact, Gauss-Newton, Hutchinson's estimate, AdaHessian's and Sophia's rules.

==================  ==========================================================================================
``hutchinson:p``    mean of ``z * (H z)`` over p Rademacher vectors: expectation diag(H), variance of entry i of
                    one of them ``sum_{j != i} H_ij^2``; clipped at zero
``row_norm``        ``(sum_j H_ij^2)^{1/2}``: what the root of the mean of ``(H z)^2`` tends to
``adahessian``      ``v <- beta2 v + (1 - beta2) (H z)^2``, one z for each step; ``(v / (1 - beta2^t))^{kappa/2}``
``sophia``          ``max(gamma h, eps, |g| / rho)``, h an average of diagonals: ``(.)^{-1} g`` is the clipped step
==================  ==========================================================================================

AdaHessian's denominators are not estimates of diag(H), as its paper has it: with a frozen H, ``E (H z)_i^2`` is the
squared norm of row i, off-diagonal entries included, and the average tends to `row_norm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import Engine
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.structured import Diagonal
from gnsopt.point import Point

KINDS = ("hess", "gauss_newton")
BLOCK = 2**21  # entries of the products that are held at a time


@dataclass(frozen=True)
class Hutchinson:
    r"""``max(mean_p z_p * (H z_p), 0)`` over Rademacher vectors, the same ones at every point.

    Parameters
    ----------
    probes : int, default=8
        Vectors, a product of the Hessian each.
    kind : {"hess", "gauss_newton"}, default="hess"
        Whose diagonal.
    seed : int, default=0
        Seed of the vectors.
    """

    probes: int = 8
    kind: str = "hess"
    seed: int = 0
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check number and name."""
        settle(self)
        _check(self.kind)
        _check_count("probes", self.probes)

    def start(self, x: Point) -> Build:
        """Draw the vectors and begin a run."""
        _require(x, self.kind, "hutchinson")
        Z = rademacher(np.random.default_rng(self.seed), self.probes, x.x.size)

        def diagonal(x: Point) -> Array:
            return np.maximum(_hutchinson(x, self.kind, Z), 0.0)

        return _build(diagonal, f"Hutchinson's diagonal of {self.probes} products")


@dataclass(frozen=True)
class RowNorm:
    r"""``(sum_j H_ij^2)^{1/2}``, the deterministic limit of AdaHessian's rule; n products, or the dense matrix.

    Parameters
    ----------
    kind : {"hess", "gauss_newton"}, default="hess"
        Whose rows.

    Notes
    -----
    At least ``|H_ii|``, but no majoriser of H: where all entries are one, it is ``sqrt(n)`` against an eigenvalue n.
    """

    kind: str = "hess"
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the name."""
        settle(self)
        _check(self.kind)

    def start(self, x: Point) -> Build:
        """Begin a run."""
        _require(x, self.kind, "row_norm")

        def diagonal(x: Point) -> Array:
            form, n = x.hess(self.kind), x.x.size
            if 8.0 * n * n <= 8.0 * BLOCK:
                x.counts.nhev += 1
                H = form.dense()
                return np.asarray(np.sqrt(np.einsum("ij,ij->i", H, H)))
            out, e = np.empty(n), np.zeros(n)
            for j in range(n):
                e[j] = 1.0
                out[j] = np.linalg.norm(form.matvec(e))
                e[j] = 0.0
            x.counts.nhessp += n
            return out

        return _build(diagonal, "row norms")


@dataclass(frozen=True)
class AdaHessian:
    r"""AdaHessian's denominators [1]: a moving average of squared products with random vectors, one for each point.

    Parameters
    ----------
    beta2 : float, default=0.999
        Weight of the past.
    kappa : float, default=1.0
        Power, in (0, 1].
    eps : float, default=1e-4
        Added to the result.
    seed : int, default=0
        Seed of the vectors.

    Notes
    -----
    The step ``-lr (v^{kappa/2} + eps)^{-1} m`` of [1] is that of this matrix with the gradient average m. [1] averages
    the squares inside blocks of convolution kernels; for vectors and matrices its blocks have one entry, as here.

    References
    ----------
    [1] Yao, Gholami, Shen, Mustafa, Keutzer, Mahoney, "AdaHessian: an adaptive second order optimizer for machine
       learning", 2006.00719.
    """

    beta2: float = 0.999
    kappa: float = 1.0
    eps: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        settle(self)
        if not (0 <= self.beta2 < 1 and 0 < self.kappa <= 1 and 0 <= self.eps < np.inf):
            raise ValueError(
                f"beta2={self.beta2}, kappa={self.kappa}, eps={self.eps} must lie in [0, 1), (0, 1] and [0, inf)"
            )

    def start(self, x: Point) -> Build:
        """Begin a run with an empty average."""
        _require(x, "hess", "adahessian")
        rng = np.random.default_rng(self.seed)
        v, t = np.zeros(x.x.size), 0

        def diagonal(x: Point) -> Array:
            nonlocal v, t
            D = x.hessp(rademacher(rng, 1, x.x.size)[0])
            v, t = self.beta2 * v + (1 - self.beta2) * D * D, t + 1
            return np.asarray((v / (1 - self.beta2**t)) ** (self.kappa / 2) + self.eps)

        return _build(diagonal, "AdaHessian's diagonal")


@dataclass(frozen=True)
class Sophia:
    r"""Sophia's rule [1] as a matrix: ``diag(max(gamma h_i, eps, |g_i| / rho))``.

    ``H^{-1} g = clip(g / max(gamma h, eps), -rho, rho)``: the Newton step of each variable, none longer than rho, a
    trust region in the largest entry. Where h is small it is a signed step of length rho.

    Parameters
    ----------
    gamma : float, default=1.0
        Multiple of the diagonal.
    rho : float, default=1.0
        Longest step of a variable.
    beta2 : float, default=0.0
        Weight of the past in the average h; 0.99 in [1], whose estimates are random.
    every : int, default=1
        Points from one estimate to the next; 10 in [1].
    probes : int, default=0
        Products of Hutchinson's estimate; 0 takes the exact diagonal of the Gauss-Newton matrix, which is the
        expectation of [1]'s Gauss-Newton-Bartlett estimate, or where there is none that of the Hessian.
    eps : float, default=1e-12
        Least denominator.
    seed : int, default=0
        Seed of the vectors.

    Notes
    -----
    [1] clips ``m / max(gamma h, eps)`` at 1 and multiplies by the learning rate lr: ``rho = lr`` and ``gamma / lr``
    here. The matrix depends on the gradient; it is no approximation of the Hessian where the clip is active.

    References
    ----------
    [1] Liu, Li, Hall, Liang, Ma, "Sophia: a scalable stochastic second-order optimizer for language model
    pre-training",
       2305.14342.
    """

    gamma: float = 1.0
    rho: float = 1.0
    beta2: float = 0.0
    every: int = 1
    probes: int = 0
    eps: float = 1e-12
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        settle(self)
        if not (self.gamma > 0 and self.rho > 0 and 0 <= self.beta2 < 1 and self.eps > 0):
            raise ValueError(
                f"gamma={self.gamma}, rho={self.rho}, eps={self.eps} must be positive, beta2={self.beta2} in [0, 1)"
            )
        _check_count("every", self.every)
        _check_count("probes", self.probes, least=0)

    def start(self, x: Point) -> Build:
        """Begin a run with an empty average."""
        kind = "gauss_newton" if x.objective.offers("gauss_newton") and not self.probes else "hess"
        _require(x, kind, "sophia")
        rng = np.random.default_rng(self.seed)
        h, points, estimates = np.zeros(x.x.size), 0, 0

        def diagonal(x: Point) -> Array:
            nonlocal h, points, estimates
            if points % self.every == 0:
                h = self.beta2 * h + (1 - self.beta2) * self._estimate(x, kind, rng)
                estimates += 1
            points += 1
            mean = np.maximum(h / (1 - self.beta2**estimates), 0.0)
            return np.maximum(np.maximum(self.gamma * mean, self.eps), np.abs(x.g) / self.rho)

        return _build(diagonal, "Sophia's diagonal")

    def _estimate(self, x: Point, kind: str, rng: np.random.Generator) -> Array:
        if self.probes:
            return _hutchinson(x, kind, rademacher(rng, self.probes, x.x.size))
        d = x.hess(kind).diagonal()
        if d is None:  # only products are known
            d = x.hess(kind).dense().diagonal()
            x.counts.nhessp += x.x.size
        x.counts.nhessp += 1  # a pass over the data
        return np.asarray(d)


def rademacher(rng: np.random.Generator, count: int, n: int) -> Array:
    """Return vectors of random signs.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source.
    count, n : int
        Number and length of the vectors.

    Returns
    -------
    ndarray of shape (count, n)
        Entries 1 and -1.
    """
    return np.asarray(rng.integers(0, 2, (count, n)) * 2.0 - 1.0)


def _hutchinson(x: Point, kind: str, Z: Array) -> Array:
    form, total = x.hess(kind), np.zeros(x.x.size)
    for z in Z:
        total += z * form.matvec(z)
    x.counts.nhessp += len(Z)
    return total / len(Z)


def _build(diagonal: Callable[[Point], Array], label: str) -> Build:
    engine = Engine("auto", theta=0.25, floor=1e-8, max_products=20_000)

    def build(x: Point) -> Curvature:
        d = diagonal(x)
        if not np.isfinite(d).all():
            raise StepFailure("the diagonal of the curvature is not finite")
        form = Diagonal(d)
        return Curvature(form, engine.attach(form, x, label), x.counts)

    return build


def _require(x: Point, kind: str, name: str) -> None:
    if not (kind == "hess" and x.objective.offers("hessp")):
        x.objective.require(kind, f"curvature {name!r}")


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; choose one of {KINDS}")


def _check_count(name: str, value: int, least: int = 1) -> None:
    if not (isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least):
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")
