"""The first look at all blocks: each is checked, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array
from gnsopt.arguments import as_array
from gnsopt.blocks.engines import Engine, InProcess, OnDask
from gnsopt.blocks.sources import Block, Part, aligned
from gnsopt.linalg.design import Design
from gnsopt.problems.squared import check_targets
from gnsopt.problems.validation import DENSE_ABOVE, check_design, check_labels, unit_scale

WIDEST = 2**27  # features: a vector of 1 GiB, of which a run needs several (chosen, above those of any known set)


@dataclass(frozen=True)
class Facts:
    """What is to be known of one block.

    Parameters
    ----------
    name : str
        The block.
    number : int
        Its place among all.
    shape : tuple of int
        Rows and columns.
    sparse : bool
        Whether the rows are sparse.
    nnz : int
        Entries.
    outer : float
        Entries on and below the diagonal of the outer products of sparse rows.
    labels : ndarray or None
        Sorted labels.
    mass : ndarray
        Total weight of each label, or of all rows.
    moments : ndarray of shape (n_features,)
        ``sum_i w_i a_ij^2``.
    least, mean : float
        Smallest target, and weighted sum of the targets, of a regression.
    exponent : int
        Power of two by which the weights in all these sums are divided.
    """

    name: str
    number: int
    shape: tuple[int, int]
    sparse: bool = False
    nnz: int = 0
    outer: float = 0.0
    labels: Any = None
    mass: Any = None
    moments: Any = None
    least: float = np.inf
    mean: float = 0.0
    exponent: int = 0


def look(part: Part, classify: bool) -> Facts:
    """Check the rows of a block and count them.

    Parameters
    ----------
    part : Part
        The rows.
    classify : bool
        Whether `y` are labels.

    Returns
    -------
    Facts
        What was found.

    Raises
    ------
    ValueError
        If the rows cannot be used; the message begins with the name.
    """
    name = part.name
    part = part._replace(X=aligned(part.X), y=aligned(part.y), weight=aligned(part.weight))
    try:
        shape = np.shape(part.X)
    except ValueError:
        raise ValueError(f"{name}: X is ragged: its rows differ in length") from None
    if part.may_be_empty and len(shape) == 2 and shape[0] == 0:
        return Facts(name, part.number, (0, int(shape[1])))
    try:
        X = part.X if issparse(part.X) else check_design(part.X)
        design = Design(_checked_sparse(part.X) if issparse(part.X) else X)
        n = design.n_samples
        if design.n_features > WIDEST:
            raise ValueError(
                f"X has {design.n_features} features, more than {WIDEST}: mend the index or the shape that says so, "
                "or hash the features into fewer"
            )
        w, exponent = unit_scale(_raw_weights(part.weight, n))
        facts: dict[str, Any] = {"exponent": exponent}
        if classify:
            codes, labels = check_labels(part.y, n)
            facts["labels"], facts["mass"] = labels, np.bincount(codes, weights=w, minlength=len(labels))
        else:
            y = check_targets(part.y, n)
            facts.update(mass=np.array([w.sum()]), least=float(y.min()), mean=float(w @ y))
        outer = design._outer_entries if design.sparse else 0.0
        facts["moments"] = design.weighted_squares(w[:, None])[:, 0]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return Facts(name, part.number, (n, design.n_features), design.sparse, design.nnz, outer, **facts)


def _checked_sparse(X: Any) -> Any:
    """Return sparse rows as checked CSR, whatever their density: that of the whole decides what is dense."""
    if X.ndim != 2 or X.dtype.kind not in "fiub" or X.shape[0] == 0:
        return check_design(X)  # which says what is wrong
    S = csr_array(X, dtype=np.float64)
    S.check_format(full_check=True)
    if S.shape[1] == 0:
        S = csr_array((S.shape[0], 1))
    if not S.has_canonical_format:
        S = S.copy()
        S.sum_duplicates()
    check_design(S.data[None] if S.nnz else np.zeros((1, 1)))
    return S


def _raw_weights(weight: Any, n: int) -> Array:
    """Return checked weights as they are: those of one block may all be zero."""
    if weight is None:
        return np.ones(n)
    w = as_array(weight, "sample_weight", finite=False)
    w = w.reshape(-1) if w.ndim == 2 and w.shape[1] == 1 else w
    if w.shape != (n,):
        raise ValueError(f"sample_weight has shape {w.shape}; it must be ({n},)")
    if not np.isfinite(w).all() or np.any(w < 0):
        raise ValueError("sample_weight must be finite and non-negative")
    return w


class Survey:
    """Blocks that have been looked at, where they are.

    Parameters
    ----------
    blocks : sequence of Block
        From `split` or `shards`.
    classify : bool
        Whether `y` are labels.
    client : distributed.Client, optional
        A Dask cluster, whose workers load and keep the blocks.
    threads : int, optional
        Blocks that threads of this process work on at a time; without a client only.

    Attributes
    ----------
    facts : list of Facts
        Of the blocks that have rows.
    n_samples, n_features : int
        Of the whole.
    nnz : int
        Entries.
    outer : float
        Entries of the outer products.
    dense : bool
        Whether the rows are better dense.
    sparse : bool
        Whether they stay sparse.
    classes : ndarray or None
        All labels, sorted.
    mass : ndarray
        Total weight of each class, or of all rows.
    moments : ndarray of shape (n_features,)
        ``sum_i w_i a_ij^2``.
    exponent : int
        Power of two by which the weights in all these sums are divided, so that none overflows.
    """

    def __init__(self, blocks: Sequence[Block], classify: bool, client: Any = None, threads: int | None = None) -> None:
        blocks = [blocks] if isinstance(blocks, Block) else list(blocks) if isinstance(blocks, list | tuple) else []
        if not blocks or not all(isinstance(block, Block) for block in blocks):
            raise TypeError(
                "blocks must be a list of blocks: gnsopt.blocks.split(X, y), or gnsopt.blocks.shards(pattern)"
            )
        if client is not None and threads is not None:
            raise ValueError(f"threads={threads} is for blocks of this process; leave it out with a client")
        self.classify = classify
        self.engine: Engine = InProcess(threads) if client is None else OnDask(client)
        self.handles: Any = self.engine.open(blocks)
        self.facts = [found for found in self.engine.each(look, self.handles, classify) if found.shape[0] > 0]
        if not self.facts:
            raise ValueError("the blocks hold no samples")
        self.held = all(block.held for block in blocks) or client is not None
        self._count()

    def _count(self) -> None:
        facts = self.facts
        self.n_samples = sum(f.shape[0] for f in facts)
        self.n_features = max(f.shape[1] for f in facts)
        for f in facts:
            if not f.sparse and f.shape[1] != self.n_features:
                widest = next(other for other in facts if other.shape[1] == self.n_features)
                raise ValueError(f"{f.name} has {f.shape[1]} features, {widest.name} has {self.n_features}: all must "
                                 "have the same")  # fmt: skip
        self.nnz = sum(f.nnz for f in facts)
        self.outer = sum(f.outer for f in facts)
        self.dense = self.nnz > DENSE_ABOVE * self.n_samples * self.n_features
        self.sparse = not self.dense and any(f.sparse for f in facts)
        self.exponent = max((f.exponent for f in facts if f.mass.any()), default=0)
        self.moments = np.zeros(self.n_features)
        for f in facts:
            self.moments[: f.shape[1]] += np.ldexp(f.moments, f.exponent - self.exponent)
        self.least = min(f.least for f in facts)
        self.mean = sum(float(np.ldexp(f.mean, f.exponent - self.exponent)) for f in facts)
        self.classes: Any = self._classes() if self.classify else None
        self.mass = np.zeros(1 if self.classes is None else len(self.classes))
        for f in facts:
            self.mass[[0] if self.classes is None else np.searchsorted(self.classes, f.labels)] += np.ldexp(
                f.mass, f.exponent - self.exponent
            )
        if not self.mass.sum() > 0:
            raise ValueError("sample_weight is zero for every sample; at least one must be positive")

    def _classes(self) -> Any:
        first = self.facts[0]
        for f in self.facts[1:]:
            if (f.labels.dtype.kind in "fiub") != (first.labels.dtype.kind in "fiub"):
                raise ValueError(f"{f.name} has labels like {f.labels[0]!r}, {first.name} like {first.labels[0]!r}: "
                                 "give all of one kind")  # fmt: skip
        try:
            return np.unique(np.concatenate([f.labels for f in self.facts]))
        except TypeError:
            raise ValueError(
                "y mixes labels that cannot be sorted (None, numbers, strings); give all of one kind"
            ) from None
