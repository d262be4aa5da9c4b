"""Ctrl-C, SIGTERM and a closed terminal: all end a run with its best point, and none of them hurts the saving."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

PATIENCE = 2.0  # seconds in which a second Ctrl-C is the same wish, so that it does not hurt what comes after the first
INTERRUPTED = 128 + signal.SIGINT  # as shells have it
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_active: list[Interruptible] = []


class Interruptible:
    """A block in which the signals raise KeyboardInterrupt; the driver turns it into a status."""

    def __init__(self) -> None:
        self.code = INTERRUPTED  # 128 + the signal that came first: the exit code
        self._last, self._holding, self._pending = -math.inf, False, False
        self._before: dict[int, Any] = {}
        self._terminals = [number for number in (1, 2) if os.isatty(number)]  # standard output and error

    def __enter__(self) -> Interruptible:
        """Take the signals over: SIGINT always, for shells ignore it in the background, the others unless ignored."""
        if threading.current_thread() is threading.main_thread():
            _active.append(self)
            for number in SIGNALS:
                if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                    self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self in _active:
            _active.remove(self)

    def _interrupt(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if now - self._last <= PATIENCE:
            return
        if math.isinf(self._last):
            self.code = 128 + number
        if number not in (signal.SIGINT, signal.SIGTERM):  # the terminal has gone: what is printed would raise
            for terminal in self._terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), terminal)
        self._last = now
        if self._holding:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @property
    def came(self) -> bool:
        """Whether there was a signal."""
        return math.isfinite(self._last)

    def release(self) -> None:
        """Let signals through again, the one that came meanwhile first."""
        self._holding = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def hold(self) -> bool:
        """Put signals off; return whether they were not put off before."""
        before, self._holding = self._holding, True
        return not before


def interruptible() -> Interruptible:
    """Raise KeyboardInterrupt on Ctrl-C, SIGTERM or SIGHUP inside the block; ``.code`` is then the exit code."""
    return Interruptible()


@contextmanager
def unhurried() -> Iterator[None]:
    """Put signals off to the end of the block: for writing what must not be lost."""
    holder = _active[-1] if _active else None
    outermost = holder.hold() if holder else False
    try:
        yield
    finally:
        if holder and outermost:
            holder.release()


def heed() -> None:
    """Raise KeyboardInterrupt if a signal came in the block around: something below has made a result of it."""
    if any(block.came for block in _active):
        raise KeyboardInterrupt
