"""Every public name has hostile cases, or stands below with the reason why not; and there are enough of them."""

import importlib
import inspect
import pkgutil

import gnsopt
from tests import hostile
from tests.hostile.judge import Case

PACKAGES = (
    "gnsopt",
    "gnsopt.bilevel",
    "gnsopt.blocks",
    "gnsopt.cli",
    "gnsopt.constrained",
    "gnsopt.curvature",
    "gnsopt.datasets",
    "gnsopt.diagnostics",
    "gnsopt.estimators",
    "gnsopt.globalization",
    "gnsopt.ot",
    "gnsopt.plotting",
    "gnsopt.problems",
    "gnsopt.registry",
    "gnsopt.solvers",
    "gnsopt.testing",
)
LEAST = 2_000
RESULTS = "what the library returns: nobody makes one by hand"
BASES = "a base to subclass: its cases are those of the subclasses"
TABLES = "a table of names"
PLUGINS = "reads what other packages declare: tests/conformance/test_registry.py breaks those"
INSIDE = "called by solvers with points that the driver made, in every trial: it checks nothing, to be fast"
EXEMPT = {
    "gnsopt.Status": "an enumeration",
    "gnsopt.constrained.KKTStatus": "an enumeration",
    "gnsopt.__version__": "a string",
    "gnsopt.Counts": RESULTS,
    "gnsopt.bilevel.BilevelResult": RESULTS,
    "gnsopt.bilevel.Certificate": RESULTS,
    "gnsopt.constrained.Work": RESULTS,
    "gnsopt.diagnostics.GammaEstimate": RESULTS,
    "gnsopt.diagnostics.Inexactness": RESULTS,
    "gnsopt.diagnostics.Report": RESULTS,
    "gnsopt.diagnostics.Spectrum": RESULTS,
    "gnsopt.diagnostics.Split": RESULTS,
    "gnsopt.ot.Divergence": RESULTS,
    "gnsopt.ot.Gradients": RESULTS,
    "gnsopt.ot.Infeasible": RESULTS,
    "gnsopt.ot.Interval": RESULTS,
    "gnsopt.ot.OTResult": RESULTS,
    "gnsopt.ot.NotConverged": "a warning",
    "gnsopt.Objective": BASES,
    "gnsopt.Solver": BASES,
    "gnsopt.Metric": BASES,
    "gnsopt.constrained.Constraints": BASES,
    "gnsopt.ot.Geometry": BASES,
    "gnsopt.blocks.Block": BASES,
    "gnsopt.blocks.Part": "what a block gives: nobody makes one by hand",
    "gnsopt.datasets.REGISTRY": TABLES,
    "gnsopt.registry.SOLVERS": TABLES,
    "gnsopt.registry.CURVATURES": TABLES,
    "gnsopt.registry.PROBLEMS": TABLES,
    "gnsopt.curvature.load_curvatures": PLUGINS,
    "gnsopt.registry.load_solvers": PLUGINS,
    "gnsopt.globalization.flat_point": INSIDE,
    "gnsopt.SOLVERS": TABLES,
    "gnsopt.bilevel.METHODS": TABLES,
    "gnsopt.bilevel.STATUSES": TABLES,
    "gnsopt.curvature.NAMES": TABLES,
    "gnsopt.globalization.TESTS": TABLES,
    "gnsopt.ot.METHODS": TABLES,
    "gnsopt.Point": INSIDE,
    "gnsopt.constrained.KKTPoint": INSIDE,
    "gnsopt.constrained.Primal": INSIDE,
    "gnsopt.curvature.Curvature": INSIDE,
    "gnsopt.curvature.start": INSIDE,
    "gnsopt.globalization.decrease": INSIDE,
    "gnsopt.globalization.progress_ratio": INSIDE,
    "gnsopt.ot.Dual": INSIDE,
    "gnsopt.ot.SemiDual": INSIDE,
    "gnsopt.curvature.Build": "a type",
    "gnsopt.curvature.CurvatureModel": "a type",
    "gnsopt.plotting.TraceLike": "a type",
    "gnsopt.cli.app": "what `main` calls: the cases of `main` are its own",
}


def modules():
    """Return the modules of this folder that hold cases."""
    found = [importlib.import_module(f"tests.hostile.{m.name}") for m in pkgutil.iter_modules(hostile.__path__)]
    return [m for m in found if hasattr(m, "CASES")]


def all_cases():
    """Return every case of the tables."""
    return [case for module in modules() for case in module.CASES]


def public_names():
    """Return the public objects by their names: those of ``__all__``, or of a module without one what it defines."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        names = getattr(module, "__all__", None)
        if names is None:
            names = [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", "") == package]
        found |= {f"{package}.{name}": getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def same_thing(a, b):
    """Whether a name stands for the object of a case: it itself, or for an instance its class."""
    return a is b or (not inspect.isclass(a) and type(a) is b) or getattr(a, "__wrapped__", a) is b


def test_every_public_name_has_a_case_or_a_reason():
    subjects = {id(s): s for s in (case.subject for case in all_cases())}.values()
    exempt = {id(value) for name, value in public_names().items() if name in EXEMPT}
    missing = [
        name
        for name, value in public_names().items()
        if id(value) not in exempt and not any(same_thing(value, s) for s in subjects)
    ]
    assert not missing, f"no hostile case, and no reason: {missing}"


def test_no_reason_outlives_its_name():
    assert not set(EXEMPT) - set(public_names())


def test_the_public_packages_are_all_of_them():
    """A package with an ``__all__`` is public: it is looked at, or below one that is."""
    found = [m.name for m in pkgutil.iter_modules(gnsopt.__path__, "gnsopt.") if m.ispkg and not m.name.endswith("_")]
    unseen = [name for name in found if hasattr(importlib.import_module(name), "__all__") and name not in PACKAGES]
    assert not unseen


def test_there_are_enough_distinct_cases(record_property):
    cases = all_cases()
    assert all(isinstance(case, Case) for case in cases)
    names = {(type(case).__name__, module.__name__, case.name) for module in modules() for case in module.CASES}
    record_property("distinct hostile cases", len(names))
    print(f"{len(names)} distinct hostile cases in {len(modules())} families")
    assert len(names) == len(cases), "two cases of one name"
    assert len(names) >= LEAST
