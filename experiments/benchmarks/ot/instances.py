"""The instances, by name: ``(a, b, C, reg)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments import transport

Data = tuple[Any, Any, Any, float]


def _of(data: dict[str, Any], reg: float) -> Data:
    return data["a"], data["b"], data["C"], reg


def assignment(n: int, reg: float, seed: int = 0) -> Data:
    """Costs uniform in [0, 1]."""
    return _of(transport.assignment(n, n, seed), reg)


def clouds(n: int, reg: float, seed: int = 0) -> Data:
    """Two normal clouds in the plane."""
    return _of(transport.clouds(n, n, seed), reg)


def digits(side: int, power: int, reg: float = 1 / 1200) -> Data:
    """Two images of digits."""
    return _of(transport.digits(side, power), reg)


INSTANCES: dict[str, Callable[[], Data]] = {
    "rand500 1/1200": lambda: assignment(500, 1 / 1200),
    "rand1000 1/1200": lambda: assignment(1000, 1 / 1200),
    "rand1000 1/5000": lambda: assignment(1000, 1 / 5000),
    "rand2000 1/1200": lambda: assignment(2000, 1 / 1200),
    "rand500 1e-2": lambda: assignment(500, 1e-2),
    "rand1000 1e-2": lambda: assignment(1000, 1e-2),
    "cloud1000 1e-2": lambda: clouds(1000, 1e-2),
    "cloud1000 1e-3": lambda: clouds(1000, 1e-3),
    "cloud2000 1e-2": lambda: clouds(2000, 1e-2),
    "cloud2000 1e-3": lambda: clouds(2000, 1e-3),
    "digits8 L1": lambda: digits(8, 1),
    "digits8 L2sq": lambda: digits(8, 2),
    "digits28 L1": lambda: digits(28, 1),
    "digits28 L2sq": lambda: digits(28, 2),
}
QUICK = ("digits8 L2sq",)
