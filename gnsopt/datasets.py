"""Data by name, and simulated designs.

``load(name)`` looks, in this order, at

1. a path, if `name` has a separator or is a `pathlib.Path`: that file and no other;
2. the sets that come with scikit-learn: ``breast_cancer``, ``digits``, ``iris``, ``wine`` (no file needed);
3. the folder that the environment variable ``GNSOPT_DATA`` names, for ``NAME``, ``NAME.xz``, ``NAME.bz2`` and
   ``NAME.gz``;
4. the user cache, for the same four: the folder that ``GNSOPT_CACHE`` names, else that of
   ``pooch.os_cache("gnsopt")``;
5. a file of that name in the current folder;
6. the LIBSVM collection [1]_: downloaded into the user cache, compared with its checksum where one is known.

Files are svmlight text, plain or compressed (told by the first bytes, not by the name). The parsed arrays are
kept in the user cache, so that a second load takes a fraction of a second; a changed file is parsed again.

References
----------
.. [1] C.-C. Chang and C.-J. Lin, LIBSVM data, https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/
"""

from __future__ import annotations

import bz2
import difflib
import gzip
import hashlib
import io
import lzma
import math
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

import numpy as np
from scipy import sparse

from gnsopt._typing import Array, IntArray, Matrix
from gnsopt.arguments import as_number, as_seed, shown

__all__ = ["REGISTRY", "Remote", "find", "load", "make_logistic", "make_softmax", "names"]

LONGEST = 4000  # characters of a path; of a name there may be 255, with what the cache adds
COLLECTION = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets"
BUNDLED = ("breast_cancer", "digits", "iris", "wine")
SUFFIXES = ("", ".xz", ".bz2", ".gz")


class Remote(NamedTuple):
    """Where the LIBSVM collection keeps a file.

    Parameters
    ----------
    folder : str
        Folder of the collection: ``binary``, ``multiclass`` or ``regression``.
    file : str
        File name inside that folder, with its compression suffix.
    sha256 : str or None
        Checksum of the uncompressed text, None where we know none.
    """

    folder: str
    file: str
    sha256: str | None


_FILES = {
    "binary": """
        a1a a1a.t a2a a2a.t a3a a3a.t a4a a4a.t a5a a5a.t a6a a6a.t a7a a7a.t a8a a8a.t a9a a9a.t w1a
        w1a.t w2a w2a.t w3a w3a.t w4a w4a.t w5a w5a.t w6a w6a.t w7a w7a.t w8a w8a.t australian
        australian_scale breast-cancer breast-cancer_scale cod-rna cod-rna.t colon-cancer.bz2
        covtype.libsvm.binary.bz2 covtype.libsvm.binary.scale.bz2 diabetes diabetes_scale duke.bz2
        epsilon_normalized.xz epsilon_normalized.t.xz fourclass fourclass_scale german.numer
        german.numer_scale gisette_scale.bz2 gisette_scale.t.bz2 heart heart_scale HIGGS.xz ijcnn1.bz2
        ijcnn1.t.bz2 ionosphere_scale leu.bz2 leu.t.bz2 liver-disorders liver-disorders_scale
        liver-disorders.t madelon madelon.t mushrooms news20.binary.bz2 phishing rcv1_train.binary.bz2
        rcv1_test.binary.bz2 real-sim.bz2 skin_nonskin sonar_scale splice splice.t splice_scale SUSY.xz
        svmguide1 svmguide1.t svmguide3 svmguide3.t url_combined.bz2""",
    "multiclass": """
        connect-4 covtype.bz2 covtype.scale.bz2 covtype.scale01.bz2 dna.scale dna.scale.t glass.scale
        iris.scale letter.scale letter.scale.t mnist.bz2 mnist.t.bz2 mnist.scale.bz2 mnist.scale.t.bz2
        news20.bz2 news20.t.bz2 pendigits pendigits.t poker.bz2 poker.t.bz2 protein.bz2 protein.t.bz2
        rcv1_train.multiclass.bz2 rcv1_test.multiclass.bz2 satimage.scale satimage.scale.t
        sector/sector.scale.bz2 sector/sector.t.scale.bz2 segment.scale Sensorless Sensorless.scale
        svmguide2 usps.bz2 usps.t.bz2 vehicle.scale vowel.scale vowel.scale.t wine.scale""",
    "regression": """
        abalone abalone_scale bodyfat bodyfat_scale cadata cpusmall cpusmall_scale E2006.train.bz2
        E2006.test.bz2 eunite2001 eunite2001.t housing housing_scale mg mg_scale mpg mpg_scale pyrim
        pyrim_scale space_ga space_ga_scale triazines triazines_scale YearPredictionMSD.bz2
        YearPredictionMSD.t.bz2""",
}

