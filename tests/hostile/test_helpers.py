"""Diagnostics, drawings, checks and the small parts of a run: refused by name, or finite."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import gnsopt
from gnsopt import Logistic, Point, curvature, diagnostics, plotting, testing
from gnsopt.driver import Trace
from tests.hostile.judge import Case, judge
from tests.hostile.values import (
    COUNTS,
    NOT_NUMBERS,
    SEEDS,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

rng = np.random.default_rng(0)
PROBLEM = Logistic(rng.integers(-3, 4, (12, 4)).astype(float), np.arange(12) % 2, l2=0.1)
POINT = Point(PROBLEM, np.full(4, 0.5))
RUN = gnsopt.minimize(PROBLEM, options={"keep_x": True})
SYMMETRIC = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]])
VALUES = np.array([4.0, 2.0, 1.0])
THINGS = [*NOT_NUMBERS, Nasty("None", None)]
JUNK = [n for n in THINGS if n.name not in ("function", "class")]


def none(found):
    """Nothing more to check than that there is no warning."""


CASES = [
    *spoiled(diagnostics.gamma, {"x": POINT}, "x", THINGS),
    *spoiled(
        diagnostics.gamma,
        {"x": POINT, "samples": 3, "polish": 3},
        "model",
        [n for n in words() if n.name != "None"],
        blames=("model", "curvature"),
    ),
    *spoiled(diagnostics.gamma, {"x": POINT, "samples": 3, "polish": 3}, "region", words(none=True)),
    *spoiled(diagnostics.gamma, {"x": POINT, "polish": 3}, "samples", numbers(0, whole=True)),
    *spoiled(diagnostics.gamma, {"x": POINT, "samples": 3}, "polish", numbers(0, whole=True, open_low=False)),
    *spoiled(diagnostics.gamma, {"x": POINT, "samples": 3, "polish": 3}, "seed", SEEDS),
    *spoiled(diagnostics.inexactness, {"run": RUN, "problem": PROBLEM}, "run", JUNK, check=none),
    *spoiled(diagnostics.inexactness, {"run": RUN, "problem": PROBLEM}, "problem", JUNK, check=none),
    *spoiled(
        diagnostics.inexactness,
        {"run": RUN, "problem": PROBLEM},
        "model",
        [n for n in words() if n.name != "None"],
        check=none,
        blames=("model", "curvature"),
    ),
    *spoiled(diagnostics.step_error, {"run": RUN, "problem": PROBLEM}, "run", JUNK, check=none),
    *spoiled(diagnostics.step_error, {"run": RUN, "problem": PROBLEM}, "problem", JUNK, check=none),
    *spoiled(
        diagnostics.envelope,
        {"gradient": VALUES, "error": VALUES},
        "gradient",
        named(vectors(VALUES), {"square": "refuse", "deep": "refuse", "column": "refuse", "row": "refuse"}),
    ),
    *spoiled(
        diagnostics.envelope,
        {"gradient": VALUES, "error": VALUES},
        "error",
        named(vectors(VALUES), {"square": "refuse", "deep": "refuse", "column": "refuse", "row": "refuse"}),
    ),
    *spoiled(
        diagnostics.noise_scale,
        {"rows": SYMMETRIC, "batch": 2},
        "rows",
        named(matrices(SYMMETRIC, sparse_too=False), {"row-missing": "either"}),
    ),
    *spoiled(diagnostics.noise_scale, {"rows": SYMMETRIC, "batch": 2}, "batch", COUNTS),
    *spoiled(
        diagnostics.predicted_outliers,
        {"eigenvalues": VALUES, "s": 0.5},
        "eigenvalues",
        named(
            vectors(VALUES),
            {
                "short": "either",
                "long": "either",
                "one-entry": "either",
                "zeros": "either",
                "square": "either",
                "one-number": "either",
                "empty": "either",
            },
        ),
    ),
    *spoiled(
        diagnostics.predicted_outliers,
        {"eigenvalues": VALUES, "s": 0.5},
        "s",
        named(numbers(0, open_low=False), {"inf": "refuse"}),
    ),
    *spoiled(diagnostics.report, {"x": POINT}, "x", THINGS, check=none),
    *spoiled(
        diagnostics.report,
        {"x": POINT},
        "shape",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS if n not in ("pair",)]
        + [
            Nasty("other", (3, 3)),
            Nasty("negative", (-2, -2)),
            Nasty("halves", (2.5, 1.6)),
            Nasty("sound", (2, 2), "take"),
        ],
        check=none,
    ),
    *spoiled(diagnostics.report, {"x": POINT}, "tol", numbers(0), check=none),
    *spoiled(diagnostics.report, {"x": POINT}, "seed", [n for n in SEEDS if n.name != "None"], check=none),
    *spoiled(
        diagnostics.spectrum,
        {"A": SYMMETRIC},
        "A",
        [
            n
            for n in named(matrices(SYMMETRIC), {"one-row": "refuse", "one-column": "refuse", "function": "refuse"})
            if n.name not in ("zero-row", "zero-column", "equal-rows", "mixed-scales", "wild-scales")
        ],
        check=none,
        blames=("A", "n"),
    ),
    *spoiled(
        diagnostics.spectrum,
        {"A": SYMMETRIC},
        "A",
        [Nasty("asymmetric", np.triu(np.ones((3, 3)))), Nasty("skew", np.array([[0.0, 1], [-1, 0]]))],
        check=none,
        title="symmetry",
    ),
    *spoiled(diagnostics.spectrum, {"A": POINT}, "kind", [n for n in words() if n.name != "None"], check=none),
    *(
        case
        for name in ("probes", "steps")
        for case in spoiled(
            diagnostics.spectrum,
            {"A": SYMMETRIC, "dense": 1},
            name,
            [n for n in COUNTS if n.name != "1e300"],
            check=none,
        )
    ),
    *spoiled(
        diagnostics.spectrum, {"A": SYMMETRIC, "dense": 1}, "seed", [n for n in SEEDS if n.name != "None"], check=none
    ),
    *spoiled(diagnostics.split, {"x": POINT}, "x", THINGS, check=none),
    *spoiled(diagnostics.split, {"x": POINT}, "kind", words(), check=none),
    *spoiled(diagnostics.plot_spectrum, {"found": diagnostics.spectrum(SYMMETRIC)}, "found", THINGS, check=none),
    *spoiled(
        diagnostics.plot_spectrum,
        {"found": diagnostics.spectrum(SYMMETRIC)},
        "width",
        numbers(0, none=True),
        check=none,
    ),
]


def trace_of(values):
    """Return a trace of some values."""
    trace = Trace()
    for k, f in enumerate(values):
        trace.append(
            {
                "nit": k,
                "fun": f,
                "gnorm": 1.0,
                "time": float(k),
                "nfev": k,
                "njev": k,
                "nhev": k,
                "nhessp": 0,
                "nsolve": k,
            },
            None,
        )
    return trace


def drawn(**given):
    """Draw a figure and render it, for drawing is when trouble shows."""
    figure = plotting.convergence(**{"traces": {"run": RUN.trace}, **given})
    figure.canvas.draw()
    return figure


TRACES = {
    "NaN": [3.0, np.nan, 1.0],
    "inf": [np.inf, 2.0, 1.0],
    "all-NaN": [np.nan] * 3,
    "constant": [1.0] * 3,
    "one": [1.0],
    "empty": [],
    "rising": [1.0, 2.0, 3.0],
    "huge": [1e300, 1e200, 1.0],
    "tiny": [3e-300, 2e-300, 1e-300],
    "negative": [-1.0, -2.0, -3.0],
    "wide": [1e300, -1e300, 0.0],
}
CASES += [
    *spoiled(
        plotting.convergence,
        {},
        "traces",
        [*(n for n in THINGS), Nasty("empty-dict", {}), Nasty("words", {"a": "b"}), Nasty("numbers", {"a": 3})],
        call=drawn,
        check=none,
    ),
    *(
        Case(
            plotting.convergence,
            f"traces-{n}",
            lambda calls, v=v: drawn(traces={"run": trace_of(v)}),
            ("traces", "f_star"),
            "either",
            none,
        )
        for n, v in TRACES.items()
    ),
    *spoiled(
        plotting.convergence,
        {},
        "f_star",
        named(numbers(none=True), {"inf": "refuse", "minus-inf": "refuse"}),
        call=drawn,
        check=none,
    ),
    *spoiled(
        plotting.convergence,
        {},
        "against",
        [
            Nasty("unknown", ["nonsense"]),
            Nasty("number", 3),
            Nasty("empty", []),
            Nasty("None", None),
            Nasty("words", ("nit", "a")),
        ],
        call=drawn,
        check=none,
    ),
    *spoiled(
        plotting.resolution,
        {"gaps": [VALUES], "f_star": 0.0},
        "f_star",
        named(numbers(), {"inf": "refuse", "minus-inf": "refuse"}),
        check=none,
    ),
    *spoiled(
        plotting.resolution,
        {"gaps": [VALUES], "f_star": 0.0},
        "gaps",
        [
            Nasty("NaN", [np.full(3, np.nan)], "either"),
            Nasty("empty", [], "either"),
            Nasty("zeros", [np.zeros(3)], "either"),
        ],
    ),
    *spoiled(plotting.legend_columns, {"labels": ["a", "b"], "width": 4.0}, "width", numbers(0)),
    *spoiled(
        plotting.work_axis,
        {"panel": Figure().subplots(), "columns": [VALUES]},
        "columns",
        [
            Nasty("NaN", [np.full(3, np.nan)], "either"),
            Nasty("empty", [], "either"),
            Nasty("zeros", [np.zeros(3)], "either"),
            Nasty("huge", [VALUES * 1e300], "either"),
        ],
        check=none,
    ),
    *spoiled(
        plotting.mark_resolution,
        {"panel": Figure().subplots(), "gaps": [VALUES], "f_star": 0.0},
        "gaps",
        [
            Nasty("NaN", [np.full(3, np.nan)], "either"),
            Nasty("empty", [], "either"),
            Nasty("zeros", [np.zeros(3)], "either"),
        ],
        check=none,
    ),
]

# ------------------------------------------------------------------------------------------------- checks, small parts

CASES += [
    *spoiled(testing.check_objective, {"problem": PROBLEM}, "problem", THINGS, check=none),
    *spoiled(testing.check_objective, {"problem": PROBLEM}, "seed", SEEDS, check=none),
    *spoiled(testing.check_curvature, {"model": curvature.exact, "point": POINT}, "point", THINGS, check=none),
    *spoiled(
        testing.check_curvature,
        {"model": curvature.exact, "point": POINT},
        "model",
        words(),
        check=none,
        blames=("model", "curvature"),
    ),
    *spoiled(
        testing.check_solver, {"solver": gnsopt.GradNormSmooth(), "problem": PROBLEM}, "solver", THINGS, check=none
    ),
    *spoiled(
        testing.check_solver, {"solver": gnsopt.GradNormSmooth(), "problem": PROBLEM}, "problem", THINGS, check=none
    ),
    *spoiled(testing.check_result, {"result": RUN, "problem": PROBLEM, "gtol": 1e-8}, "problem", THINGS, check=none),
    *spoiled(testing.check_result, {"result": RUN, "problem": PROBLEM, "gtol": 1e-8}, "result", THINGS, check=none),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)
