"""What users pass by mistake, and sound values in odd clothes: tables of ``(name, value, verdict)`` by kind."""

import datetime as dt
import inspect
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from tests.hostile.judge import Calls, Case, assert_same, assert_sound
from tests.libraries import SPARSE_VECTORS


class Nasty(NamedTuple):
    """A value, what it is called, and what must come of it."""

    name: str
    value: Any
    verdict: str = "refuse"


def spoiled(subject, good, argument, table, *, call=None, blames=None, check=None, same=None, title=None, **settings):
    """Return a case for each value of a table in the place of one argument of a call that is sound without it.

    `check` recomputes what a call returns; `same(result, reference)` compares it with that of the sound call, where the
    value is the same but for its clothes. A `call` with a parameter ``calls`` counts the user's functions there.
    """
    call = subject if call is None else call
    check = assert_sound if check is None else check
    same = assert_same if same is None else same
    title = title or getattr(subject, "__name__", type(subject).__name__)

    counted = "calls" in inspect.signature(call).parameters

    def run(value, calls):
        return call(**{**good, argument: value}, **({"calls": calls} if counted else {}))

    def run_check(result):
        check(result)
        same(result, call(**good, **({"calls": Calls()} if counted else {})))

    return [
        Case(
            subject,
            f"{title}-{argument}-{name}",
            partial(run, value),
            (argument,) if blames is None else blames,
            "take" if verdict == "same" else verdict,
            run_check if verdict == "same" else check,
            **settings,
        )
        for name, value, verdict in {row.name: row for row in reversed(table)}.values()
    ][::-1]


# ------------------------------------------------------------------------------------------------------ single things

NOT_NUMBERS = [
    Nasty("word", "a"),
    Nasty("digit", "1"),
    Nasty("empty-string", ""),
    Nasty("bytes", b"1"),
    Nasty("list", [1.0]),
    Nasty("pair", (1.0, 2.0)),
    Nasty("dict", {}),
    Nasty("object", object()),
    Nasty("complex", 1j),
    Nasty("array", np.array([1.0, 2.0])),
    Nasty("no-array", np.array([])),
    Nasty("date", dt.date(2020, 1, 1)),
    Nasty("function", len),
    Nasty("class", float),
    Nasty("nan", float("nan")),
]


def numbers(low=-np.inf, high=np.inf, *, open_low=True, open_high=True, whole=False, none=False, junk=NOT_NUMBERS):
    """Return hostile values of a number in ``(low, high)``; a bound that is not open belongs to it."""

    def fits(v):
        above = v > low or (not open_low and v == low)
        below = v < high or (not open_high and v == high)
        return above and below and (not whole or v == int(v))

    table = [*junk, Nasty("None", None, "either" if none else "refuse"), Nasty("True", True, "either")]
    for name, value in [
        ("inf", np.inf),
        ("minus-inf", -np.inf),
        ("minus-one", -1),
        ("zero", 0),
        ("half", 0.5),
        ("two", 2),
        ("below-one", -1e-12),
        ("above-one", 1 + 1e-9),
    ]:
        sound = np.isfinite(value) and fits(value)
        table.append(Nasty(name, value, "either" if sound or (not np.isfinite(value) and fits(value)) else "refuse"))
    odd = [Nasty("1e300", 1e300), Nasty("1e-300", 1e-300), Nasty("huge-integer", 10**400)]
    clothes = [np.float64(1), np.float32(1), np.int8(1), Fraction(1), Decimal(1), np.array(1.0)]
    odd += [Nasty(f"{type(v).__name__}-1", v) for v in clothes]
    return table + [Nasty(v.name, v.value, "either") for v in odd]


def words(*, none=False, numbers_too=False):
    """Return hostile values of an argument that takes one of a few names."""
    table = [
        Nasty("typo", "exakt"),
        Nasty("empty-string", ""),
        Nasty("blank", " "),
        Nasty("colon", ":"),
        Nasty("bytes", b"exact"),
        Nasty("list", ["exact"]),
        Nasty("dict", {"a": 1}),
        Nasty("object", object()),
        Nasty("nan", float("nan")),
        Nasty("array", np.ones(2)),
        Nasty("complex", 1j),
        Nasty("class", dict),
        Nasty("None", None, "either" if none else "refuse"),
        Nasty("two", 2, "either" if numbers_too else "refuse"),
    ]
    return table


