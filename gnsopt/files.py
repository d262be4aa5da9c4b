"""Files that are there whole or not at all, whenever the process is killed: written beside their place, then moved."""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PART = re.compile(r"\.gnsopt-(?P<host>.+)-(?P<process>\d+)-\d+\.part")
_number = itertools.count()


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield the name of a file to be written, which takes the place of `path` at the end of the block.

    What was at `path` stays there until the new file is complete and on disk, and for good if the block raises. A name
    that is a link keeps being one.

    Parameters
    ----------
    path : Path
        Where the file will be, in a folder that exists.

    Yields
    ------
    Path
        A name in the same folder, of the same ending.

    Raises
    ------
    OSError
        If the file cannot be written or moved; nothing is left of it then.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(f".gnsopt-{_host()}-{os.getpid()}-{next(_number)}.part{path.suffix}")
    try:
        yield part
        _to_disk(part, os.O_RDWR)
        os.replace(part, path)
        if os.name == "posix":  # elsewhere a folder is no file
            _to_disk(path.parent, os.O_RDONLY)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of `path` once it is complete and on disk.

    Parameters
    ----------
    path : Path
        Where the file will be; its folder is made.

    Yields
    ------
    file object
        Open for writing bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as part, part.open("wb") as file:
        yield file


def remove_leftovers(folder: Path) -> int:
    """Remove what processes that were killed in `beside` have left in a folder; return how many files.

    Parameters
    ----------
    folder : Path
        The folder; it may be absent. Files of processes that are alive, or of other machines, stay.

    Returns
    -------
    int
        Number of files removed.
    """
    removed = 0
    for part in folder.glob(".gnsopt-*"):
        found = PART.match(part.name)
        if found and found["host"] == _host() and not _alive(int(found["process"])):
            with suppress(OSError):
                part.unlink()
                removed += 1
    return removed


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:64] or "host"


def _alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def _to_disk(path: Path, flags: int) -> None:
    number = os.open(path, flags)
    try:
        os.fsync(number)
    finally:
        os.close(number)
