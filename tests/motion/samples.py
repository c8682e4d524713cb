"""A small sound file of every kind that can be written here, to be damaged."""

import importlib.util
from pathlib import Path

import numpy as np
import test_bvh
import test_clips
import test_opensim
import test_table
import test_trc
from mutate import Sound

from biomechjax.motion.options import ReadOptions


def write_samples(folder: Path) -> list[Sound]:
    """Files with few channels, so that damage hits what is read; with the options that each needs."""
    walk, deg = test_table.WALK, ReadOptions(unit="deg")
    files = [Sound(test_opensim.write(folder / f"a{suffix}", test_opensim.columns())) for suffix in (".mot", ".sto")]
    files += [Sound(test_trc.write(folder / "a.trc", test_trc.markers())), Sound(test_bvh.write(folder / "a.bvh"))]
    tables = [".csv", ".tsv", *([".parquet"] if importlib.util.find_spec("pyarrow") else [])]
    files += [Sound(test_table.write(folder / f"a{suffix}", {"t": test_table.TIME} | walk), deg) for suffix in tables]
    coordinates = {f"q_{n}": np.deg2rad(v) for n, v in walk.items()}
    np.savez(folder / "a.npz", frequency=np.array(30.0), **coordinates)
    np.savez_compressed(folder / "b.npz", qpos=np.stack([*walk.values()] * 7, axis=1))
    files += [
        Sound(folder / "a.npz"),
        Sound(folder / "b.npz", ReadOptions(format="predictcpgait", rate_hz=30.0, unit="deg", unit_m=0.001)),
    ]
    cycle = ReadOptions(array="ExperimentalData.Q.subject1.Qs.all[2]", duration_s=1.1)
    files += [
        Sound(test_clips.mat(folder / "a.mat")[0], cycle),
        Sound(test_clips.deepmimic(folder / "a.txt")),
        Sound(test_clips.gaitkit(folder / "a.json", 25.0)),
    ]
    if importlib.util.find_spec("ezc3d"):
        import test_c3d

        files.append(Sound(test_c3d.write(folder / "a.c3d", test_c3d.walker(0))))
    return files
