"""Rows in blocks, shards and checkpoints: refused by name before a block is read, or the optimum of the whole."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

import gnsopt
from gnsopt import Checkpoint, Logistic, RowBlocks
from gnsopt.blocks import Shard, Slice, Survey, connect, shards, split
from tests.hostile.judge import Case, judge
from tests.hostile.values import (
    COUNTS,
    NOT_NUMBERS,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

rng = np.random.default_rng(0)
X = rng.integers(-3, 4, (8, 3)).astype(float)
Y = np.array([0.0, 1, 0, 1, 1, 0, 1, 0])
THINGS = [*NOT_NUMBERS, Nasty("None", None)]
PROBLEM = Logistic(X, Y, l2=0.1)


def fit(**given):
    """Split rows into blocks and minimise over them."""
    model = given.pop("model", "logistic")
    more = {k: given.pop(k) for k in ("l2", "fit_intercept", "threads", "class_weight") if k in given}
    blocks = given.pop("blocks", None)
    blocks = split(**{"X": X, "y": Y, "rows": 3, **given}) if blocks is None else blocks
    problem = RowBlocks(model, blocks, **{"l2": 0.1, **more})
    return gnsopt.minimize(problem, options={"gtol": 1e-8, "maxiter": 15})


def true(run):
    """The numbers are finite; a success is one."""
    assert np.isfinite(run.x).all()
    assert not run.success or np.max(np.abs(run.jac)) <= 1e-8


def same(a, b):
    np.testing.assert_allclose(a.x, b.x, rtol=1e-6, atol=1e-9)


def kept(path, text, name="part-1.npz", **settings):
    """Write a file, read it as shards and fit."""
    folder = Path(tempfile.mkdtemp())
    (folder / name).write_bytes(text)
    return fit(blocks=shards(str(folder / path), **settings))


def checkpointed(**given):
    """Minimise with a checkpoint in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return gnsopt.GradNormSmooth().minimize(
            PROBLEM, checkpoint=Checkpoint(**{"path": f"{folder}/run.npz", **given})
        )


BLAMES = ("X", "y", "blocks", "part", "row", "rows")
TABLE = {"row-missing": "refuse", "one-row": "refuse", "sparse-vector": "refuse"}
LABELS = named(
    vectors(Y),
    {"strings": "refuse", "numbers-as-text": "either", "dates": "either", "column": "either", "row": "either"},
)
LABELS = [Nasty(n, v, "either" if n.startswith("times-") or n == "subnormal" else d) for n, v, d in LABELS]
CASES = [
    *spoiled(split, {"X": X}, "X", named(matrices(X), TABLE), call=fit, check=true, same=same, blames=BLAMES),
    *spoiled(split, {"y": Y}, "y", LABELS, call=fit, check=true, same=same, blames=BLAMES),
    *spoiled(split, {}, "rows", [n for n in COUNTS if n.name != "None"], call=fit, check=true),
    *spoiled(
        split,
        {},
        "sample_weight",
        [
            Nasty("negative", -np.ones(8)),
            Nasty("zero", np.zeros(8)),
            Nasty("NaN", np.full(8, np.nan)),
            Nasty("short", np.ones(7)),
            Nasty("words", ["a"] * 8),
            Nasty("complex", np.ones(8) * 1j),
        ],
        call=fit,
        check=true,
    ),
    *spoiled(RowBlocks, {}, "model", words(), call=fit, check=true),
    *spoiled(
        RowBlocks,
        {},
        "blocks",
        [*(n for n in THINGS if n.name != "None"), Nasty("empty", []), Nasty("words", ["a"])],
        call=fit,
        check=true,
    ),
    *spoiled(
        RowBlocks,
        {},
        "l2",
        numbers(0, open_low=False, junk=[n for n in NOT_NUMBERS if n.name not in ("list",)]),
        call=fit,
        check=true,
    ),
    *spoiled(
        RowBlocks,
        {},
        "threads",
        [n for n in numbers(0, whole=True, none=True) if n.name not in ("1e300", "huge-integer")],
        call=fit,
        check=true,
    ),
    *spoiled(RowBlocks, {}, "fit_intercept", [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS], call=fit, check=true),
    *spoiled(
        Slice,
        {"name": "a", "X": X, "y": Y},
        "X",
        [n for n in matrices(X) if n.verdict == "refuse" and n.name != "row-missing"],
        call=lambda **g: fit(blocks=[Slice(**g)]),
        check=true,
        blames=("a", *BLAMES),
    ),
    *spoiled(Survey, {"classify": True}, "blocks", [*THINGS, Nasty("empty", [])], check=bool),
    *spoiled(
        shards,
        {},
        "pattern",
        [*(n for n in THINGS), Nasty("none-there", "/no/such/place/*.npz")],
        check=bool,
        blames=("pattern", "path", "shards", "blocks", "/no/such/place/*.npz"),
    ),
    *(
        Case(
            shards,
            f"shard-{name}",
            lambda calls, text=text, name=name: kept("part-*", text, f"part-1.{'npz' if 'npz' in name else 'svm'}"),
            ("part-1.npz", "part-1.svm"),
            "refuse",
        )
        for name, text in {
            "npz-empty": b"",
            "npz-junk": b"\x00" * 50,
            "npz-cut": b"PK\x03\x04" + b"\x00" * 40,
            "svm-empty": b"",
            "svm-junk": b"\xff" * 50,
            "svm-label": b"a 1:1\n",
            "svm-zero": b"1 0:1\n",
        }.items()
    ),
    *spoiled(
        Shard,
        {},
        "path",
        [n for n in THINGS if n.name not in ("function", "class")],
        call=lambda path: fit(blocks=[Shard(path)]),
        check=true,
        blames=("path", "shard", "part"),
    ),
    *spoiled(
        connect, {}, "address", [n for n in THINGS if n.name not in ("word", "digit", "empty-string")], check=bool
    ),
    *spoiled(
        Checkpoint,
        {},
        "path",
        [
            *(n for n in THINGS if n.name not in ("word", "digit", "function")),
            Nasty("absent-folder", "/no/such/folder/run.npz"),
        ],
        call=checkpointed,
        check=true,
        blames=("path", "checkpoint", "/no/such/folder"),
    ),
    *spoiled(
        Checkpoint, {}, "seconds", named(numbers(0, open_low=False), {"inf": "either"}), call=checkpointed, check=true
    ),
    *spoiled(Checkpoint, {}, "iterations", numbers(0, whole=True, none=True), call=checkpointed, check=true),
    *spoiled(
        Checkpoint, {}, "resume", [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS], call=checkpointed, check=true
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)
