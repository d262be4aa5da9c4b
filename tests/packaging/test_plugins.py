"""Real packages that declare solvers and curvature models as entry points, installed beside the wheel."""

import pytest

from tests.packaging.conftest import build, install, make_environment, run

GOOD = """
from dataclasses import dataclass

import gnsopt


@dataclass(frozen=True)
class HalfNewton(gnsopt.Solver):
    '''Half of a Newton step, again and again (method ``"half-newton"``).'''

    share: float = 0.5

    def iterates(self, x):
        while True:
            H = gnsopt.curvature.start(gnsopt.curvature.exact, x)(x)
            x = x.at(x.x - self.share * H.solve(H.lam_noise, x.g))
            yield x, {}


class Plain(gnsopt.Solver):
    def iterates(self, x):
        yield x.at(x.x - gnsopt.curvature.start(gnsopt.curvature.exact, x)(x).solve(-1e9, x.g)), {}


class Doubled:
    '''Twice the Hessian.'''

    def start(self, x):
        return gnsopt.curvature.start(gnsopt.curvature.exact, x)


doubled = Doubled()
not_a_solver = 3
"""
GOOD_POINTS = """
[project.entry-points."gnsopt.solvers"]
Half-Newton = "good_plugin:HalfNewton"
contested = "good_plugin:HalfNewton"
plain = "good_plugin:Plain"

[project.entry-points."gnsopt.curvatures"]
their-model = "good_plugin:doubled"
"""
BAD = """
import gnsopt


class Shadow(gnsopt.Solver):
    pass


class Needy(gnsopt.Solver):
    def __init__(self, must):
        pass
"""
BAD_POINTS = """
[project.entry-points."gnsopt.solvers"]
gns = "bad_plugin:Shadow"
auto = "bad_plugin:Shadow"
contested = "later_plugin:HalfNewton"
absent = "no_such_module:Solver"
exits = "bad_exit:Solver"
number = "good_plugin:not_a_solver"
needy = "bad_plugin:Needy"
"a b" = "bad_plugin:Shadow"

[project.entry-points."gnsopt.curvatures"]
kfac = "good_plugin:doubled"
klass = "good_plugin:Doubled"
"""
EXITS = "raise SystemExit(7)"
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[tool.setuptools]
py-modules = {modules}
"""
LEFT_OUT = {
    "'gns' (bad_plugin:Shadow)": "its name is taken by gnsopt.solvers.grad_norm_smooth",
    "'auto' (bad_plugin:Shadow)": "its name is taken by gnsopt.solver",
    "'contested' (later_plugin:HalfNewton)": "its name is taken by good_plugin",
    "'absent' (no_such_module:Solver)": "ModuleNotFoundError: No module named 'no_such_module'",
    "'exits' (bad_exit:Solver)": "SystemExit: 7",
    "'number' (good_plugin:not_a_solver)": "it is not a subclass of gnsopt.Solver",
    "'needy' (bad_plugin:Needy)": "its field must has no default",
    "'a b' (bad_plugin:Shadow)": "a name has letters, digits, '-', '_' and '.'",
}


def package(folder, name, points, **modules):
    """Build the wheel of a small package; return its path."""
    source = folder / name
    source.mkdir()
    for module, text in modules.items():
        (source / f"{module}.py").write_text(text)
    (source / "pyproject.toml").write_text(PROJECT.format(name=name, modules=[*modules]) + points)
    build(source, folder / "dist", "wheel")
    (wheel,) = (folder / "dist").glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


@pytest.fixture(scope="module")
def with_plugins(distributions, tmp_path_factory):
    """The Python of an environment with the wheel and two packages of plug-ins, a good one and a bad one."""
    folder = tmp_path_factory.mktemp("plugins")
    python = make_environment(folder / "venv")
    (ours,) = distributions.glob("*.whl")
    for wheel in (
        ours,
        package(folder, "good-plugin", GOOD_POINTS, good_plugin=GOOD),
        package(folder, "bad-plugin", BAD_POINTS, bad_plugin=BAD, bad_exit=EXITS),
    ):
        install(python, wheel)
    return python


def test_a_solver_of_another_package_goes_by_name(with_plugins, tmp_path):
    code = """
