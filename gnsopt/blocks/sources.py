"""Where rows are held: slices of arrays, stretches of files, shards of their own, partitions of Dask arrays."""

from __future__ import annotations

import glob
import mmap
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse

from gnsopt import datasets
from gnsopt.arguments import check_kind, shown

BYTES = 2**23  # of a block that is cut from a file: it stays in the last cache until it has been used (measured)
MANY = 16  # blocks that arrays in memory are cut into


class Part(NamedTuple):
    """Rows of one block, as they are held.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_rows, n_features)
        Samples in rows.
    y : ndarray of shape (n_rows,)
        Labels or targets.
    weight : ndarray of shape (n_rows,) or None
        Sample weights, not normalised.
    name : str, default=""
        How errors call the block.
    may_be_empty : bool, default=False
        Whether no rows are no error.
    number : int, default=0
        Place of the block among all.
    """

    X: Any
    y: Any
    weight: Any
    name: str = ""
    may_be_empty: bool = False
    number: int = 0


def aligned(a: Any) -> Any:
    """Return an array with its entries where NumPy reads them directly, as those of a message of Dask may not be.

    Products with others take another path: slower, and to other bits.

    Parameters
    ----------
    a : array, CSR array or anything else
        What may have come from another process.

    Returns
    -------
    object
        The same, copied only if it must be.
    """
    if isinstance(a, np.ndarray):
        return a if a.flags.aligned else a.copy()
    rows: Any = a
    if issparse(a) and rows.format == "csr":
        arrays = (rows.data, rows.indices, rows.indptr)
        if not all(b.flags.aligned for b in arrays):
            return csr_array(tuple(map(aligned, arrays)), shape=rows.shape)
    return a


