"""`py.typed` counts: mypy sees our annotations in the project of a user who has the wheel."""

import pytest

from tests.packaging.conftest import run

RIGHT = """
import numpy as np

import gnsopt
from gnsopt import curvature

X, y = gnsopt.datasets.load("iris")
problem = gnsopt.Softmax(X, y, l2=1e-2, fit_intercept=True)
solver = gnsopt.GradNormSmooth(curvature=curvature.exact.using("cg"), gamma0=2.0)
result = solver.minimize(problem, np.zeros(problem.n), gtol=1e-6, maxiter=100)
loss: float = problem.fun(np.zeros(problem.n), problem.prepare(np.zeros(problem.n)))
again = gnsopt.minimize(problem, method="super-newton", tol=1e-6)
cost: float = gnsopt.ot.solve(None, None, np.eye(3), reg=0.1).cost
plan: gnsopt.ot.sparsity.SparsePlan = gnsopt.ot.sparsity_constrained(None, None, np.eye(3), gamma=0.1, k=1)
model: gnsopt.estimators.LogisticRegression = gnsopt.estimators.LogisticRegression(C=0.5)
toy = gnsopt.registry.PROBLEMS["rosenbrock"]()
gnsopt.testing.check_solver(solver, toy)
theta = gnsopt.bilevel.minimize(gnsopt.bilevel.LogisticPenalties(X[:99], y[:99], X[99:], y[99:]), [0.0]).theta
radius = gnsopt.diagnostics.gamma(gnsopt.Point(toy, np.zeros(toy.n))).gamma
gnsopt.plotting.convergence({"one": result.trace})
print(result.fun, again.message, loss)
"""
WRONG = {
    'gnsopt.GradNormSmooth(gamma0="big")': "arg-type",
    "gnsopt.GradNormSmooth(gama0=1.0)": "call-arg",
    "gnsopt.minimize(1.0)": "arg-type",
    "gnsopt.Logistic.nothing": "attr-defined",
    "gnsopt.minimise(gnsopt.Rosenbrock())": "attr-defined",
    "gnsopt.GradNormSmoth()": "attr-defined",
    "gnsopt.ot.solv(None, None, np.eye(3), reg=0.1)": "attr-defined",
    "gnsopt.ot.sparsity_constraint(None, None, np.eye(3), gamma=0.1, k=1)": "attr-defined",
    "gnsopt.estimators.LogisticRegresion()": "attr-defined",
    'gnsopt.estimators.LogisticRegression(C="big")': "arg-type",
    'gnsopt.GradientMethod().minimize(gnsopt.Rosenbrock(), gtol="small")': "arg-type",
}


def mypy(text, installed, folder, fails):
    pytest.importorskip("mypy")
    (folder / "script.py").write_text(text)
    cache = installed.parents[2] / "mypy"  # shared: the second run does not read NumPy's annotations again
    options = ("--strict", "--config-file=", f"--cache-dir={cache}", f"--python-executable={installed}")
    return run("-m", "mypy", *options, "script.py", cwd=folder, fails=fails)


def test_right_use_is_clean(installed, tmp_path):
    assert "Success" in mypy(RIGHT, installed, tmp_path, fails=False)


def test_wrong_use_is_reported(installed, tmp_path):
    said = mypy("import numpy as np\nimport gnsopt\n" + "\n".join(WRONG), installed, tmp_path, fails=True)
    for line, (call, code) in enumerate(WRONG.items(), start=3):
        assert f"script.py:{line}: error" in said, f"{call}\n{said}"
        assert any(f"script.py:{line}:" in row and f"[{code}]" in row for row in said.splitlines()), said
    assert said.count("error:") == len(WRONG), said
