"""Malformed files, through `gnsopt.datasets` and ``gnsopt fit``: a line that is named, or the numbers in it."""

import bz2
import gzip
import itertools
import lzma
import math
import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnsopt.cli import app
from gnsopt.datasets import REGISTRY, Remote, find, load, make_logistic, make_softmax, names
from tests.hostile.judge import Case, judge
from tests.hostile.values import COUNTS, NOT_NUMBERS, SEEDS, Nasty, numbers, spoiled

SOUND = b"+1 1:0.5 3:-2\n-1 2:1e-3\n+1 1:1\n"
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parsed(text, zero_based=False):
    """Return ``(X, y)`` as the format says, or None: the reference, in a few lines and without a library."""
    rows, y = [], []
    for line in text.split(b"\n"):
        fields = line.split(b"#")[0].split()
        if not fields:
            continue
        if not NUMBER.fullmatch(fields[0]) or not math.isfinite(float(fields[0])):
            return None
        y.append(float(fields[0]))
        row, last = {}, -1
        for k, field in enumerate(fields[1:]):
            index, colon, value = field.partition(b":")
            if k == 0 and index == b"qid" and colon:
                continue  # of no use to us, whatever it says
            if not colon or not re.fullmatch(rb"\+?\d+", index) or not NUMBER.fullmatch(value):
                return None
            j = int(index) - (not zero_based)
            if not last < j < 2**31 or not math.isfinite(float(value)):
                return None
            row[j] = last = j
            row[j] = float(value)
        rows.append(row)
    if not rows:
        return None
    width = max([0, *(j + 1 for row in rows for j in row)])
    if width > 10**6:
        return None
    X = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        for j, value in row.items():
            X[i, j] = value
    return X, np.array(y)


