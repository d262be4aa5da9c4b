"""Transport problems and methods that a toml names: those of `experiments.catalog` whose objective is a dual."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import zoom
from scipy.optimize import OptimizeResult
from scipy.special import expit
from sklearn.datasets import load_digits

from experiments.instance import Instance
from gnsopt import Objective, Status, datasets, ot
from gnsopt._typing import Array
from gnsopt.cli.scipy_method import SciPyMethod
from gnsopt.driver import Trace, new_result
from gnsopt.ot.sparse_duals import SparseDual, SparseSemiDual
from gnsopt.ot.sparsity import SparsePlan, sparsity_constrained
from gnsopt.point import COUNTS

# ---------------------------------------------------------------------------------------------------------- data


def clouds(n: int, m: int, seed: int) -> dict[str, Array]:
    """Two normal clouds in the plane at distance (1, 1), uniform masses, squared distances over their maximum."""
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2)) + 1
    C = ((X[:, None] - Y) ** 2).sum(axis=-1)
    return {"X": X, "Y": Y, "a": np.full(n, 1 / n), "b": np.full(m, 1 / m), "C": C / C.max()}


def assignment(n: int, m: int, seed: int) -> dict[str, Array]:
    """Costs uniform in [0, 1], uniform masses."""
    C = np.random.default_rng(seed).random((n, m))
    return {"a": np.full(n, 1 / n), "b": np.full(m, 1 / m), "C": C}


def images(one: Array, other: Array, power: int) -> dict[str, Array]:
    """Two grey images as masses on the grid of their pixels; L1 or squared L2 distances over their maximum."""
    grid = np.stack(np.indices(one.shape), axis=-1).reshape(-1, 2).astype(float)
    C = (np.abs(grid[:, None] - grid) ** power).sum(axis=-1)
    a, b = one.ravel(), other.ravel()
    return {"a": a / a.sum(), "b": b / b.sum(), "C": C / C.max()}


def digits(side: int, power: int) -> dict[str, Array]:
    """A nought and a one of scikit-learn, enlarged to that side, on a background of 1/1600 of the ink."""
    one, other = (np.clip(zoom(image, side / 8, order=1), 0, None) + 0.01 for image in load_digits().images[:2])
    return images(one, other, power)


def handwritten(side: int, power: int, background: float) -> tuple[dict[str, Array], str]:
    """The first two images of MNIST, where its file is at hand, else two digits of scikit-learn; and which they are.

    A side that divides 28 averages their pixels.
    """
    pixels = np.zeros((2, 28 * 28))
    try:
        X, _ = datasets.load("mnist.scale")
    except FileNotFoundError:
        pixels[:] = [zoom(image / 16, 3.5, order=1).clip(0, 1).ravel() for image in load_digits().images[:2]]
        name = "digits of scikit-learn"
    else:
        pixels[:, : X.shape[1]] = X[:2].toarray()  # the last pixels are zero everywhere and not in the file
        name = "MNIST"
    one, other = pixels.reshape(2, side, 28 // side, side, 28 // side).mean(axis=(2, 4))
    return images(one + background, other + background, power), name


def colours(n: int, m: int, seed: int, side: int = 96) -> dict[str, Array]:
    """Colours of two synthetic images, a bay by day and one at dusk: rows are those of dusk, columns those of day.

    Each colour of the day image is to become a mixture of few colours of dusk.
    """
    rng = np.random.default_rng(seed)
    day, dusk = bay(side, seed, dusk=False), bay(side, seed + 1, dusk=True)
    Y, X = (image.reshape(-1, 3)[rng.permutation(side**2)[:size]] for image, size in ((dusk, n), (day, m)))
    C = ((Y[:, None] - X) ** 2).sum(axis=-1)
    return {"X": Y, "Y": X, "a": np.full(n, 1 / n), "b": np.full(m, 1 / m), "C": C / C.max(), "day": day, "dusk": dusk}


def bay(side: int, seed: int, dusk: bool) -> Array:
    """Sky, sun, hills and water: smooth gradients with a little noise, colours in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    sky_top, sky_low = ([0.16, 0.08, 0.30], [0.98, 0.55, 0.25]) if dusk else ([0.20, 0.45, 0.85], [0.80, 0.90, 0.98])
    hill, water = ([0.14, 0.07, 0.12], [0.45, 0.20, 0.28]) if dusk else ([0.16, 0.42, 0.18], [0.10, 0.38, 0.60])
    sun = [1.0, 0.80, 0.35] if dusk else [1.0, 0.98, 0.85]
    image = np.array(sky_top) + (y / 0.55).clip(0, 1)[..., None] * (np.array(sky_low) - sky_top)
    disc = expit((0.08 - np.hypot(x - 0.7, y - (0.40 if dusk else 0.18))) * 120)[..., None]
    image = image + disc * (np.array(sun) - image)
    ridge = 0.50 - 0.09 * np.sin(5 * x + 0.6) - 0.05 * np.sin(13 * x + 2.0)
    image = np.where((y > ridge)[..., None], np.array(hill) * (1.3 - 0.5 * y[..., None]), image)
    glitter = 0.5 + 0.5 * np.sin(70 * y + 3 * np.sin(9 * x))
    sea = np.array(water) + 0.35 * (glitter * np.exp(-8 * (x - 0.7) ** 2))[..., None] * (np.array(sun) - water)
    image = np.where((y > 0.62)[..., None], sea, image)
    return (image + 0.02 * rng.standard_normal(image.shape)).clip(0, 1)


