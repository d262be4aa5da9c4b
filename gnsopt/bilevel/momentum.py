r"""Nesterov's method for strongly convex functions with known constants: the lower solver of the papers.

    x+ = y - grad h(y) / L,      y+ = x+ + (sqrt L - sqrt mu)/(sqrt L + sqrt mu) (x+ - x)

``h(x_k) - h* <= (1 - sqrt(mu/L))^k (h(x_0) - h* + mu/2 |x_0 - x*|^2)``. One gradient an iteration; the gradient at the
extrapolated point y is the one that is looked at, so the iterates are the points y.

References
----------
[1] Nesterov, "Lectures on convex optimization", 2018, scheme 2.2.22.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from gnsopt.point import Point
from gnsopt.solver import Solver


@dataclass(frozen=True)
class StronglyConvexFista(Solver):
    """Accelerated gradient steps of constant length for ``mu I <= H <= L I``.

    Parameters
    ----------
    mu : float, default=1.0
        Strong convexity.
    L : float, default=1.0
        Smoothness, at least `mu`.
    """

    monotone: ClassVar[bool] = False

    mu: float = 1.0
    L: float = 1.0

    def __post_init__(self) -> None:
        """Check the constants."""
        super().__post_init__()
        if not 0 < self.mu <= self.L:
            raise ValueError(f"mu={self.mu} and L={self.L} must satisfy 0 < mu <= L")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the extrapolated points."""
        root = (self.mu / self.L) ** 0.5
        beta = (1 - root) / (1 + root)
        y, before = x, x.x
        while True:
            after = y.x - y.g / self.L
            y, before = y.at(after + beta * (after - before)), after
            yield y, {}