LABELS = {
    "plain": b"1",
    "sign": b"+1",
    "float": b"-1.5e0",
    "dot": b"1.",
    "leading-dot": b".5",
    "nan": b"nan",
    "inf": b"inf",
    "huge": b"1e999",
    "tiny": b"1e-999",
    "word": b"spam",
    "list": b"1,2",
    "underscore": b"1_0",
    "hex": b"0x1",
    "quote": b"'1'",
    "unicode": "½".encode(),
    "arabic": "١".encode(),
    "missing": b"",
    "minus": b"-",
    "zeros": b"0" * 400 + b"1",
    "NUL": b"\x00",
    "BOM": b"\xef\xbb\xbf1",
}
FEATURES = {
    "none": b"",
    "one": b"1:1",
    "two": b"1:1 2:2",
    "far": b"7:1",
    "zero-value": b"1:0 2:1",
    "minus-zero": b"1:-0",
    "plus-index": b"+1:1",
    "leading-zeros": b"001:1",
    "tiny": b"1:1e-999",
    "large": b"1:1e300",
    "subnormal": b"1:5e-324",
    "qid": b"qid:3 1:1",
    "qid-late": b"1:1 qid:3",
    "qid-word": b"qid:x 1:1",
    "qid-empty": b"qid: 1:1",
    "comment": b"1:1 # 2:x",
    "comment-glued": b"1:1#2:x",
    "comment-only-features": b"#1:1",
    "index-zero": b"0:1",
    "index-negative": b"-1:1",
    "index-twice": b"2:1 2:1",
    "index-unsorted": b"3:1 2:1",
    "index-float": b"1.0:1",
    "index-huge": b"99999999999999999999:1",
    "index-2^31": b"2147483648:1",
    "index-word": b"a:1",
    "index-missing": b":1",
    "index-underscore": b"1_0:1",
    "index-arabic": "١:1".encode(),
    "value-missing": b"1:",
    "value-word": b"1:x",
    "value-nan": b"1:nan",
    "value-inf": b"1:inf",
    "value-overflow": b"1:1e999",
    "value-hex": b"1:0x1",
    "value-comma": b"1:1,5",
    "value-underscore": b"1:1_0",
    "value-twice": b"1:1:1",
    "value-complex": b"1:1j",
    "value-space": b"1: 1",
    "value-arabic": "1:١".encode(),
    "no-colon": b"1 2",
    "comma": b"1:1,2:1",
    "semicolon": b"1:1;2:1",
    "tab": b"1:1\t2:1",
    "vertical-tab": b"1:1\x0b2:1",
    "form-feed": b"1:1\x0c2:1",
    "NUL": b"1:1\x00",
    "binary": bytes(range(128, 160)),
    "long": b" ".join(b"%d:1" % k for k in range(1, 300)),
}
ENDINGS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r", "none": b"", "blank": b"\n\n\n"}
ROUND = {"plain": lambda b: b, "xz": lzma.compress, "bz2": bz2.compress, "gz": gzip.compress}
FILES = {f"label-{n}": SOUND + v + b" 1:1\n" for n, v in LABELS.items()}
FILES |= {f"features-{n}": SOUND + b"-1 " + v + b"\n" for n, v in FEATURES.items()}
FILES |= {f"ending-{n}": (b"1 1:1" + v + b"-1 2:1" + v) for n, v in ENDINGS.items()}
FILES |= {
    "empty": b"",
    "blank": b"\n \n\t\n",
    "comments": b"# a\n# b\n",
    "one-row": b"1 1:1\n",
    "no-features": b"1\n-1\n",
    "one-class": b"1 1:1\n1 2:1\n",
    "NULs": b"\x00" * 100,
    "text": b"Lorem ipsum dolor\n" * 3,
    "csv": b"1,0.5,0.25\n0,1.5,2.5\n",
    "json": b'{"x": [1, 2]}\n',
    "arff": b"@relation iris\n@data\n5.1,3.5\n",
    "html": b"<!DOCTYPE html><html></html>\n",
    "random": np.random.default_rng(0).bytes(500),
    "npz": b"PK\x03\x04" + bytes(60),
    "pickle": b"\x80\x04\x95" + bytes(40),
    "UTF-16": "1 1:1\n".encode("utf-16"),
    "latin": "1 1:1 # größe\n-1 2:1\n".encode("latin1"),
    "line-long": b"1 " + b"1:1" * 5000 + b"\n",
    "xz-magic": b"\xfd7zXZ\x00" + bytes(20),
    "gz-magic": b"\x1f\x8b" + bytes(20),
    "bz2-magic": b"BZh9" + bytes(20),
}
CUT = {
    f"{kind}-cut-{part}": pack(SOUND * 50)[:part]
    for kind, pack in ROUND.items()
    if kind != "plain"
    for part in (7, 20, -3)
}
BENT = {
    f"{kind}-bent": bytes([*(packed := pack(SOUND * 50))[:30], 255 ^ packed[30], *packed[31:]])
    for kind, pack in ROUND.items()
    if kind != "plain"
}


