"""Newton sketch, Newton-CG and sequences of linear systems: problems and methods that a toml names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse import csr_array, diags_array, eye_array, kron

from experiments.instance import Instance
from gnsopt import Logistic, Objective, Solver, Status
from gnsopt._typing import Array
from gnsopt.curvature import Sketched, exact, start
from gnsopt.driver import Trace, new_result
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization.decrease import decrease
from gnsopt.linalg.krylov import conjugate_gradients
from gnsopt.linalg.mfac import RankOneForm
from gnsopt.linalg.nystrom import NystromPreconditioner
from gnsopt.linalg.precond import Jacobi, Preconditioner
from gnsopt.linalg.recycling import RecycledRitz
from gnsopt.linalg.relaxation import best_omega, jacobi_radius, sor, ssor_inverse
from gnsopt.linalg.shifted import Accuracy, KrylovShifted
from gnsopt.linalg.tuning import Binned, ChebyshevBandit, Explore, TsallisINF, Tuner, omega_grid
from gnsopt.point import COUNTS, Point

# -------------------------------------------------------------------------------------------------- Newton's method


def spectral_logistic(
    n: int = 4000,
    d: int = 100,
    power: float = 0.0,
    decay: float = 1.0,
    coherent: bool = False,
    size: float = 1.0,
    l2: float = 1e-4,
    seed: int = 0,
) -> Instance:
    """Logistic regression on rows with singular values ``size sqrt(n) j^-power decay^j``.

    The left singular vectors are those of a normal matrix or, coherent, of one with Cauchy entries: a few rows hold
    most of some directions. Kept with a run are condition and effective dimension of the Hessian at the end.
    """
    rng = np.random.default_rng([seed, 77])
    j = np.arange(1.0, d + 1)
    U = np.linalg.qr(rng.standard_t(1, (n, d)) if coherent else rng.standard_normal((n, d)))[0]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = (U * (size * np.sqrt(n) * j**-power * decay**j)) @ V.T
    y = rng.random(n) < 1 / (1 + np.exp(-X @ rng.standard_normal(d)))
    problem = Logistic(X, y.astype(float), l2)

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        s = np.linalg.eigvalsh(problem.hess(found.x, problem.prepare(found.x)).dense())
        return {"condition": s[-1] / s[0], "effective_dimension": float(((s - l2) / s).sum())}

    return Instance(problem, arrays=arrays)


@dataclass(frozen=True)
class NewtonSketch(Solver):
    """Damped Newton steps with a sketched Hessian, ``f(x + t v) <= f(x) + slope t g'v``, t cut by `cut`.

    The scalar ``trials`` counts values of f, ``rows`` is the size of the sketch; 0 rows stand for the exact Hessian.
    """

    m: int = 25
    adaptive: bool = True
    sketch: str = "gaussian"
    debias: bool = False
    slope: float = 0.1
    cut: float = 0.5
    seed: int = 0

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points."""
        sketched = Sketched(max(self.m, 1), self.adaptive, self.sketch, debias=self.debias, seed=self.seed)
        build = start(sketched if self.m else exact.using("cholesky"), x)
        while True:
            H = build(x)
            v = -H.solve(0.0, x.g)
            slope, t = float(x.g @ v), 1.0
            for trials in range(1, 60):  # noqa: B007
                y = x.at(x.x + t * v)
                if decrease(x, y) >= -self.slope * t * slope:
                    break
                t *= self.cut
            else:
                raise StepFailure("59 trials rejected", -slope)
            x = y
            rows = H.form.rows.shape[0] if isinstance(H.form, RankOneForm) else 0
            yield x, {"trials": trials, "rows": rows, "step": t}


PRECONDITIONERS: dict[str, Callable[..., Any]] = {
    "nystrom": lambda rank=20, **options: NystromPreconditioner(rank, **options),
    "ritz": lambda rank=20: RecycledRitz(rank),
}