def named(table, verdicts):
    """Return a table with other verdicts for some of its names."""
    return [Nasty(n, v, verdicts.get(n, d)) for n, v, d in table]


NOT_CALLABLE = [
    Nasty("None", None),
    Nasty("number", 3),
    Nasty("nan", float("nan")),
    Nasty("word", "rosen"),
    Nasty("array", np.eye(2)),
    Nasty("list", [len]),
    Nasty("dict", {"fun": len}),
    Nasty("object", object()),
]
NOT_OPTIONALLY_CALLABLE = [Nasty(n, v, "either" if v is None else d) for n, v, d in NOT_CALLABLE]
SEEDS = [
    Nasty("word", "a"),
    Nasty("half", 0.5),
    Nasty("minus-one", -1),
    Nasty("nan", float("nan")),
    Nasty("inf", float("inf")),
    Nasty("complex", 1j),
    Nasty("object", object()),
    Nasty("dict", {}),
    Nasty("None", None, "either"),
    Nasty("True", True, "either"),
    Nasty("int64", np.int64(3), "take"),
    Nasty("large", 2**70, "either"),
]
COUNTS = numbers(0, whole=True)  # at least one of something


# ------------------------------------------------------------------------------------------------------------- arrays


def masked(a, hidden):
    """Return a masked array, of which the first entry is hidden or none is."""
    mask = np.zeros(a.shape, dtype=bool)
    mask.flat[0] = hidden
    return np.ma.masked_array(a, mask)


def read_only(a):
    """Return a copy that nobody may write."""
    a = a.copy()
    a.setflags(write=False)
    return a


def with_entry(a, value):
    """Return a copy with one entry replaced."""
    a = np.array(a, dtype=float)
    a[(-1,) * a.ndim] = value
    return a


def clothes(a):
    """Return the same array of small integers in odd clothes: what it computes may not change."""
    wide = np.repeat(np.repeat(a, 2, axis=0), 2, axis=-1) if a.ndim == 2 else np.repeat(a, 2)
    strided = wide[::2, ::2] if a.ndim == 2 else wide[::2]
    backwards = np.ascontiguousarray(a[::-1])[::-1]
    table = {
        "list": a.tolist(),
        "tuple": tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
        "float32": a.astype(np.float32),
        "float16": a.astype(np.float16),
        "longdouble": a.astype(np.longdouble),
        "int8": a.astype(np.int8),
        "int64": a.astype(np.int64),
        "object": a.astype(object),
        "big-endian": a.astype(">f8"),
        "read-only": read_only(a),
        "fortran": np.asfortranarray(a),
        "strided": strided,
        "backwards": backwards,
        "unmasked": masked(a, hidden=False),
        "pandas": pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
    }
    return [Nasty(name, value, "same") for name, value in table.items()]


def sparse_clothes(a):
    """Return a matrix in every sparse format, and in sloppy ones."""
    csr = sparse.csr_array(a)
    twice = sparse.csr_array((np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), 2 * csr.indptr), shape=a.shape)
    order = np.concatenate([np.arange(lo, hi)[::-1] for lo, hi in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)])
    unsorted = sparse.csr_array((csr.data[order], csr.indices[order], csr.indptr), shape=a.shape)
    long = sparse.csr_array((csr.data, csr.indices, csr.indptr), shape=a.shape)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    zeros = sparse.csr_array(np.ones_like(a))
    zeros.data[:] = a.ravel()
    frozen = sparse.csr_array(a)
    for part in (frozen.data, frozen.indices, frozen.indptr):
        part.setflags(write=False)
    formats = {f: sparse.csr_array(a).asformat(f) for f in ("csc", "coo", "lil", "dok", "dia", "bsr", "csr")}
    matrices = {f"{f}-matrix": sparse.csr_matrix(a).asformat(f) for f in ("csr", "csc", "coo", "lil")}
    sloppy = {"duplicates": twice, "unsorted": unsorted, "long-indices": long, "explicit-zeros": zeros}
    kinds = {"csr-float32": csr.astype(np.float32), "csr-int8": csr.astype(np.int8), "csr-read-only": frozen}
    return [Nasty(name, value, "same") for name, value in (formats | matrices | sloppy | kinds).items()]