def in_folder(content, run):
    """Run with a file of this content in an empty folder, and the caches there, too."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict("os.environ", {"GNSOPT_CACHE": folder + "/cache", "COLUMNS": "80"}),
    ):
        path = Path(folder) / "data.txt"
        path.write_bytes(content)
        return run(path)


def check_file(text, zero_based, packed=True):
    """Return the check that the arrays are those of the reference, which must be able to read the text."""

    def check(found):
        expected = parsed(text, zero_based)
        assert expected is not None, "malformed, and read"
        X, y = found
        np.testing.assert_array_equal(X.toarray(), expected[0])
        np.testing.assert_array_equal(y, expected[1])
        assert X.has_sorted_indices
        assert (X.data != 0).all()

    return check


def file_case(name, text, content, zero_based):
    """Return the case of a file."""
    readable = parsed(text, zero_based) is not None if text is not None else False
    return Case(
        load,
        f"load-{name}{'-zero' if zero_based else ''}",
        lambda calls: in_folder(content, lambda path: load(path, zero_based=zero_based)),
        ("data.txt",),
        "take" if readable else "refuse",
        check_file(text, zero_based) if text is not None else None,
    )


CASES = [
    file_case(f"{name}-{kind}", text, pack(text), False)
    for name, text in FILES.items()
    for kind, pack in ROUND.items()
    if kind in ("plain", "xz") or name in ("empty", "text", "ending-CRLF")
]
CASES += [file_case(name, text, text, True) for name, text in FILES.items()]
CASES += [file_case(name, None, content, False) for name, content in (CUT | BENT).items()]
CASES += [
    file_case(f"{a}-{b}", text, text, False)
    for a, b in itertools.product(("nan", "huge", "list", "float", "zeros"), FEATURES)
    for text in [LABELS[a] + b" " + FEATURES[b] + b"\n" + SOUND]
]

CASES += [
    *spoiled(
        load,
        {"name": "iris"},
        "name",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS]
        + [
            Nasty("None", None),
            Nasty("absent", "no-such-set"),
            Nasty("absent-path", "./no/such/file"),
            Nasty("folder", Path("/")),
            Nasty("NUL", "a\x00b"),
            Nasty("NUL-path", Path("a\x00b")),
            Nasty("long", "x" * 5000),
        ],
        blames=("name", "GNSOPT_DATA"),
    ),
    *spoiled(
        load,
        {"name": "iris"},
        "n_features",
        [*numbers(4, whole=True, none=True, open_low=False)],
        check=lambda found: None,
    ),
    *spoiled(
        load,
        {"name": "iris"},
        "zero_based",
        [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS],
        check=lambda found: None,
    ),
    *spoiled(
        find,
        {},
        "name",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS] + [Nasty("None", None), Nasty("absent", "no-such-set")],
        blames=("name", "GNSOPT_DATA"),
    ),
    *(
        case
        for make, more in ((make_logistic, {}), (make_softmax, {"n_classes": 3}))
        for argument, table in {
            "n_samples": COUNTS,
            "n_features": COUNTS,
            "condition": numbers(1, open_low=False),
            "density": numbers(0, 1, open_high=False),
            "seed": SEEDS,
            "separable": [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS],
        }.items()
        for case in spoiled(make, {"n_samples": 4, "n_features": 2, **more}, argument, table)
    ),
    *spoiled(make_softmax, {"n_samples": 4, "n_features": 2}, "n_classes", numbers(1, whole=True)),
    Case(names, "names", lambda calls: names(), check=lambda found: None),
    Case(Remote, "registry", lambda calls: REGISTRY["a9a"], check=lambda found: None),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


FIELDS = (
    st.sampled_from([*LABELS.values(), *FEATURES.values()])
    | st.binary(max_size=6)
    | st.from_regex(rb"\A[0-9]{1,2}:[0-9]\Z")
)


@given(
    st.lists(st.lists(FIELDS, max_size=4).map(b" ".join), max_size=4),
    st.sampled_from(list(ENDINGS.values())),
    st.booleans(),
)
def test_any_lines(lines, ending, zero_based):
    """Any mixture of sound and malformed fields is read as the format says, or refused."""
    text = ending.join([*lines, b""])
    judge(file_case(repr(text), text, text, zero_based))


# ---------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("name", FILES | CUT | BENT)
def test_fit_says_in_a_line_what_is_wrong(name, capsys):
    """Exit code 2 and one line for what cannot be read; the fit of the others ends with 0 or 1 and no error."""
    content = (FILES | CUT | BENT)[name]
    with pytest.raises(SystemExit) as end:
        in_folder(
            content,
            lambda path: app(["fit", str(path), "--l2", "1e-2", "--maxiter", "20", "--quiet"], prog_name="gnsopt"),
        )
    written = capsys.readouterr()
    expected = parsed(content) if name in FILES else None
    fits = (
        expected is not None
        and expected[0].shape[1] > 0
        and np.unique(expected[1]).size > 1
        and (expected[1] == np.rint(expected[1])).all()
    )
    if fits and np.max(np.abs(expected[0])) < 1e150:
        assert end.value.code in (0, 1), written.err
        assert written.err == ""
    else:
        assert end.value.code == 2
        assert written.err.startswith("gnsopt: error: ")
        assert written.err.count("\n") == 1
        assert "Traceback" not in written.err
