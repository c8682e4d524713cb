"""NumPy archives (`.npz`): MuJoCo coordinates by name, `qpos`, or any array whose columns are those of a format."""

import math
import zipfile
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording

MAX_BYTES = 2**30  # of one array; hours of whole-body movement
# LocoMuJoCo counts the pelvis from where its model starts, not from the floor. A standing adult's is 0.8 to 1.1 m high.
LOWEST_PELVIS_M = 0.3
RATE_DISAGREES = 0.1


def read_npz(path: Path, options: ReadOptions) -> Recording:
    """A recording from an archive.

    Without `options.array`, arrays `q_NAME` [F] are coordinates of MuJoCo in radians and metres (LocoMuJoCo; canonical
    unless a format is given), else `qpos` [F, C] is taken. An array is [F, C] with the columns of the given format in
    order, or [F, J, 3], which is joined to [F, 3 J]. The rate is `options.rate_hz`, or an array `frequency` of the
    file, or what velocities `dq_NAME` say.

    Raises:
        InputError: no readable archive, an array is larger than 1 GiB, absent, of objects or of another shape than the
            format, or something that the file does not say is not given.
    """
    with _open(path) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist()]
        frequency = float(_array(archive, "frequency", path).reshape(-1)[0]) if "frequency" in names else None
        coordinates = [n.removeprefix("q_") for n in names if n.startswith("q_")]
        if coordinates and options.array is None:
            positions = {n: _array(archive, f"q_{n}", path) for n in coordinates}
            velocities = {n: _array(archive, f"dq_{n}", path) for n in coordinates if f"dq_{n}" in names}
            return _read_coordinates(positions, velocities, frequency, options, path)
        name = options.array or "qpos"
        if name not in names:
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            raise InputError(f"{path}: no array {name!r}; give one of {shown}")
        values = _array(archive, name, path)
    if options.format is None:
        raise InputError(f"{path}: array {name} does not say what its columns are; give a format")
    format = load_format(options.format)
    values = values.reshape(len(values), -1) if values.ndim == 3 else values
    if values.ndim != 2 or values.shape[1] != format.size:
        raise InputError(
            f"{path}: array {name} is {list(values.shape)}; expected [frames, {format.size}], the channels of format "
            f"{format.name}"
        )
    rate_hz = _rate(options.rate_hz, frequency, path)
    return assemble(format, dict(zip(format.names, values.T, strict=True)), rate_hz, options, path)


def _read_coordinates(
    positions: dict[str, np.ndarray],
    velocities: dict[str, np.ndarray],
    frequency: float | None,
    options: ReadOptions,
    path: Path,
) -> Recording:
    options.refuse_all_but(("format", "rate_hz", "duration_s"), path)
    lengths = {v.shape for v in positions.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise InputError(f"{path}: arrays q_* have shapes {sorted(lengths)}; expected one number a frame in each")
    given, notes = options.rate_hz or frequency, []
    measured = _rate_of_velocities(positions, velocities)
    if measured is not None:
        if given is not None and abs(given / measured - 1) > RATE_DISAGREES:
            raise InputError(
                f"{path}: the rate is given as {given:g} Hz, but positions and velocities in the file make it "
                f"{measured:.0f} Hz; leave the rate out to take that"
            )
        if given is None:
            notes.append(f"The rate, {measured:.0f} Hz, is what positions and velocities in the file make it.")
            given = float(round(measured))
    if "pelvis_ty" in positions and np.median(positions["pelvis_ty"]) < LOWEST_PELVIS_M:
        low, high = positions["pelvis_ty"].min(), positions["pelvis_ty"].max()
        notes.append(f"pelvis_ty, {low:.2f} to {high:.2f} m, is no height above the floor; dropped.")
        positions = {n: v for n, v in positions.items() if n != "pelvis_ty"}
    radians = ReadOptions(unit="rad")
    format = load_format(options.format or CANONICAL)
    return assemble(format, positions, _rate(given, None, path), radians, path, tuple(notes), tuple(positions))


def _rate_of_velocities(positions: dict[str, np.ndarray], velocities: dict[str, np.ndarray]) -> float | None:
    """Hertz at which positions change as velocities say, of the coordinate where the two agree best; None without any.

    Smoothed velocities agree badly where little moves: in LocoMuJoCo's walk one coordinate says 499.94 Hz and the
    median of all 486.
    """
    best: tuple[float, float] = 0.99, 0.0  # correlation, hertz
    for name, velocity in velocities.items():
        if len(velocity) < 3 or velocity.shape != positions[name].shape or not np.isfinite(velocity).all():
            continue
        change = np.gradient(positions[name])
        size = np.linalg.norm(change) * np.linalg.norm(velocity)
        if size > 0:
            best = max(best, ((change @ velocity) / size, (change @ velocity) / (change @ change)))
    return best[1] or None


def _rate(given: float | None, frequency: float | None, path: Path) -> float:
    rate_hz = given or frequency
    if rate_hz is None:
        raise InputError(f"{path}: the file does not say its frames per second; give the rate")
    return rate_hz


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as e:
        raise InputError(f"{path}: no .npz archive: {e}") from e


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of numbers as float64; its size is known before any of it is unpacked."""
    try:
        with archive.open(f"{name}.npy") as file:
            if (size := archive.getinfo(f"{name}.npy").file_size) > MAX_BYTES:
                raise InputError(f"{path}: array {name} unpacks to {size / 2**30:.1f} GiB; expected at most 1 GiB")
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize > size:
                raise InputError(f"{path}: array {name} is {dtype} {list(shape)} in {size} bytes; expected numbers")
        with archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False).astype(np.float64)
    except InputError:
        raise
    # NumPy and zipfile raise whatever a damaged header or archive leads them into, errors of Python's parser included.
    except Exception as e:
        raise InputError(f"{path}: array {name} is not readable: {e}") from e
