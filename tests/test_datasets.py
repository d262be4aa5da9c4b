"""Data by name: lookup, parsing, errors with line numbers, caching, simulated designs. Never the network."""

import bz2
import gzip
import hashlib
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest
import sklearn.datasets
import sklearn.linear_model
from scipy import sparse

from gnsopt import datasets

TEXT = b"+1 1:0.5 3:-2e-1 # a comment\n\n-1 qid:4 2:1\n1 1:0 3:7\n"
DENSE = np.array([[0.5, 0.0, -0.2], [0.0, 1.0, 0.0], [0.0, 0.0, 7.0]])
LABELS = np.array([1.0, -1.0, 1.0])
COMPRESS = {"": bytes, ".xz": lzma.compress, ".bz2": bz2.compress, ".gz": gzip.compress}

REAL_DATA = os.environ.get("GNSOPT_DATA")  # read before the fixture below hides it


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Give each test its own data and cache folders, and no network."""
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "cache"))

    def offline(url, **_):
        raise ConnectionError(f"no route to {url}")

    monkeypatch.setattr(pooch, "retrieve", offline)


def put(folder, name, content=TEXT):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def assert_is_text(X, y):
    assert isinstance(X, sparse.csr_array)
    assert X.dtype == y.dtype == np.float64
    assert X.has_canonical_format
    assert X.nnz == 4  # the stored zero is gone
    np.testing.assert_array_equal(X.toarray(), DENSE)
    np.testing.assert_array_equal(y, LABELS)


def no_parsing(monkeypatch):
    def fail(*args):
        raise AssertionError("parsed again")

    monkeypatch.setattr(datasets, "_parse", fail)


# ----------------------------------------------------------------------------------------------------- lookup


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("place", ["data", "cache"])
def test_reads_plain_and_compressed_files_by_name(tmp_path, place, suffix):
    put(tmp_path / place, "toy" + suffix, COMPRESS[suffix](TEXT))
    assert_is_text(*datasets.load("toy"))


@pytest.mark.parametrize("name", ["../data/toy.svm", Path("toy.svm"), "toy.svm"])
def test_reads_a_path(tmp_path, name):
    put(tmp_path / "data", "toy.svm")
    put(tmp_path / "here", "toy.svm")
    assert_is_text(*datasets.load(name))


def test_compression_is_told_by_content_not_by_name(tmp_path):
    put(tmp_path / "data", "toy", lzma.compress(TEXT))
    assert_is_text(*datasets.load("toy"))


def test_data_folder_comes_before_cache_and_cache_before_current_folder(tmp_path):
    for value, place in enumerate(["here", "cache", "data"]):
        put(tmp_path / place, "toy", b"%d 1:1\n" % value)
        assert datasets.load("toy")[1] == [value]


def test_works_without_environment_variables(tmp_path, monkeypatch):
    monkeypatch.delenv("GNSOPT_DATA")
    monkeypatch.delenv("GNSOPT_CACHE")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "os" / project)
    put(tmp_path / "here", "toy")
    assert_is_text(*datasets.load("toy"))
    assert list((tmp_path / "os" / "gnsopt").glob("toy-*.npz"))


@pytest.mark.parametrize("name", datasets.BUNDLED)
def test_sets_of_scikit_learn_need_no_file(tmp_path, name):
    put(tmp_path / "data", name, b"9 1:9\n")  # a name means the same everywhere
    X, y = datasets.load(name)
    X_direct, y_direct = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    assert X.dtype == y.dtype == np.float64
    np.testing.assert_array_equal(X, X_direct)
    np.testing.assert_array_equal(y, y_direct)


def test_names_and_registry():
    known = datasets.names()
    assert known == sorted(set(known))
    assert {"iris", "a9a", "a9a.t", "mnist.scale", "covtype.libsvm.binary.scale", "housing_scale"} <= set(known)
    assert datasets.REGISTRY["news20"] == ("multiclass", "news20.bz2", datasets._SHA256["news20"])
    assert datasets.REGISTRY["sector.scale"].file == "sector/sector.scale.bz2"
    assert datasets._SHA256.keys() <= datasets.REGISTRY.keys()
    assert {remote.folder for remote in datasets.REGISTRY.values()} == {"binary", "multiclass", "regression"}


def test_importing_is_light():
    code = (
        "import sys; import gnsopt.datasets; "
        "sys.exit(' '.join({'sklearn', 'pooch', 'requests'} & set(sys.modules)) or 0)"
    )
    root = Path(datasets.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


# -------------------------------------------------------------------------------------------------- arguments


def test_n_features_pads(tmp_path):
    put(tmp_path / "data", "toy")
    X, _ = datasets.load("toy", n_features=5)
    assert X.shape == (3, 5)
    np.testing.assert_array_equal(X.toarray()[:, :3], DENSE)
    assert datasets.load("toy", n_features=np.int64(3))[0].shape == (3, 3)
    assert datasets.load("toy")[0].shape == (3, 3)
    X, _ = datasets.load("iris", n_features=6)
    assert X.shape == (150, 6)
    assert not X[:, 4:].any()


def test_n_features_too_small_is_an_error(tmp_path):
    put(tmp_path / "data", "toy")
    with pytest.raises(ValueError, match=r"n_features=2, but 'toy' has 3: pass 3 or more"):
        datasets.load("toy", n_features=2)
    with pytest.raises(TypeError):
        datasets.load("toy", n_features=3.5)


def test_zero_based(tmp_path):
    put(tmp_path / "data", "toy", b"1 0:5 2:6\n2 1:7\n")
    X, _ = datasets.load("toy", zero_based=True)
    np.testing.assert_array_equal(X.toarray(), [[5, 0, 6], [0, 7, 0]])
    with pytest.raises(ValueError, match=r"toy, line 1: index 0: .*zero_based=True"):
        datasets.load("toy")  # the copy kept of the first load must not answer


def test_rows_without_features_and_targets_of_a_regression(tmp_path):
    put(tmp_path / "data", "toy", b"0.25\r\n-3.5e2 2:1\r\n1e-3")
    X, y = datasets.load("toy")
    np.testing.assert_array_equal(X.toarray(), [[0, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(y, [0.25, -350, 0.001])
    put(tmp_path / "data", "labels", b"1\n2\n")
    assert datasets.load("labels")[0].shape == (2, 0)


# -------------------------------------------------------------------------------------------- malformed files

MALFORMED = {
    "label": (b"spam 1:1", "label 'spam' is not a finite number"),
    "label-nan": (b"nan 1:1", "label 'nan' is not a finite number"),
    "label-underscore": (b"1_0 1:1", "label '1_0' is not a finite number"),
    "label-missing": (b"1:1 2:1", "label '1:1' is not a finite number"),
    "multi-label": (b"1,2 1:1", "label '1,2' is a list: multi-label"),
    "colon-missing": (b"1 1:1 2", "'2' has no colon"),
    "space-after-colon": (b"1 1: 2", "value '' of index 1 is not a finite number"),
    "index-text": (b"1 x:1", "index 'x' is not an integer"),
    "index-missing": (b"1 :1", "index '' is not an integer"),
    "index-fraction": (b"1 1.5:1", "index '1.5' is not an integer"),
    "index-zero": (b"1 0:1", "index 0: indices start at 1"),
    "index-negative": (b"1 -3:1", "index '-3' is out of the range"),
    "index-large": (b"1 2147483648:1", "index '2147483648' is out of the range"),
    "index-huge": (b"1 1" + b"0" * 5000 + b":1", "is out of the range"),
    "index-twice": (b"1 2:1 2:1", "index 2 comes twice"),
    "index-unsorted": (b"1 3:1 2:1", "index 2 comes after 3"),
    "value-text": (b"1 1:one", "value 'one' of index 1 is not a finite number"),
    "value-nan": (b"1 1:1 4:nan", "value 'nan' of index 4 is not a finite number"),
    "value-inf": (b"1 1:-inf", "value '-inf' of index 1 is not a finite number"),
    "value-overflow": (b"1 1:1e999", "value '1e999' of index 1 is not a finite number"),
    "value-twice": (b"1 1:1:1", "value '1:1' of index 1 is not a finite number"),
    "value-underscore": (b"1 1:1_0", "value '1_0' of index 1 is not a finite number"),
    "value-comma": (b"1 1:0,5", "value '0,5' of index 1 is not a finite number"),
    "junk": (b"\x00\xff\xfe" * 50, r"label '\x00\xff\xfe"),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("block", [1, 1 << 26], ids=["block-per-line", "one-block"])
def test_malformed_line_is_named(tmp_path, monkeypatch, case, block):
    bad, reason = MALFORMED[case]
    monkeypatch.setattr(datasets, "_BLOCK", block)
    path = put(tmp_path / "data", "toy", b"# 1_0\n+1 1:1\n\n" + bad + b"\n-1 1:1\n")
    with pytest.raises(ValueError, match="line 4") as caught:
        datasets.load("toy")
    assert str(caught.value).startswith(f"{path}, line 4: ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not list(tmp_path.glob("cache/*"))


@pytest.mark.parametrize("block", [1, 1 << 26])
def test_suspicious_but_sound_text_is_accepted(tmp_path, monkeypatch, block):
    monkeypatch.setattr(datasets, "_BLOCK", block)
    put(tmp_path / "data", "toy", TEXT.replace(b"a comment", b"a_comment"))
    assert_is_text(*datasets.load("toy"))


def test_refusal_of_the_parser_that_we_cannot_explain_is_still_an_error(tmp_path, monkeypatch):
    def refuse(*args, **_):
        raise ValueError("the parser has its own mind")

    monkeypatch.setattr(sklearn.datasets, "load_svmlight_file", refuse)
    put(tmp_path / "data", "toy")
    with pytest.raises(ValueError, match=r"toy, after line 1: the parser has its own mind"):
        datasets.load("toy")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n"])
def test_empty_file(tmp_path, content):
    put(tmp_path / "data", "toy", content)
    with pytest.raises(ValueError, match=r"toy, line 1: the file holds no samples"):
        datasets.load("toy")


@pytest.mark.parametrize("suffix", [".xz", ".bz2", ".gz"])
def test_cut_off_compression(tmp_path, suffix):
    rng = np.random.default_rng(0)
    text = b"".join(b"1 1:%r\n" % value for value in rng.standard_normal(100_000).tolist())
    whole = COMPRESS[suffix](text)
    path = put(tmp_path / "data", "toy" + suffix, whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"line \d+: the compressed file is cut off") as caught:
        datasets.load("toy")
    message = str(caught.value)
    assert message.startswith(f"{path}, line ")
    assert 30_000 < int(message.split("line ")[1].split(":")[0]) < 60_000  # about the middle


@pytest.mark.parametrize("suffix", [".xz", ".bz2", ".gz"])
def test_damaged_compression(tmp_path, suffix):
    whole = bytearray(COMPRESS[suffix](TEXT * 100))
    whole[8:40] = bytes(32)
    put(tmp_path / "data", "toy" + suffix, bytes(whole))
    with pytest.raises(ValueError, match=r"line 1: (the compressed file is cut off or damaged|label)"):
        datasets.load("toy")


# ---------------------------------------------------------------------------------------------------- caching


def test_second_load_comes_from_the_cache_whatever_n_features(tmp_path, monkeypatch):
    put(tmp_path / "data", "toy.gz", gzip.compress(TEXT))
    datasets.load("toy")
    no_parsing(monkeypatch)
    assert_is_text(*datasets.load("toy"))
    assert datasets.load("toy", n_features=9)[0].shape == (3, 9)


def test_a_changed_file_is_parsed_again(tmp_path):
    path = put(tmp_path / "data", "toy", b"1 1:1\n")
    datasets.load("toy")
    kept = path.stat().st_mtime_ns
    put(tmp_path / "data", "toy", b"2 1:1\n")
    os.utime(path, ns=(kept, kept + 1))
    assert datasets.load("toy")[1] == [2]
    put(tmp_path / "data", "toy", b"3 1:1 \n")
    os.utime(path, ns=(kept, kept + 1))
    assert datasets.load("toy")[1] == [3]
    assert len(list(tmp_path.glob("cache/*"))) == 1  # renewed in place, nothing left over


def test_equal_names_in_two_folders_are_two_files(tmp_path):
    for value, place in enumerate(["data", "here"]):
        os.utime(put(tmp_path / place, "toy", b"%d 1:1\n" % value), ns=(0, 0))
    assert datasets.load(tmp_path / "data" / "toy")[1] == [0]
    assert datasets.load(tmp_path / "here" / "toy")[1] == [1]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "other"])
def test_corrupted_copy_is_made_again(tmp_path, monkeypatch, damage):
    put(tmp_path / "data", "toy")
    datasets.load("toy")
    (copy,) = tmp_path.glob("cache/*.npz")
    content = copy.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes(255 - byte for byte in content[middle : middle + 9]) + content[middle + 9 :]
    np.savez(tmp_path / "other.npz", a=1)
    other = (tmp_path / "other.npz").read_bytes()
    content = {"empty": b"", "cut": content[:middle], "flipped": flipped, "text": b"hello", "other": other}[damage]
    copy.write_bytes(content)
    assert_is_text(*datasets.load("toy"))
    assert copy.read_bytes() != content
    no_parsing(monkeypatch)
    assert_is_text(*datasets.load("toy"))


def test_cache_that_cannot_be_written_is_skipped(tmp_path, monkeypatch):
    put(tmp_path / "data", "toy")
    monkeypatch.setenv("GNSOPT_CACHE", str(put(tmp_path, "a_file", b"") / "below"))
    assert_is_text(*datasets.load("toy"))

    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "full"))

    def full(*args, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert_is_text(*datasets.load("toy"))
    assert not list((tmp_path / "full").iterdir())


# --------------------------------------------------------------------------------------------------- download


def serve(monkeypatch, content):
    """Let `pooch.retrieve` deliver `content`; returns the list of calls."""
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append(url)
        return str(put(Path(path), fname, content))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return calls


def register(monkeypatch, name, file, text):
    sha256 = hashlib.sha256(text).hexdigest() if text is not None else None
    monkeypatch.setitem(datasets.REGISTRY, name, datasets.Remote("binary", file, sha256))


@pytest.mark.parametrize("suffix", ["", ".bz2", ".xz"])
@pytest.mark.parametrize("text", [TEXT, None], ids=["known-checksum", "no-checksum"])
def test_downloads_once_into_the_cache(tmp_path, monkeypatch, suffix, text):
    register(monkeypatch, "toy", "folder/toy" + suffix, text)
    calls = serve(monkeypatch, COMPRESS[suffix](TEXT))
    assert_is_text(*datasets.load("toy"))
    assert_is_text(*datasets.load("toy"))
    assert calls == [f"https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/folder/toy{suffix}"]
    assert (tmp_path / "cache" / f"toy{suffix}").is_file()
    assert not list(tmp_path.glob("cache/*.part"))


@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_wrong_checksum_is_an_error_and_the_file_removed(tmp_path, monkeypatch, suffix):
    register(monkeypatch, "toy", "toy" + suffix, TEXT)
    serve(monkeypatch, COMPRESS[suffix](TEXT + b"1 1:1\n"))
    with pytest.raises(ValueError, match=r"arrived with sha256 \w{64} .* instead of .*GNSOPT_DATA"):
        datasets.load("toy")
    assert not list(tmp_path.glob("cache/*"))


def test_damaged_download_is_an_error_and_the_file_removed(tmp_path, monkeypatch):
    register(monkeypatch, "toy", "toy.xz", None)
    serve(monkeypatch, lzma.compress(TEXT)[:-20])
    with pytest.raises(ValueError, match=r"toy\.xz arrived damaged .*GNSOPT_DATA"):
        datasets.load("toy")
    assert not list(tmp_path.glob("cache/*"))


def test_offline_error_says_where_to_put_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("a9a")
    message = str(caught.value)
    for part in ("'a9a'", "no route to", "/binary/a9a", "GNSOPT_DATA", str(tmp_path / "cache")):
        assert part in message


def test_unknown_name_offers_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"'mushroom' is not a known data set .*mushrooms.*GNSOPT_DATA"):
        datasets.load("mushroom")


def test_missing_path():
    with pytest.raises(FileNotFoundError, match=r"'\./a9a' is a path and there is no such file"):
        datasets.load("./a9a")


def test_data_folder_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path / "absent"))
    with pytest.raises(NotADirectoryError, match="GNSOPT_DATA=.*absent' is not a folder"):
        datasets.load("a9a")


# ------------------------------------------------------------------------------------------------- real files

REAL = {  # n, d, nonzeros (without stored zeros), classes
    "a1a": (1605, 119, 22249, 2),
    "a9a": (32561, 123, 451592, 2),
    "a9a.t": (16281, 122, 225731, 2),
    "german.numer": (1000, 24, 17989, 2),
    "heart_scale": (270, 13, 3378, 2),
    "ionosphere_scale": (351, 34, 10551, 2),
    "mushrooms": (8124, 112, 170604, 2),
    "w8a": (49749, 300, 579586, 2),
    "dna.scale": (2000, 180, 91233, 3),
    "glass.scale": (214, 9, 1923, 6),
    "letter.scale": (15000, 16, 240000, 26),
    "housing_scale": (506, 13, 6578, 229),
}


@pytest.mark.data
@pytest.mark.skipif(not REAL_DATA, reason="GNSOPT_DATA is not set")
@pytest.mark.parametrize("name", REAL)
def test_real_files(monkeypatch, name):
    monkeypatch.setenv("GNSOPT_DATA", REAL_DATA)
    try:
        X, y = datasets.load(name)
    except FileNotFoundError:
        pytest.skip(f"no {name} in GNSOPT_DATA")
    n, d, nnz, classes = REAL[name]
    assert (*X.shape, X.nnz, np.unique(y).size) == (n, d, nnz, classes)
    assert y.shape == (n,)
    assert X.indices.dtype == X.indptr.dtype == np.int32  # what compiled code of other libraries expects


@pytest.mark.data
@pytest.mark.skipif(not REAL_DATA, reason="GNSOPT_DATA is not set")
def test_checksums_are_those_of_the_real_files(monkeypatch):
    monkeypatch.setenv("GNSOPT_DATA", REAL_DATA)
    for name in ("a9a", "w8a", "mushrooms", "letter.scale"):
        try:
            path = datasets.find(name)
        except FileNotFoundError:
            continue
        assert datasets._sha256(path) == datasets.REGISTRY[name].sha256


# ------------------------------------------------------------------------------------------ simulated designs


@pytest.mark.parametrize("shape", [(60, 8), (8, 60), (5, 1)])
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_dense_design_has_the_given_condition_number(shape, condition):
    X, y = datasets.make_logistic(*shape, condition=condition, seed=3)
    s = np.linalg.svd(X, compute_uv=False) / np.sqrt(shape[0])
    np.testing.assert_allclose(s, np.geomspace(1, 1 / condition, min(shape)), rtol=1e-9)
    assert y.shape == (shape[0],)
    assert set(y) <= {-1.0, 1.0}
    assert X.flags.c_contiguous


@pytest.mark.parametrize("density", [0.01, 0.3, 0.95])
def test_sparse_design_has_the_given_density(density):
    X, _ = datasets.make_logistic(500, 400, density=density, condition=100)
    assert isinstance(X, sparse.csr_array)
    assert X.has_canonical_format
    assert X.nnz / 200_000 == pytest.approx(density, rel=0.05)
    norms = np.sqrt((X.toarray() ** 2).mean(axis=0))
    assert 30 < norms[:20].mean() / norms[-20:].mean() < 300


@pytest.mark.parametrize("density", [1.0, 0.2])
def test_equal_seeds_give_equal_data(density):
    def make(seed):
        X, y = datasets.make_softmax(30, 6, 3, density=density, seed=seed)
        return (X if density == 1 else X.toarray()), y

    (X, y), (X_again, y_again), (X_other, _) = make(1), make(1), make(2)
    np.testing.assert_array_equal(X, X_again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(X, X_other)


def test_separable_labels_are_separable_and_noisy_ones_are_not():
    from scipy.optimize import linprog

    def has_separator(X, y):
        A = -y[:, None] * X
        return linprog(np.zeros(X.shape[1]), A_ub=A, b_ub=-np.ones(len(y)), bounds=(None, None)).status == 0

    assert has_separator(*datasets.make_logistic(200, 5, separable=True))
    assert not has_separator(*datasets.make_logistic(200, 5))


def test_softmax_labels():
    X, y = datasets.make_softmax(4000, 5, 4)
    assert X.shape == (4000, 5)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(np.unique(y), [0, 1, 2, 3])
    noisy = sklearn.linear_model.LogisticRegression().fit(X, y).score(X, y)
    X, y = datasets.make_softmax(4000, 5, 4, separable=True)
    clean = sklearn.linear_model.LogisticRegression(C=1e4, max_iter=1000).fit(X, y).score(X, y)
    assert 0.4 < noisy < 0.9 < 0.99 < clean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples=0"),
        ({"n_features": -1}, "n_features=-1"),
        ({"condition": 0.5}, "condition=0.5"),
        ({"condition": float("nan")}, "condition=nan"),
        ({"density": 0.0}, "density=0.0"),
        ({"density": 1.5}, "density=1.5"),
        ({"n_classes": 1}, "n_classes=1"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.make_softmax(**{"n_samples": 4, "n_features": 3, "n_classes": 2, **arguments})
