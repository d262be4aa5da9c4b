"""The problems: data x penalty x intercept, read from `regimes.toml`; data by name or from a registered generator."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from experiments.benchmarks.glm.oracle import Oracle
from gnsopt import datasets
from gnsopt.cli.options import read_l2

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REGIMES = Path(__file__).with_name("regimes.toml")
Data = tuple[Any, Any]
SOURCES: dict[str, Callable[..., Data]] = {}


@dataclass(frozen=True)
class Problem:
    """What a problem is; `load` makes its arrays."""

    data: str
    source: dict[str, Any]
    l2: str
    intercept: bool

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"{self.data}, l2 = {self.l2}" + (", intercept" if self.intercept else "")

    @property
    def slug(self) -> str:
        """The name in the file system."""
        return slug(f"{self.data}@{self.l2}" + ("@intercept" if self.intercept else ""))

    def load(self) -> Task:
        """Return the arrays; FileNotFoundError where the data are absent."""
        options = {name: value for name, value in self.source.items() if name != "source"}
        X, y = SOURCES[self.source.get("source", "named")](**{"name": self.data, **options})
        classes, codes = np.unique(y, return_inverse=True)
        outputs = 1 if classes.size == 2 else int(classes.size)
        return Task(X, codes, outputs, read_l2(self.l2, len(y)), self.intercept)


@dataclass(frozen=True)
class Task:
    """A problem in memory, what a method gets: codes are 0, 1, ...; for two classes `sign` has them as -1, +1."""

    X: Any
    codes: Any
    k: int
    l2: float
    intercept: bool
    sign: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sign", 2.0 * self.codes - 1.0)

    @property
    def size(self) -> Size:
        """What a method needs to know before it takes the problem on."""
        X = self.X
        stored = int(X.nnz) if sparse.issparse(X) else X.size
        return Size(*X.shape, self.k, stored, bool(sparse.issparse(X)), self.intercept)

    @property
    def C(self) -> float:
        """The weight of the summed losses where the penalty is ``|w|^2/2``."""
        return 1.0 / (self.X.shape[0] * self.l2)

    def oracle(self) -> Oracle:
        """Return a fresh independent oracle."""
        return Oracle(self.X, self.codes, self.k, self.l2, self.intercept)

    def pack(self, coef: Any, intercept: Any) -> Any:
        """Return weights, one row for each output as in scikit-learn, and intercepts as our flat variables."""
        V = np.asarray(coef, dtype=float).reshape(self.k, -1).T
        if self.intercept:
            V = np.vstack([V, np.broadcast_to(np.asarray(intercept, dtype=float), self.k)])
        return np.ascontiguousarray(V).ravel()


@dataclass(frozen=True)
class Size:
    """Samples, features, outputs (1 for two classes), stored entries of X; sparse or not; intercept or not."""

    n: int
    d: int
    k: int
    stored: int
    sparse: bool
    intercept: bool

    @property
    def variables(self) -> int:
        """Their number."""
        return (self.d + self.intercept) * self.k


def slug(text: str) -> str:
    """Return a file name for a text."""
    return re.sub(r"[^\w.@+-]+", "-", text.replace("/", "-over-"))


def read(group: str, path: Path = REGIMES) -> list[Problem]:
    """Return the problems of a group, in the order of the file."""
    entries = tomllib.loads(path.read_text())["problem"]
    known = sorted({name for entry in entries for name in entry["groups"]} | {"full"})
    if group not in known:
        raise ValueError(f"group {group!r} is unknown; choose one of {', '.join(known)}")
    chosen = (entry for entry in entries if group == "full" or group in entry["groups"])
    found = [problem for entry in chosen for problem in _expand(entry)]
    return list({problem.slug: problem for problem in found}.values())  # an entry may repeat what another has


def _expand(entry: dict[str, Any]) -> Iterator[Problem]:
    own = {name: value for name, value in entry.items() if name not in ("data", "l2", "intercept", "groups")}
    for l2, intercept in itertools.product(entry["l2"], entry.get("intercept", [False])):
        yield Problem(entry["data"], own, l2, intercept)


def source(function: Callable[..., Data]) -> Callable[..., Data]:
    """Register a generator of (X, y) under its name."""
    SOURCES[function.__name__] = function
    return function


# ---------------------------------------------------------------------------------------------------- sources


@source
def named(
    name: str, file: str = "", dense: bool = False, positive: float | None = None, scale: Any = None, rows: int = 0
) -> Data:
    """Return a set that `gnsopt.datasets` finds, made dense, two-class or scaled where asked for."""
    X, y = datasets.load(file or name)
    if dense and sparse.issparse(X):
        X = X.toarray()
    if positive is not None:
        y = y == positive
    if scale == "standard":
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    elif scale is not None:
        X = X * float(scale)
    return (X[:rows], y[:rows]) if rows else (X, y)


@source
def gaussian(
    name: str, n: int, d: int, k: int = 2, correlation: float = 0.0, spread: float = 0.0, separable: bool = False
) -> Data:
    """Return normal features: neighbours have that correlation, scales are ``10^u``, u uniform in (-spread, spread)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    for j in range(1, d if correlation else 0):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1.0 - correlation**2) * X[:, j]
    y = _labels(rng, X, k, separable)
    return X * 10.0 ** rng.uniform(-spread, spread, d), y


@source
def correlated(name: str, n: int, d: int, condition: float, k: int = 2) -> Data:
    """Return a design of that condition number, whose singular values are geometric."""
    if k == 2:
        return datasets.make_logistic(n, d, condition=condition)
    return datasets.make_softmax(n, d, k, condition=condition)


@source
def counts(name: str, n: int, d: int) -> Data:
    """Return Poisson counts of means between 0.1 and 10."""
    rng = np.random.default_rng(0)
    X = rng.poisson(np.geomspace(0.1, 10.0, d), size=(n, d)).astype(float)
    return X, _labels(rng, X - X.mean(axis=0), 2, False)


@source
def text(name: str, n: int, d: int, words: int) -> Data:
    """Return rows of unit norm with about that many words, drawn by Zipf's law and weighted by log(n/df)."""
    rng = np.random.default_rng(0)
    chance = 1.0 / np.arange(2.0, d + 2.0)
    draws = rng.choice(d, size=n * words, p=chance / chance.sum())
    X = sparse.csr_array((np.ones(n * words), (np.repeat(np.arange(n), words), draws)), shape=(n, d))
    X.sum_duplicates()
    frequency = np.bincount(X.indices, minlength=d)
    X.data = (1.0 + np.log(X.data)) * np.log(n / np.maximum(frequency, 1))[X.indices]
    lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(X.indptr))
    return X, _labels(rng, X, 2, False)


def _labels(rng: np.random.Generator, X: Any, k: int, separable: bool) -> Any:
    """Return labels of the model itself, with scores of standard deviation 2; separable: without noise."""
    Z = X @ rng.standard_normal((X.shape[1], 1 if k == 2 else k))
    Z *= 2.0 / np.sqrt(np.mean(Z**2))
    if not separable:
        Z = Z + (rng.logistic(size=Z.shape) if k == 2 else rng.gumbel(size=Z.shape))
    return (Z[:, 0] > 0).astype(float) if k == 2 else np.argmax(Z, axis=1).astype(float)
