"""Bilevel problems and methods that a toml names: those of `experiments.catalog` whose variables are theta."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from experiments.instance import Instance
from gnsopt import Objective, Status, datasets
from gnsopt._typing import Array
from gnsopt.bilevel import METHODS as BILEVEL
from gnsopt.bilevel import (
    BilevelProblem,
    Constants,
    FieldsOfExperts,
    LogisticPenalties,
    Reweighting,
    TotalVariation,
    minimize,
)
from gnsopt.bilevel.problems import toys
from gnsopt.bilevel.problems.images import piecewise_constant
from gnsopt.bilevel.run import Run
from gnsopt.bilevel.value_function import ValueFunction
from gnsopt.driver import Trace, new_result

STATUSES = {
    "stationary": Status.CONVERGED,
    "accuracy-floor": Status.PRECISION_LIMIT,
    "budget": Status.MAXITER,
    "not-finite": Status.NOT_FINITE,
    "interrupted": Status.INTERRUPTED,
    "callback": Status.CALLBACK,
}


class Outer(Objective):
    """f as a sweep sees it: a bilevel problem and its start; `value` where f is known in closed form."""

    def __init__(self, problem: BilevelProblem, theta0: Array, f_star: float | None = None) -> None:
        self.bilevel, self.theta0, self.n, self.f_star = problem, theta0, problem.d, f_star
        self.value: Callable[[Array], float] | None = getattr(problem, "value", None)

    def start(self) -> Array:
        """Return the start."""
        return self.theta0.copy()


# -------------------------------------------------------------------------------------------------------- problems


def bilevel_toy(toy: str = "StronglyConvex", theta: float = 0.5, seed: int = 0) -> Instance:
    """A toy in closed form, from the same number in all of theta; kept is the distance to the minimiser."""
    if toy == "StronglyConvex":
        problem: Any = toys.StronglyConvex(seed=seed)
        goal = problem.minimiser()
        objective = Outer(problem, np.full(problem.d, theta), problem.value(goal))

        def arrays(found: OptimizeResult) -> dict[str, Any]:
            return {"distance": np.array([np.linalg.norm(at - goal) for at in found.trace.x])}

        return Instance(objective, arrays=arrays)
    problem = getattr(toys, toy)()
    return Instance(Outer(problem, np.full(problem.d, theta)))


def three_sources(n: int = 100, k: int = 3, share: float = 1.0, l2: float = 1e-2, seed: int = 0) -> Instance:
    """Softmax regression on a good source, one with a share of random labels, and the good one again.

    Kept are the weights of the sources at each iterate.
    """
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((10, k))

    def source(noise: float) -> tuple[Array, Array]:
        X = rng.standard_normal((n, 10))
        y = np.argmax(X @ W + 0.2 * rng.standard_normal((n, k)), axis=1)
        bad = rng.random(n) < noise
        return X, np.where(bad, rng.integers(0, k, n), y)

    good, noisy, held = source(0.0), source(share), source(0.0)
    X, y = (np.concatenate([a, b, a]) for a, b in zip(good, noisy, strict=True))
    problem = Reweighting(X, y, *held, np.repeat([0, 1, 2], n), l2=l2)

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        return {"p": np.array([problem.probabilities(theta) for theta in found.trace.x])}

    return Instance(Outer(problem, np.zeros(3)), arrays=arrays)


def denoising(
    regulariser: str = "tv",
    images: int = 2,
    side: int = 64,
    noise: float = 0.1,
    filters: int = 8,
    size: int = 5,
    weight: float = -5.0,
    width: float = -5.0,
    seed: int = 0,
) -> Instance:
    """Total variation ("tv") or a field of experts ("foe") on synthetic piecewise-constant images.

    Kept are the first image, clean, noisy and denoised, the peak signal-to-noise ratios of all, and the filters.
    """
    clean, noisy = piecewise_constant(images, side, noise, seed)
    if regulariser == "tv":
        problem: Any = TotalVariation(clean, noisy)
        theta0 = np.array([weight, width])
    else:
        problem = FieldsOfExperts(clean, noisy, filters, size)
        theta0 = problem.start_theta(seed, weight, width)

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        x = found.bilevel.x
        kept = {"clean": clean[0], "noisy": noisy[0], "denoised": problem.images(x)[0]}
        ratios = {"psnr": problem.psnr(x), "psnr_noisy": problem.psnr(noisy.reshape(-1))}
        bank = {} if regulariser == "tv" else {"filters": problem.filters(found.x).T.reshape(-1, size, size)}
        return {**kept, **ratios, **bank, "theta": found.x}

    return Instance(Outer(problem, theta0), arrays=arrays)


def maid_quadratic(rows: int = 1000, n: int = 10, seed: int = 0) -> Instance:
    """Least squares on both levels, uniform matrices: theta* and f are known.  Kept is the attained accuracy of x."""
    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.uniform(size=(rows, n)) for _ in range(3))
    x1, x2, truth = rng.uniform(size=n), rng.uniform(size=n), rng.uniform(size=n)
    b1 = A1 @ x1 + 0.01 * rng.standard_normal(rows)
    b2 = A2 @ x2 + A3 @ truth + 0.01 * rng.standard_normal(rows)
    H, J, spectrum = A2.T @ A2, A2.T @ A3, np.linalg.eigvalsh(A2.T @ A2)
    B, c = -A1 @ np.linalg.solve(H, J), b1 - A1 @ np.linalg.solve(H, A2.T @ b2)

    def level(A: Array, r: Array) -> tuple[float, Array]:
        return 0.5 * float(r @ r), A.T @ r

    problem: Any = BilevelProblem(
        n,
        n,
        lower=lambda x, theta: level(A2, A2 @ x + A3 @ theta - b2),
        upper=lambda x, theta: (*level(A1, A1 @ x - b1), None),
        cross_t=lambda x, theta, q: J.T @ q,
        hvp=lambda x, theta: lambda v: H @ v,
        mu=float(spectrum[0]),
        constants=Constants(L=float(spectrum[-1]), L_g=float(np.linalg.norm(A1, 2)) ** 2, L_H=0.0, L_J=0.0),
        J_norm=lambda x, theta: float(np.linalg.norm(J, 2)),
        x0=x2,
    )
    problem.value = lambda theta: level(A1, B @ theta - c)[0]
    return Instance(Outer(problem, np.ones(n), problem.value(np.linalg.lstsq(B, c, rcond=None)[0])))


def mnist_penalties(train: int = 10_000, validation: int = 5_000, start: float = -3.0) -> Instance:
    """Softmax regression on digits of 12 x 12 pixels with a penalty for each weight; kept are losses on three sets.

    The test set is as large as the validation set; its loss at the end shows what the many penalties are worth.
    """
    X, y = datasets.load("mnist.scale")
    images = np.zeros((X.shape[0], 28 * 28))
    images[:, : X.shape[1]] = X.toarray()  # the last pixels are zero everywhere and not in the file
    inner = images.reshape(-1, 28, 28)[:, 2:26, 2:26]
    pixels = inner.reshape(-1, 12, 2, 12, 2).mean(axis=(2, 4)).reshape(-1, 144)
    first, second = train + validation, train + 2 * validation
    parts = [(pixels[part], y[part]) for part in (slice(train), slice(train, first), slice(first, second))]
    problem = LogisticPenalties(*parts[0], *parts[1], groups="weight")
    test = LogisticPenalties(*parts[0], *parts[2], groups="weight")

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        x = found.bilevel.x
        Z = np.argmax(parts[2][0] @ x.reshape(144, 10), axis=1)
        right = float(np.mean(np.unique(y)[Z] == parts[2][1]))
        return {"test_loss": test.upper(x, found.x)[0], "test_accuracy": right, "penalties": found.x}

    return Instance(Outer(problem, np.full(problem.d, start)), arrays=arrays)


# --------------------------------------------------------------------------------------------------------- methods


@dataclass(frozen=True)
class Bilevel:
    """``gnsopt.bilevel.minimize`` with the face of a solver; `njev` is the work in equal cost units."""

    name: str
    options: dict[str, Any]

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, gtol: float = 1e-6, maxiter: int = 1000, **rest: Any
    ) -> OptimizeResult:
        """Minimise; ``fun`` of the trace is f itself where that is known, else what the method believes."""
        assert isinstance(problem, Outer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # estimates instead of certificates
            found = minimize(
                problem.bilevel,
                problem.start() if x0 is None else x0,
                self.name,
                tol=gtol,
                maxiter=maxiter,
                keep_theta=True,
                **self.options,
            )
        trace = Trace(keep_x=True)
        for row, theta in zip(found.trace, found.trace.x, strict=True):
            fun = row["fun"] if problem.value is None else problem.value(theta)
            trace.append({**row, "fun": fun, "njev": row["work"]}, theta)
        return new_result(
            x=found.theta,
            fun=float(np.min(trace["fun"])),
            jac=found.hypergradient,
            nit=len(trace) - 1,
            success=found.success,
            status=int(STATUSES.get(found.status, Status.STEP_FAILURE)),
            message=found.message,
            trace=trace,
            curvature="",
            bilevel=found,
            **_counts(found.work),
        )


def _counts(work: float) -> dict[str, int]:
    return {"nfev": 0, "njev": int(work), "nhev": 0, "nhessp": 0, "nsolve": 0}


@dataclass(frozen=True)
class PenaltyErrors:
    """Not a method: psi_sigma at the start, for sigma from `first` to `last`; errors of value and gradient."""

    first: float = 1e-1
    last: float = 1e-5
    points: int = 13
    central: bool = False

    def minimize(self, problem: Objective, x0: Array | None = None, **rest: Any) -> OptimizeResult:
        """Return a trace with a row for each sigma."""
        assert isinstance(problem, Outer)
        theta, exact, trace = problem.start(), problem.bilevel, Trace(keep_x=True)
        value, slope = exact.value(theta), exact.slope(theta)  # type: ignore[attr-defined]
        box = np.full(exact.d, np.inf)
        run = Run(exact, theta, -box, box, 0.0, False)
        for k, sigma in enumerate(np.geomspace(self.first, self.last, self.points)):
            psi = ValueFunction(run, float(sigma), self.central, "l-bfgs").at(theta)
            psi.solve(1e-16)
            errors = {"value_error": abs(value - psi.V), "gradient_error": float(np.linalg.norm(psi.z - slope))}
            row = {"nit": k, "fun": value, "gnorm": float(np.linalg.norm(psi.z)), "time": 0.0}
            trace.append({**row, "sigma": float(sigma), "psi": psi.V, **errors}, theta)
        return _swept(trace, theta, value, slope, run)


@dataclass(frozen=True)
class PenaltyProfile:
    """Not a method: psi_sigma and its derivative along theta, for problems of one variable."""

    sigma: float
    low: float
    high: float
    points: int = 201

    def minimize(self, problem: Objective, x0: Array | None = None, **rest: Any) -> OptimizeResult:
        """Return a trace with a row for each theta."""
        assert isinstance(problem, Outer)
        exact, trace = problem.bilevel, Trace(keep_x=True)
        box = np.full(1, np.inf)
        run = Run(exact, np.array([self.low]), -box, box, 0.0, False)
        for k, at in enumerate(np.linspace(self.low, self.high, self.points)):
            theta = np.array([at])
            psi = ValueFunction(run, self.sigma, False, "l-bfgs").at(theta)
            psi.solve(1e-14)
            value, slope = exact.value(theta), float(exact.slope(theta)[0])  # type: ignore[attr-defined]
            row = {"nit": k, "fun": value, "gnorm": abs(slope), "time": 0.0}
            trace.append({**row, "theta": at, "psi": psi.V, "psi_slope": float(psi.z[0]), "slope": slope}, theta)
        return _swept(trace, theta, float(np.min(trace["fun"])), np.array([slope]), run)


def _swept(trace: Trace, theta: Array, value: float, slope: Array, run: Run) -> OptimizeResult:
    return new_result(
        x=theta,
        fun=value,
        jac=slope,
        nit=len(trace) - 1,
        success=True,
        status=int(Status.CONVERGED),
        message="swept",
        trace=trace,
        curvature="",
        **_counts(run.work.total),
    )


BUILDERS: tuple[Callable[..., Instance], ...] = (bilevel_toy, three_sources, denoising, maid_quadratic, mnist_penalties)
METHODS: dict[str, Any] = {
    "penalty-errors": PenaltyErrors,
    "penalty-profile": PenaltyProfile,
    **{f"bilevel-{name}": lambda name=name, **options: Bilevel(name, options) for name in BILEVEL},
}
