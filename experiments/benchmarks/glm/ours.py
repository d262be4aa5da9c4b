"""gnsopt as its users call it: nothing is tuned, only the tolerance is given."""

from __future__ import annotations

from typing import Any

import gnsopt
from experiments.benchmarks.glm.registry import SWEEP, TIGHT, method
from experiments.benchmarks.glm.tasks import Task


@method("gnsopt", needs="gnsopt", tolerances=TIGHT, ours=True)
def minimize(task: Task, tol: float, watch: Any) -> Any:
    """Default options; the stop rule is on the Euclidean norm, as the target is."""
    family = gnsopt.Logistic if task.k == 1 else gnsopt.Softmax
    problem = family(task.X, task.codes, task.l2, fit_intercept=task.intercept)
    found = gnsopt.minimize(problem, tol=tol, options={"norm": "2"}, callback=watch)
    watch.counts = [{name: row[name] for name in ("nit", "njev", "nhev", "nhessp", "nsolve")} for row in found.trace]
    watch.note = found.curvature
    return found.x


@method("gnsopt estimator", needs="gnsopt", tolerances=SWEEP, ours=True)
def estimator(task: Task, tol: float, watch: Any) -> Any:
    """The estimator, validation of its arguments included."""
    from gnsopt.estimators import LogisticRegression

    model = LogisticRegression(C=task.C, tol=tol, fit_intercept=task.intercept).fit(task.X, task.codes)
    watch.counts = [{"nit": int(model.n_iter_[0])}] * 2
    return task.pack(model.coef_, model.intercept_)