def tokens(n: int, m: int, seed: int, d: int = 16) -> dict[str, Array]:
    """Tokens in clusters of unequal sizes, experts with a key each: the cost is one minus the cosine, halved.

    Popular experts are the nearest ones of far more tokens than they can take.
    """
    rng = np.random.default_rng(seed)
    keys = rng.standard_normal((m, d))
    share = 1.0 / (1 + np.arange(m))
    X = keys[rng.choice(m, n, p=share / share.sum())] + 0.9 * rng.standard_normal((n, d))
    X, keys = (V / np.linalg.norm(V, axis=1, keepdims=True) for V in (X, keys))
    return {"X": X, "Y": keys, "a": np.full(n, 1 / n), "b": np.full(m, 1 / m), "C": (1 - X @ keys.T) / 2}


DATA: dict[str, Callable[..., dict[str, Array]]] = {f.__name__: f for f in (clouds, colours, tokens)}

# ------------------------------------------------------------------------------------- sparsity-constrained plans


@cache
def sparse_reference(data: str, n: int, m: int, k: int, gamma: float, tol: float, seed: int) -> SparsePlan:
    """Return the solution, computed once in a process."""
    problem = DATA[data](n, m, seed)
    return sparsity_constrained(problem["a"], problem["b"], problem["C"], gamma, k, tol=tol)


def sparse_transport(
    data: str, n: int, m: int, k: int, gamma: float, formulation: str = "semi-dual", tol: float = 1e-9, seed: int = 0
) -> Instance:
    """Dual or semi-dual of transport with at most k nonzeros in a column; a k of 0 is n, no constraint.

    Its minimum is minus the value of the relaxation, found to `tol`. Kept with a run are the plan and its values.
    """
    problem, places = DATA[data](n, m, seed), k or n
    kind = {"dual": SparseDual, "semi-dual": SparseSemiDual}[formulation]
    Ct = np.ascontiguousarray(problem["C"].T)
    objective: Any = kind(Ct, problem["a"], problem["b"], gamma, places)
    objective.f_star = -sparse_reference(data, n, m, places, gamma, tol, seed).lower_bound

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        if "transport" in found:
            return {**problem, **plan_arrays(found.transport)}
        plan = objective.prepare(found.x).plan().toarray()
        errors = np.abs(plan.sum(axis=1) - problem["a"]).sum(), np.abs(plan.sum(axis=0) - problem["b"]).sum()
        return {"row_error": errors[0], "column_error": errors[1], "nonzeros": (plan > 0).sum(axis=0)}

    return Instance(objective, arrays=arrays)


def plan_arrays(found: SparsePlan) -> dict[str, Any]:
    """Return what figures show of a plan."""
    numbers = ("value", "cost", "lower_bound", "row_error", "column_error", "shared_columns")
    return {
        "plan": found.plan.toarray(),
        "relaxed_plan": found.relaxed_plan.toarray(),
        "nonzeros": np.diff(found.plan.indptr),
        **{name: getattr(found, name) for name in numbers},
    }


