"""The tables, and solvers that other packages bring by entry points."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from gnsopt import solvers
from gnsopt.objective import Objective
from gnsopt.registry import CURVATURES, PROBLEMS, SOLVERS, load_solvers
from gnsopt.solver import Solver


class Theirs(Solver):
    """What another package would declare."""


NOT_A_SOLVER = object()


@pytest.fixture
def declare(monkeypatch):
    """Let these names and values be the entry points of the group."""

    def declare(**values):
        points = EntryPoints(
            EntryPoint(name.replace("_", "-"), value, "gnsopt.solvers") for name, value in values.items()
        )
        monkeypatch.setattr("gnsopt.plugins.entry_points", lambda group: points.select(group=group))

    return declare


@pytest.fixture
def importable(monkeypatch):
    """This file as a module that an entry point can name."""
    import sys

    monkeypatch.setitem(sys.modules, "another_package", sys.modules[__name__])


def test_the_tables_hold_what_they_say():
    assert dict(SOLVERS, **solvers.SOLVERS) == SOLVERS
    assert all(issubclass(solver, Solver) for solver in SOLVERS.values())
    assert all(callable(model) or hasattr(model, "start") for model in CURVATURES.values())
    assert all(isinstance(factory(), Objective) for factory in PROBLEMS.values())


def test_a_solver_of_another_package_joins(declare, importable):
    declare(their_solver="another_package:Theirs")
    table = load_solvers()
    assert table["their-solver"].__name__ == "Theirs"
    assert {name: table[name] for name in solvers.SOLVERS} == solvers.SOLVERS
    assert "their-solver" not in solvers.SOLVERS


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("broken", "no_such_package_at_all:Solver", "ModuleNotFoundError"),
        ("broken", "another_package:NoSuchName", "AttributeError"),
        ("broken", "another_package:NOT_A_SOLVER", "not a subclass of gnsopt.Solver"),
        ("gns", "another_package:Theirs", "taken by gnsopt.solvers.grad_norm_smooth"),
    ],
)
def test_what_does_not_fit_is_left_out_with_a_warning(declare, importable, name, value, reason):
    declare(**{name: value})
    with pytest.warns(RuntimeWarning, match=rf"solver '{name}' .* is left out: .*{reason}"):
        table = load_solvers()
    assert table == solvers.SOLVERS


def test_other_groups_do_not_count(monkeypatch):
    points = EntryPoints([EntryPoint("theirs", "another_package:Theirs", "console_scripts")])
    monkeypatch.setattr("gnsopt.plugins.entry_points", lambda group: points.select(group=group))
    assert load_solvers() == solvers.SOLVERS
