"""Our `LogisticRegression` against scikit-learn's, each as it comes: defaults, tolerance and all.

python -m experiments.benchmarks.estimator                    # the data sets that are there
python -m experiments.benchmarks.estimator digits w8a --repeats 9

CPU seconds of one thread, medians of fits in turn, after one fit of each that is not timed; objectives are those of
scikit-learn, C = 1, from the coefficients. A fit of more than 20 seconds is not repeated.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Peer
from threadpoolctl import threadpool_limits

import gnsopt
from gnsopt.estimators import LogisticRegression

DATA = (
    "breast_cancer digits iris a9a w8a mushrooms ijcnn1 german.numer madelon leu colon-cancer duke-west49"
    " letter.scale dna.scale usps vowel.scale svmguide1 skin_nonskin reuters-money-fx reuters21578-tfidf"
    " covtype.libsvm.binary.scale covtype mnist.scale"
).split()
LONG = 20.0


def objective(model: Any, X: Any, y: Any) -> float:
    """Return ``sum_i l_i + |W|^2 / 2``, the intercept not penalised."""
    classes, W, b = model.classes_, model.coef_, model.intercept_
    Z = np.asarray(X @ W.T + b)
    if len(classes) == 2:
        loss = np.logaddexp(0, np.where(y == classes[1], -1, 1) * Z[:, 0]).sum()
    else:
        loss = (logsumexp(Z, axis=1) - Z[np.arange(len(y)), np.searchsorted(classes, y)]).sum()
    return float(loss + 0.5 * (W**2).sum())


def compare(name: str, repeats: int) -> str:
    """Return the row of one data set."""
    X, y = gnsopt.datasets.load(name)
    seconds: dict[Any, list[float]] = {LogisticRegression: [], Peer: []}
    value, steps = {}, {}
    for repeat in range(repeats + 1):
        for kind, times in seconds.items():
            if repeat > 1 and sum(times) > LONG:
                continue
            begin = time.process_time()
            model = kind().fit(X, y)
            if repeat:
                times.append(time.process_time() - begin)
            value[kind], steps[kind] = objective(model, X, y), int(np.max(model.n_iter_))
    ours, theirs = (float(np.median(times)) for times in seconds.values())
    ahead = (value[Peer] - value[LogisticRegression]) / abs(value[LogisticRegression])
    return (
        f"| {name} | {X.shape[0]} x {X.shape[1]} ({len(np.unique(y))}) | {ours:.3g} | {theirs:.3g} "
        f"| {ours / theirs:.2f} | {steps[LogisticRegression]} | {steps[Peer]} | {ahead:.1e} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table as the rows are found."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("data", nargs="*", default=DATA, help="names of data sets (all)")
    line.add_argument("--repeats", type=int, default=5, help="timed fits of each (5)")
    options = line.parse_args(arguments)
    print("| data | samples x features (classes) | ours, s | scikit-learn, s | ratio | nit | its | its f above ours |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in options.data:
            try:
                row = compare(name, options.repeats)
            except FileNotFoundError:
                continue
            print(row, flush=True)


if __name__ == "__main__":
    main()