# Of copies that look unedited and whose sizes agree with the documentation of the collection. Left out: those
# that may differ from the original in the last newline (australian, heart, ...) or in the row order (ijcnn1).
_SHA256 = {
    "a1a": "eb54c45f1bdb51286f803dd092eb8202b44637a858fc6c4e533a2d64a0d94b4e",
    "a1a.t": "0212d0c4a3996fe6fb6a0ab54033d9f4fa4b60369b6e3bb141821d9ffc40c04d",
    "a5a": "5cb3a6603de0a0eb43afcdd45b1820c71ee7f20da1c09f054696bb71cbc45ad8",
    "a8a": "d08a37b3fadd4bd3c8b3fc30bdc93b54d7c0f371265c90cbfb931a7efe97cd28",
    "a9a": "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
    "a9a.t": "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9",
    "abalone_scale": "c7e719473d68cac81798b16c14bcdc632abf485b404882ff9e713c5d46c7750d",
    "breast-cancer": "445505b580a88e9e19b533b4f126d3dda1883bc7551e46907041ca263aa3c5d9",
    "diabetes": "482bd513c2ad705b73d66de72e60af427ff9ed438e7656b437ea414bdb31244a",
    "diabetes_scale": "0c07eb4c49e7a8ffb9c9f25095ac3022df2ca85b0dcb7d294c3ddea69f392cba",
    "dna.scale": "03d39477c5e48415e9cd18e006efc8f7a3b5c3deaee8289a72511c35070e3cfe",
    "dna.scale.t": "d2eeed170e4e38ae2aba6aa4cd27a8ca4ecceb01a7751e8e509bb4e1a6bcef39",
    "german.numer": "49cd2d01c2b2908a84db1f1c94e3ec04f772db3a91560af1225edf739f003194",
    "glass.scale": "7c847cf67bc3dceda40890c37044cc569b2603c2ca4508e01faeaa0d521e52e5",
    "heart_scale": "5defa0a4c4c5bdaf3f55ae3828310252e8565c13ee37ce279e0b86d82e7f4ce9",
    "housing_scale": "bbacd2f526a038499717d5dc4b8895e6baf1e2351895b9360a84bcb31e104476",
    "ijcnn1.t": "e7b0bbd518641980dc322746c6bc59d019d3153934e6258e48f9d8cfae2c4bb8",
    "ionosphere_scale": "f7751584264819b6ea908d513180cec6f9d9fad0d54e7f5693407da1e2eaece1",
    "letter.scale": "ce2c7df15cc5742dc4382d59079181c97c21e0beaa0af53c84cc5745c69f1020",
    "letter.scale.t": "07522ccbf54187fae6d560d1712b88c41ea1f7e8d19491c5adcc22ee37a075da",
    "mushrooms": "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538",
    "news20": "1d6eb77c42e1c78e86f36af834268de933da3607f38e3703aef15f7a9f11e506",
    "svmguide1.t": "f9c2fd4c725172aeb4476fc1e2327d537f7fbc2f53f49dfd073f80efbe1ba8f7",
    "svmguide2": "0fe7841f13956623ddc432528311453ab5bf9611c827f95b0b5fd1244ff15057",
    "vowel.scale": "89ecbd4590cabc23b001cbd2d90128efe3c8ad02540ce1a08ef367b98d765585",
    "w8a": "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2",
    "wine.scale": "36c20cc5a687694cce444e01c0cc6d2957ab73fbdea7ba33aae414f86183e927",
}


