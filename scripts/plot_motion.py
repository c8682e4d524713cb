"""Pictures of one recording: joint angles over the gait cycle, the body in movement; and its gait measures."""

import ctypes.util
import dataclasses
import os
from pathlib import Path
from typing import Annotated

import tyro

if ctypes.util.find_library("EGL"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # draws without a screen; MuJoCo decides when it is first imported

from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.motion.body import DEFAULT_HEIGHT_M
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.gait import measure_gait
from biomechjax.motion.mapping import to_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.pictures import body_pictures, draw_angles, draw_strip, save_animation, strip_frames
from biomechjax.motion.readers import read_recording

ANIMATION_HZ = 12.5


@dataclasses.dataclass(frozen=True)
class Arguments:
    motion: tyro.conf.Positional[Path]
    """The recording, of any readable format."""
    out: Path = Path(".")
    """Folder for NAME_angles.png, NAME_body.png and NAME_body.gif."""
    height_m: Annotated[float | None, tyro.conf.arg(metavar="METRES")] = None
    """Body height; 1.7 is assumed without it, and what depends on it says so."""
    animation: bool = False
    """Also the whole movement as a GIF."""
    read: Annotated[ReadOptions, tyro.conf.arg(name="")] = ReadOptions()


def main() -> None:
    args = parse(Arguments, __doc__)
    recording = to_format(read_recording(args.motion, args.read), load_format(CANONICAL))
    gait = measure_gait(recording, args.height_m)
    height = DEFAULT_HEIGHT_M if args.height_m is None else args.height_m
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"--out {args.out}: not a folder that can be written to: {e.strerror}") from e
    for note in recording.notes:
        print(f"note: {note}")
    for name, measure in gait.measures.items():
        if measure.unit != "rad":
            value = "-" if measure.value is None else f"{measure.value:.3g} {measure.unit}"
            print(f"{name:32}{value:18}{measure.note}")

    stem = args.out / args.motion.stem
    draw_angles(recording, gait.events).savefig(f"{stem}_angles.png", dpi=100)
    frames, when = strip_frames(recording, gait.events)
    pictures, rendered = body_pictures(recording, frames, height)
    draw_strip(recording, pictures, when).savefig(f"{stem}_body.png", dpi=100)
    written = ["angles.png", "body.png"]
    if args.animation:
        count = max(2, int(recording.duration_s * ANIMATION_HZ))
        frames = [round(i * (len(recording.values) - 1) / (count - 1)) for i in range(count)]
        save_animation(body_pictures(recording, frames, height)[0], ANIMATION_HZ, Path(f"{stem}_body.gif"))
        written.append("body.gif")
    print(f"written: {', '.join(f'{stem}_{w}' for w in written)}" + ("" if rendered else " (no OpenGL: stick figures)"))


if __name__ == "__main__":
    run(main)
