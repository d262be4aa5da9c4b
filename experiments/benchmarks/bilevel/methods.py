"""The methods: ours by name, and peers that share nothing with them but the data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import minimize_scalar

from experiments.benchmarks.bilevel.plain import Plain
from experiments.benchmarks.bilevel.recorder import Recorder
from experiments.benchmarks.bilevel.tasks import BOX, Task
from gnsopt.bilevel import LogisticPenalties, minimize

Method = Callable[[Task, Recorder], None]


def ours(name: str, **options: Any) -> Method:
    """Return a method of `gnsopt.bilevel`."""

    def run(task: Task, recorder: Recorder) -> None:
        problem = LogisticPenalties(*task.train, *task.validation, groups=task.groups)
        minimize(problem, task.start, name, bounds=task.bounds, maxiter=1, **options)  # compiled and in the caches
        recorder.start()
        problem = LogisticPenalties(*task.train, *task.validation, groups=task.groups)

        def callback(now: Any) -> None:
            recorder.work = now.work
            recorder.see(now.fun, now.theta)

        result = minimize(
            problem,
            task.start,
            name,
            bounds=task.bounds,
            maxiter=10**6,
            tol=1e-8,
            callback=callback,
            maxtime=20 * recorder.limits[-1],
            **options,
        )
        recorder.work = result.work

    return run


def implicit(jacobi: bool, tol: float) -> Method:
    """SciPy's L-BFGS-B with implicit gradients: Newton-CG below, everything to one fixed accuracy, warm starts."""

    def run(task: Task, recorder: Recorder) -> None:
        plain = Plain(task.train, task.validation, task.groups)
        recorder.start()
        w, q = np.zeros(plain.n), np.zeros(plain.n)

        def fun(theta: Any) -> tuple[float, Any]:
            nonlocal w, q
            w, P = plain.lower(w, theta, tol, jacobi)
            g, gx, _ = plain.loss(plain.Xv, plain.yv, w)
            penalty = np.exp(theta)[plain.group]
            q = plain.solve(P, penalty, gx, q, tol, jacobi)
            recorder.work = plain.work
            recorder.see(g, theta)
            return g, -np.exp(theta) * np.bincount(plain.group, w * q, minlength=plain.d)

        start = np.full(plain.d, task.start)
        options = {"maxiter": 10**6, "maxfun": 10**6, "ftol": 0.0, "gtol": 1e-9}
        scipy_minimize(fun, start, jac=True, method="L-BFGS-B", bounds=[task.bounds] * plain.d, options=options)

    return run


def brent(task: Task, recorder: Recorder) -> None:
    """Bounded Brent on one penalty, L-BFGS below with warm starts."""
    plain = Plain(task.train, task.validation, task.groups)
    recorder.start()
    w = np.zeros(plain.n)

    def fun(theta: float) -> float:
        nonlocal w
        penalty = np.exp(theta)

        def lower(w: Any) -> tuple[float, Any]:
            f, g, _ = plain.loss(plain.X, plain.y, w)
            return f + 0.5 * penalty * float(w @ w), g + penalty * w

        w = scipy_minimize(
            lower, w, jac=True, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 0.0, "maxiter": 5000}
        ).x
        value = plain.loss(plain.Xv, plain.yv, w)[0]
        recorder.work = plain.work
        recorder.see(value, [theta])
        return value

    minimize_scalar(fun, bounds=task.bounds, method="bounded", options={"xatol": 1e-4})


def grid(points: int) -> Method:
    """scikit-learn's LogisticRegression on a grid of C, warm started from the strongest penalty on."""

    def run(task: Task, recorder: Recorder) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss

        model = LogisticRegression(fit_intercept=False, warm_start=True, tol=1e-6, max_iter=2000)
        recorder.start()
        for C in np.logspace(*np.log10(BOX), points):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.set_params(C=C).fit(*task.train)
            P = model.predict_proba(task.validation[0])
            recorder.work += int(np.max(model.n_iter_))
            recorder.see(log_loss(task.validation[1], P, labels=model.classes_), [task.theta(C)])

    return run