def _registry() -> dict[str, Remote]:
    """Join `_FILES` and `_SHA256`; the name is the file name without folder and compression suffix."""
    table = {}
    for folder, files in _FILES.items():
        for file in files.split():
            name = re.sub(r"\.(bz2|xz)$", "", PurePosixPath(file).name)
            table[name] = Remote(folder, file, _SHA256.get(name))
    return table


REGISTRY = _registry()


def names() -> list[str]:
    """List the names that `load` knows without being given a file.

    Returns
    -------
    list of str
        The sets that come with scikit-learn and those of the LIBSVM collection, sorted.
    """
    return sorted([*BUNDLED, *REGISTRY])


def load(
    name: str | os.PathLike[str], *, n_features: int | None = None, zero_based: bool = False
) -> tuple[Matrix, Array]:
    """Load a data set by name, or an svmlight file by path.

    The module's docstring tells the order of lookup.

    Parameters
    ----------
    name : str or path-like
        A name from `names`, the name of a file in ``GNSOPT_DATA``, or a path.
    n_features : int, optional
        Number of columns. By default the largest index in the file, which can be smaller than the documented
        dimension (a1a holds 119 of its 123 features): pass the dimension to get the empty columns too, for
        instance to give a test set the columns of its training set.
    zero_based : bool, default False
        Whether the indices of the file start at 0. The format says 1, so an index 0 is an error by default.

    Returns
    -------
    X : csr_array or ndarray of shape (n_samples, n_features)
        The design in float64; sorted CSR without stored zeros for a file, dense for a set of scikit-learn.
    y : ndarray of shape (n_samples,)
        Labels or targets as the file has them, in float64: -1/+1, 1/2, 0..9, ...

    Raises
    ------
    FileNotFoundError
        If there is no copy and none can be downloaded; the message says where to put the file.
    NotADirectoryError
        If ``GNSOPT_DATA`` is set to something that is not a folder.
    ValueError
        If a file is malformed (with its line number), if a download fails its checksum, or if `n_features` is
        smaller than the largest index.
    """
    if isinstance(name, str) and name in BUNDLED:
        X, y = _load_bundled(name)
    else:
        X, y = _load_file(find(name), zero_based)
    return _pad(X, n_features, name), y


def _load_bundled(name: str) -> tuple[Matrix, Array]:
    import sklearn.datasets  # here: importing gnsopt must not import scikit-learn

    X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return np.ascontiguousarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _pad(X: Matrix, n_features: int | None, name: str | os.PathLike[str]) -> Matrix:
    if n_features is None:
        return X
    n, d = X.shape
    width = _count(n_features, "n_features")
    if width < d:
        raise ValueError(f"n_features={n_features}, but {os.fspath(name)!r} has {d}: pass {d} or more")
    if isinstance(X, sparse.csr_array):
        return sparse.csr_array((X.data, X.indices, X.indptr), shape=(n, width))
    return np.pad(X, ((0, 0), (0, width - d)))


# ---------------------------------------------------------------------------------------------------- finding


def _cache_folder() -> Path:
    if folder := os.environ.get("GNSOPT_CACHE"):
        return Path(folder).expanduser()
    import pooch  # here: it imports requests, which is slow

    return Path(pooch.os_cache("gnsopt"))


def _data_folder() -> Path | None:
    folder = os.environ.get("GNSOPT_DATA")
    if not folder:
        return None
    if not (path := Path(folder).expanduser()).is_dir():
        raise NotADirectoryError(f"GNSOPT_DATA={folder!r} is not a folder: correct or unset the variable")
    return path