@dataclass(frozen=True)
class Proximal:
    """`sparsity_constrained` with the face of a solver: its stages are the iterations."""

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, gtol: float = 1e-9, maxiter: int = 10_000, **rest: Any
    ) -> OptimizeResult:
        """Solve; the trace has the dual value after each stage, and the result the `SparsePlan` as `transport`."""
        dual: Any = problem
        x = problem.start() if x0 is None else x0
        found = sparsity_constrained(dual.a, dual.b, dual.Ct.T, dual.gamma, dual.k, tol=gtol, max_iter=maxiter)
        trace, totals = Trace(), dict.fromkeys(("time", *COUNTS), 0.0)
        z = problem.prepare(x)
        row = {"nit": 0, "fun": problem.fun(x, z), "gnorm": np.nan}
        trace.append({**row, **totals}, x)
        for run in found.history:
            if not run["run"].startswith("proximal"):  # what follows is on a support
                continue
            totals["time"] += run["seconds"]
            for name in COUNTS:
                totals[name] += run[name]
            if "bound" in run:
                row = {"nit": len(trace), "fun": -run["bound"], "gnorm": np.nan, "eps": run["eps"]}
                trace.append({**row, **totals}, x)
        return new_result(
            x=found.alpha,
            fun=-found.lower_bound,
            jac=problem.grad(found.alpha, problem.prepare(found.alpha)),
            nit=len(trace) - 1,
            success=found.success,
            status=int(Status.CONVERGED if found.success else Status.STEP_FAILURE),
            message=found.message,
            trace=trace,
            curvature="",
            transport=found,
            **{name: int(totals[name]) for name in COUNTS},
        )


@dataclass(frozen=True)
class LBFGS:
    """SciPy's L-BFGS-B from the problem's start."""

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, gtol: float = 0.0, maxiter: int = 10_000, **rest: Any
    ) -> OptimizeResult:
        """Minimise; the trace is that of our own solvers."""
        return SciPyMethod("L-BFGS-B").minimize(problem, gtol=gtol, maxiter=maxiter)


# ------------------------------------------------------------------------------------------------ entropic plans


@cache
def entropic_problem(
    data: str, n: int, side: int, power: int, background: float, eta: float, seed: int
) -> tuple[Any, float, str]:
    """Return problem, minimum of its semi-dual, and the name of its data; computed once in a process."""
    given, name = (assignment(n, n, seed), data) if data == "assignment" else handwritten(side, power, background)
    problem = ot.Problem(given["a"], given["b"], given["C"], 1 / eta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ot.NotConverged)  # to the limit of float64
        found = ot.solve(problem, method="newton", tol=0.0, max_iter=1000)
    return problem, float(found.run.trace["fun"].min()), name


def entropic(
    data: str = "assignment",
    n: int = 500,
    side: int = 28,
    power: int = 2,
    background: float = 1e-3,
    eta: float = 1200.0,
    keep_plan: bool = False,
    seed: int = 0,
) -> Instance:
    """The semi-dual of entropic transport with ``reg = 1/eta``: an assignment problem of order n, or ``images``."""
    problem, f_star, name = entropic_problem(data, n, side, power, background, eta, seed)
    objective: Any = problem.semidual()
    objective.f_star, objective.transport = f_star, problem

    def arrays(found: OptimizeResult) -> dict[str, Any]:
        plan = {"plan": found.transport.plan} if keep_plan else {}
        return {"data": name, "err1": found.transport.err1, "cost": found.transport.cost, **plan}

    return Instance(objective, arrays=arrays)


@dataclass(frozen=True)
class Entropic:
    """``gnsopt.ot.solve`` with the face of a solver; ``kept`` is the number of entries of a row that sns keeps."""

    name: str
    options: dict[str, Any]

    def minimize(
        self, problem: Objective, x0: Array | None = None, *, gtol: float = 1e-9, maxiter: int = 100_000, **rest: Any
    ) -> OptimizeResult:
        """Solve to an L1 error of `gtol`; the trace has the value of the semi-dual, whatever the method works on."""
        transport, options = problem.transport, dict(self.options)  # type: ignore[attr-defined]
        if "kept" in options:
            options["density"] = options.pop("kept") / max(transport.geometry.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ot.NotConverged)
            found = ot.solve(transport, method=self.name, tol=gtol, max_iter=maxiter, **options)
        run = found.run
        a, _ = transport.marginals
        shift = 1.0 - float(a @ np.log(a)) if self.name == "sns" else 0.0  # of the dual in both potentials
        trace = Trace()
        for row in run.trace:
            trace.append({**row, "fun": row["fun"] - shift}, run.x)
        return new_result({**run, "fun": run.fun - shift, "trace": trace, "transport": found})


BUILDERS: tuple[Callable[..., Instance], ...] = (sparse_transport, entropic)
METHODS: dict[str, Any] = {
    "l-bfgs": LBFGS,
    "sparsity-constrained": Proximal,
    **{f"ot-{name}": lambda name=name, **options: Entropic(name, options) for name in ot.METHODS},
}
