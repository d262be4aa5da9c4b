"""The clock of one run: processor seconds, what was best after each limit, and what is evaluated off the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnsopt._typing import Array


class OutOfTime(Exception):
    """The last limit has passed."""


@dataclass
class Recorder:
    """Keep best theta and `work` at each of the limits; a method counts its work and calls `see` with every value."""

    limits: tuple[float, ...]
    best: float = np.inf
    theta: Array | None = None
    kept: list[tuple[float, Array | None]] = field(default_factory=list)
    history: list[tuple[float, float]] = field(default_factory=list)
    works: list[float] = field(default_factory=list)
    work: float = 0.0

    def start(self) -> None:
        """Start the clock."""
        self._begin = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor seconds so far."""
        return time.process_time() - self._begin

    def see(self, value: float, theta: Any) -> None:
        """Note a value and its theta; raise `OutOfTime` after the last limit."""
        now = self.seconds
        self._pass(now)
        if now > self.limits[-1]:
            raise OutOfTime
        if value < self.best:
            self.best, self.theta = float(value), np.array(theta, dtype=float)
            self.history.append((now, self.best))

    def end(self) -> list[tuple[float, Array | None]]:
        """Return the best value and theta at each limit."""
        self._pass(np.inf)
        return self.kept

    def _pass(self, now: float) -> None:
        while len(self.kept) < len(self.limits) and now > self.limits[len(self.kept)]:
            self.kept.append((self.best, self.theta))
            self.works.append(self.work)
