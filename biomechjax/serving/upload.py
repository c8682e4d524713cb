"""Files out of the body of a request, never more than was agreed, into a folder that goes away.

The body is the files one after the other; `file` and `size` in the query name each and say how long it is. That is less
to go wrong than multipart/form-data, and needs no parser: the page has the files and their sizes before it sends them.
"""

import asyncio
import re
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from biomechjax.motion import bids_motion
from biomechjax.motion.readers import READERS
from biomechjax.serving.limits import Limits, Refused

MOST_FILES = 5
LONGEST_NAME = 150
BESIDE = ("_channels.tsv", "_motion.json")
ABOVE = (bids_motion.FORMAT, "dataset_description.json")
_NAME = re.compile(r"[^/\\:\x00-\x1f\x7f]+")


def plan(request: Request, folder: Path, limits: Limits) -> tuple[dict[Path, int], Path]:
    """Where each announced file goes in `folder`, with its bytes, and which of them is the recording.

    The files of a BIDS movement lie as in a BIDS folder.

    Raises:
        Refused: no or too many files, a size that is none or too large, a name with a folder in it, or not exactly one
            recording.
    """
    names, sizes = request.query_params.getlist("file"), request.query_params.getlist("size")
    if not 1 <= len(names) <= MOST_FILES or len(sizes) != len(names):
        raise Refused(
            400, f"{len(names)} files with {len(sizes)} sizes; expected 1 to {MOST_FILES}, each with its size"
        )
    if not all(re.fullmatch(r"[0-9]{1,15}", size) for size in sizes):
        raise Refused(400, "a size is no number of bytes")
    if sum(map(int, sizes)) > limits.upload_bytes:
        raise Refused(413, f"{sum(map(int, sizes))} bytes; expected at most {limits.upload_bytes}; cut the trial")
    for name in names:
        if not _NAME.fullmatch(name) or name.startswith(".") or len(name.encode()) > LONGEST_NAME:
            raise Refused(400, f"{name[:LONGEST_NAME]!r} is no name of a file without a folder; rename it")
    motion = folder / "sub" / "ses" / "motion"
    places = [(folder if name in ABOVE else motion) / name for name in names]
    if len(set(places)) < len(places):
        raise Refused(400, "two files have the same name")
    bids = [p for p in places if p.name.lower().endswith(bids_motion.ENDING)]
    others = [p for p in places if p.name not in ABOVE and not (bids and p.name.endswith(BESIDE))]
    if len(others) != 1:
        raise Refused(400, "expected one recording, a *_motion.tsv with its _channels.tsv and _motion.json beside it")
    if not others[0].name.lower().endswith(tuple(READERS)):
        raise Refused(415, f"{others[0].name}: no reader for it; readable: {', '.join(READERS)}")
    return dict(zip(places, map(int, sizes), strict=True)), others[0]


async def receive(request: Request, places: dict[Path, int], limits: Limits) -> None:
    """Writes the body into the files.

    Raises:
        Refused: the body is shorter or longer than announced, or does not arrive in time.
    """
    try:
        async with asyncio.timeout(limits.upload_s):
            await _write(request, places)
    except TimeoutError:
        raise Refused(408, f"the files did not arrive within {limits.upload_s:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the files did not arrive whole") from None


async def _write(request: Request, places: dict[Path, int]) -> None:
    stream, rest = request.stream(), b""
    for place, size in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while size:
                rest = rest or await anext(stream, b"")
                if not rest:
                    raise Refused(400, "the files did not arrive whole")
                part, rest = rest[:size], rest[size:]
                size -= file.write(part)
    if rest or await anext(stream, b""):
        raise Refused(413, "more arrived than was announced")
