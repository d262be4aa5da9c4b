"""Every approximation of the papers has a name that resolves, and is documented with its inexactness."""

import re

import pytest
from scipy.optimize import BFGS, SR1

from gnsopt import curvature
from gnsopt.curvature import FromProblem, Lazy, Projected, RandomSubspace, Secant, Sketched, Subsampled, TopK, resolve


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("auto", FromProblem("auto")),
        ("exact", FromProblem("hess")),
        ("exact:cg", FromProblem("hess", "cg")),
        ("exact:row_space", FromProblem("hess", "row-space")),
        ("gauss-newton", FromProblem("gauss_newton")),
        ("fisher", FromProblem("fisher")),
        ("diagonal", FromProblem("diagonal")),
        ("zero", FromProblem("zero")),
        ("lazy:4", Lazy(4)),
        ("projected", Projected()),
        ("projected:absolute", Projected("absolute")),
        ("topk:20", TopK(20)),
        ("subsampled:0.1", Subsampled(0.1)),
        ("subsampled:1e-3", Subsampled(1e-3)),
        ("subsampled:50", Subsampled(50)),
        ("sketch", Sketched()),
        ("sketch:50", Sketched(50, adaptive=False)),
        ("sketch:50:srht", Sketched(50, adaptive=False, sketch="srht")),
        ("subspace:3", RandomSubspace(3)),
        ("secant", Secant()),
    ],
)
def test_names(name, model):
    assert resolve(name) == model
    assert resolve(model) is model


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kronecker", "kfac"),
        ("k-fac", "kfac"),
        ("K-FAC", "kfac"),
        ("m-fac", "mfac"),
        ("majoriser", "majorizer"),
        ("gauss-newtn", "gauss_newton"),
        ("hessian", "exact"),
        ("bfgs", "secant"),
        ("top-k:3", "topk"),
    ],
)
def test_what_was_meant(name, meant):
    with pytest.raises(ValueError, match=f"{re.escape(name)}' is unknown; did you mean '{meant}'"):
        resolve(name)
    with pytest.raises(ValueError, match="'lazy' is unknown; choose one of"):
        resolve("lazy")  # the name is right: what is missing stands in the list


def test_aliases_lead_to_names():
    for name in curvature.models.ALIASES.values():
        resolve(name)
    assert not set(curvature.models.ALIASES) & {*curvature.NAMES, *curvature.models.PARSED}


def test_strategies():
    assert isinstance(resolve("secant:sr1").strategy, SR1)
    assert isinstance(resolve("secant:BFGS").strategy, BFGS)
    strategy = SR1()
    assert resolve(strategy) == Secant(strategy)


@pytest.mark.parametrize(
    "name",
    [
        "newton",
        "topk",
        "topk:x",
        "topk:0",
        "lazy:0",
        "lazy",
        "secant:dfp",
        "projected:cg",
        "zero:qr",
        "subsampled:2.0",
        "sketch:x",
    ],
)
def test_unknown_names(name):
    with pytest.raises(ValueError, match=f"curvature='{re.escape(name)}'.*topk:k"):
        resolve(name)
    with pytest.raises(TypeError, match="curvature=3"):
        resolve(3)


def test_the_table_of_names_is_true():
    """Each name in the docstring's table resolves, and each plain name of `NAMES` is in it."""
    names = re.findall(r"``([a-z_]+(?::[a-z]+)?)``", curvature.__doc__)
    settings = {"topk:k": "topk:3", "lazy:m": "lazy:3", "subsampled:fraction": "subsampled:0.1"}
    settings |= {"mfac:m": "mfac:9", "mkor:r": "mkor:2", "hutchinson:p": "hutchinson:4"}
    settings |= {"sketch:m": "sketch:50", "subspace:k": "subspace:3"}
    for name in names:
        resolve(settings.get(name, name))
    assert set(curvature.NAMES) <= set(names)


@pytest.mark.parametrize("model", [Projected, TopK, Secant, Subsampled])
def test_models_state_their_inexactness(model):
    assert "C1" in model.__doc__