def find(name: str | os.PathLike[str]) -> Path:
    """Return the file of `name`, downloaded if need be.

    Parameters
    ----------
    name : str or path
        Name of a file in `GNSOPT_DATA` or the cache, or of the LIBSVM collection, or a path.

    Returns
    -------
    Path
        The file, perhaps compressed.

    Raises
    ------
    FileNotFoundError
        With the nearest names, if there is none.
    """
    if not isinstance(name, str | os.PathLike) or not isinstance(os.fspath(name), str):
        raise TypeError(f"name={shown(name)} must be the name of a data set or a path")
    text = os.fspath(name)
    if "\0" in text or len(text) > LONGEST or any(len(part) > 240 for part in Path(text).parts):
        raise ValueError(f"name={shown(text)} cannot be the name of a file")
    if not isinstance(name, str) or any(mark in text for mark in (os.sep, os.altsep) if mark):
        if (path := Path(text).expanduser()).is_file():
            return path
        raise FileNotFoundError(f"name={text!r} is a path and there is no such file")
    for folder in (_data_folder(), _cache_folder()):
        for suffix in SUFFIXES:
            if folder is not None and (path := folder / (text + suffix)).is_file():
                return path
    if (path := Path(text)).is_file():
        return path
    if text not in REGISTRY:
        close = difflib.get_close_matches(text, names(), n=3)
        hint = f" (nearest known: {', '.join(close)})" if close else ""
        raise FileNotFoundError(f"name={text!r} is not a known data set{hint}. {_cure(text)}")
    return _download(text, REGISTRY[text])


def _cure(name: str) -> str:
    return (
        f"Put {name!r} (svmlight text, plain or .xz, .bz2, .gz) into a folder and set the environment "
        f"variable GNSOPT_DATA to it, or put it into the cache {str(_cache_folder())!r}, or pass its path."
    )


def _download(name: str, remote: Remote) -> Path:
    """Fetch a file of the LIBSVM collection into the cache; it gets its name there only once verified."""
    import pooch

    url = f"{COLLECTION}/{remote.folder}/{remote.file}"
    target = _cache_folder() / PurePosixPath(remote.file).name
    part = f"{target.name}.{os.getpid()}.part"  # two processes may download at once
    try:
        # Our checksums are of the text, whatever compresses it, so pooch cannot check them.
        got = Path(pooch.retrieve(url, known_hash=None, fname=part, path=target.parent))
    except OSError as error:
        message = f"name={name!r} has no local copy, and {url} failed: {error}. {_cure(name)}"
        raise FileNotFoundError(message) from error
    try:
        digest = _sha256(got)
    except _DAMAGE as error:
        got.unlink()
        message = f"{url} arrived damaged and was removed ({error!r}): try again. {_cure(name)}"
        raise ValueError(message) from error
    if remote.sha256 not in (None, digest):
        got.unlink()
        raise ValueError(
            f"{url} arrived with sha256 {digest} of its text instead of {remote.sha256} and was removed: "
            f"try again, or bring a copy that you trust, which is not checked. {_cure(name)}"
        )
    os.replace(got, target)
    return target


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with _open(path) as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------- reading

