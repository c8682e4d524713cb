"""Damaged files of every kind are read or refused, in time and in bounds; `soak/fuzz.py` runs thousands of them."""

import os
import re
import time
import warnings
from pathlib import Path

import mutate
from processes import run_python
from samples import write_samples

from biomechjax.errors import InputError
from biomechjax.motion.readers import READERS


def test_damaged_files_are_read_or_refused(tmp_path: Path):
    sources = write_samples(tmp_path)
    plain = {"_angles_inc.txt", "_angles.txt.gz"}  # as the two other endings of UI-PRMD
    others = {".c3d", ".parquet"}  # these need other packages
    assert {s.kind for s in sources} >= set(READERS) - plain - others
    whole = list(mutate.outcomes([source.damaged() for source in sources], sources))
    assert [o.outcome for o in whole] == ["read"] * len(sources)
    count = len(mutate.MUTATIONS) * len(sources)
    found = list(mutate.outcomes(mutate.mutants(sources, count, seed=0), sources))
    bad = [o for o in found if o.outcome not in ("read", "refused")]
    assert len(found) == count and not bad
    assert sum(o.outcome == "refused" for o in found) > count / 2
    assert all(re.search(r"damaged[._]\w", o.detail) for o in found if o.outcome == "refused")


def _bad_reader(path: Path) -> None:
    """Does what the file says."""
    command = (path / "a").read_text()
    if command == "fail":
        raise KeyError(command)
    if command == "panic":
        raise GeneratorExit
    if command == "warn":
        warnings.warn("odd", stacklevel=1)
    if command == "refuse":
        raise InputError(f"{path}: no")
    if command == "refuse without a name":
        raise InputError("no")
    if command == "hang":
        time.sleep(60)
    if command == "work":
        while True:
            pass
    if command == "swell":
        bytearray(2 * mutate.LIMIT_BYTES)
    if command == "stray":
        (path / f"../{mutate.DECOY}/a").read_text()
    if command == "die":
        os.abort()


def test_bad_readers_are_found_out():
    """Otherwise a table of zeros would say nothing."""
    expected = {
        "fail": "other",
        "swell": "over memory",
        "die": "crashed",
        "panic": "other",
        "warn": "other",
        "refuse": "refused",
        "refuse without a name": "other",
        "stray": "other",
        "hang": "over time",
        "work": "over time",
        "read": "read",
    }
    damaged = [mutate.Damaged("x", command, {"a": command.encode()}, _bad_reader) for command in expected]
    sound = mutate.Sound("x", {"a": b"read"}, _bad_reader)  # first, since each process imports this module
    found = list(mutate.outcomes(damaged, [sound], limit_s=0.5))
    assert {o.damage: o.outcome for o in found} == expected
    assert "| x | 11 | 1 | 1 | 5 | 2 | 1 | 1 |" in mutate.table(found)


def test_readers_need_no_jax():
    """A reader's process stays small, and files can be checked where no accelerator is."""
    program = "import sys, biomechjax.motion.readers; sys.exit('jax' in sys.modules)"
    assert run_python("-c", program).returncode == 0
