r"""
A new solver
============

A solver is a frozen dataclass of hyper-parameters with one generator, ``iterates(x)``, which yields a point after
each accepted step. The driver does everything else: stop rules, counts, trace, callbacks, statuses, the doors of
SciPy. This tutorial derives a gradient method with Barzilai and Borwein's step and a non-monotone test, writes it in
twenty lines, has it checked, and uses it by name.

The step
--------

Newton's step needs :math:`H^{-1}g`. Take for H the multiple :math:`L I` of the identity that explains the last step
best: with :math:`s = x_k - x_{k-1}` and :math:`y = g_k - g_{k-1}`, a Hessian would have :math:`Hs \approx y`.
Minimising :math:`\|Ls - y\|` over L gives :math:`L = \langle s, y\rangle/\langle s, s\rangle`, and the step is

.. math:: x_{k+1} = x_k - g_k / L .

In the norms of a metric B, :math:`\langle s, s\rangle` is :math:`\langle Bs, s\rangle` and the step is
:math:`-B^{-1}g / L`.

The test
--------

On a quadratic L jumps between the extreme eigenvalues, and f does not fall at each step; that is why the method is
fast. A test that forces a decrease spoils it. Grippo, Lampariello and Lucidi compare with the largest of the last M
values instead:

.. math:: f(x_{k+1}) \le \max_{0 \le j < M} f(x_{k-j}) - \tfrac{c}{L}\,\|g_k\|_*^2, \quad\text{or } L \leftarrow 2L .

The maximum falls, so f stays below its start and the gradients vanish where f is bounded below.

The solver
----------

``x`` is a `~gnsopt.Point`: ``x.f``, ``x.g`` and ``x.dual_norm`` are computed at the first use, kept and counted;
``x.at(y)`` is a trial point of the same run; accepting it is the assignment ``x = y``.
"""

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

import gnsopt
from gnsopt.exceptions import StepFailure
from gnsopt.testing import check_solver


@dataclass(frozen=True)
class BarzilaiBorwein(gnsopt.Solver):
    metric: object = "auto"
    memory: int = 10
    c: float = 1e-4
    max_trials: int = 60
    monotone: ClassVar[bool] = False  # f may rise from one iterate to the next

    def __post_init__(self):
        super().__post_init__()
        if self.memory < 1:
            raise ValueError(f"memory={self.memory} must be at least 1")

    def iterates(self, x):
        L, values = x.dual_norm, deque([x.f], maxlen=self.memory)
        while True:
            direction = x.metric.solve(x.g)
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                y = x.at(x.x - direction / L)
                if y.f <= max(values) - self.c / L * x.dual_norm**2 or self.stands_still(x, y):
                    break
                L *= 2
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", self.c / L * x.dual_norm**2)
            s, change, accepted = y.x - x.x, y.g - x.g, L
            curvature = s @ change / (s @ x.metric.apply(s))
            L = float(np.clip(curvature, 1e-10, 1e10)) if curvature > 0 else 1e-2 * L
            x = y
            values.append(x.f)
            yield x, {"L": accepted, "trials": trial}

    def stands_still(self, x, y):
        """Whether f is flat to rounding while the gradient still falls."""
        return abs(y.f - x.f) <= 1e-14 * abs(x.f) and y.dual_norm < x.dual_norm


# %%
# Where f no longer falls in float64 the test would reject good steps, so the last line of it looks at the gradient
# there. The library's own solvers use a difference that is exact to rounding, `gnsopt.globalization.decrease`.
#
# The check
# ---------
#
# `~gnsopt.testing.check_solver` runs it some twenty times: convergence, limits, a start at the solution and one with
# a NaN, bitwise equal repetitions, callbacks that stop or raise, an interrupt, SciPy's door, options that do not
# exist.

X, y = gnsopt.datasets.make_logistic(200, 10, condition=30.0, seed=1)
check_solver(BarzilaiBorwein(), gnsopt.Logistic(X, y, l2=1e-2))

# %%
# By name
# -------
#
# In the table of solvers it has a name like the others. Another package enters it without code, by an entry point in
# its ``pyproject.toml``:
#
# .. code-block:: toml
#
#    [project.entry-points."gnsopt.solvers"]
#    barzilai-borwein = "my_package:BarzilaiBorwein"
#
# Then it is a method of ``gnsopt.minimize``, of the estimators and of the command line.

gnsopt.SOLVERS["barzilai-borwein"] = BarzilaiBorwein

X, y = gnsopt.datasets.load("breast_cancer")
X = (X - X.mean(axis=0)) / X.std(axis=0)
problem = gnsopt.Logistic(X, y, l2=1e-3)
runs = {
    name: gnsopt.minimize(problem, method=name, tol=1e-8, options={"maxiter": 2000, **options})
    for name, options in (
        ("barzilai-borwein", {}),
        ("gradient", {}),
        ("fast-gradient", {}),
        ("nesterov", {}),
        ("gns", {"curvature": "exact"}),
    )
}
for name, run in runs.items():
    print(f"{name:17s} {run.njev:5d} gradients, {run.nhev:3d} Hessians, {run.message}")

# %%
# Gradients are the axis on which first-order methods are compared. The last row is not of this class: each of its
# iterations costs a Hessian and a factorisation besides, which at 30 variables is little.

floor = min(run.fun for run in runs.values())
fig, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
for name, run in runs.items():
    axis.loglog(run.trace["njev"], np.maximum(run.trace["fun"] - floor, 1e-16), label=name)
axis.set(xlabel="gradients", ylabel="$f - f^*$", title="Logistic regression, breast cancer data")
axis.legend()
plt.show()

# %%
# The rise and fall of f is the method's own: it is not noise.

del gnsopt.SOLVERS["barzilai-borwein"]