_BLOCK = 1 << 26  # bytes of text parsed at a time, chosen: bounds the memory for text at no cost in time
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)  # what the decompressors raise
_LARGEST = 2**31 - 1  # of an index: scikit-learn's parser holds it in a C int
_MAGIC: tuple[tuple[bytes, Callable[..., IO[bytes]]], ...] = (
    (b"\xfd7zXZ\x00", cast(Callable[..., IO[bytes]], lzma.open)),
    (b"BZh", cast(Callable[..., IO[bytes]], bz2.open)),
    (b"\x1f\x8b", cast(Callable[..., IO[bytes]], gzip.open)),
)
_INDEX = re.compile(rb"[+-]?\d+")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _open(path: Path) -> IO[bytes]:
    """Open a plain or compressed file for reading; its first bytes tell which."""
    with open(path, "rb") as handle:
        start = handle.read(6)
    for magic, opener in _MAGIC:
        if start.startswith(magic):
            return opener(path, "rb")
    return open(path, "rb")


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number of its first line, whole lines of about `_BLOCK` bytes)."""
    line = 1
    handle = _open(path)
    try:
        with handle:
            while block := handle.read(_BLOCK):
                block += handle.readline()
                yield line, block
                line += block.count(b"\n")
    except _DAMAGE as error:
        raise ValueError(
            f"{path}, line {_last_line(path) + 1}: the compressed file is cut off or damaged from here on "
            f"({error!r}): replace it by a whole copy"
        ) from error


def _last_line(path: Path) -> int:
    """Count the lines that can be read before the decompressor fails."""
    line = 0
    try:
        with _open(path) as handle:
            for line, _ in enumerate(handle, 1):  # noqa: B007
                pass
    except _DAMAGE:
        pass
    return line


def _parse(path: Path, zero_based: bool) -> tuple[sparse.csr_array, Array]:
    """Parse an svmlight file."""
    parts = [_parse_block(path, line, block, zero_based) for line, block in _blocks(path)]
    if not sum(y.size for _, y in parts):
        raise ValueError(f"{path}, line 1: the file holds no samples: expected lines 'label index:value ...'")
    shift = 0 if zero_based else 1
    indices = np.concatenate([X.indices for X, _ in parts]).astype(np.int32) - np.int32(shift)
    lengths = np.concatenate([np.diff(X.indptr) for X, _ in parts])
    width = np.int32 if indices.size <= _LARGEST else np.int64  # equal for both, else SciPy widens the indices
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(width)
    d = int(indices.max()) + 1 if indices.size else 0
    data = np.concatenate([X.data for X, _ in parts])
    X = sparse.csr_array((data, indices, indptr), shape=(lengths.size, d))
    X.eliminate_zeros()
    return X, np.concatenate([y for _, y in parts])


def _parse_block(path: Path, line: int, block: bytes, zero_based: bool) -> tuple[sparse.csr_matrix, Array]:
    """Parse whole lines with scikit-learn; on failure, or if it was too lenient, find the first bad line."""
    from sklearn.datasets import load_svmlight_file  # here: importing gnsopt must not import scikit-learn

    failure: Exception | None = None
    try:
        X, y = load_svmlight_file(io.BytesIO(block), zero_based=True)
    except (ValueError, OverflowError) as error:
        failure = error
    else:
        # zero_based=True above keeps the indices of the file; an index 0 is then ours to refuse, as are
        # nan, inf and Python's 1_000, which scikit-learn lets through.
        base = zero_based or X.indices.min(initial=1) > 0
        if base and np.isfinite(X.data).all() and np.isfinite(y).all() and b"_" not in block:
            return X, y
    for number, text in enumerate(block.split(b"\n"), line):
        if reason := _line_error(text, zero_based):
            raise ValueError(f"{path}, line {number}: {reason}") from failure
    if failure is not None:
        raise ValueError(f"{path}, after line {line}: {failure}") from failure
    return X, y


def _line_error(line: bytes, zero_based: bool) -> str | None:
    """Say what is wrong with one line of svmlight text, None if nothing is."""
    fields = line.split(b"#", 1)[0].split()
    if not fields:
        return None
    label = fields.pop(0)
    if b"," in label:
        return f"label {_show(label)} is a list: multi-label files are not supported, keep one label a line"
    if not _is_finite(label):
        return f"label {_show(label)} is not a finite number"
    if fields and fields[0].startswith(b"qid:"):
        del fields[0]
    previous = -1 if zero_based else 0
    for field in fields:
        index, colon, value = field.partition(b":")
        if not colon:
            return f"{_show(field)} has no colon: a feature is written index:value"
        if not _INDEX.fullmatch(index):
            return f"index {_show(index)} is not an integer"
        j = int(index[:20])  # 20 digits are too large already, and int() refuses thousands
        if j == 0 and not zero_based:
            return "index 0: indices start at 1, or pass zero_based=True if those of this file start at 0"
        if not 0 <= j <= _LARGEST:
            return f"index {_show(index)} is out of the range 0..{_LARGEST}"
        if j <= previous:
            order = "comes twice" if j == previous else f"comes after {previous}"
            return f"index {j} {order}: the indices of a line must increase"
        if not _is_finite(value):
            return f"value {_show(value)} of index {j} is not a finite number"
        previous = j
    return None


def _is_finite(text: bytes) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _show(text: bytes) -> str:
    """Quote a field, shortened, unprintable bytes escaped."""
    return repr(text[:40])[1:] + ("..." if len(text) > 40 else "")


# ---------------------------------------------------------------------------------------------------- caching


def _load_file(path: Path, zero_based: bool) -> tuple[sparse.csr_array, Array]:
    """Parse a file, or read the arrays kept from last time if it has not changed since."""
    state = path.stat()
    layout = 1  # of the copy: count up when it changes
    stamp = np.array([layout, state.st_size, state.st_mtime_ns, zero_based], dtype=np.int64)
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    copy = _cache_folder() / f"{path.name}-{place}.npz"
    kept = _read_copy(copy, stamp)
    if kept is not None:
        return kept
    X, y = _parse(path, zero_based)
    _write_copy(copy, X, y, stamp)
    return X, y


def _read_copy(copy: Path, stamp: IntArray) -> tuple[sparse.csr_array, Array] | None:
    try:
        # opened here, for np.load(path) leaves a damaged file open
        with open(copy, "rb") as handle, np.load(handle, allow_pickle=False) as kept:
            if not np.array_equal(kept["stamp"], stamp):
                return None
            shape = (int(kept["shape"][0]), int(kept["shape"][1]))
            return sparse.csr_array((kept["data"], kept["indices"], kept["indptr"]), shape=shape), kept["y"]
    except Exception:  # absent, cut off, not ours, ...: whatever it is, the cure is to parse again
        return None


def _write_copy(copy: Path, X: sparse.csr_array, y: Array, stamp: IntArray) -> None:
    """Write the copy whole or not at all: a folder that cannot be written costs time, no more."""
    shape = np.array(X.shape)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=copy.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                np.savez(out, stamp=stamp, data=X.data, indices=X.indices, indptr=X.indptr, shape=shape, y=y)
            os.replace(temporary, copy)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        pass


# ------------------------------------------------------------------------------------------------- simulating


def make_logistic(
    n_samples: int,
    n_features: int,
    *,
    condition: float = 1.0,
    density: float = 1.0,
    separable: bool = False,
    seed: int = 0,
) -> tuple[Matrix, Array]:
    """Simulate a binary classification problem whose design has given singular values.

    Labels follow the logistic model, ``P(y = 1 | a) = 1 / (1 + exp(-a @ w))``, with Gaussian `w` scaled to
    margins of standard deviation 2.

    Parameters
    ----------
    n_samples : int
        Number of rows, at least 1.
    n_features : int
        Number of columns, at least 1.
    condition : float, default 1.0
        Condition number of `X`, at least 1 (that of ``X.T @ X`` is its square).
    density : float, default 1.0
        Expected fraction of nonzeros, in (0, 1]; below 1 the design is sparse.
    separable : bool, default False
        Whether the labels are ``sign(X @ w)``, so that the classes are separable and, without regularisation,
        the logistic loss has no minimiser. Noisy labels can be separable too where `n_samples` is not much
        larger than `n_features`.
    seed : int, default 0
        Seed of the generator: equal arguments give equal data.

    Returns
    -------
    X : ndarray or csr_array of shape (n_samples, n_features)
        The design.
    y : ndarray of shape (n_samples,)
        Labels -1 and +1.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Dense: ``X = sqrt(n_samples) U diag(s) V.T`` with random orthonormal `U`, `V` and `s` geometric from 1 to
    ``1 / condition``, so the singular values are exact. Sparse: independent Gaussian entries at random
    places, columns scaled by the same geometric `s`, so `condition` holds only up to the condition of the
    unscaled matrix.
    """
    rng = np.random.default_rng(as_seed(seed))
    X = _make_design(rng, n_samples, n_features, condition, density, separable)
    scores = _scores(rng, X, 1)[:, 0]
    if not separable:
        scores = scores + rng.logistic(size=n_samples)
    return X, np.where(scores > 0, 1.0, -1.0)


def make_softmax(
    n_samples: int,
    n_features: int,
    n_classes: int,
    *,
    condition: float = 1.0,
    density: float = 1.0,
    separable: bool = False,
    seed: int = 0,
) -> tuple[Matrix, Array]:
    """Simulate a multi-class problem whose design has given singular values.

    Labels follow the softmax model, ``P(y = c | a)`` proportional to ``exp(a @ W[:, c])``, with Gaussian `W`
    scaled to scores of standard deviation 2.

    Parameters
    ----------
    n_samples : int
        Number of rows, at least 1.
    n_features : int
        Number of columns, at least 1.
    n_classes : int
        Number of classes, at least 2; a small sample may miss some of them.
    condition : float, default 1.0
        Condition number of `X`, at least 1; see `make_logistic`.
    density : float, default 1.0
        Expected fraction of nonzeros, in (0, 1]; below 1 the design is sparse.
    separable : bool, default False
        Whether the labels are those of the largest score, without noise.
    seed : int, default 0
        Seed of the generator: equal arguments give equal data.

    Returns
    -------
    X : ndarray or csr_array of shape (n_samples, n_features)
        The design, as that of `make_logistic`.
    y : ndarray of shape (n_samples,)
        Labels 0 to ``n_classes - 1``, in float64.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if _count(n_classes, "n_classes") < 2:
        raise ValueError(f"n_classes={n_classes} must be at least 2")
    rng = np.random.default_rng(as_seed(seed))
    X = _make_design(rng, n_samples, n_features, condition, density, separable)
    scores = _scores(rng, X, n_classes)
    if not separable:
        scores = scores + rng.gumbel(size=scores.shape)  # the argmax is then a sample of the softmax
    return X, np.argmax(scores, axis=1).astype(np.float64)


