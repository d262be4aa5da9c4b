"""Files are there whole or not at all, and what killed processes leave is removed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gnsopt import files
from gnsopt.files import beside, remove_leftovers, replacing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def test_a_file_takes_the_place_of_the_old_one_at_the_end_of_the_block(old):
    with replacing(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == ["file.txt"]


def test_the_ending_stays_for_writers_that_look_at_it(tmp_path):
    with beside(tmp_path / "a.csv") as part:
        assert (part.suffix, part.parent) == (".csv", tmp_path)
        part.write_text("1")
    assert (tmp_path / "a.csv").read_text() == "1"


def test_a_link_stays_a_link(old):
    link = old.with_name("link.txt")
    link.symlink_to(old)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert old.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(old, error):
    def fails(file):
        file.write(b"half")
        raise error

    with pytest.raises(error), replacing(old) as file:
        fails(file)
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["file.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_an_error_before_the_old_file_is_touched(old, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(OSError, match="No space"), replacing(old) as file:
        file.write(b"new")
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["file.txt"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_a_killed_process_leaves_is_removed_and_what_a_living_one_writes_is_not(old):
    code = (
        "import os, signal, sys; from pathlib import Path; from gnsopt.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(old)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert old.read_text() == "old"
    assert len(os.listdir(old.parent)) == 2, "the killed process has left its part"
    with replacing(old) as file:
        file.write(b"new")
        assert remove_leftovers(old.parent) == 1
        assert len(os.listdir(old.parent)) == 2, "ours is being written"
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == ["file.txt"]


def test_files_of_other_machines_and_other_names_are_left_alone(tmp_path):
    for name in (".gnsopt-elsewhere-1-0.part", ".gnsopt-notes", ".hidden.part", "gnsopt-1-0.part"):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == 0
    assert len(os.listdir(tmp_path)) == 4
    assert remove_leftovers(tmp_path / "absent") == 0