def not_arrays(a):
    """Return what is no array of real numbers of the shape of `a`."""
    return [
        Nasty("None", None),
        Nasty("word", "a"),
        Nasty("object", object()),
        Nasty("dict", {}),
        Nasty("function", len),
        Nasty("complex", a + 1j),
        Nasty("strings", np.full(a.shape, "a")),
        Nasty("numbers-as-text", a.astype(str), "either"),
        Nasty("dates", np.full(a.shape, np.datetime64("2020-01-01"))),
        Nasty("objects", np.full(a.shape, object())),
        Nasty("None-within", np.where(np.arange(a.size).reshape(a.shape) == 1, None, a)),
        Nasty("empty", np.zeros((0,) * a.ndim)),
        Nasty("ragged", [[1.0, 2.0], [3.0]]),
        Nasty("deep", a[None, None], "either" if a.ndim == 1 else "refuse"),
        Nasty("generator", (x for x in a)),
        Nasty("structured", np.zeros(a.shape, dtype=[("a", float), ("b", int)])),
        Nasty("masked", masked(a, hidden=True)),
    ]


def not_finite(a):
    """Return `a` with one entry that is no finite number."""
    return [Nasty(name, with_entry(a, v)) for name, v in (("NaN", np.nan), ("inf", np.inf), ("minus-inf", -np.inf))]


def scales(a):
    """Return `a` in extreme units."""
    return [
        Nasty(f"times-{s:g}", a * s, "either") for s in (1e300, 1e160, 1e100, 1e30, 1e-30, 1e-100, 1e-160, 1e-300)
    ] + [Nasty("zeros", 0.0 * a, "either"), Nasty("subnormal", a * 5e-324, "either")]


def vectors(a, *, one_number=False):
    """Return hostile values of a vector of the length of `a`."""
    return [
        *not_arrays(a),
        *not_finite(a),
        *scales(a),
        *clothes(a),
        Nasty("short", a[:-1]),
        Nasty("long", np.append(a, 1.0)),
        Nasty("square", np.ones((a.size, a.size))),
        Nasty("column", a[:, None], "either"),
        Nasty("row", a[None], "either"),
        Nasty("one-number", 1.0, "either" if one_number else "refuse"),
        Nasty("one-entry", a[:1], "either" if one_number else "refuse"),
    ]


def matrices(a, *, sparse_too=True):
    """Return hostile values of a matrix like `a`, of which the other arguments know both sides."""
    odd = sparse_clothes(a) if sparse_too else [Nasty("csr", sparse.csr_array(a), "either")]
    return [
        *not_arrays(a),
        *not_finite(a),
        *scales(a),
        *clothes(a),
        *odd,
        Nasty("one-row", a[:1], "either"),
        Nasty("one-column", a[:, :1], "either"),
        Nasty("no-rows", a[:0]),
        Nasty("no-columns", a[:, :0]),
        Nasty("vector", a[0]),
        Nasty("number", 1.0),
        Nasty("row-missing", a[:-1]),
        Nasty("sparse-complex", sparse.csr_array(a + 1j)),
        Nasty("sparse-NaN", sparse.csr_array(with_entry(a, np.nan))),
        Nasty("sparse-inf", sparse.csr_array(with_entry(a, np.inf))),
        Nasty("sparse-empty", sparse.csr_array((0, a.shape[1]))),
        *([Nasty("sparse-vector", sparse.coo_array(a[0]))] if SPARSE_VECTORS else []),
        Nasty("zero-row", np.where(np.arange(len(a))[:, None] == 0, 0.0, a), "either"),
        Nasty("zero-column", np.where(np.arange(a.shape[1]) == 0, 0.0, a), "either"),
        Nasty("equal-rows", np.tile(a[:1], (len(a), 1)), "either"),
        Nasty("mixed-scales", a * np.logspace(-8, 8, a.shape[1]), "either"),
        Nasty("wild-scales", a * np.logspace(-140, 140, a.shape[1]), "either"),
    ]
