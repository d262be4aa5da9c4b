r"""Several lower levels that share theta: ``f(theta) = mean_i g_i(x_i*(theta), theta)``, such as cross-validation.

Methods with implicit gradients solve the blocks one by one, each with its own warm start and adjoint, and refine the
block of the largest error; values, hypergradients and their bounds are means over the blocks. To methods that know one
lower level the blocks are one problem in the concatenated variables, with ``h = mean_i h_i``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.linalg.forms import Form, Operator, as_form
from gnsopt.objective import Objective


class MultiBlock(BilevelProblem):
    """The mean of several bilevel problems in the same theta.

    Parameters
    ----------
    blocks : sequence of BilevelProblem
        At least one, all with the same number of upper variables; the box is that of the first.
    """

    def __init__(self, blocks: Sequence[BilevelProblem]) -> None:
        listed = isinstance(blocks, list | tuple) and len(blocks) > 0
        if not (listed and all(isinstance(block, BilevelProblem) for block in blocks)):
            raise TypeError("blocks must be a non-empty sequence of BilevelProblem")
        sizes = {block.d for block in blocks}
        if len(sizes) != 1:
            raise ValueError(f"blocks have {sorted(sizes)} upper variables; they must share theta")
        super().__init__(sum(block.n for block in blocks), blocks[0].d, bounds=blocks[0].bounds)
        self._blocks = tuple(blocks)

    @property
    def blocks(self) -> Sequence[BilevelProblem]:
        """The lower-level problems."""
        return self._blocks

    def offers(self, name: str) -> bool:
        """Whether all blocks offer the oracle `name`."""
        return all(block.offers(name) for block in self._blocks)

    def start(self) -> Array:
        """Return the first lower iterates of all blocks."""
        return np.concatenate([block.start() for block in self._blocks])

    def objective(self, theta: Array) -> Objective:
        """Return the mean of the blocks' lower levels."""
        return MeanObjective([block.objective(theta) for block in self._blocks])

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, Array | None]:
        """Return the mean of the blocks' upper levels."""
        m = len(self._blocks)
        parts = [block.upper(part, theta) for block, part in zip(self._blocks, self.split(x), strict=True)]
        direct = [gt for _, _, gt in parts if gt is not None]
        gt = np.sum(direct, axis=0) / m if direct else None
        return float(np.mean([g for g, _, _ in parts])), np.concatenate([gx for _, gx, _ in parts]) / m, gt

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return the mean of the blocks' ``J' q``."""
        parts = zip(self._blocks, self.split(x), self.split(q), strict=True)
        return np.asarray(np.mean([block.cross_t(xi, theta, qi) for block, xi, qi in parts], axis=0))

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return the mean of the blocks' ``grad_theta h``."""
        parts = zip(self._blocks, self.split(x), strict=True)
        return np.asarray(np.mean([block.lower_theta(xi, theta) for block, xi in parts], axis=0))

    def mu(self, theta: Array) -> float:
        """Return the strong convexity of the mean."""
        return min(block.mu(theta) for block in self._blocks) / len(self._blocks)

    def constants(self, theta: Array) -> Constants:
        """Return the constants of the mean."""
        m = len(self._blocks)
        each = [block.constants(theta) for block in self._blocks]
        names = ("L", "L_g", "L_H", "L_J", "L_gt")
        L, L_g, L_H, L_J, L_gt = (max(getattr(c, name) for c in each) / m for name in names)
        return Constants(L, L_g, L_H, L_J, L_gt * m**0.5)

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return a bound of the norm of J of the mean."""
        parts = zip(self._blocks, self.split(x), strict=True)
        return float(np.linalg.norm([block.J_norm(xi, theta) for block, xi in parts]) / len(self._blocks))


class MeanObjective(Objective):
    """``h(x) = mean_i h_i(x_i)`` in the concatenated variables.

    Parameters
    ----------
    parts : list of Objective
        The ``h_i``.
    """

    convex = True

    def __init__(self, parts: list[Objective]) -> None:
        self.parts = parts
        self.n = sum(part.n for part in parts)
        self._ends = np.cumsum([part.n for part in parts])[:-1]

    def start(self) -> Array:
        """Return the parts' starts."""
        return np.concatenate([part.start() for part in self.parts])

    def prepare(self, x: Array) -> list[Any]:
        """Return the parts' shared work."""
        return [part.prepare(xi) for part, xi in zip(self.parts, np.split(x, self._ends), strict=True)]

    def fun(self, x: Array, z: list[Any]) -> float:
        """Return the mean."""
        pieces = zip(self.parts, np.split(x, self._ends), z, strict=True)
        return float(np.mean([part.fun(xi, zi) for part, xi, zi in pieces]))

    def grad(self, x: Array, z: list[Any]) -> Array:
        """Return the gradient of the mean."""
        pieces = zip(self.parts, np.split(x, self._ends), z, strict=True)
        return np.concatenate([part.grad(xi, zi) for part, xi, zi in pieces]) / len(self.parts)

    def hess(self, x: Array, z: list[Any]) -> Form:
        """Return the block-diagonal Hessian by its products."""
        pieces = zip(self.parts, np.split(x, self._ends), z, strict=True)
        forms = [as_form(part.hess(xi, zi), part.n) for part, xi, zi in pieces]
        m, diagonals = len(forms), [form.diagonal() for form in forms]
        known = [d for d in diagonals if d is not None]

        def matvec(v: Array) -> Array:
            return np.concatenate([form.matvec(u) for form, u in zip(forms, np.split(v, self._ends), strict=True)]) / m

        price = sum(form.product_price for form in forms)
        return Operator(self.n, matvec, np.concatenate(known) / m if len(known) == m else None, price)
