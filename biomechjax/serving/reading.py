"""Uploaded files to a recording, in a process of its own with limits."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.figure import Line, StickFigure
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording
from biomechjax.serving.limits import Limits
from biomechjax.serving.read_child import TOO_MUCH

LOADED = 2.0  # times the processor time may pass


async def read_in_child(
    folder: Path, file: Path, options: ReadOptions, limits: Limits
) -> tuple[Recording, StickFigure | None]:
    """The recording in a file, its `source` the name alone, and the figure of a skeleton, which no recording holds.

    Whatever the reading writes goes into `folder`; the file may lie deeper in it.

    Raises:
        InputError: as `read_recording`, without the folder in its message, or reading took too much time or memory.
    """
    out = folder / "read.npz"
    given = json.dumps(dataclasses.asdict(options))
    # -P: the folder of the program has modules of its own that must not stand in for others.
    command = [sys.executable, "-P", "-m", f"{__package__}.read_child", str(file.parent), file.name, str(out), given]
    process = await asyncio.create_subprocess_exec(
        *command,
        str(limits.reading_bytes),
        str(limits.reading_s),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)},
        start_new_session=True,  # so that readers with a process of their own end with it
    )
    costly = InputError(f"{file.name}: reading it takes too much time or memory; it is damaged, or cut the trial")
    try:
        said, errors = await asyncio.wait_for(process.communicate(), LOADED * limits.reading_s)
    except TimeoutError:
        raise costly from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if said:
        raise InputError(_without_folders(json.loads(said)["error"], file.parent, folder))
    if process.returncode == TOO_MUCH or (process.returncode or 0) < 0:  # or a signal, as for too much time
        raise costly
    if process.returncode:
        raise RuntimeError(f"reading ended with {process.returncode}: {errors.decode(errors='replace')}")
    with np.load(out, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        format = MotionFormat.from_dict(about["format"])
        notes = tuple(_without_folders(note, file.parent, folder) for note in about["notes"])
        recording = Recording(format, about["rate_hz"], arrays["values"], arrays["observed"], file.name, notes)
        return recording, _figure(about["figure"], arrays["places"]) if "figure" in about else None


def _without_folders(text: str, *folders: Path) -> str:
    for folder in folders:
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def _figure(fields: dict[str, Any], places: np.ndarray) -> StickFigure:
    lines = tuple(Line(**line | {"points": tuple(line["points"])}) for line in fields["lines"])
    names, notes = tuple(fields["names"]), tuple(fields["notes"])
    return StickFigure(**fields | {"places": places, "lines": lines, "names": names, "notes": notes})