class Block:
    """Rows that can be loaded, again and again; it must be possible to send it to another process.

    Attributes
    ----------
    name : str
        How errors call it.
    held : bool
        Whether the rows stay in memory anyway: the problem over them is then kept, too.
    may_be_empty : bool
        Whether no rows are no error.
    """

    name: str
    held: bool = False
    may_be_empty: bool = False

    def load(self) -> Part:
        """Return the rows; it need not check them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Stretch:
    """Rows of an array in a file, in C order, read when asked for.

    A map of the file would count as resident memory as far as it has been touched; what is read is gone after use.

    Parameters
    ----------
    path : str
        The file.
    dtype : str
        Type of the entries.
    offset : int
        Bytes before the first row.
    shape : tuple of int
        Rows, and columns if there are any.
    """

    path: str
    dtype: str
    offset: int
    shape: tuple[int, ...]

    def rows(self, lo: int, hi: int) -> Stretch:
        """Return some of the rows."""
        row = int(np.prod(self.shape[1:], dtype=int)) * np.dtype(self.dtype).itemsize
        return Stretch(self.path, self.dtype, self.offset + lo * row, (hi - lo, *self.shape[1:]))

    def read(self) -> Any:
        """Return the entries as an array of its own."""
        count = int(np.prod(self.shape, dtype=int))
        entries = np.fromfile(self.path, self.dtype, count, offset=self.offset)
        if entries.size < count:
            raise OSError(f"{self.path} ends after {entries.size} of {count} entries: it was cut since it was opened")
        return entries.reshape(self.shape)


@dataclass(frozen=True)
class Slice(Block):
    """Some rows of arrays, each in memory or in a file.

    Parameters
    ----------
    name : str
        How errors call it.
    X, y, weight : array, Stretch or None
        The rows.
    """

    name: str
    X: Any
    y: Any
    weight: Any = None

    @property
    def held(self) -> bool:  # type: ignore[override]
        """Whether X is in memory."""
        return not isinstance(self.X, Stretch | np.memmap)

    def load(self) -> Part:
        """Read what is in files."""
        return Part(*(a.read() if isinstance(a, Stretch) else a for a in (self.X, self.y, self.weight)))


@dataclass(frozen=True)
class Shard(Block):
    """A file with rows and labels: ``.npz``, or svmlight text, plain or compressed.

    Parameters
    ----------
    path : str
        The file. A ``.npz`` holds ``y`` and either ``X`` or the arrays ``data indices indptr shape`` of a CSR matrix,
        and may hold ``sample_weight``.
    zero_based : bool, default=False
        Whether the indices of svmlight text start at 0.
    """

    path: str
    zero_based: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """The path."""
        return self.path

    def __post_init__(self) -> None:
        """Refuse what is no path."""
        check_kind(self.path, "path", str)
        check_flag(self.zero_based)

    def load(self) -> Part:
        """Read the file."""
        if not self.path.endswith(".npz"):
            return Part(*datasets.load(Path(self.path), zero_based=self.zero_based), None)
        try:
            # opened here, for np.load(path) leaves a damaged file open
            with open(self.path, "rb") as handle:
                file = np.load(handle, allow_pickle=False)
                if isinstance(file, np.ndarray):
                    raise ValueError("it is one array, as numpy.save writes it; use numpy.savez(file, X=X, y=y)")
                with file:
                    arrays = {name: file[name] for name in file.files if name in MEMBERS}
        except FileNotFoundError:
            raise
        except DAMAGE as error:
            raise OSError(f"{self.path} cannot be read as .npz: {error}") from error
        if "y" not in arrays:
            raise ValueError(f"{self.path} has no array 'y': save it with numpy.savez(file, X=X, y=y)")
        y, weight = arrays.pop("y"), arrays.pop("sample_weight", None)
        if "X" in arrays:
            return Part(arrays["X"], y, weight)
        if not all(name in arrays for name in CSR):
            raise ValueError(f"{self.path} has neither an array 'X' nor {', '.join(map(repr, CSR))} of a CSR matrix")
        try:
            rows, columns = (int(size) for size in arrays["shape"])
            X = csr_array(tuple(arrays[name] for name in CSR[:3]), shape=(rows, columns))
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise ValueError(f"{self.path} holds no CSR matrix: {error}") from error
        return Part(X, y, weight)


CSR = ("data", "indices", "indptr", "shape")
MEMBERS = ("X", "y", "sample_weight", *CSR)
DAMAGE = (
    *(ValueError, OSError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),  # of entries that are compressed or encrypted as zipfile cannot read
    *(MemoryError, OverflowError),  # of a header that says too much
)


@dataclass(frozen=True)
class Partition(Block):
    """A chunk of rows of Dask arrays.

    Parameters
    ----------
    name : str
        How errors call it.
    X, y, weight : dask.delayed.Delayed, array or None
        The chunks.
    may_be_empty : bool, default=True
        Chunks without rows are what a selection leaves.
    """

    name: str
    X: Any
    y: Any
    weight: Any = None
    may_be_empty: bool = True

    def load(self) -> Part:
        """Compute the chunks in this process."""
        dask: Any = import_module("dask")
        return Part(*dask.compute(self.X, self.y, self.weight))


def split(X: Any, y: Any, sample_weight: Any = None, *, rows: int | None = None) -> list[Block]:
    """Cut arrays into blocks of rows.

    Parameters
    ----------
    X : ndarray, numpy.memmap, sparse array or dask.array.Array of shape (n_samples, n_features)
        Samples in rows. Of a memory map (``numpy.load(file, mmap_mode="r")``) the file is read block by block; Dask
        arrays are cut where their chunks of rows end, also where the sizes of these are unknown.
    y : array_like, numpy.memmap or dask.array.Array of shape (n_samples,)
        Labels or targets.
    sample_weight : the same, optional
        Non-negative weights.
    rows : int, optional
        Rows in a block. By default 8 MiB of a file, and a sixteenth of arrays in memory.

    Returns
    -------
    list of Block
        What `gnsopt.RowBlocks` takes.

    Raises
    ------
    ValueError
        If the lengths differ, or X has not two dimensions.
    """
    if rows is not None and not (isinstance(rows, int | np.integer) and rows >= 1):
        raise ValueError(f"rows={rows!r} must be an integer of at least 1")
    if is_dask(X):
        return _partitions(X, y, sample_weight)
    parts: dict[str, Any] = {"X": X if issparse(X) else _stretch(X), "y": _stretch(y)}
    parts["sample_weight"] = None if sample_weight is None else _stretch(sample_weight)
    if len(parts["X"].shape) != 2:
        raise ValueError(f"X has shape {parts['X'].shape}; it must be (n_samples, n_features)")
    n, d = parts["X"].shape
    if n == 0 or d == 0:
        raise ValueError(f"X has shape {(n, d)}: it holds no samples or no features")
    for name, a in parts.items():
        if a is not None and a.shape not in ((n,), (n, d), (n, 1)):
            raise ValueError(f"{name} has shape {a.shape}; X has {n} rows, so it must be ({n},)")
    if rows is None:
        file = isinstance(parts["X"], Stretch)
        rows = max(1, BYTES // (d * np.dtype(parts["X"].dtype).itemsize)) if file else -(-n // MANY)
    X = parts["X"].tocsr() if issparse(X) else parts["X"]

    def some(a: Any, lo: int, hi: int) -> Any:
        return a.rows(lo, hi) if isinstance(a, Stretch) else None if a is None else a[lo:hi]

    ends = [*range(0, n, int(rows)), n]
    return [
        Slice(f"rows {lo} to {hi - 1}", *(some(a, lo, hi) for a in (X, parts["y"], parts["sample_weight"])))
        for lo, hi in zip(ends[:-1], ends[1:], strict=True)
    ]


def shards(
    pattern: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, zero_based: bool = False
) -> list[Block]:
    """Return a block for each file that a pattern matches.

    Parameters
    ----------
    pattern : str or sequence of str
        A pattern like ``"part-*.npz"`` or ``"shards/*.svm.xz"``, in whose matches numbers sort by value, unless a file
        has just this name; or paths, in their order.
    zero_based : bool, default=False
        Whether the indices of svmlight text start at 0.

    Returns
    -------
    list of Block
        What `gnsopt.RowBlocks` takes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    check_flag(zero_based)
    if isinstance(pattern, str | os.PathLike):
        text = os.path.expanduser(os.fspath(pattern))
        found = [text] if os.path.isfile(text) else glob.glob(text, recursive=True)  # a file's name may have brackets
        paths = sorted((p for p in found if os.path.isfile(p)), key=_by_numbers)
        if not paths:
            raise FileNotFoundError(f"pattern={os.fspath(pattern)!r}: no file matches")
    else:
        listed = isinstance(pattern, Sequence) and not isinstance(pattern, bytes)
        if not (listed and all(isinstance(p, str | os.PathLike) for p in pattern)):
            raise TypeError(f"pattern={shown(pattern)} must be a pattern of file names, or a sequence of paths")
        paths = [os.fspath(p) for p in pattern]
        missing = [p for p in paths if not os.path.isfile(p)]
        if missing or not paths:
            raise FileNotFoundError(f"there is no file {missing[0]!r}" if missing else "the list of shards is empty")
    return [Shard(os.path.abspath(path), zero_based) for path in paths]


