"""Networks that a toml names: those of `experiments.catalog` that train a small network on a data set."""

from __future__ import annotations

from collections.abc import Callable

from experiments.instance import Instance
from gnsopt import datasets
from gnsopt.cli.options import read_l2
from gnsopt.problems import MLP


def mlp(
    data: str,
    rows: int = 0,
    hidden: int = 16,
    depth: int = 1,
    activation: str = "tanh",
    l2: str = "1/n",
    seed: int = 3124,
) -> Instance:
    """A network of `depth` hidden layers with softmax loss on the first rows (0: all) of a data set, scaled to 1.

    Columns that are zero in all of these rows are left out.
    """
    X, y = datasets.load(data)
    X, y = (X[:rows], y[:rows]) if rows else (X, y)
    X = X if not hasattr(X, "toarray") else X.toarray()
    X = X[:, X.any(axis=0)]
    X = X / abs(X).max()
    return Instance(MLP(X, y, (hidden,) * depth, activation, l2=read_l2(str(l2), len(y)), seed=seed))


BUILDERS: tuple[Callable[..., Instance], ...] = (mlp,)