import warnings
warnings.simplefilter("error")  # a plug-in that nobody asks for says nothing
import numpy as np, gnsopt
from scipy.optimize import rosen, rosen_der, rosen_hess
X, y = gnsopt.datasets.load("iris")
problem = gnsopt.Softmax(X, y, l2=1e-2)
run = gnsopt.minimize(problem, method="half-newton", options={"share": 1.0})
print(run.success, gnsopt.minimize(problem, method="HALF-newton", tol=1e-6).nit > run.nit)
print(gnsopt.minimize(problem, method="gns", options={"curvature": "their-model"}).success)
print(type(gnsopt.GradNormSmooth(curvature="their_model").curvature).__name__)
from gnsopt.estimators import LogisticRegression
print(LogisticRegression(solver="half-newton", C=1.0).fit(X, y).score(X, y) > 0.9)
failed = gnsopt.minimize(problem, method="plain")
warnings.simplefilter("ignore")  # the table is of all, the broken ones too
from scipy.optimize import minimize
theirs = gnsopt.registry.SOLVERS["half-newton"]
print(minimize(rosen, [0.9, 0.8], jac=rosen_der, hess=rosen_hess, method=theirs()).success)
print(gnsopt.minimize(problem, method="gns").success, failed.success, failed.nit)
"""
    said = run("-c", code, cwd=tmp_path, python=with_plugins).split()
    assert said == ["True", "True", "True", "Doubled", "True", "True", "True", "False", "0"]


@pytest.mark.parametrize("name", ["absent", "exits", "number", "needy"])
def test_a_name_that_does_not_load_is_refused_with_the_reason(with_plugins, tmp_path, name):
    code = f"import gnsopt; gnsopt.minimize(gnsopt.Rosenbrock(), method={name!r})"
    said = run("-c", code, cwd=tmp_path, python=with_plugins, fails=True)
    reason = next(reason for what, reason in LEFT_OUT.items() if what.startswith(f"'{name}'"))
    assert f"is left out: {reason}" in said
    assert said.count("is left out") == 1  # the others are not looked at
    assert f"ValueError: method='{name}' is unknown" in said


def test_a_misspelt_name_finds_that_of_a_plug_in_and_imports_none(with_plugins, tmp_path):
    code = """
import warnings
warnings.simplefilter("error")
import gnsopt
from gnsopt import bilevel
from gnsopt.estimators import LogisticRegression
X, y = gnsopt.datasets.load("iris")
penalties = bilevel.LogisticPenalties(X[:99], y[:99], X[9:99], y[9:99])
for ask in (
    lambda: gnsopt.minimize(gnsopt.Rosenbrock(), method="half-newtom"),
    lambda: LogisticRegression(solver="half-newtom").fit(X, y),
    lambda: bilevel.minimize(penalties, [0.0], lower_solver="half-newtom"),
):
    try:
        ask()
    except ValueError as error:
        print(error)
"""
    said = run("-c", code, cwd=tmp_path, python=with_plugins)
    assert said.count("did you mean 'half-newton'?") == 3, said
    command = ("-m", "gnsopt.cli", "fit", "iris", "--method", "half-newtom")
    said = run(*command, cwd=tmp_path, python=with_plugins, fails=True)
    assert said.startswith("gnsopt: error: method 'half-newtom' is unknown; did you mean 'half-newton'?"), said


def test_a_model_without_settings_takes_none(with_plugins, tmp_path):
    code = "import gnsopt; gnsopt.GradNormSmooth(curvature='their-model:cg')"
    said = run("-c", code, cwd=tmp_path, python=with_plugins, fails=True)
    assert "their_model takes nothing behind the colon" in said


def test_the_command_line_lists_and_runs_it(with_plugins, tmp_path):
    said = run("-m", "gnsopt.cli", "methods", cwd=tmp_path, python=with_plugins)
    assert "half-newton" in said
    assert "Half of a Newton step, again and again" in said
    assert "their_model" in said
    for what, reason in LEFT_OUT.items():
        assert f"solver {what} is left out: {reason}" in said, said
    assert "curvature 'kfac' (good_plugin:doubled) is left out: its name is taken by" in said
    assert "curvature 'klass' (good_plugin:Doubled) is left out: it is no curvature model" in said
    said = run("-m", "gnsopt.cli", "fit", "iris", "--method", "half-newton", cwd=tmp_path, python=with_plugins)
    assert "converged" in said
    assert "left out" not in said


@pytest.mark.parametrize("command", ["fit iris", "compare iris --methods gns,line-newton --no-figure"])
def test_commands_say_nothing_of_plug_ins_that_nobody_asks_for(with_plugins, tmp_path, command):
    said = run("-W", "error", "-m", "gnsopt.cli", *command.split(), cwd=tmp_path, python=with_plugins)
    assert "left out" not in said
    assert "converged" in said


def test_without_plug_ins_nothing_is_said(installed, tmp_path):
    said = run(
        "-W", "error", "-c", "import gnsopt.registry as r; print(len(r.SOLVERS))", cwd=tmp_path, python=installed
    )
    assert said.strip().isdigit()
