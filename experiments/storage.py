"""Files that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any


class Damaged(ValueError):
    """A file of results that cannot be read; what it held is run anew once it is removed."""

    def __init__(self, path: Path, error: BaseException) -> None:
        super().__init__(f"{path} is damaged ({type(error).__name__}: {error}): remove it and run once more")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of `path` once it is complete and on disk; a signal waits for that."""
    from gnsopt.files import replacing as whole  # not above: some import this module before threads are limited

    interrupt = sys.modules.get("gnsopt.cli.interrupt")  # where nobody has imported it, nobody waits for signals
    with interrupt.unhurried() if interrupt else nullcontext(), whole(path) as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a json file, whole or not at all; NaN and infinities are written as Python reads them."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the value of a json file; raise `Damaged`, with the cure, if it is none."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Damaged(path, error) from error


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file; raise `Damaged`, with the cure, if it is none."""
    import numpy as np

    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes raise whatever they meet: zip, NumPy, memory
        raise Damaged(path, error) from error
