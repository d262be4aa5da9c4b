"""`scipy.optimize.minimize` with our solvers for its Newton-type methods."""

import inspect
import re

import scipy.optimize

import gnsopt
from gnsopt.solver import RUN_OPTIONS

METHODS = {
    "newton-cg": gnsopt.GradNormSmooth(),
    "dogleg": gnsopt.CubicNewton(),
    "trust-ncg": gnsopt.SuperNewton(),
    "trust-krylov": gnsopt.GradNormSmooth(curvature="exact:cg"),
    "trust-exact": gnsopt.GradNormSmooth(curvature="projected"),
}
WARNING = "asks for a warning at maxiter with disp; ours says it by status and message alone"
CONSTRAINED = {"trust-constr": gnsopt.AdaSketchNewton()}


def naming(methods):
    """Return the scope of the tests that are of one of these methods, or name one where they go over several or all."""
    names = re.compile("|".join([*methods, "MINIMIZE_METHODS"]), re.IGNORECASE)

    def scope(item):
        method = getattr(item, "callspec", None) and item.callspec.params.get("method")
        return names.search(method if isinstance(method, str) else inspect.getsource(item.function)) is not None

    return scope


class Optimize:
    """`scipy.optimize` as the tests of a suite see it: `minimize` knows our methods instead of some of SciPy's."""

    def __init__(self, suite, methods):
        self.suite, self.methods = suite, methods

    def __getattr__(self, name):
        return getattr(scipy.optimize, name)

    def minimize(self, *args, method=None, options=None, **keywords):
        """Call SciPy's with the method's substitute, without the options that SciPy's method alone has."""
        solver = self.methods.get(str(method).lower())
        if solver is None:
            return scipy.optimize.minimize(*args, method=method, options=options, **keywords)
        self.suite.used = True
        options = dict(options or {})
        keep = options.pop("return_all", False)
        options = {name: value for name, value in options.items() if name in (*RUN_OPTIONS, *solver.settings())}
        result = scipy.optimize.minimize(*args, method=solver, options=options | {"keep_x": keep}, **keywords)
        if keep:
            result.allvecs = result.trace.x
        return result
