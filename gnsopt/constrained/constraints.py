"""Equality constraints ``c(x) = 0``: values, Jacobian (dense or sparse), Hessian of ``y'c`` (matrix or products)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack
from scipy.sparse.linalg import LinearOperator

from gnsopt._typing import Array
from gnsopt.arguments import as_array, shown
from gnsopt.constrained.matrices import add, csr, entries

EPS = float(np.finfo(float).eps)
CENTRAL = EPS ** (1 / 3)  # relative width of central differences of exact values
NOISY = EPS ** (2 / 9)  # the same of a Jacobian that is itself made of central differences


class Constraints:
    """Base: subclasses write `cons`, `jac` and, unless they are linear, `hess`.

    Attributes
    ----------
    n, m : int
        Number of variables and of constraints.
    """

    n: int
    m: int

    def cons(self, x: Array) -> Array:
        """Return c(x), shape (m,)."""
        raise NotImplementedError

    def jac(self, x: Array) -> Any:
        """Return the Jacobian, an array or a sparse array of shape (m, n)."""
        raise NotImplementedError

    def hess(self, x: Array, y: Array) -> Any:
        """Return the Hessian of ``y'c``: an array, a sparse array, a LinearOperator, or None where it is zero."""
        return None

    def extra_counts(self) -> dict[str, int]:
        """Return evaluations made by differences, by the names ``ncev`` and ``ncjev``."""
        return {}


class LinearEqualities(Constraints):
    """``A x = b``.

    Parameters
    ----------
    A : array_like or sparse array of shape (m, n)
        Coefficients.
    b : array_like of shape (m,)
        Right-hand sides.

    Raises
    ------
    ValueError
        If shapes do not fit or an entry is not finite.
    """

    def __init__(self, A: Any, b: Any) -> None:
        sparse = bool(issparse(A))
        if sparse:
            if A.dtype.kind not in "fiub":
                raise ValueError(f"A has dtype {A.dtype}; it must be real")
            self.A = csr(np.atleast_2d(A.toarray()) if A.ndim != 2 else A.astype(float))
        else:
            self.A = np.atleast_2d(as_array(A, "A", finite=False).copy())
        self.b = as_array(b, "b", finite=False).reshape(-1).copy()
        if self.A.ndim != 2 or self.A.shape[1] == 0:
            raise ValueError(f"A has shape {self.A.shape}; it must be (m, n), with a column for each variable")
        self.m, self.n = self.A.shape
        if self.b.size != self.m:
            raise ValueError(f"b has {self.b.size} entries; A has {self.m} rows")
        if not (np.isfinite(entries(self.A)).all() and np.isfinite(self.b).all()):
            raise ValueError("A and b must be finite")

    def cons(self, x: Array) -> Array:
        """Return ``A x - b``."""
        return np.asarray(self.A @ x - self.b)

    def jac(self, x: Array) -> Any:
        """Return A."""
        return self.A


