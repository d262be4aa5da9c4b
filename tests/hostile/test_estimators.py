"""Estimators beyond scikit-learn's own checks: the sentences are scikit-learn's or ours, the coefficients are true."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

from gnsopt.estimators import LogisticRegression, LogisticRegressionPath, PoissonRegressor, RegularizationSearch
from tests.hostile.judge import judge
from tests.hostile.values import NOT_NUMBERS, Nasty, matrices, named, numbers, spoiled, vectors, words

rng = np.random.default_rng(0)
X = rng.integers(-3, 4, (16, 3)).astype(float)
Y = np.arange(16.0) % 2
COUNTS = np.arange(16.0) % 4
KINDS = {LogisticRegression: Y, LogisticRegressionPath: Y, PoissonRegressor: COUNTS, RegularizationSearch: Y}
SOFT = {"warns": (ConvergenceWarning, DataConversionWarning, FutureWarning), "foreign": "sklearn", "early": False}
BLAMES = (
    "X",
    "constants",
    "C",
    "y",
    "sample_weight",
    "class",
    "classes",
    "counts",
    "samples",
    "sample",
    "cv",
    "label",
    "labels",
)


def fit(kind):
    """Return a call that fits an estimator with an argument or a setting replaced."""

    def call(X=X, y=None, sample_weight=None, **settings):
        y = KINDS[kind] if y is None else y
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        limit = {"max_iter": 50} if "max_iter" not in settings else {}
        return kind(**limit, **settings).fit(X, y, **weights)

    return call


def check(model):
    """Coefficients are finite, and a predicted class is one."""
    coef = model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_
    assert np.isfinite(coef).all()
    assert np.isfinite(model.intercept_).all()
    predicted = model.predict(np.zeros((2, np.shape(coef)[-1])))
    assert predicted.shape == (2,)
    if hasattr(model, "classes_"):
        assert np.isin(predicted, model.classes_).all()


def same(a, b):
    np.testing.assert_allclose(np.ravel(a.coef_), np.ravel(b.coef_), rtol=1e-6, atol=1e-9)


def labels(y):
    """Return hostile labels; whatever can be sorted names a class."""
    soft = {
        "strings": "refuse",
        "numbers-as-text": "either",
        "dates": "either",
        "objects": "either",
        "structured": "either",
        "masked": "either",
        "complex": "either",
        "None-within": "either",
        "object": "either",
        "column": "either",
        "generator": "either",
        "None": "either",
        "word": "refuse",
    }
    return [
        Nasty(
            n,
            v,
            "either" if n.startswith("times-") or n in ("subnormal", "same", "zeros") or soft.get(n) == "either" else d,
        )
        for n, v, d in vectors(y)
    ]


CASES = []
for kind, y in KINDS.items():
    soft = {
        "None": "refuse",
        "numbers-as-text": "either",
        "masked": "either",
        "sparse-vector": "either",
        "dates": "either",
    }  # scikit-learn reads dates
    targets = (
        labels(y)
        if kind is not PoissonRegressor
        else named(vectors(y), {"masked": "either", "numbers-as-text": "either", "None": "either", "column": "either"})
    )
    CASES += spoiled(
        kind, {"X": X}, "X", named(matrices(X), soft), call=fit(kind), check=check, same=same, blames=BLAMES, **SOFT
    )
    CASES += spoiled(
        kind,
        {"y": y},
        "y",
        [n for n in targets if n.name != "None" and not n.name.startswith("times-1e+")],
        call=fit(kind),
        check=check,
        same=same,
        blames=BLAMES,
        **SOFT,
    )
    if kind is not RegularizationSearch:
        weights = [
            *named(
                vectors(np.ones(16), one_number=True),
                {
                    "None": "take",
                    "zeros": "either",
                    "masked": "either",
                    "numbers-as-text": "either",
                    "one-entry": "either",
                    "row": "either",
                    "deep": "either",
                },
            ),
            Nasty("negative", -np.ones(16)),
            Nasty("all-zero", np.zeros(16), "either"),
        ]
        CASES += spoiled(
            kind,
            {"sample_weight": np.ones(16)},
            "sample_weight",
            weights,
            call=fit(kind),
            check=check,
            same=same,
            blames=BLAMES,
            **SOFT,
        )
TOLERANCE = named(numbers(0, open_low=False), {"inf": "either"})
SETTINGS = {
    LogisticRegression: {
        "penalty": words(none=True),
        "C": named(numbers(0), {"inf": "either"}),
        "l2": numbers(
            0, none=True, open_low=False, junk=[n for n in NOT_NUMBERS if n.name not in ("list", "array", "pair")]
        ),
        "tol": TOLERANCE,
        "class_weight": [n for n in words(none=True) if n.name != "dict"],
        "solver": [n for n in words() if n.name != "class"],
        "max_iter": numbers(0, whole=True, open_low=False),
        "fit_intercept": [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS],
        "verbose": [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS if n not in ("digit", "word")],
    },
    LogisticRegressionPath: {
        "Cs": [
            n
            for n in named(numbers(0), {"inf": "either"})
            if n.name not in ("list", "pair", "array", "1e300", "huge-integer")
        ],
        "tol": TOLERANCE,
        "solver": [n for n in words() if n.name != "class"],
    },
    PoissonRegressor: {
        "alpha": numbers(0, open_low=False),
        "tol": TOLERANCE,
        "solver": [n for n in words() if n.name != "class"],
        "max_iter": numbers(0, whole=True, open_low=False),
    },
    RegularizationSearch: {
        "groups": words(),
        "C0": numbers(0),
        "method": [n for n in words() if n.name != "class"],
        "search_tol": TOLERANCE,
        "search_iter": numbers(0, whole=True, open_low=False),
    },
}
CASES += [
    case
    for kind, settings in SETTINGS.items()
    for name, table in settings.items()
    for case in spoiled(
        kind,
        {},
        name,
        table,
        call=fit(kind),
        check=check,
        blames=(name, "maxiter", "gtol", "C_bounds", "cv", "C"),
        **SOFT,
    )
]
CASES += spoiled(
    RegularizationSearch,
    {},
    "validation_fraction",
    numbers(0, 1),
    call=lambda **g: fit(RegularizationSearch)(cv=None, **g),
    check=check,
    blames=("validation_fraction",),
    **SOFT,
)
FITTED = {}


def use(kind, method):
    """Return a call of a fitted model on hostile rows."""

    def call(X=X):
        if kind not in FITTED:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                FITTED[kind] = fit(kind)()
        return getattr(FITTED[kind], method)(X)

    return call


def finite(answer):
    """Answers are numbers."""
    assert np.isfinite(np.asarray(answer, dtype=float)).all()


CASES += [
    case
    for kind, method in (
        (LogisticRegression, "predict"),
        (LogisticRegression, "predict_proba"),
        (PoissonRegressor, "predict"),
        (LogisticRegressionPath, "predict"),
    )
    for case in spoiled(
        kind,
        {"X": X},
        "X",
        [
            n
            for n in named(
                matrices(X),
                {
                    "numbers-as-text": "either",
                    "masked": "either",
                    "dates": "either",
                    "row-missing": "either",
                    "one-row": "take",
                    "sparse-vector": "either",
                },
            )
            if not n.name.startswith("times-1e+") and n.name not in ("wild-scales", "mixed-scales")
        ],
        call=use(kind, method),
        check=finite,
        blames=BLAMES,
        title=f"{kind.__name__}.{method}",
        **SOFT,
    )
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_fitted_says_so(kind):
    with pytest.raises(NotFittedError):
        kind().predict(X)
