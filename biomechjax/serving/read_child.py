"""Reads one uploaded recording in a process of its own and writes what is in it; run as a program by `reading.py`.

    python -P -m biomechjax.serving.read_child FOLDER FILE OUT OPTIONS MAX_BYTES SECONDS

FILE lies in FOLDER. OUT becomes a `.npz`. OPTIONS are the fields of `ReadOptions` as JSON. Bad
input is one line of JSON {"error": ...} on the standard output; memory and processor time end only this process.
"""

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.bvh import bvh_figure
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording

TOO_MUCH = 3  # the exit status where memory does not suffice


def main(folder: str, file: str, out: str, options: str, max_bytes: int, seconds: float) -> None:
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        last = math.ceil(time.process_time() + seconds)
        for what, most in ((resource.RLIMIT_AS, max_bytes), (resource.RLIMIT_CPU, last), (resource.RLIMIT_CORE, 0)):
            hard = resource.getrlimit(what)[1]  # -1: none
            resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))
    os.chdir(folder)
    try:
        recording = read_recording(Path(file), ReadOptions(**json.loads(options)))
        figure = bvh_figure(Path(file)) if file.lower().endswith(".bvh") else None
    except InputError as e:
        print(json.dumps({"error": str(e)}))
        return
    except MemoryError:
        sys.exit(TOO_MUCH)
    about = {"format": recording.format.to_dict(), "rate_hz": recording.rate_hz, "notes": recording.notes}
    arrays: dict[str, Any] = {"values": recording.values, "observed": recording.observed}
    if figure:
        fields = dataclasses.asdict(dataclasses.replace(figure, places=np.zeros(0)))
        about["figure"] = {k: v for k, v in fields.items() if k != "places"}
        arrays["places"] = figure.places
    np.savez(out, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


if __name__ == "__main__":
    _, folder, file, out, options, max_bytes, seconds = sys.argv
    main(folder, file, out, options, int(max_bytes), float(seconds))