def is_dask(a: Any) -> bool:
    """Return whether `a` is a collection of Dask, without importing it.

    Parameters
    ----------
    a : object
        Anything.

    Returns
    -------
    bool
        Whether it is.
    """
    module = sys.modules.get("dask")
    return module is not None and bool(module.is_dask_collection(a))


def check_flag(zero_based: Any) -> None:
    """Refuse what is neither True nor False, such as a word.

    Parameters
    ----------
    zero_based : bool
        What the user gave.
    """
    if not isinstance(zero_based, bool | np.bool_):
        raise ValueError(f"zero_based={shown(zero_based)} must be True or False")


def _by_numbers(path: str) -> list[Any]:
    return [(int(text), "") if text.isdigit() else (-1, text) for text in re.split(r"(\d+)", path)]


def _stretch(a: Any) -> Any:
    """Return a memory map in C order as a stretch of its file, anything else as an array."""
    if np.ma.is_masked(a):
        raise ValueError("X, y and sample_weight must have no masked entries; leave those samples out")
    if not isinstance(a, np.memmap):
        try:
            return np.asarray(a)
        except ValueError:
            raise ValueError("X, y and sample_weight must not be ragged: their rows differ in length") from None
    if a.filename is None or not a.flags.c_contiguous or a.dtype.hasobject:
        return a
    root: Any = a  # a view keeps the offset of the whole: what counts is where its first entry lies in the map
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap):
        return a
    begin = root.offset + a.ctypes.data - root.ctypes.data
    return Stretch(os.path.abspath(a.filename), a.dtype.str, int(begin), a.shape)


def _partitions(X: Any, y: Any, weight: Any) -> list[Block]:
    """Return the chunks of rows of Dask arrays; `y` and the weights may be arrays in memory."""
    da: Any = import_module("dask.array")
    for name, a in (("X", X), ("y", y), ("sample_weight", weight)):
        if is_dask(a) and not isinstance(a, da.Array):
            raise TypeError(f"{name} is a {type(a).__name__} of Dask; pass an array, {name}.to_dask_array()")
    if X.ndim != 2:
        raise ValueError(f"X has {X.ndim} dimension(s); it must be (n_samples, n_features)")
    X = X.rechunk({1: X.shape[1]}) if X.numblocks[1] > 1 else X
    sizes = X.chunks[0]
    known = not any(np.isnan(size) for size in sizes)

    def chunks(a: Any, name: str) -> list[Any]:
        if a is None:
            return [None] * len(sizes)
        if not is_dask(a):
            if not known:
                raise ValueError(f"{name}: X has chunks of unknown sizes; call X.compute_chunk_sizes(), or pass {name} "
                                 "as a Dask array with the same chunks")  # fmt: skip
            a = da.from_array(np.asarray(a), chunks=-1)
        a = a.reshape(-1) if a.ndim == 2 and a.shape[1] == 1 else a
        if a.ndim != 1:
            raise ValueError(f"{name} has {a.ndim} dimensions; it must be (n_samples,)")
        if known and not np.isnan(a.shape[0]):
            if a.shape[0] != X.shape[0]:
                raise ValueError(f"{name} has {a.shape[0]} rows; X has {X.shape[0]}")
            a = a.rechunk({0: sizes})
        elif a.numblocks[0] != len(sizes):
            raise ValueError(f"{name} has {a.numblocks[0]} chunks, X {len(sizes)}, of sizes that are unknown: call "
                             "compute_chunk_sizes() on both")  # fmt: skip
        return list(a.to_delayed())

    columns = (list(X.to_delayed()[:, 0]), chunks(y, "y"), chunks(weight, "sample_weight"))
    return [Partition(f"chunk {i}", *parts) for i, parts in enumerate(zip(*columns, strict=True))]
