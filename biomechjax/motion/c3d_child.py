"""Reads one C3D file with ezc3d and writes what is of interest as a `.npz`; run as a program by `c3d.py`.

    python c3d_child.py FILE OUT MAX_BYTES SECONDS

A damaged file makes ezc3d allocate by what its parameters promise, crash, or go on for ever; here that ends only this
process, of which the seconds are processor time.
"""

import contextlib
import json
import math
import re
import sys
import time

import numpy as np

NOT_MARKERS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS")


def main(path: str, out: str, max_bytes: int, seconds: float) -> None:
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # -1: none
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes if hard < 0 else min(max_bytes, hard), hard))
        last = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (last, last + 1))
    import ezc3d

    file = ezc3d.c3d(path)
    parameters = file["parameters"]

    def texts(group: str, pattern: str) -> list[str]:
        """All values of the parameters of a group whose names match: LABELS goes on in LABELS2 after 255 of them."""
        names = sorted((n for n in parameters.get(group, {}) if re.fullmatch(pattern, n)), key=lambda n: (len(n), n))
        # Bytes that are not UTF-8 come as surrogates, which cannot be written; \xe9 can.
        found = [str(text).encode("utf-8", "surrogateescape") for n in names for text in parameters[group][n]["value"]]
        return [text.decode("utf-8", "backslashreplace").strip() for text in found]

    points = file["data"]["points"][:3].transpose(2, 1, 0).astype(np.float64)
    residuals = file["data"]["meta_points"]["residuals"][0].T
    points[(residuals < 0) | (points == 0).all(axis=2) | ~np.isfinite(points).all(axis=2)] = np.nan
    header = file["header"]["points"]
    times = np.ravel(np.asarray(parameters.get("EVENT", {}).get("TIMES", {}).get("value", []), float), order="F")
    about = {
        "labels": texts("POINT", r"LABELS\d*"),
        "outputs": texts("POINT", "|".join(f"{kind}\\d*" for kind in NOT_MARKERS)),
        "units": texts("POINT", "UNITS"),
        "up": texts("POINT", "Y_SCREEN"),
        "frames": int(header["last_frame"]) - int(header["first_frame"]) + 1,
        "first_frame": int(header["first_frame"]),
        "rate_hz": float(header["frame_rate"]),
        "event_labels": texts("EVENT", r"LABELS\d*"),
        "event_contexts": texts("EVENT", r"CONTEXTS\d*"),
        "event_minutes_seconds": times.tolist(),
    }
    np.savez(out, points=points, about=np.frombuffer(json.dumps(about).encode(), np.uint8))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