@dataclass(frozen=True)
class NewtonCG(Solver):
    """Damped Newton-CG, ``|r| <= min(0.1, sqrt |g|) |g|``, with a preconditioner that is kept over the steps."""

    preconditioner: str = "none"
    rank: int = 20
    adaptive: bool = False
    reuse: bool = True

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points; all products are in ``nhessp``, those of CG in ``cg``."""
        options = {"adaptive": self.adaptive, "reuse": self.reuse} if self.preconditioner == "nystrom" else {}
        renewal = None
        if self.preconditioner != "none":
            renewal = PRECONDITIONERS[self.preconditioner](rank=self.rank, **options).start()
        while True:
            form, metric, counts = x.hess(), x.metric, x.counts
            inner = [0]

            def product(v: Array, form: Any = form, counts: Any = counts) -> Array:
                counts.nhessp += 1
                return np.asarray(form.matvec(v))

            def matvec(v: Array, product: Any = product, inner: Any = inner) -> Array:
                inner[0] += 1
                Hv = product(v)
                if renewal is not None:
                    renewal.watch(v, Hv)
                return np.asarray(Hv)

            plain: Preconditioner = (
                Jacobi(_NoDiagonal(form.n)) if renewal is None else renewal.at_point(form, product, metric)
            )
            tolerance = min(0.1, np.sqrt(x.dual_norm))
            spend = None if renewal is None else renewal.spend
            counts.nsolve += 1
            try:
                h = KrylovShifted(matvec, metric, plain, Accuracy(0.5, tolerance), spend).solve(0.0, x.g)
            except NotPositiveDefinite as error:
                raise StepFailure("the Hessian is not positive definite") from error
            slope, t = -float(x.g @ h), 1.0
            for _ in range(60):
                y = x.at(x.x - t * h)
                if decrease(x, y) >= -0.1 * t * slope:
                    break
                t /= 2
            else:
                raise StepFailure("60 trials rejected", -slope)
            x = y
            yield x, {"cg": inner[0], "step": t}


class _NoDiagonal:
    """What tells `Jacobi` to do nothing."""

    def __init__(self, n: int) -> None:
        self.n = n

    def diagonal(self) -> None:
        return None


# -------------------------------------------------------------------------------------------- sequences of systems


def laplacian(k: int) -> Any:
    """Five-point Laplacian on the k x k grid, diagonal 4."""
    T = diags_array([-np.ones(k - 1), 2 * np.ones(k), -np.ones(k - 1)], offsets=[-1, 0, 1])
    return csr_array(kron(eye_array(k), T) + kron(T, eye_array(k)))


class Systems(Objective):
    """A sequence of systems ``(A + c I) x = b`` with the face of a problem: its value is zero, its cost is counted."""

    convex = True
    f_star = 0.0

    def __init__(self, A: Any, contexts: Array, right: Callable[[int, Array], Array], warm: bool) -> None:
        self.A, self.contexts, self.right, self.warm = A, contexts, right, warm
        self.n = A.shape[0]

    def fun(self, x: Array, z: Any) -> float:
        """Return zero."""
        return 0.0

    def grad(self, x: Array, z: Any) -> Array:
        """Return zero."""
        return np.zeros(self.n)


def delsq(k: int = 10, systems: int = 5000, spread: str = "low", trial: int = 0, seed: int = 0) -> Instance:
    """Laplacian plus ``c = -0.15 + 0.6 Beta``: Beta(2, 6), low, or Beta(1/2, 3/2), high; normal b, ``|b|^2 <= n``."""
    rng = np.random.default_rng([seed, 10, trial])
    n = k * k
    contexts = -0.15 + 0.6 * (rng.beta(2, 6, systems) if spread == "low" else rng.beta(0.5, 1.5, systems))
    B = np.empty((systems, n))
    for i in range(systems):
        while True:
            B[i] = rng.standard_normal(n)
            if np.linalg.norm(B[i]) <= np.sqrt(n):
                break
    return Instance(Systems(laplacian(k), contexts, lambda i, x: B[i], warm=False), np.zeros(n))


def heat(k: int = 25, systems: int = 5000, dt: float = 1e-3) -> Instance:
    """Crank-Nicolson for ``u_t = kappa(t) Laplace u + f`` on the unit square, a bump that moves on a circle.

    ``kappa = max(0.1 sin 2 pi t, -10 sin 2 pi t)``; divided by ``kappa dt / 2 h^2`` its systems are those of the
    Laplacian with the shift ``c = 2 h^2 / (kappa dt)``, and what was the solution is the start of the next one.
    """
    h = 1.0 / (k + 1)
    grid = np.linspace(h, 1 - h, k)
    X, Y = np.meshgrid(grid, grid)
    A = laplacian(k)
    t = dt * (np.arange(systems) + 0.5)
    kappa = np.maximum(0.1 * np.sin(2 * np.pi * t), -10 * np.sin(2 * np.pi * t))
    contexts = 2 * h**2 / (np.maximum(kappa, 1e-6) * dt)

    def right(i: int, u: Array) -> Array:
        x, y = 0.5 + 0.25 * np.cos(2 * np.pi * t[i]), 0.5 + 0.25 * np.sin(2 * np.pi * t[i])
        bump = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * 0.05**2)).ravel()
        return np.asarray(contexts[i] * (u + dt * bump) - A @ u)

    return Instance(Systems(A, contexts, right, warm=True), np.zeros(k * k))


def tuner(choice: str, omega: float, contexts: Array, grid: Array, seed: int) -> Tuner:
    """Return what chooses omega for each system; contexts are on a logarithmic scale where they are positive."""
    ends = (float(contexts.min()), float(contexts.max()))
    if choice == "fixed":
        return Explore([omega])
    if choice == "tsallis":
        return TsallisINF(grid, seed)
    if choice == "binned tsallis":
        return Binned(lambda i: TsallisINF(grid, seed + i), ends, 5)
    if choice == "chebyshev":
        return ChebyshevBandit(grid, ends, 6, seed)
    if choice == "explore":
        return Binned(lambda i: Explore(grid, 3), ends, 6)
    raise ValueError(f"choice={choice!r} is unknown")


@dataclass(frozen=True)
class Relaxed:
    """Solves a sequence by SOR, or by SSOR-preconditioned CG; a row of the trace for each `block` of systems."""

    solver: str = "sor"
    choice: str = "fixed"
    omega: float = 1.0
    block: int = 50
    rtol: float = 1e-8
    seed: int = 0

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, maxiter: int = 10_000, **rest: Any
    ) -> OptimizeResult:
        """Solve all systems; ``nhessp`` of the trace is the number of iterations, ``gnorm`` the worst residual."""
        systems: Any = problem
        A, contexts = systems.A, systems.contexts
        features = np.log10(contexts) if contexts.min() > 0 else contexts
        count = min(contexts.size, max(maxiter, 1) * self.block)
        exact = self.choice == "closed form"
        grid = omega_grid() if self.solver == "sor" else omega_grid(16, 2 * np.sqrt(2) - 2, 1.95)
        beta = jacobi_radius(A, 30) if exact else 0.0
        chosen = None if exact else tuner(self.choice, self.omega, features, grid, self.seed)
        x, cost, worst = np.zeros(systems.n), 30 * exact, 0.0
        trace = Trace()
        zeros = dict.fromkeys(COUNTS, 0)
        began = time.perf_counter()
        trace.append({"nit": 0, "fun": 0.0, "gnorm": 1.0, "time": 0.0, **zeros, "nhessp": cost, "omega": np.nan}, x)
        for i in range(count):
            c, b = float(contexts[i]), systems.right(i, x)
            # the diagonal of A is constant, 4: the Jacobi iteration of A + cI has the radius 4 beta / (4 + c)
            omega = best_omega(4 * beta / (4 + c)) if chosen is None else chosen.propose(float(features[i]))
            start = x if systems.warm else None
            if self.solver == "sor":
                found = sor(A, b, omega, shift=c, x0=start, rtol=self.rtol)
            else:
                M = ssor_inverse(A, omega, c)
                found = conjugate_gradients(lambda v, c=c: A @ v + c * v, b, preconditioner=M, x0=start, rtol=self.rtol)
            if chosen is not None:
                chosen.report(float(max(found.iterations, 1)))
            x, cost = found.x, cost + found.iterations
            worst = max(worst, float(found.residuals[-1] / max(np.linalg.norm(b), 1e-300)))
            if (i + 1) % self.block == 0 or i + 1 == count:
                row = {
                    "nit": len(trace),
                    "fun": 0.0,
                    "gnorm": worst,
                    "time": time.perf_counter() - began,
                    "omega": omega,
                }
                trace.append({**row, **zeros, "nhessp": cost, "nsolve": i + 1}, x)
        good = worst <= 10 * self.rtol
        return new_result(
            x=x,
            fun=0.0,
            jac=np.zeros(systems.n),
            nit=len(trace) - 1,
            success=good,
            status=int(Status.CONVERGED if good else Status.STEP_FAILURE),
            message="all systems solved" if good else "a system was not solved",
            trace=trace,
            curvature="",
            **{**zeros, "nhessp": cost, "nsolve": count},
        )


BUILDERS: tuple[Callable[..., Instance], ...] = (spectral_logistic, delsq, heat)
METHODS: dict[str, Any] = {"newton-sketch": NewtonSketch, "newton-cg": NewtonCG, "relaxed": Relaxed}
