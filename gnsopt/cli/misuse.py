"""Misuse: what the user can mend, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Misuse(Exception):
    """An argument that cannot be used; the message names the cure. The program prints it and exits with code 2."""


@contextmanager
def said_in_one_line(smaller: str = "solve by products, with the curvature 'exact:cg'") -> Iterator[None]:
    """Turn the library's errors of misuse into `Misuse`: inside are only calls with what the user gave.

    Parameters
    ----------
    smaller : str
        The cure where memory runs out.
    """
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise Misuse(str(error)) from error
    except MemoryError as error:
        raise Misuse(f"out of memory ({error}): {smaller}") from error
