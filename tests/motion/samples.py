"""A small sound file of every kind that can be written here, to be damaged."""

import functools
import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import test_bvh
import test_clips
import test_opensim
import test_table
import test_trc
from mutate import Sound

from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import READERS, read_recording


def recording(path: Path, options: ReadOptions = ReadOptions(), beside: tuple[Path, ...] = ()) -> Sound:
    """A movement file, what must be said about it, and files that belong to it, whose names begin as its own does."""
    ending = next(ending for ending in READERS if path.name.lower().endswith(ending))
    stem = path.name[: -len(ending)]
    files = {f"damaged{p.name.removeprefix(stem)}": p.read_bytes() for p in (path, *beside)}
    return Sound(ending, files, functools.partial(read_recording, options=options), f"damaged{ending}")


def write_samples(folder: Path) -> list[Sound]:
    """Files with few channels, so that damage hits what is read; with the options that each needs."""
    walk, deg = test_table.WALK, ReadOptions(unit="deg")
    files = [
        recording(test_opensim.write(folder / f"a{suffix}", test_opensim.columns())) for suffix in (".mot", ".sto")
    ]
    files += [
        recording(test_trc.write(folder / "a.trc", test_trc.markers())),
        recording(test_bvh.write(folder / "a.bvh")),
    ]
    tables = [".csv", ".tsv", *([".parquet"] if importlib.util.find_spec("pyarrow") else [])]
    files += [
        recording(test_table.write(folder / f"a{suffix}", {"t": test_table.TIME} | walk), deg) for suffix in tables
    ]
    coordinates = {f"q_{n}": np.deg2rad(v) for n, v in walk.items()}
    np.savez(folder / "a.npz", frequency=np.array(30.0), **coordinates)
    np.savez_compressed(folder / "b.npz", qpos=np.stack([*walk.values()] * 7, axis=1))
    files += [
        recording(folder / "a.npz"),
        recording(folder / "b.npz", ReadOptions(format="predictcpgait", rate_hz=30.0, unit="deg", unit_m=0.001)),
    ]
    cycle = ReadOptions(array="ExperimentalData.Q.subject1.Qs.all[2]", duration_s=1.1)
    files += [
        recording(test_clips.mat(folder / "a.mat")[0], cycle),
        recording(test_clips.deepmimic(folder / "a.txt")),
        recording(test_clips.gaitkit(folder / "a.json", 25.0)),
    ]
    angles = np.rad2deg(0.5 * np.sin(np.arange(40)[:, None] / 9 + np.arange(66)))
    np.savetxt(folder / "a_angles.txt", angles, fmt="%.2f", delimiter=",")
    packed = folder / "b_angles_inc.txt.gz"
    packed.write_bytes(gzip.compress((folder / "a_angles.txt").read_bytes()))
    files += [recording(folder / "a_angles.txt"), recording(packed), _bids(folder)]
    if importlib.util.find_spec("ezc3d"):
        import test_c3d

        files.append(recording(test_c3d.write(folder / "a.c3d", test_c3d.walker(0))))
    return files


def _bids(folder: Path) -> Sound:
    stem = "sub-1_task-walk_tracksys-imu"
    files = [folder / f"{stem}_{name}" for name in ("motion.tsv", "channels.tsv", "motion.json")]
    np.savetxt(files[0], np.stack([*test_table.WALK.values()], axis=1), fmt="%.5f", delimiter="\t")
    units = ["m" if "_t" in n else "deg" for n in test_table.WALK]
    rows = "".join(f"{n}\tn/a\t{n}\t{u}\n" for n, u in zip(test_table.WALK, units, strict=True))
    files[1].write_text("name\tcomponent\ttracked_point\tunits\n" + rows)
    files[2].write_text(json.dumps({"SamplingFrequency": 30.0, "TaskName": "walk"}))
    return recording(files[0], beside=tuple(files[1:]))