def regression_cv(task: Task, recorder: Recorder) -> None:
    """scikit-learn's LogisticRegressionCV, 30 C, on the one split."""
    from scipy.sparse import issparse, vstack
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import PredefinedSplit

    stack = vstack if issparse(task.train[0]) else np.vstack
    X = stack([task.train[0], task.validation[0]])
    if issparse(X):
        X = X.tocsr()
    y = np.concatenate([task.train[1], task.validation[1]])
    fold = np.repeat([-1, 0], [len(task.train[1]), len(task.validation[1])])
    settings = {"scoring": "neg_log_loss", "fit_intercept": False, "refit": False, "tol": 1e-6, "max_iter": 2000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Cs = np.logspace(*np.log10(BOX), 30)
        model = LogisticRegressionCV(Cs=Cs, cv=PredefinedSplit(fold), **settings)
        recorder.start()
        model.fit(X, y)
    scores = np.mean(next(iter(model.scores_.values())), axis=0) if isinstance(model.scores_, dict) else model.scores_
    scores = np.asarray(scores).reshape(-1)
    best = int(np.argmax(scores))
    recorder.see(-float(scores[best]), [task.theta(Cs[best])])


def jaxopt(task: Task, recorder: Recorder) -> None:
    """jaxopt's LBFGS with implicit differentiation below, SciPy's L-BFGS-B above; compiled off the clock."""
    import jax
    import jax.numpy as jnp
    from jaxopt import LBFGS

    jax.config.update("jax_enable_x64", True)
    plain = Plain(task.train, task.validation, task.groups)
    dense = [jnp.asarray(X.toarray() if hasattr(X, "toarray") else X) for X in (plain.X, plain.Xv)]
    y, yv, k = jnp.asarray(plain.y), jnp.asarray(plain.yv), plain.k

    def loss(w: Any, X: Any, y: Any) -> Any:
        Z = X @ w.reshape(-1, k)
        Z = jnp.hstack([jnp.zeros_like(Z), Z]) if k == 1 else Z
        return -jnp.mean(jax.nn.log_softmax(Z, axis=1)[jnp.arange(len(y)), y])

    def lower(w: Any, theta: Any) -> Any:
        return loss(w, dense[0], y) + 0.5 * jnp.sum(jnp.exp(theta)[plain.group] * w**2)

    solver = LBFGS(lower, maxiter=2000, tol=1e-8, implicit_diff=True)

    def outer(theta: Any, w: Any) -> Any:
        solution = solver.run(w, theta).params
        return loss(solution, dense[1], yv), solution

    compiled = jax.jit(jax.value_and_grad(outer, has_aux=True))
    start, w = np.full(plain.d, task.start), jnp.zeros(plain.n)
    jax.block_until_ready(compiled(start, w))
    recorder.start()

    def fun(theta: Any) -> tuple[float, Any]:
        nonlocal w
        (value, w), g = compiled(theta, w)
        recorder.see(float(value), theta)
        return float(value), np.asarray(g, dtype=float)

    options = {"maxiter": 10**6, "maxfun": 10**6, "ftol": 0.0, "gtol": 1e-9}
    scipy_minimize(fun, start, jac=True, method="L-BFGS-B", bounds=[task.bounds] * plain.d, options=options)


MANY: dict[str, Method] = {
    "maid-qn": ours("maid-qn"),
    "hoag": ours("hoag"),
    "implicit (ours)": ours("implicit"),
    "maid, certified": ours("maid", lower_solver="newton", linear="auto"),
    "L-BFGS-B + implicit": implicit(False, 1e-8),
    "L-BFGS-B + implicit + Jacobi": implicit(True, 1e-8),
    "jaxopt": jaxopt,
}
ONE: dict[str, Method] = {"grid 30": grid(30), "LogisticRegressionCV": regression_cv, "Brent": brent}
METHODS = MANY | ONE
