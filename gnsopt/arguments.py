"""What users pass, as numbers and arrays of float64: or one line that names the argument, before any work."""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnsopt._typing import Array

LONGEST = 80  # characters of a value in an error (chosen)
MOST = 2**48  # of anything that is counted (chosen: more does not fit into any memory)
KINDS: dict[str, Any] = {"float": Real, "int": Integral, "str": str, "bool": bool | np.bool_}
WORDS = {"float": "a number", "int": "an integer", "str": "a name", "bool": "True or False"}


def shown(value: Any) -> str:
    """Return a value in one short line for an error.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        Its ``repr``, cut; of an array the shape and the dtype.
    """
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"<array of shape {value.shape} and dtype {value.dtype}>"
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # integers beyond 4300 digits have no text
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def as_number(value: Any, name: str) -> float:
    """Return a real number as a float.

    Parameters
    ----------
    value : float
        Any real number, or an array of one without dimensions.
    name : str
        How the argument is called in errors.

    Returns
    -------
    float
        The number; it may be NaN or infinite, as the caller's range says.

    Raises
    ------
    ValueError
        If it is no real number, or larger than a float can be.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} must be a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}={shown(value)} must be a number within the range of float64") from None


def as_array(value: Any, name: str, *, finite: bool = True) -> Array:
    """Return real numbers as a float64 array, the user's own where it is one.

    Parameters
    ----------
    value : array_like
        Numbers of any real dtype.
    name : str
        How the argument is called in errors.
    finite : bool, default=True
        Refuse NaN and infinity.

    Returns
    -------
    ndarray
        The array, of any shape.

    Raises
    ------
    ValueError
        If it is no array of real numbers: complex, dates, text, ragged, sparse, with masked entries.
    """
    if issparse(value):
        raise ValueError(f"{name} is a sparse array; pass {name}.toarray()")
    if np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; fill them in, or leave those samples out")
    try:
        raw = np.asarray(value)
        with np.errstate(over="ignore"):  # of a long double: it becomes infinite, and is named below
            out = np.asarray(raw, dtype=float) if raw.dtype.kind in "fiubO" and value is not None else None
    except (TypeError, ValueError, OverflowError):
        out = None
    if out is None:
        raise ValueError(f"{name} is not an array of real numbers; convert it with numpy.asarray({name}, dtype=float)")
    if finite and not np.isfinite(out).all():
        raise ValueError(f"{name} contains NaN or infinity, and has shape {out.shape}; its entries must be finite")
    return out


def as_seed(seed: Any, most: float = math.inf) -> int:
    """Return the seed of a random generator as an int.

    Parameters
    ----------
    seed : int
        Non-negative.
    most : float, default=inf
        Largest one that the generator takes.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is no integer, negative or too large.
    """
    if not (isinstance(seed, Integral) and 0 <= int(seed) <= most):
        limit = "" if most == math.inf else f", and at most {most}"
        raise ValueError(f"seed={shown(seed)} must be an integer >= 0{limit}")
    return int(seed)


def check_name(value: Any, name: str, names: Any) -> None:
    """Raise ValueError unless `value` is one of a few names.

    Parameters
    ----------
    value : str
        What the user wrote.
    name : str
        How the argument is called in errors.
    names : iterable of str
        What there is.

    Raises
    ------
    ValueError
        With the names.
    """
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name}={shown(value)} is unknown; choose one of {', '.join(map(repr, names))}")


def settle(record: Any) -> None:
    """Check the fields of a frozen dataclass by their annotations, and turn numbers into plain ones.

    Parameters
    ----------
    record : object
        An instance; ``float``, ``int``, ``str`` and ``bool`` are checked, also where ``None`` is the alternative.

    Raises
    ------
    ValueError
        If a value is of another kind.
    """
    for field in fields(record):
        kind, _, other = str(getattr(field.type, "__name__", field.type)).partition(" | ")
        value = getattr(record, field.name)
        if kind in KINDS and not (other == "None" and value is None) and other in ("", "None"):
            object.__setattr__(record, field.name, _plain(value, field.name, kind))
            if field.name == "seed" and value is not None:
                as_seed(value)


def _plain(value: Any, name: str, kind: str) -> Any:
    if kind == "float" and not isinstance(value, bool):
        return as_number(value, name)
    if not isinstance(value, KINDS[kind]) or (kind == "int" and (isinstance(value, bool) or abs(value) >= 2**63)):
        raise ValueError(f"{name}={shown(value)} must be {WORDS[kind]}")
    return int(value) if kind == "int" else bool(value) if kind == "bool" else value


def as_count(value: Any, name: str, least: int = 1) -> int:
    """Return a number of things as an int.

    Parameters
    ----------
    value : int
        The number.
    name : str
        How the argument is called in errors.
    least : int, default=1
        Its lower bound.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If it is no integer or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < MOST:
        raise ValueError(f"{name}={shown(value)} must be an integer of at least {least}, and below 2**48")
    return int(value)


def check_kind(value: Any, name: str, kind: type) -> None:
    """Raise TypeError unless `value` is of a kind.

    Parameters
    ----------
    value : object
        What the user gave.
    name : str
        How the argument is called in errors.
    kind : type
        What it must be an instance of.

    Raises
    ------
    TypeError
        With the name of the kind.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name}={shown(value)} must be a {kind.__name__}")
