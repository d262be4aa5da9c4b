"""The libraries that fit the whole model in one call, each with its convention of the penalty.

The mean of the losses plus ``l2/2 |w|^2`` is ``C sum + |w|^2/2`` with ``C = 1/(n l2)`` for scikit-learn and liblinear,
the mean with ``alpha = l2`` for glum, skglm and cyanure, and the sum with ``regularizer = n l2`` for snapml. liblinear
inside scikit-learn and snapml penalise the intercept, so they are asked for models without one only; liblinear's own
package can leave it free (-R).
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from scipy import sparse

from experiments.benchmarks.glm.registry import SWEEP, method
from experiments.benchmarks.glm.scipy_peers import few
from experiments.benchmarks.glm.tasks import Size, Task

MANY = 1_000_000


def two(size: Size) -> bool:
    """Two classes."""
    return size.k == 1


def two_without_intercept(size: Size) -> bool:
    """Two classes, no intercept."""
    return size.k == 1 and not size.intercept


def matrix(X: Any) -> Any:
    """Return a sparse array as the sparse matrix that some libraries insist on (no copy)."""
    return sparse.csr_matrix(X) if sparse.issparse(X) else X


# ---------------------------------------------------------------------------------------------------- scikit-learn


def sklearn(task: Task, solver: str, tol: float) -> Any:
    """Fit scikit-learn's LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver=solver, C=task.C, tol=tol, fit_intercept=task.intercept, max_iter=100_000)
    model.fit(task.X, task.codes)
    return task.pack(model.coef_, model.intercept_)


@method("sklearn newton-cholesky", needs="sklearn", takes=few)
def newton_cholesky(task: Task, tol: float, watch: Any) -> Any:
    """Dense Newton."""
    return sklearn(task, "newton-cholesky", tol)


@method("sklearn newton-cg", needs="sklearn")
def newton_cg(task: Task, tol: float, watch: Any) -> Any:
    """Truncated Newton."""
    return sklearn(task, "newton-cg", tol)


@method("sklearn lbfgs", needs="sklearn")
def lbfgs(task: Task, tol: float, watch: Any) -> Any:
    """Its default."""
    return sklearn(task, "lbfgs", tol)


@method("sklearn liblinear", needs="sklearn", takes=two_without_intercept)
def sklearn_liblinear(task: Task, tol: float, watch: Any) -> Any:
    """The copy of liblinear in scikit-learn."""
    return sklearn(task, "liblinear", tol)


# ---------------------------------------------------------------------------------------------------- liblinear


def liblinear_train(task: Task, solver: int, tol: float) -> Any:
    """Fit by liblinear's own package; its first label is the one of positive scores."""
    from liblinear.liblinearutil import train

    bias = " -B 1 -R" if task.intercept else ""
    model = train(task.sign, matrix(task.X), f"-s {solver} -c {task.C!r} -e {tol!r}{bias} -q")
    coef, intercept = model.get_decfun()
    sign = 1.0 if model.get_labels()[0] == 1 else -1.0
    return task.pack(sign * np.array(coef), sign * intercept)


@method("liblinear primal", needs="liblinear", takes=two)
def liblinear_primal(task: Task, tol: float, watch: Any) -> Any:
    """Newton with preconditioned conjugate gradients."""
    return liblinear_train(task, 0, tol)


@method("liblinear dual", needs="liblinear", takes=two_without_intercept)
def liblinear_dual(task: Task, tol: float, watch: Any) -> Any:
    """Coordinate descent."""
    return liblinear_train(task, 7, tol)


# ---------------------------------------------------------------------------------------------------- glum


def glum(task: Task, solver: str, tol: float) -> Any:
    """Fit glum's binomial regression; half of its deviance is our loss."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="binomial",
        alpha=task.l2,
        l1_ratio=0,
        solver=solver,
        gradient_tol=tol,
        fit_intercept=task.intercept,
        max_iter=100_000,
    )
    model.fit(matrix(task.X), task.codes.astype(float))
    return task.pack(model.coef_, model.intercept_)


@method("glum irls-ls", needs="glum", takes=lambda size: two(size) and few(size))
def glum_irls(task: Task, tol: float, watch: Any) -> Any:
    """Iteratively reweighted least squares."""
    return glum(task, "irls-ls", tol)


@method("glum lbfgs", needs="glum", takes=two)
def glum_lbfgs(task: Task, tol: float, watch: Any) -> Any:
    """SciPy's on its matrices."""
    return glum(task, "lbfgs", tol)


# ---------------------------------------------------------------------------------------------------- skglm


@method("skglm lbfgs", needs="skglm", takes=two_without_intercept)
def skglm_lbfgs(task: Task, tol: float, watch: Any) -> Any:
    """Its one solver for a smooth penalty; it has no intercept."""
    from skglm.datafits import Logistic
    from skglm.penalties import L2
    from skglm.solvers import LBFGS

    X = sparse.csc_matrix(task.X) if sparse.issparse(task.X) else task.X
    return task.pack(LBFGS(max_iter=MANY, tol=tol).solve(X, task.sign, Logistic(), L2(task.l2))[0], 0.0)


