"""Ctrl-C and SIGTERM: both end a run with its best point."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2.0  # seconds in which a second Ctrl-C is the same wish, so that it does not hurt the saving


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on either signal inside the block; the driver turns it into a status."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -math.inf

    def interrupt(number: int, frame: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PATIENCE:
            last = now
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
