"""Damaged files of every kind are read or refused, in time and in bounds; `mutate.py` runs thousands of them."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import mutate
import pytest
import test_bvh
import test_opensim
import test_trc

from biomechjax.errors import InputError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small sound file of every kind that can be written here."""
    folder = tmp_path_factory.mktemp("sound")
    files = [test_opensim.write(folder / f"a{suffix}", test_opensim.columns()) for suffix in (".mot", ".sto")]
    files += [test_trc.write(folder / "a.trc", test_trc.markers()), test_bvh.write(folder / "a.bvh")]
    if importlib.util.find_spec("ezc3d"):
        import test_c3d

        files.append(test_c3d.write(folder / "a.c3d", test_c3d.walker(0)))
    return files


def test_damaged_files_are_read_or_refused(sources: list[Path]):
    count = len(mutate.MUTATIONS) * len(sources)
    found = mutate.outcomes(mutate.mutants(sources, count, seed=0))
    bad = [o for o in found if o.outcome not in ("read", "refused")]
    assert len(found) == count and not bad
    assert sum(o.outcome == "refused" for o in found) > count / 2
    assert all("damaged." in o.detail for o in found if o.outcome == "refused")
    whole = mutate.outcomes([(p.suffix, "none", p.read_bytes()) for p in sources])
    assert {o.outcome for o in whole} == {"read"}


def _bad_reader(path: Path) -> None:
    """Does what the file says."""
    command = path.read_text()
    if command == "fail":
        raise KeyError(command)
    if command == "refuse":
        raise InputError(command)
    if command == "hang":
        time.sleep(60)
    if command == "swell":
        bytearray(2 * mutate.LIMIT_BYTES)
    if command == "die":
        os.abort()


def test_bad_readers_are_found_out():
    """Otherwise a table of zeros would say nothing."""
    commands = ["fail", "swell", "die", "refuse", "hang", "read"]
    damaged = [(".x", command, command.encode()) for command in commands]
    found = mutate.outcomes(damaged, {".x": _bad_reader}, limit_s=0.5)
    assert [o.outcome for o in found] == ["other", "over memory", "crashed", "refused", "over time", "read"]
    assert "| .x | 6 | 1 | 1 | 1 | 1 | 1 | 1 |" in mutate.table(found)


def test_readers_need_no_jax():
    """A reader's process stays small, and files can be checked where no accelerator is."""
    program = "import sys, biomechjax.motion.readers; sys.exit('jax' in sys.modules)"
    root = str(Path(__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": root}).returncode == 0