def _scores(rng: np.random.Generator, X: Matrix, n_columns: int) -> Array:
    Z: Array = X @ rng.standard_normal((X.shape[1], n_columns))
    return 2 * Z / (np.sqrt(np.mean(Z**2)) or 1.0)  # 2, chosen: a Bayes error of about 20 % for two classes


def _count(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={shown(value)} must be an integer")
    if value >= 2**31:
        raise ValueError(f"{name}={shown(value)} must be below 2**31")
    return int(value)


def _make_design(rng: np.random.Generator, n: int, d: int, condition: float, density: float, separable: bool) -> Matrix:
    if not isinstance(separable, bool | np.bool_):
        raise ValueError(f"separable={shown(separable)} must be True or False")
    n, d = _count(n, "n_samples"), _count(d, "n_features")
    if n < 1 or d < 1:
        raise ValueError(f"n_samples={n} and n_features={d} must be at least 1")
    condition, density = as_number(condition, "condition"), as_number(density, "density")
    if not 1 <= condition <= 1e150:
        raise ValueError(f"condition={condition} must be at least 1 and finite, at most 1e150")
    if not 0 < density <= 1:
        raise ValueError(f"density={density} must be in (0, 1]: the fraction of nonzeros")
    if density < 1:
        scale = np.geomspace(1, 1 / condition, d)
        # Drawn with replacement, a place stays empty with probability exp(-draws / (n d)) = 1 - density.
        draws = math.ceil(-math.log1p(-density) * n * d)
        places = np.unique(rng.integers(n * d, size=draws))
        rows, columns = np.divmod(places, d)
        values = scale[columns] * rng.standard_normal(places.size) / math.sqrt(density)
        return sparse.csr_array((values, (rows, columns)), shape=(n, d))
    k = min(n, d)
    U = np.linalg.qr(rng.standard_normal((n, k)))[0]
    V = np.linalg.qr(rng.standard_normal((d, k)))[0]
    return math.sqrt(n) * (U * np.geomspace(1, 1 / condition, k)) @ V.T