# ---------------------------------------------------------------------------------------------------- cyanure


def cyanure_fit(task: Task, solver: str, tol: float) -> Any:
    """Fit cyanure's classifier; its tolerance is a relative duality gap."""
    from cyanure.estimators import Classifier

    model = Classifier(
        loss="logistic",
        penalty="l2",
        lambda_1=task.l2,
        solver=solver,
        tol=tol,
        fit_intercept=task.intercept,
        max_iter=100_000,
        verbose=False,
        multi_class="multinomial" if task.k > 1 else "auto",
        n_threads=int(os.environ.get("OMP_NUM_THREADS", "-1")),
    )
    model.fit(matrix(task.X), task.codes if task.k > 1 else task.sign)
    coef = np.reshape(model.coef_, (-1, task.k)).T  # it has a column for each class
    return task.pack(coef, np.ravel(model.intercept_) if task.intercept else 0.0)


@method("cyanure auto", needs="cyanure")
def cyanure_auto(task: Task, tol: float, watch: Any) -> Any:
    """Its own choice."""
    return cyanure_fit(task, "auto", tol)


@method("cyanure qning-miso", needs="cyanure", takes=two)
def cyanure_qning(task: Task, tol: float, watch: Any) -> Any:
    """Quasi-Newton around an incremental method; its softmax stops at a gap of 5e-4 with intercepts on sparse data."""
    return cyanure_fit(task, "qning-miso", tol)


# ---------------------------------------------------------------------------------------------------- snapml


def snapml_fit(task: Task, dual: bool, tol: float) -> Any:
    """Fit snapml's logistic regression; its tolerance is on the change of the coefficients."""
    from snapml import LogisticRegression

    model = LogisticRegression(
        regularizer=len(task.codes) * task.l2,
        dual=dual,
        tol=tol,
        max_iter=100_000,
        n_jobs=int(os.environ.get("OMP_NUM_THREADS", "1")),
    )
    return task.pack(model.fit(matrix(task.X), task.codes.astype(float)).coef_, 0.0)


@method("snapml primal", needs="snapml", takes=two_without_intercept)
def snapml_primal(task: Task, tol: float, watch: Any) -> Any:
    """Coordinate descent on the weights."""
    return snapml_fit(task, False, tol)


@method("snapml dual", needs="snapml", takes=two_without_intercept)
def snapml_dual(task: Task, tol: float, watch: Any) -> Any:
    """Coordinate descent on the samples."""
    return snapml_fit(task, True, tol)


# ---------------------------------------------------------------------------------------------------- jaxopt

_COMPILED: dict[Any, Any] = {}  # by shape: compilation is not timed


@method(
    "jaxopt lbfgs", needs="jaxopt", tolerances=[tol for tol in SWEEP if tol > 1e-10], takes=lambda size: not size.sparse
)
def jaxopt_lbfgs(task: Task, tol: float, watch: Any) -> Any:
    """L-BFGS compiled as a whole; dense data only. Its overhead grows with its maxiter: 1e5 costs 9 ms."""
    key = (task.X.shape, task.k, task.intercept)
    if key not in _COMPILED:
        _COMPILED[key] = jaxopt_solver(task)
    y = task.sign if task.k == 1 else task.codes
    return np.asarray(_COMPILED[key](task.X, y, task.l2, tol)).ravel()


def jaxopt_solver(task: Task) -> Any:
    """Return the jitted solver of a problem's shape, for the threads that the environment allows."""
    multi = str(os.environ.get("OMP_NUM_THREADS") != "1").lower()
    os.environ.setdefault("XLA_FLAGS", f"--xla_cpu_multi_thread_eigen={multi}")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jax
        import jax.numpy as jnp
        import jaxopt
    jax.config.update("jax_enable_x64", True)
    shape, intercept, k = task.oracle().shape, task.intercept, task.k

    def fun(V: Any, X: Any, y: Any, l2: Any) -> Any:
        W, b = (V[:-1], V[-1]) if intercept else (V, 0.0)
        Z = X @ W + b
        if k == 1:
            loss = jnp.mean(jax.nn.softplus(-y * Z))
        else:
            at_label = jnp.take_along_axis(Z, y[:, None], axis=1)[:, 0]
            loss = jnp.mean(jax.scipy.special.logsumexp(Z, axis=1) - at_label)
        return loss + 0.5 * l2 * jnp.sum(W * W)

    def solve(X: Any, y: Any, l2: Any, tol: Any) -> Any:
        solver = jaxopt.LBFGS(fun, tol=tol, maxiter=2000, implicit_diff=False)
        return solver.run(jnp.zeros(shape), X, y, l2).params

    return jax.jit(solve)
