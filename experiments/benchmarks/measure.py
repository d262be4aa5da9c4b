"""One cell of the main job, in its own process: ``python -m experiments.benchmarks.measure DATA L2 MODE FILE SECONDS``.

MODE is ``load`` (fill the cache of parsed data), ``default`` (the timed run with default options), ``limit`` (our run
to a gradient of 1e-12 or the limit of float64) or the name of a peer. The answer is a json file, whole or absent.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp
from scipy.special import softmax as probabilities

import gnsopt
from experiments import environment
from experiments.benchmarks.main_job import CONVERGED
from experiments.storage import write_json
from gnsopt import datasets
from gnsopt.cli.options import read_l2
from gnsopt.cli.scipy_method import SciPyMethod

GTOL = 1e-8  # of the timed run
LIMIT = 1e-12  # of our side of the comparison
PEER_GTOL = 1e-14
SKLEARN = ("newton-cholesky", "lbfgs")
SCIPY = ("trust-krylov", "trust-ncg", "L-BFGS-B")
COUNTS = ("nit", "nfev", "njev", "nhev", "nhessp", "nsolve")


def problem(X: Any, y: Any, l2: float) -> gnsopt.LinearModel:
    """Return the problem of the main job: no intercept, mean loss."""
    return gnsopt.Logistic(X, y, l2) if np.unique(y).size == 2 else gnsopt.Softmax(X, y, l2)


def default(X: Any, y: Any, l2: float) -> dict[str, Any]:
    """Time ``gnsopt.minimize`` with default options, from the arrays to the answer, after a warm-up that compiles."""
    gnsopt.minimize(problem(X, y, l2), options={"maxiter": 3})
    begin = time.perf_counter()
    found = gnsopt.minimize(problem(X, y, l2), tol=GTOL)
    seconds = time.perf_counter() - begin
    return {
        "status": gnsopt.Status(found.status).name.lower(),
        "success": bool(found.success),
        **{name: int(found[name]) for name in COUNTS},
        "seconds": seconds,
        "peak_gib": peak_gib(),
        "curvature": found.curvature,
        "fun": float(found.fun),
        "gnorm": float(np.max(np.abs(found.jac))),
    }


def peak_gib() -> float:
    """Return the largest resident memory of this process so far, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def limit(X: Any, y: Any, l2: float) -> dict[str, Any]:
    """Return our value at a gradient of 1e-12, or where float64 ends, beside its independent evaluation."""
    found = gnsopt.minimize(problem(X, y, l2), tol=LIMIT)
    value, gradient = evaluate(X, y, l2, found.x)
    return {
        "status": gnsopt.Status(found.status).name.lower(),
        "fun": float(found.fun),
        "independent_fun": value,
        **norms(gradient),
    }


def peer(X: Any, y: Any, l2: float, name: str, seconds: float) -> dict[str, Any]:
    """Return the value that a peer reaches, evaluated independently of it and of us."""
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x = _sklearn(X, y, l2, name) if name in SKLEARN else _scipy(problem(X, y, l2), name, seconds)
    value, gradient = evaluate(X, y, l2, x)
    return {
        "fun": value,
        **norms(gradient),
        "seconds": time.perf_counter() - begin,
        "warnings": sorted({str(w.message).partition("\n")[0] for w in caught}),
    }


def _sklearn(X: Any, y: Any, l2: float, name: str) -> Any:
    """Return the weights in the order of ours; scikit-learn minimises ``C sum loss + |w|^2/2``."""
    from sklearn.linear_model import LogisticRegression

    C = 1 / (len(y) * l2)
    model = LogisticRegression(solver=name, C=C, tol=PEER_GTOL, fit_intercept=False, max_iter=100_000)
    return model.fit(X, y).coef_.T.reshape(-1)


class _Enough(Exception):
    """Leave SciPy: the gradient no longer falls."""


def _scipy(objective: gnsopt.Objective, name: str, seconds: float) -> Any:
    """Return SciPy's iterate of smallest gradient, once that has converged and stood still for 30 iterations."""
    best: dict[str, Any] = {"x": objective.start(), "gnorm": np.inf, "age": 0}

    def watch(*, intermediate_result: Any) -> None:
        gnorm = float(np.max(np.abs(intermediate_result.jac)))
        best["age"] += 1
        if gnorm < best["gnorm"]:
            best.update(x=intermediate_result.x, gnorm=gnorm, age=0)
        if best["gnorm"] <= 0.01 * CONVERGED and best["age"] >= 30:
            raise _Enough

    try:
        found = SciPyMethod(name).minimize(
            objective, gtol=PEER_GTOL, maxiter=1_000_000, maxtime=seconds, callback=watch
        )
    except _Enough:
        return best["x"]
    return found.x if np.max(np.abs(found.jac)) < best["gnorm"] else best["x"]


def evaluate(X: Any, y: Any, l2: float, x: Any) -> tuple[float, Any]:
    """Return objective and gradient by NumPy and SciPy alone: nothing of gnsopt."""
    classes, codes = np.unique(y, return_inverse=True)
    n, d = X.shape
    if classes.size == 2:
        sign = 2.0 * codes - 1.0
        t = sign * (X @ x)
        value = np.mean(np.logaddexp(0.0, -t)) + 0.5 * l2 * (x @ x)
        return float(value), X.T @ (-sign * expit(-t)) / n + l2 * x
    V = x.reshape(d, classes.size)
    Z = X @ V
    loss = logsumexp(Z, axis=1) - Z[np.arange(n), codes]
    P = probabilities(Z, axis=1)
    P[np.arange(n), codes] -= 1.0
    return float(np.mean(loss) + 0.5 * l2 * (x @ x)), (X.T @ P / n + l2 * V).reshape(-1)


def norms(gradient: Any) -> dict[str, float]:
    """Return the infinity norm and the Euclidean norm."""
    return {"gnorm": float(np.max(np.abs(gradient))), "gnorm_2": float(np.linalg.norm(gradient))}


def main(data: str, l2: str, mode: str, file: str, seconds: str) -> None:
    """Measure and write the answer; absent data and failures are answers too."""
    answer: dict[str, Any]
    try:
        X, y = datasets.load(data)
        value = read_l2(l2, len(y))
        if mode == "load":
            answer = {"n": X.shape[0], "d": X.shape[1], "classes": int(np.unique(y).size)}
        elif mode in ("default", "limit"):
            answer = (default if mode == "default" else limit)(X, y, value)
        elif mode in (*SKLEARN, *SCIPY):
            answer = peer(X, y, value, mode, float(seconds))
        else:
            raise ValueError(f"mode {mode!r} is unknown")
        answer |= {"l2_value": value}
    except FileNotFoundError as error:
        answer = {"absent": str(error)}
    except Exception as error:  # the job goes on; the table says so
        answer = {"error": f"{type(error).__name__}: {error}"}
    write_json(Path(file), answer | {"environment": environment.describe()})


if __name__ == "__main__":
    main(*sys.argv[1:])
