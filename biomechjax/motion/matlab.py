"""MATLAB files (`.mat`, version 5 to 7) with gait cycles: a structure with names and cycles of 100 points each.

As in the recordings of predictcpgait (Falisse et al. 2020, doi 10.3389/fnhum.2020.00040):
`ExperimentalData.Q.subject1.Qs` has `colheaders` [C] and `all` [F, C, cycles], in degrees and metres.
"""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.files import MAX_BYTES, check_size
from biomechjax.motion.format import load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording

FORMAT, POSITIONS = "predictcpgait", "ExperimentalData.Q.subject1.Qs.all"


def read_mat(path: Path, options: ReadOptions) -> Recording:
    """One gait cycle, as if it took a second; the caller spreads it over the duration that was given.

    `options.array` is `PATH.all[i]`, i the cycle from 0; the format is predictcpgait's unless one is given.

    Raises:
        InputError: no readable MATLAB file, no such cycle, or no duration is given.
    """
    match = re.fullmatch(r"([\w.]+)\.(\w+)\[(\d+)\]", options.array or "")
    if match is None or options.duration_s is None:
        raise InputError(
            f"{path}: which cycle, and how long it took, is not in the file; give the array, such as {POSITIONS}[0] "
            "for the first, and the duration in seconds"
        )
    check_size(path)
    if not _unpacks_to_at_most(path.read_bytes(), MAX_BYTES):
        raise InputError(f"{path}: unpacks to more than {MAX_BYTES / 1e6:.0f} MB; save the cycles alone")
    try:
        table: Any = scipy.io.loadmat(path, simplify_cells=True)
        for key in match[1].split("."):
            table = table[key]
        names = [str(n) for n in table["colheaders"]]
        cycles = np.asarray(table[match[2]], np.float64)
        values = cycles[:, :, int(match[3])]
    # SciPy raises whatever a damaged file leads it into.
    except Exception as e:
        raise InputError(f"{path}: no cycle {options.array} with colheaders beside it: {e!r}") from e
    if values.shape[1] != len(names):
        raise InputError(f"{path}: {options.array} has {values.shape[1]} columns and {len(names)} colheaders")
    columns = dict(zip(names, values.T, strict=True))
    rate_hz = float(len(values) - 1)
    return assemble(load_format(options.format or FORMAT), columns, rate_hz, ReadOptions(unit="deg"), path)


def _unpacks_to_at_most(file: bytes, limit: int) -> bool:
    """Whether the compressed elements of a MATLAB 5 file (type 15: a tag of two words, then zlib) stay below `limit`.

    What is damaged is left to SciPy to find.
    """
    order, at, total = ">" if file[126:128] == b"MI" else "<", 128, 0
    while at + 8 <= len(file):
        kind, size = struct.unpack_from(f"{order}II", file, at)
        unpack, rest = zlib.decompressobj(), file[at + 8 : at + 8 + size] if kind == 15 else b""
        while rest and not unpack.eof and total <= limit:
            try:
                total += len(unpack.decompress(rest, 2**20))
            except zlib.error:
                break
            rest = unpack.unconsumed_tail
        at += 8 + size
    return total <= limit