class Equalities(Constraints):
    """``c(x) = 0`` by callables.

    Parameters
    ----------
    cons : callable
        ``cons(x, *args)``, an array of shape (m,) or a number.
    n, m : int
        Number of variables and of constraints.
    jac : callable, optional
        ``jac(x, *args)``, dense or sparse of shape (m, n); central differences of `cons` by default.
    hess : callable, optional
        ``hess(x, y, *args)``, the Hessian of ``y'c``: dense, sparse or a LinearOperator. By default central
        differences of ``jac(x)' y``.
    target : array_like of shape (m,), default=0
        ``c = cons - target``.
    args : tuple, default=()
        Extra arguments of every callable.
    """

    def __init__(
        self,
        cons: Callable[..., Any],
        n: int,
        m: int,
        jac: Callable[..., Any] | None = None,
        hess: Callable[..., Any] | None = None,
        target: Any = 0.0,
        args: tuple[Any, ...] = (),
    ) -> None:
        for name, value, needed in (("cons", cons, True), ("jac", jac, False), ("hess", hess, False)):
            if not (callable(value) or (value is None and not needed)):
                raise TypeError(f"{name}={shown(value)} is not callable")
        for name, size, least in (("n", n, 1), ("m", m, 0)):
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or not least <= size < 2**48:
                raise ValueError(f"{name}={shown(size)} must be an integer of at least {least}")
        self.n, self.m, self._args = int(n), int(m), args
        self._cons, self._jac, self._hess = cons, jac, hess
        goal = as_array(target, "target")
        if goal.shape not in ((), (self.m,)):
            raise ValueError(f"target has shape {goal.shape}; it must be a number or ({m},)")
        self._target = np.broadcast_to(goal, (self.m,))
        self._extra = {"ncev": 0, "ncjev": 0}

    def extra_counts(self) -> dict[str, int]:
        """Return evaluations made by differences."""
        return dict(self._extra)

    def cons(self, x: Array) -> Array:
        """Return ``cons(x) - target``."""
        c = np.array(self._cons(x.copy(), *self._args), dtype=float).reshape(-1)
        if c.size != self.m:
            raise TypeError(f"constraints: fun returned {c.size} values; at x0 it returned {self.m}")
        return c - self._target

    def jac(self, x: Array) -> Any:
        """Return the user's Jacobian, or differences."""
        if self._jac is None:
            return self._differences(x)
        G = self._jac(x.copy(), *self._args)
        if issparse(G):
            G = csr(G)
        else:
            G = np.array(G, dtype=float)
            G = G.reshape(self.m, self.n) if G.ndim < 2 and G.size == self.m * self.n else np.atleast_2d(G)
        if G.shape != (self.m, self.n):
            raise TypeError(f"constraints: jac returned shape {G.shape}; it must be ({self.m}, {self.n})")
        return G

    def hess(self, x: Array, y: Array) -> Any:
        """Return the user's Hessian of ``y'c``, or products by differences of ``jac(x)' y``."""
        if self._hess is None:
            return LinearOperator((self.n, self.n), matvec=lambda v: self._product(x, y, v), dtype=float)
        H = self._hess(x.copy(), y.copy(), *self._args)
        H = H if hasattr(H, "shape") else np.array(H, dtype=float)
        if tuple(H.shape) != (self.n, self.n):
            raise TypeError(f"constraints: hess returned shape {H.shape}; it must be ({self.n}, {self.n})")
        return H

    def _differences(self, x: Array) -> Array:
        G = np.empty((self.m, self.n))
        for j in range(self.n):
            h = CENTRAL * max(1.0, abs(x[j]))
            up, down = x.copy(), x.copy()
            up[j] += h
            down[j] -= h
            G[:, j] = (self.cons(up) - self.cons(down)) / (up[j] - down[j])
        self._extra["ncev"] += 2 * self.n
        return G

    def _product(self, x: Array, y: Array, v: Array) -> Array:
        v = np.asarray(v, dtype=float).reshape(-1)
        size = float(np.linalg.norm(v))
        if size == 0.0:
            return np.zeros(self.n)
        t = (CENTRAL if self._jac is not None else NOISY) * max(1.0, float(np.linalg.norm(x))) / size
        self._extra["ncjev"] += 2
        return np.asarray((self.jac(x + t * v).T @ y - self.jac(x - t * v).T @ y) / (2 * t))


class Stacked(Constraints):
    """Several groups of constraints, one below the other.

    Parameters
    ----------
    parts : sequence of Constraints
        The groups, on the same variables; at least one.
    """

    def __init__(self, parts: Sequence[Constraints]) -> None:
        self.parts = list(parts) if isinstance(parts, list | tuple) else []
        if not self.parts or not all(isinstance(part, Constraints) for part in self.parts):
            raise TypeError(f"parts={shown(parts)} must be a sequence of Constraints, at least one")
        self.n = self.parts[0].n
        wrong = [part.n for part in self.parts if part.n != self.n]
        if wrong:
            raise ValueError(f"constraints: one group has {wrong[0]} variables, another {self.n}")
        self.m = sum(part.m for part in self.parts)
        self._ends = np.cumsum([0] + [part.m for part in self.parts])

    def cons(self, x: Array) -> Array:
        """Return all values."""
        return np.concatenate([part.cons(x) for part in self.parts])

    def jac(self, x: Array) -> Any:
        """Return all rows; sparse if any group's are."""
        rows = [part.jac(x) for part in self.parts]
        return csr(vstack(rows, format="csr")) if any(map(issparse, rows)) else np.vstack(rows)

    def hess(self, x: Array, y: Array) -> Any:
        """Return the sum of the groups' Hessians."""
        total = None
        for part, start, end in zip(self.parts, self._ends[:-1], self._ends[1:], strict=True):
            total = add(total, part.hess(x, y[start:end]))
        return total

    def extra_counts(self) -> dict[str, int]:
        """Return the evaluations by differences of all groups."""
        total: dict[str, int] = {}
        for part in self.parts:
            for name, count in part.extra_counts().items():
                total[name] = total.get(name, 0) + count
        return total
