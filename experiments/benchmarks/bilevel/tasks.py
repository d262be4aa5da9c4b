"""The tasks: which data, which penalties, and a test set that no method sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

START = 0.01  # C of scikit-learn at which every method starts
BOX = (1e-4, 1e4)  # of C


@dataclass(frozen=True)
class Task:
    """Train, validation and test set of one classification problem, and the groups of its penalties."""

    name: str
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    test: tuple[Any, Any]
    groups: str

    @property
    def n_train(self) -> int:
        return int(self.train[0].shape[0])

    def theta(self, C: Any) -> Any:
        """Return log penalties of the mean loss for scikit-learn's C."""
        return -np.log(np.asarray(C, dtype=float) * self.n_train)

    @property
    def start(self) -> float:
        return float(self.theta(START))

    @property
    def bounds(self) -> tuple[float, float]:
        return float(self.theta(BOX[1])), float(self.theta(BOX[0]))


def breast_cancer() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer

    return standardised(*load_breast_cancer(return_X_y=True))


def digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


def text(n: int = 3000, words: int = 5000, length: int = 60) -> tuple[Any, Any]:
    """Synthetic tf-idf: documents of Zipf's words, of which every tenth leans to one of two classes."""
    rng = np.random.default_rng(0)
    frequency = 1.0 / (np.arange(words) + 10.0)
    lean = np.where(rng.random(words) < 0.1, rng.normal(0.0, 1.0, words), 0.0)
    y = (rng.random(n) < 0.5).astype(int)
    rows, columns = [], []
    for c in (0, 1):
        p = frequency * np.exp((2 * c - 1) * 0.4 * lean)
        members = np.flatnonzero(y == c)
        columns.append(rng.choice(words, size=members.size * length, p=p / p.sum()))
        rows.append(np.repeat(members, length))
    counts = csr_array((np.ones(n * length), (np.concatenate(rows), np.concatenate(columns))), shape=(n, words))
    counts.sum_duplicates()
    seen = np.bincount(counts.indices, minlength=words)
    counts.data *= (np.log((1 + n) / (1 + seen)) + 1)[counts.indices]
    norms = np.sqrt(np.asarray((counts * counts).sum(axis=1)).ravel())
    counts.data /= np.repeat(norms, np.diff(counts.indptr))
    return counts, y


def libsvm(name: str, rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Return some rows of a LIBSVM set, drawn at random."""
    from gnsopt import datasets

    X, y = datasets.load(name)[:2]
    index = np.sort(np.random.default_rng(seed).permutation(X.shape[0])[:rows])
    return X[index], np.asarray(y)[index]


def standardised(X: Any, y: Any) -> tuple[Any, Any]:
    return (X - X.mean(axis=0)) / X.std(axis=0), y


SETS = {
    "bc": (breast_cancer, (0.4, 0.4)),
    "digits": (digits, (0.4, 0.4)),
    "text": (text, (1 / 3, 1 / 3)),
    "a9a": (lambda: libsvm("a9a", 9000), (1 / 3, 1 / 3)),
    "reuters": (lambda: libsvm("reuters-money-fx", 6000), (1 / 3, 1 / 3)),
}

TASKS = {  # name -> (set, groups)
    "bc-single": ("bc", "single"),
    "digits-single": ("digits", "single"),
    "text-single": ("text", "single"),
    "digits-class": ("digits", "class"),
    "bc-feature": ("bc", "feature"),
    "digits-weight": ("digits", "weight"),
    "text-feature": ("text", "feature"),
    "a9a-feature": ("a9a", "feature"),
    "reuters-feature": ("reuters", "feature"),
}


def task(name: str, seed: int = 0) -> Task:
    """Return a task: rows shuffled, then train, validation, test."""
    data, groups = TASKS[name]
    make, (first, second) = SETS[data]
    X, y = make()
    order = np.random.default_rng(seed).permutation(X.shape[0])
    a, b = int(first * order.size), int((first + second) * order.size)
    parts = [(X[np.sort(i)], np.asarray(y)[np.sort(i)]) for i in (order[:a], order[a:b], order[b:])]
    return Task(name, parts[0], parts[1], parts[2], groups)
