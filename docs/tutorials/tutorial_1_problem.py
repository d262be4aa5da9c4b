r"""
A new problem
=============

An `~gnsopt.Objective` is a class with the value, the gradient and the Hessian of a function. This tutorial derives
those of a robust regression and gets from the library what comes with them: a check of every derivative, every
solver, every approximation of the Hessian.

The function
------------

Measured values :math:`b_i` of a linear model :math:`\langle a_i, x\rangle`, some of them grossly wrong. Squares of
the residuals :math:`s_i = \langle a_i, x\rangle - b_i` would follow the wrong ones, so we take the smooth absolute
value

.. math:: f(x) = \frac1m \sum_{i=1}^m \bigl(\sqrt{1 + s_i^2} - 1\bigr) + \frac{\tau}{2} \|x\|^2 .

With :math:`q_i = \sqrt{1 + s_i^2}` the chain rule gives

.. math:: \nabla f = \frac1m A^\top (s / q) + \tau x, \qquad
          \nabla^2 f = \frac1m A^\top \mathrm{diag}(q^{-3}) A + \tau I .

The weights :math:`q^{-3}` are positive: f is convex. A large residual has hardly any curvature.

The class
---------

Value, gradient and Hessian all need s and q. What they share is computed once for each point, by ``prepare``, and
handed to each of them as ``z``. The functions are pure: they write neither to x nor to z.
"""

import matplotlib.pyplot as plt
import numpy as np

import gnsopt
from gnsopt.testing import check_objective


class RobustRegression(gnsopt.Objective):
    convex = True

    def __init__(self, A, b, l2):
        self.A, self.b, self.l2 = A, b, l2
        self.m, self.n = A.shape

    def prepare(self, x):
        s = self.A @ x - self.b
        return s, np.sqrt(1 + s * s)

    def fun(self, x, z):
        s, q = z
        return np.mean(s * s / (q + 1)) + self.l2 / 2 * (x @ x)

    def grad(self, x, z):
        s, q = z
        return self.A.T @ (s / q) / self.m + self.l2 * x

    def hess(self, x, z):
        s, q = z
        return (self.A.T / (self.m * q**3)) @ self.A + self.l2 * np.eye(self.n)


# %%
# :math:`q - 1` is written :math:`s^2/(q + 1)`: for small s the difference would lose its digits.
#
# The check
# ---------
#
# Derivatives are checked by the slopes of their Taylor errors: :math:`|f(x + tv) - f(x) - t\langle g, v\rangle|`
# falls like :math:`t^2` if g is the gradient, and like t if it is not. The Hessian is checked against the gradient in
# the same way; it must be symmetric and, since ``convex`` says so, semidefinite. The answers must not depend on the
# order of the questions.

rng = np.random.default_rng(0)
A = rng.standard_normal((200, 10)) * np.geomspace(1, 30, 10)
x_true = rng.standard_normal(10)
b = A @ x_true + 0.1 * rng.standard_normal(200)
b[:40] += 50 * rng.standard_normal(40)  # one in five is wrong
problem = RobustRegression(A, b, l2=1e-4)

check_objective(problem)

# %%
# Without an error the check says nothing. A slip of the pen, 2 for 3 in the exponent, is found and named:


class Slip(RobustRegression):
    def hess(self, x, z):
        s, q = z
        return (self.A.T / (self.m * q**2)) @ self.A + self.l2 * np.eye(self.n)


try:
    check_objective(Slip(A, b, l2=1e-4))
except AssertionError as error:
    print(error)

# %%
# What comes with it
# ------------------
#
# Any solver takes the problem, any curvature model its Hessian; ``gnsopt methods`` prints the names. ``"auto"``
# chooses.

runs = {
    "exact Hessian": gnsopt.minimize(problem, tol=1e-10),
    "kept for 5 steps": gnsopt.minimize(problem, tol=1e-10, options={"curvature": "lazy:5"}),
    "its diagonal": gnsopt.minimize(problem, tol=1e-10, options={"curvature": "diagonal", "maxiter": 300}),
    "BFGS": gnsopt.minimize(problem, tol=1e-10, options={"curvature": "secant", "maxiter": 300}),
    "gradient method": gnsopt.minimize(problem, method="gradient", tol=1e-10, options={"maxiter": 300}),
}
least = np.linalg.lstsq(A, b, rcond=None)[0]
best = runs["exact Hessian"]
print(best.message, "|", best.curvature)
errors = np.linalg.norm(best.x - x_true), np.linalg.norm(least - x_true)
print(f"distance to the truth: {errors[0]:.2f}, of least squares {errors[1]:.2f}")

# %%
# The figure is drawn from the traces, which every run has. Iterations are not work: one with the exact Hessian costs
# a matrix and a factorisation, one of the gradient method a product. Here n = 10, and the matrix is cheap.

floor = min(run.fun for run in runs.values())
fig, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
for name, run in runs.items():
    axis.semilogy(run.trace["nit"], np.maximum(run.trace["fun"] - floor, 1e-17), label=name)
axis.set(xlabel="iteration", ylabel="$f - f^*$", xlim=(0, 120), title="Robust regression, columns of different scales")
axis.legend()
plt.show()

# %%
# A problem may offer more: ``hessp`` instead of ``hess`` where a matrix is too large, ``gauss_newton`` and ``fisher``
# for the curvature models of these names, ``difference`` for a decrease without cancellation, ``metric`` for the
# natural scale of its variables. Only what is there is asked for; a curvature that a problem lacks is refused with a
# sentence that says what it has.
