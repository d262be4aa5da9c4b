"""Transport of impossible masses at impossible costs: an error, or bounds and marginals that are true."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from gnsopt import ot
from tests.hostile.judge import Case, assert_same, judge
from tests.hostile.test_solvers import table_of
from tests.hostile.values import (
    NOT_NUMBERS,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

A, B = np.array([2.0, 1.0, 1.0]), np.array([1.0, 2.0, 1.0])
C = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
SOUND = {"a": A, "b": B, "C": C, "reg": 0.5}
METHODS = ("auto", "newton", "sinkhorn", "sns")
X, Y = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
MAX_ITER = 200


def solve(**given):
    """Solve a small problem with an argument replaced."""
    return ot.solve(**{**SOUND, "max_iter": MAX_ITER, **given})


def assert_transport(result):
    """The plan is that of the potentials, its marginals err by what is said, and the bounds bound the cost."""
    problem = result.problem
    a, b, reg = np.asarray(problem.a), np.asarray(problem.b), problem.reg
    cost = problem.geometry.dense()
    mass = float(a.sum())
    if result.converged and problem.rho is None and not problem.constraints:
        P = result.plan
        assert np.isfinite(P).all()
        assert (P >= 0).all()
        error = float(np.abs(P.sum(1) - a).sum() + np.abs(P.sum(0) - b).sum())
        assert error <= result.tol * mass * (1 + 1e-6) + 1e-13 * mass
        phi, psi = result.potentials
        with np.errstate(all="ignore"):
            twin = np.exp((phi[:, None] + psi - cost) / reg)
        spread = float(np.abs(cost[np.isfinite(cost)]).max(initial=0.0))
        noise = 1e-14 * spread / reg  # of the exponents
        if noise < 1e-2:
            there = np.outer(a > 0, b > 0)  # elsewhere the potentials are those of a place that is about to have mass
            np.testing.assert_allclose(twin[there], P[there], rtol=1e-6 + noise, atol=1e-12 * mass)
        low, high = result.interval
        exact = linear_cost(a, b, cost)
        if exact is not None:
            slack = 1e-7 * max(1.0, abs(exact)) + 1e-9 * spread * mass
            assert low <= exact + slack
            assert exact <= high + slack
    if result.infeasible is not None:
        columns, rows = result.infeasible.columns, result.infeasible.rows
        others = np.setdiff1d(np.arange(a.size), rows)
        assert not np.isfinite(cost[np.ix_(others, columns)]).any(), "others reach these targets, too"
        assert b[columns].sum() > a[rows].sum()


def linear_cost(a, b, cost):
    """Return the unregularised cost by linear programming; None where it has none."""
    n, m = cost.shape
    allowed = np.isfinite(cost.ravel())
    if np.abs(cost[np.isfinite(cost)]).max(initial=0.0) > 1e6 or not 1e-6 < a.sum() < 1e6:
        return None
    rows = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])[:, allowed]
    found = linprog(cost.ravel()[allowed], A_eq=rows, b_eq=np.concatenate([a, b]), bounds=(0, None))
    return float(found.fun) if found.success else None


def same_plan(a, b):
    np.testing.assert_allclose(a.plan, b.plan, rtol=1e-7, atol=1e-10)


QUIET = {"warns": (ot.NotConverged,), "check": assert_transport, "same": same_plan}
MASSES = [
    *named(vectors(A), {"None": "either", "column": "either", "row": "either", "one-number": "refuse"}),
    Nasty("negative", [3.0, -1.0, 2.0]),
    Nasty("all-zero", np.zeros(3)),
    Nasty("other-sum", A * 1.01),
    Nasty("nearly-the-sum", A * (1 + 1e-10), "either"),
    Nasty("one-place", [4.0, 0.0, 0.0], "take"),
    Nasty("tiny-place", [4.0, 1e-300, 0.0], "either"),
    Nasty("wide", [4.0, 1e-30, 1e-15], "either"),
]
MASSES = [Nasty(n, v, "refuse" if n in ("subnormal", "zeros") or n.startswith("times-") else d) for n, v, d in MASSES]
COSTS = [
    *named(
        matrices(C),
        {
            "zero-row": "either",
            "row-missing": "refuse",
            "inf": "either",
            "sparse-inf": "either",
            "one-row": "refuse",
            "one-column": "refuse",
            "sparse-vector": "refuse",
        },
    ),
    Nasty("forbidden-diagonal", np.where(np.eye(3, dtype=bool), np.inf, C), "either"),
    Nasty("forbidden-row", np.where(np.arange(3)[:, None] == 1, np.inf, C), "either"),
    Nasty("forbidden-column", np.where(np.arange(3) == 1, np.inf, C), "either"),
    Nasty("all-forbidden", np.full((3, 3), np.inf), "either"),
    Nasty("only-diagonal", np.where(np.eye(3, dtype=bool), 1.0, np.inf), "either"),
    Nasty("negative", -C, "take"),
    Nasty("constant", np.ones((3, 3)), "take"),
    Nasty("wide-range", C * np.array([1e-12, 1.0, 1e12]), "either"),
]
# a sparse cost forbids what it does not store, zeros included: the clothes of a matrix with zeros are other problems
STORED = {
    n
    for n, _, d in matrices(C)
    if d == "same"
    and n
    in (
        "csc",
        "coo",
        "lil",
        "dok",
        "dia",
        "bsr",
        "csr",
        "csr-matrix",
        "csc-matrix",
        "coo-matrix",
        "lil-matrix",
        "duplicates",
        "unsorted",
        "long-indices",
        "csr-float32",
        "csr-int8",
        "csr-read-only",
        "explicit-zeros",
    )
}
COSTS = [Nasty(n, v, "either" if n in STORED else d) for n, v, d in COSTS]
REGS = named(numbers(0, none=True), {"None": "refuse", "1e300": "either"})

CASES = [
    case
    for method in METHODS
    for argument, table in (("a", MASSES), ("b", MASSES), ("C", COSTS), ("reg", REGS))
    for case in spoiled(
        ot.solve,
        {**SOUND, "method": method},
        argument,
        [n for n in table if not (argument == "b" and n.verdict == "same")],
        call=solve,
        title=f"solve-{method}",
        blames=(argument, "a", "b", "C", "the cost", "mass", "cost", "sums")
        if argument != "reg"
        else ("reg", "reg_rel"),
        **QUIET,
    )
]
CASES += [
    *spoiled(
        ot.solve,
        {},
        "reg_rel",
        [n for n in numbers(0) if n.name != "None"],
        call=lambda **g: solve(**{"reg": None, **g}),
        blames=("reg_rel", "reg"),
        **QUIET,
    ),
    *spoiled(ot.solve, {}, "scale", words(), call=lambda scale: solve(reg=None, reg_rel=0.1, scale=scale), **QUIET),
    *spoiled(ot.solve, {}, "method", words(), call=solve, **QUIET),
    *spoiled(ot.solve, {}, "tol", numbers(0, open_low=False), call=solve, **QUIET),
    *spoiled(ot.solve, {}, "max_iter", numbers(0, open_low=False, whole=True), call=solve, **QUIET),
    *spoiled(
        ot.solve,
        {},
        "max_time",
        named(numbers(0, none=True), {"inf": "either"}),
        call=solve,
        blames=("max_time", "maxtime"),
        **QUIET,
    ),
    *spoiled(
        ot.solve,
        {},
        "rho",
        named(numbers(0, none=True), {"pair": "either", "inf": "either", "array": "either"}),
        call=solve,
        **QUIET,
    ),
    *spoiled(
        ot.solve, {}, "callback", [n for n in NOT_NUMBERS if n.name not in ("function", "class")], call=solve, **QUIET
    ),
    *spoiled(
        ot.solve,
        {},
        "warm_start",
        [
            *(n for n in NOT_NUMBERS),
            Nasty("short", ([0.0], [0.0])),
            Nasty("NaN", (np.full(3, np.nan), np.zeros(3))),
            Nasty("complex-pair", (np.ones(3) * 1j, np.zeros(3))),
            Nasty("words", (["a"] * 3, np.zeros(3))),
            Nasty("huge", (np.full(3, 1e300), np.zeros(3)), "either"),
            Nasty("sound", (np.zeros(3), np.zeros(3)), "take"),
        ],
        call=solve,
        blames=("warm_start", "phi", "psi"),
        **QUIET,
    ),
    *spoiled(
        ot.solve,
        {},
        "constraints",
        [
            *(n for n in NOT_NUMBERS if n.name not in ("no-array", "empty-string", "dict")),
            Nasty("words", ["a"]),
            Nasty("contradict", [ot.Constraint(C, 1e9)], "either"),
        ],
        call=solve,
        **QUIET,
    ),
    *spoiled(
        ot.Constraint,
        {"D": C},
        "D",
        [n for n in matrices(C, sparse_too=False) if n.name not in ("csr",)],
        call=lambda D: solve(constraints=[ot.Constraint(D, 0.5)]),
        blames=("D", "constraints", "constraint"),
        **{**QUIET, "same": lambda a, b: None},
    ),
    *spoiled(
        ot.Constraint,
        {"D": C},
        "bound",
        numbers(),
        call=lambda bound, D=C: solve(constraints=[ot.Constraint(D, bound)]),
        blames=("bound",),
        **QUIET,
    ),
    *spoiled(
        ot.Constraint,
        {"D": C},
        "kind",
        words(),
        call=lambda kind, D=C: solve(constraints=[ot.Constraint(D, 0.5, kind)]),
        blames=("kind",),
        **QUIET,
    ),
    *spoiled(
        ot.CostMatrix,
        {"C": C},
        "C",
        [n for n in COSTS if n.name not in ("row-missing", "one-row", "one-column")],
        check=lambda g: None,
        same=lambda a, b: assert_same(a.dense(), b.dense()),
        blames=("C", "cost", "costs", "the cost"),
    ),
    *spoiled(
        ot.PointCloud,
        {"X": X, "Y": Y},
        "X",
        matrices(X, sparse_too=False),
        call=lambda **g: solve(C=ot.PointCloud(**{"X": X, "Y": Y, **g})),
        blames=("X", "Y", "cost", "costs", "a"),
        **QUIET,
    ),
    *spoiled(
        ot.PointCloud,
        {"X": X, "Y": Y},
        "Y",
        matrices(Y, sparse_too=False),
        call=lambda **g: solve(C=ot.PointCloud(**{"X": X, "Y": Y, **g})),
        blames=("X", "Y", "cost", "costs", "b"),
        **QUIET,
    ),
    *spoiled(
        ot.PointCloud,
        {"X": X, "Y": Y},
        "cost",
        [n for n in words() if n.name != "class"],
        call=lambda **g: solve(C=ot.PointCloud(**{"X": X, "Y": Y, **g})),
        **QUIET,
    ),
    *spoiled(
        ot.PointCloud,
        {"X": X, "Y": Y},
        "workers",
        numbers(0, whole=True)[:-8],
        call=lambda **g: solve(C=ot.PointCloud(**{"X": X, "Y": Y, **g})),
        **QUIET,
    ),
    *spoiled(
        ot.Grid,
        {"X": [3]},
        "X",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS if n not in ("list", "pair", "array")]
        + [
            Nasty("zero", [0]),
            Nasty("half", [2.5]),
            Nasty("NaN", [[0.0, np.nan, 1.0]]),
            Nasty("negative", [-3]),
            Nasty("word", ["a"]),
            Nasty("complex-axis", [[1j, 2.0, 3.0]]),
            Nasty("huge", [[0.0, 1e200, 2e200]], "either"),
        ],
        call=lambda X: solve(C=ot.Grid(X)),
        blames=("X", "Y", "cost", "costs"),
        **QUIET,
    ),
    *spoiled(
        ot.Grid,
        {"X": [3]},
        "power",
        numbers(0),
        call=lambda power, X=(3,): solve(C=ot.Grid(X, power=power)),
        blames=("power", "X", "cost", "costs", "reg"),
        **QUIET,
    ),
]
for name in METHODS:
    kind = ot.METHODS[name]
    CASES += [
        case
        for f in fields(kind)
        if f.init and f.name not in ("newton", "tol")
        for case in spoiled(
            kind,
            {},
            f.name,
            [
                Nasty(n, v, "either")
                if (f.name, n) == ("metric", "None") or v is None or n == "array"
                else Nasty(n, v, "either" if f.name == "metric" else d)
                for n, v, d in table_of(kind, f)
            ],
            call=lambda kind=kind, **g: solve(method=kind(**g)),
            title=kind.__name__,
            **QUIET,
        )
    ]

PLAN = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
RESULT = ot.solve(A, B, C, 0.5)
CLOUDS = ot.solve(A, B, ot.PointCloud(X, Y), 0.5)


def check_rounded(P):
    """The plan has the marginals."""
    np.testing.assert_allclose(P.sum(axis=1), A, rtol=1e-12)
    np.testing.assert_allclose(P.sum(axis=0), B, rtol=1e-12)


def check_sparse(plan):
    """The result is finite."""
    assert np.isfinite(plan.value if hasattr(plan, "value") else 0.0)


RESULTS = [*NOT_NUMBERS, Nasty("None", None)]
CASES += [
    *spoiled(
        ot.round_plan,
        {"P": PLAN, "a": A, "b": B},
        "P",
        [
            Nasty(n, v, "refuse" if n == "row-missing" else d)
            for n, v, d in named(matrices(PLAN, sparse_too=False), {"one-row": "refuse", "one-column": "refuse"})
        ]
        + [Nasty("negative", -PLAN)],
        check=check_rounded,
    ),
    *spoiled(
        ot.round_plan,
        {"P": PLAN, "a": A, "b": B},
        "a",
        [
            n
            for n in MASSES
            if n.verdict != "same" and n.name not in ("nearly-the-sum", "one-place", "tiny-place", "wide")
        ],
        blames=("a", "b", "P"),
        check=lambda P: None,
    ),
    *spoiled(
        ot.sparsity_constrained,
        {"a": A, "b": B, "C": C, "gamma": 0.5, "k": 2},
        "a",
        [n for n in MASSES if n.name != "NaN"],
        check=check_sparse,
        same=lambda a, b: None,
        blames=("a", "b", "mass"),
    ),
    *spoiled(
        ot.sparsity_constrained,
        {"a": A, "b": B, "C": C, "gamma": 0.5, "k": 2},
        "C",
        [n for n in COSTS if n.name not in STORED and "forbidden" not in n.name and n.name not in ("only-diagonal",)],
        check=check_sparse,
        same=lambda a, b: None,
        blames=("C", "cost", "costs", "the cost", "a"),
    ),
    *spoiled(
        ot.sparsity_constrained, {"a": A, "b": B, "C": C, "gamma": 0.5, "k": 2}, "gamma", numbers(0), check=check_sparse
    ),
    *spoiled(
        ot.sparsity_constrained,
        {"a": A, "b": B, "C": C, "gamma": 0.5, "k": 2},
        "k",
        numbers(0, whole=True),
        check=check_sparse,
        blames=("k", "gamma"),
    ),
    *spoiled(
        ot.sparsity_constrained,
        {"a": A, "b": B, "C": C, "gamma": 0.5, "k": 2},
        "tol",
        numbers(0, open_low=False),
        check=check_sparse,
    ),
    *spoiled(
        ot.sinkhorn_divergence,
        {"a": A, "b": B, "X": X, "Y": Y, "reg": 1.0},
        "X",
        matrices(X, sparse_too=False),
        warns=(ot.NotConverged,),
        check=lambda d: None,
        same=lambda a, b: None,
        blames=("X", "Y", "cost", "costs", "a"),
    ),
    *spoiled(
        ot.sinkhorn_divergence,
        {"a": A, "b": B, "X": X, "Y": Y, "reg": 1.0},
        "reg",
        numbers(0),
        warns=(ot.NotConverged,),
        check=lambda d: None,
    ),
    *spoiled(ot.value_gradients, {"result": RESULT}, "result", RESULTS),
    *spoiled(ot.value_gradients, {"result": RESULT}, "convention", words()),
    *spoiled(ot.point_gradients, {"result": CLOUDS}, "result", RESULTS),
    *spoiled(ot.plan_vjp, {"result": RESULT, "G": PLAN}, "result", RESULTS),
    *spoiled(
        ot.plan_vjp,
        {"result": RESULT, "G": PLAN},
        "G",
        named(matrices(PLAN, sparse_too=False), {"one-row": "refuse", "one-column": "refuse", "row-missing": "refuse"}),
    ),
    *spoiled(ot.plan_jvp, {"result": RESULT, "dC": PLAN}, "result", RESULTS),
    *spoiled(
        ot.plan_jvp,
        {"result": RESULT, "dC": PLAN},
        "dC",
        named(
            matrices(PLAN, sparse_too=False),
            {"one-row": "refuse", "one-column": "refuse", "row-missing": "refuse", "None": "take"},
        ),
    ),
    *spoiled(
        ot.plan_jvp,
        {"result": RESULT, "da": np.array([1.0, -1.0, 0.0])},
        "da",
        named(vectors(np.array([1.0, -1.0, 0.0])), {"None": "take"}),
        blames=("da", "db"),
    ),
    *spoiled(ot.Problem, SOUND, "normalize", [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS], check=lambda p: None),
]
SHAPES = {"1x1": (1, 1), "1x3": (1, 3), "3x1": (3, 1), "0x0": (0, 0), "0x3": (0, 3), "2x5": (2, 5)}
CASES += [
    Case(
        ot.solve,
        f"shape-{method}-{name}",
        lambda calls, shape=shape, method=method: ot.solve(
            None, None, np.arange(float(shape[0] * shape[1])).reshape(shape), 1.0, method=method
        ),
        ("C", "cost", "costs"),
        "refuse" if 0 in shape else "take",
        assert_transport,
    )
    for method in METHODS
    for name, shape in SHAPES.items()
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


_ = sparse
