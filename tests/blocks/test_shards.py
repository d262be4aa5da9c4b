"""Shards and their errors: before any work, by the name of the shard."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt import Logistic, RowBlocks, Softmax, SquaredLoss, datasets, minimize
from gnsopt.blocks import Block, Slice, Survey, shards, split

X, y = datasets.make_logistic(90, 5, density=0.4, seed=1)
XD = X.toarray()
FAMILIES = {"logistic": Logistic, "squared": SquaredLoss}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path_factory.mktemp("cache")))


def svmlight(X, y):
    lines = []
    for i in range(X.shape[0]):
        entries = " ".join(f"{j + 1}:{v!r}" for j, v in zip(X[[i]].indices.tolist(), X[[i]].data.tolist(), strict=True))
        lines.append(f"{int(y[i])} {entries}")
    return ("\n".join(lines) + "\n").encode()


def write(folder, kind, parts=3):
    ends = np.linspace(0, 90, parts + 1).astype(int)
    for i, (lo, hi) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        S, t = X[lo:hi], y[lo:hi]
        if kind == "dense":
            np.savez(folder / f"part-{i}.npz", X=S.toarray(), y=t)
        elif kind == "weighted":
            np.savez_compressed(folder / f"part-{i}.npz", X=S.toarray(), y=t, sample_weight=np.arange(lo, hi))
        elif kind == "csr":
            np.savez(folder / f"part-{i}.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=S.shape, y=t)
        else:
            packer = {"svm": bytes, "xz": lzma.compress, "bz2": bz2.compress, "gz": gzip.compress}[kind]
            (folder / f"part-{i}.svm{'' if kind == 'svm' else '.' + kind}").write_bytes(packer(svmlight(S, t)))


@pytest.mark.parametrize("kind", ["dense", "csr", "svm", "xz", "bz2", "gz", "weighted"])
def test_every_kind_of_shard(tmp_path, kind):
    write(tmp_path, kind, parts=12)
    blocks = shards(tmp_path / "part-*")
    problem = RowBlocks("logistic", blocks, l2=0.1, fit_intercept=True)
    whole = Logistic(XD, y, l2=0.1, fit_intercept=True, sample_weight=np.arange(90) if kind == "weighted" else None)
    x = np.linspace(-1, 1, 6)
    assert problem.fun(x, problem.prepare(x)) == pytest.approx(whole.fun(x, whole.prepare(x)), rel=1e-14)
    assert abs(minimize(problem, tol=1e-10).fun - minimize(whole, tol=1e-10).fun) <= 1e-14
    assert [b.name.rsplit("-", 1)[1].split(".")[0] for b in blocks] == [str(i) for i in range(12)]  # 2 before 10


def test_paths_keep_their_order(tmp_path):
    write(tmp_path, "dense")
    paths = [tmp_path / f"part-{i}.npz" for i in (2, 0, 1)]
    assert [b.name for b in shards(paths)] == [str(p) for p in paths]


def test_widths_of_sparse_shards_may_differ(tmp_path):
    rows = np.zeros((3, 9))
    rows[:, 8] = 1.0
    wide = csr_array(rows)
    for name, S, t in (("a", X, y), ("b", wide, [-1, 1, 1]), ("c", csr_array((2, 0)), [-1, 1])):
        np.savez(tmp_path / f"{name}.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=S.shape, y=t)
    problem = RowBlocks("logistic", shards(tmp_path / "*.npz"), l2=0.1)
    whole = Logistic(np.vstack([np.pad(XD, ((0, 0), (0, 4))), rows, np.zeros((2, 9))]), [*y, -1, 1, 1, -1, 1], l2=0.1)
    x = np.linspace(-1, 1, 9)
    assert problem.fun(x, problem.prepare(x)) == pytest.approx(whole.fun(x, whole.prepare(x)), rel=1e-14)


def shard(folder, **arrays):
    np.savez(folder / "part-7.npz", **arrays)


BAD = {
    "other width": (dict(X=XD[:, :4], y=y), "part-7.npz has 4 features, .*part-0.npz has 5"),
    "no labels": (dict(X=XD), "part-7.npz has no array 'y'"),
    "no rows": (dict(X=XD[:0], y=y[:0]), "part-7.npz: X .*no samples"),
    "no matrix": (dict(y=y), "part-7.npz has neither"),
    "nan": (dict(X=np.where(XD == XD[3, 3], np.nan, XD), y=y), "part-7.npz: .*NaN"),
    "lengths": (dict(X=XD, y=y[:-1]), r"part-7.npz: y has shape \(89,\)"),
    "third class": (dict(X=XD, y=np.where(y > 0, 5, -1)), "part-7.npz: its labels make 3 classes.*Softmax"),
    "words": (dict(X=XD, y=np.where(y > 0, "a", "b")), "part-7.npz has labels like"),
    "labels that are nan": (dict(X=XD, y=np.where(y > 0, np.nan, 0.0)), "part-7.npz: y contains NaN"),
    "weights": (dict(X=XD, y=y, sample_weight=-y), "part-7.npz: sample_weight must be"),
    "weights' shape": (dict(X=XD, y=y, sample_weight=y[1:]), "part-7.npz: sample_weight has shape"),
    "broken csr": (dict(data=X.data, indices=X.indices, indptr=X.indptr[:-5], shape=X.shape, y=y), "part-7.npz"),
    "index out of range": (
        dict(data=X.data, indices=np.where(X.indices == 4, 77, X.indices), indptr=X.indptr, shape=X.shape, y=y),
        "part-7.npz",
    ),
    "objects": (dict(X=XD, y=np.array([{}] * 90, dtype=object)), "part-7.npz cannot be read"),
    "text": (dict(X=np.full((90, 5), "x"), y=y), "part-7.npz: X is not an array of real numbers"),
    "complex sparse": (
        dict(data=X.data + 1j, indices=X.indices, indptr=X.indptr, shape=X.shape, y=y),
        "part-7.npz: .*real",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_shard_is_named(tmp_path, name):
    arrays, message = BAD[name]
    write(tmp_path, "dense")
    shard(tmp_path, **arrays)
    with pytest.raises((ValueError, OSError), match=message):
        RowBlocks("logistic", shards(tmp_path / "part-*.npz"))


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path, "dense")
    whole = (tmp_path / "part-1.npz").read_bytes()
    for damaged in (whole[:100], b"", b"no archive"):
        (tmp_path / "part-1.npz").write_bytes(damaged)
        with pytest.raises(OSError, match="part-1.npz cannot be read"):
            RowBlocks("logistic", shards(tmp_path / "part-*.npz"))
    write(tmp_path, "svm")
    (tmp_path / "part-1.svm").write_bytes(b"1 2:3 2:4\n")
    with pytest.raises(ValueError, match="part-1.svm, line 1: index 2 comes twice"):
        RowBlocks("logistic", shards(tmp_path / "part-*.svm"))


def test_a_shard_that_says_too_much_is_named(tmp_path):
    """A header, a shape or an index that no memory holds is refused before that memory is taken."""
    np.save(tmp_path / "array.npy", XD)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 5)})
    with zipfile.ZipFile(tmp_path / "header.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue())
    S = X[:2]
    np.savez(tmp_path / "wide.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=(2, 10**15), y=[0, 1])
    np.savez(tmp_path / "tall.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=(10**15, 5), y=[0, 1])
    np.savez(tmp_path / "inf.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=(np.inf, 5), y=[0, 1])
    (tmp_path / "index.svm").write_bytes(b"1 2:3 2000000000:4\n-1 1:1\n")
    for name, message in (
        ("array.npz", r"array\.npz cannot be read as \.npz: it is one array.*savez"),
        ("header.npz", r"header\.npz cannot be read"),
        ("wide.npz", r"wide\.npz: X has 1000000000000000 features, more than"),
        ("tall.npz", r"tall\.npz holds no CSR matrix"),
        ("inf.npz", r"inf\.npz holds no CSR matrix"),
        ("index.svm", r"index\.svm: X has 2000000000 features, more than .*hash"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            RowBlocks("logistic", shards(tmp_path / name))
    for zero_based in ("no", 1, None):
        with pytest.raises(ValueError, match="zero_based=.*must be True or False"):
            shards(tmp_path / "wide.npz", zero_based=zero_based)


CHANGES = {
    "rows": dict(X=XD[:20], y=y[:20]),
    "columns": dict(X=XD[:30, :4], y=y[:30]),
    "a new label": dict(X=XD[:30], y=np.where(y[:30] > 0, 5, -1)),
    "labels": dict(X=XD[:30], y=-y[:30]),
    "words": dict(X=XD[:30], y=np.where(y[:30] > 0, "a", "b")),
    "weights": dict(X=XD[:30], y=y[:30], sample_weight=np.full(30, 2.5)),
    "weights' number": dict(X=XD[:30], y=y[:30], sample_weight=np.ones(29)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("model", ["logistic", "squared"])
def test_a_shard_that_changes_after_the_survey_is_named(tmp_path, change, model):
    """Not fitted with the labels and the total weight of before, which would end as a success."""
    write(tmp_path, "dense")
    problem = RowBlocks(model, shards(tmp_path / "part-*.npz"), l2=0.1)
    assert minimize(problem, options={"maxiter": 1}).nit == 1
    if model == "squared" and change in ("a new label", "labels"):
        return  # any number is a target
    np.savez(tmp_path / "part-0.npz", **CHANGES[change])
    with pytest.raises(OSError, match=r"part-0\.npz has changed since it was looked at"):
        minimize(problem)


def test_a_file_is_taken_as_it_is_called(tmp_path):
    """Brackets of a name are no pattern where there is a file."""
    write(tmp_path, "dense", parts=1)
    (tmp_path / "part-0.npz").rename(tmp_path / "one[1].npz")
    assert [block.name for block in shards(tmp_path / "one[1].npz")] == [str(tmp_path / "one[1].npz")]
    (tmp_path / "one1.npz").write_bytes(b"")
    assert len(shards(tmp_path / "one[1].npz")) == len(shards(tmp_path / "one[12].npz")) == 1


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file matches"):
        shards(tmp_path / "*.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        shards([tmp_path / "a.npz"])
    with pytest.raises(FileNotFoundError, match="empty"):
        shards([])


def test_misuse_of_arrays():
    for arguments, message in (
        ((XD, y[:-1]), r"y has shape \(89,\); X has 90 rows"),
        ((XD[0], y), "X has shape"),
        ((XD[:0], y[:0]), "no samples"),
        ((XD, y, y[:3]), "sample_weight has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            split(*arguments)
    for rows in (0, 1.5, "many"):
        with pytest.raises(ValueError, match="rows="):
            split(XD, y, rows=rows)


def test_misuse_of_the_problem():
    blocks = split(XD, y)
    for build, message in (
        (lambda: RowBlocks("logistik", blocks), "did you mean 'logistic'"),
        (lambda: RowBlocks(Survey, blocks), "model="),
        (lambda: RowBlocks("logistic", []), "blocks must be a list"),
        (lambda: RowBlocks("logistic", XD), "blocks must be a list"),
        (lambda: RowBlocks("logistic", blocks, l2=-1), "l2"),
        (lambda: RowBlocks("logistic", blocks, threads=0), "threads=0"),
        (lambda: RowBlocks("logistic", blocks, fit_intercept=2), "fit_intercept=2"),
        (lambda: RowBlocks("logistic", blocks, client="tcp://nowhere"), "client="),
        (lambda: RowBlocks("poisson", split(XD, -y)), "rows .*must not be negative"),
        (lambda: RowBlocks("logistic", split(XD, np.ones(90))), "one class in all blocks"),
        (lambda: RowBlocks("logistic", split(XD, y, np.zeros(90))), "zero for every sample"),
        (lambda: RowBlocks("logistic", split(XD, y), class_weight=[1.0]), "class_weight"),
        (lambda: RowBlocks("logistic", split(XD, y), class_weight=[-1.0, 1.0]), "class_weight"),
        (lambda: RowBlocks("logistic", blocks, class_weight="balanced"), "class_weight='balanced' must .*classes are"),
        (lambda: RowBlocks("logistic", blocks, class_weight={0: 1.0}), "class_weight={0: 1.0} must have one number"),
        (lambda: RowBlocks("logistic", blocks, class_weight=[1j, 1.0]), "class_weight=.*must have one number"),
        (lambda: RowBlocks("squared", blocks, class_weight=[1.0]), "class_weight=.*regression has none"),
        (lambda: RowBlocks("squared", Survey(split(XD, y), True)), "classify"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            build()
    with pytest.raises(TypeError, match="no classes"):
        RowBlocks("squared", blocks).accuracy(np.zeros(5))


def test_a_block_of_zero_weights_and_one_that_lacks_a_class():
    order = np.argsort(y, kind="stable")
    w = np.r_[np.zeros(30), np.ones(60)]
    problem = RowBlocks("logistic", split(XD[order], y[order], w, rows=30), l2=0.1)
    whole = Logistic(XD[order], y[order], l2=0.1, sample_weight=w)
    assert abs(minimize(problem, tol=1e-12).fun - minimize(whole, tol=1e-12).fun) <= 1e-15


@pytest.mark.parametrize("model", ["logistic", "squared"])
def test_weights_whose_sum_is_above_float64(model):
    """Nor below it: a power of two changes no bit."""
    w = 1.0 + np.arange(90) % 4
    results = []
    for scale in (1.0, 2.0**1021, 2.0**-1070):
        problem = RowBlocks(model, split(XD, y, scale * w), l2=0.1, fit_intercept=True)
        results.append(minimize(problem, tol=1e-10).x.tobytes())
    assert len(set(results)) == 1
    assert RowBlocks(model, split(XD, y, 2.0**1021 * w)).total_weight == np.inf
    assert RowBlocks(model, split(XD, y, 4.0 * w)).total_weight == 4 * w.sum()
    whole = FAMILIES[model](XD, y, l2=0.1, fit_intercept=True, sample_weight=1e308 * (w / 4))
    mixed = RowBlocks(model, split(XD, y, 1e308 * (w / 4), rows=7), l2=0.1, fit_intercept=True)
    np.testing.assert_allclose(minimize(mixed, tol=1e-10).x, minimize(whole, tol=1e-10).x, rtol=0, atol=1e-9)
    small = np.where(np.arange(90) < 45, 1e-300, 1e308)  # one block has only small weights
    assert minimize(RowBlocks(model, split(XD, y, small, rows=45), l2=0.1)).success


def test_rows_that_lie_in_memory_otherwise_have_not_changed():
    """Views with steps, backwards, as columns, of other types: their sums have the bits of the first look."""
    w, XM, ym = np.random.default_rng(0).random(900), np.tile(XD, (10, 1)), np.tile(y, 10)
    for weight in (w[::-1], np.repeat(w, 2)[::2], w[:, None], w.astype(np.float32)[::-1]):
        for model in ("logistic", "squared"):
            problem = RowBlocks(model, split(XM[::-1], ym[::-1].astype(np.int8), weight, rows=400), l2=0.1)
            assert minimize(problem).success


def test_class_weights_whose_sum_is_above_float64():
    blocks = split(XD, y)
    ours, theirs = (RowBlocks("logistic", blocks, l2=0.1, class_weight=c) for c in ([2.0**1023, 2.0**1022], [2.0, 1.0]))
    assert minimize(ours).x.tobytes() == minimize(theirs).x.tobytes()


def test_a_block_of_ones_own():
    """A block is anything that can be loaded: a survey makes one problem after the other of it."""

    class Mine(Block):
        name = "mine"

        def load(self):
            return Slice("", XD, np.where(y > 0, "yes", "no")).load()

    survey = Survey([Mine()], True)
    for model in (Softmax, "logistic"):
        assert list(RowBlocks(model, survey, l2=0.1).classes) == ["no", "yes"]
