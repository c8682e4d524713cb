"""Pictures of a recording: joint angles over the gait cycle, and the body in movement."""

import functools
import tomllib
from collections.abc import Sequence
from pathlib import Path

import jax
import mujoco
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from biomechjax.motion.bids_motion import SIMULATED
from biomechjax.motion.body import DEFAULT_HEIGHT_M, body_model, skeleton
from biomechjax.motion.events import NEEDED, Feet, GaitEvents, ahead, observe_feet
from biomechjax.motion.features import with_heading_first, with_heading_last
from biomechjax.motion.format import CANONICAL
from biomechjax.motion.gait import cycles
from biomechjax.motion.recording import Recording
from biomechjax.motion.stick import body_lines, body_places

PERCENT = np.linspace(0, 100, 51)
COLOURS = ("tab:red", "tab:blue")  # right, left
NAMES = ("right", "left")
# Joint, what its positive direction is called on paper, and the sign that makes it so.
PANELS = (
    ("pelvis_tilt", "pelvis: tilt forward", -1),
    ("hip_flexion", "hip: flexion", 1),
    ("knee_angle", "knee: flexion", -1),
    ("ankle_angle", "ankle: dorsiflexion", 1),
)
SIZE = 240  # pixels of a picture of the body


@functools.cache
def normative() -> dict:
    """The band of `normative.toml`: `title`, and for each joint `mean_deg` and `sd_deg` at `PERCENT` of the cycle."""
    return tomllib.loads((Path(__file__).parent / "normative.toml").read_text(encoding="utf-8"))


def cycle_curves(recording: Recording, events: GaitEvents, channel: str, side: int) -> np.ndarray:
    """[cycles, 51] of a channel at `PERCENT` of each gait cycle of a side, the pelvis's with the heading first."""
    frames, values = np.arange(len(recording.values)), _facing_the_body(recording, channel)
    curves = [
        np.interp((start + PERCENT / 100 * (end - start)) * recording.rate_hz, frames, values)
        for start, end in cycles(events, side)
    ]
    return np.array(curves).reshape(-1, len(PERCENT))


def _facing_the_body(recording: Recording, channel: str) -> np.ndarray:
    """Values [F] of a channel, which for the pelvis do not depend on the direction faced."""
    return with_heading_first(recording.format, recording.values)[:, recording.format.indices[channel]]


def _title(recording: Recording) -> str:
    return ("SIMULATED person: " if SIMULATED in recording.notes else "") + Path(recording.source).name


def draw_angles(recording: Recording, events: GaitEvents) -> Figure:
    """Angles of pelvis, hip, knee and ankle in degrees over the gait cycle, right red and left blue.

    Every cycle is a thin line, their mean a thick one, over the grey band of `normative`. Without a whole cycle the
    angles are drawn over time, without a band.
    """
    seen = any(cycles(events, side) for side in (0, 1))
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).ravel()
    for axis, (joint, title, sign) in zip(axes, PANELS, strict=True):
        axis.set_ylabel(f"{title} (degrees)")
        if seen:
            band = normative()[joint]
            mean, spread = sign * np.array(band["mean_deg"]), np.array(band["sd_deg"])
            axis.fill_between(PERCENT, mean - spread, mean + spread, color="0.85")
        for side, colour in enumerate(COLOURS):
            name = joint if joint == "pelvis_tilt" else f"{joint}_{'rl'[side]}"
            if not recording.observed[recording.format.indices[name]]:
                axis.text(0.5, 0.5, f"{name} was not recorded", transform=axis.transAxes, ha="center")
            elif seen:
                curves = sign * np.rad2deg(cycle_curves(recording, events, name, side))
                axis.plot(PERCENT, curves.T, color=colour, linewidth=0.6, alpha=0.6)
                if len(curves):
                    label = f"{NAMES[side]}, mean of {len(curves)}"
                    axis.plot(PERCENT, curves.mean(axis=0), color=colour, linewidth=2, label=label)
            else:
                time = np.arange(len(recording.values)) / recording.rate_hz
                axis.plot(time, sign * np.rad2deg(_facing_the_body(recording, name)), color=colour)
    if seen:
        axes[2].legend(loc="best", fontsize="small")  # of the knees, without which there is no cycle
    about = f"thin: each gait cycle; grey: {normative()['title']}" if seen else "no gait cycle"
    figure.suptitle(f"{_title(recording)}\n{about}", fontsize="small")
    for axis in axes[2:]:
        axis.set_xlabel("% of the gait cycle" if seen else "seconds")
    return figure


def body_pictures(
    recording: Recording, frames: Sequence[int], height_m: float = DEFAULT_HEIGHT_M
) -> tuple[list[np.ndarray], bool]:
    """Pictures uint8 [SIZE, SIZE, 3] of the body in some frames, seen from its right, walking to the right.

    Rendered by MuJoCo where the machine can (second result True), otherwise stick figures of the same body.
    """
    feet = observe_feet(recording, height_m)
    try:
        return _rendered(recording, feet, frames), True
    except (mujoco.FatalError, ImportError, RuntimeError, AttributeError, OSError):  # no OpenGL, each in its own words
        return [_stick_figure(feet, f) for f in frames], False


def draw_reconstruction(original: Recording, decoded: Recording, panels: int = 6, figures: int = 10) -> Figure:
    """A movement and what a tokenizer makes of it, original grey and decoded red.

    The `panels` angles that move most over time, in a format without angles the channels; and for a canonical recording
    of hips and knees stick figures, the original's above.
    """
    format, observed = original.format, original.observed
    shown = np.flatnonzero(observed & format.angles if (observed & format.angles).any() else observed)
    shown = shown[np.argsort(-original.values[:, shown].std(axis=0), kind="stable")[:panels]]
    bodies = format.name == CANONICAL and all(observed[format.indices[n]] for n in NEEDED)
    heights = [1.4] * len(shown) + [3.5] * bodies
    figure = Figure(figsize=(10, sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    time = np.arange(len(original.values)) / original.rate_hz
    for axis, column in zip(axes[: len(shown)], shown, strict=True):
        in_degrees = format.channels[column].unit == "rad"
        for recording, colour, label in ((original, "0.5", "original"), (decoded, "tab:red", "decoded")):
            values = recording.values[:, column]
            axis.plot(time, np.rad2deg(values) if in_degrees else values, color=colour, linewidth=1, label=label)
        axis.set_ylabel(f"{format.names[column]}\n({'degrees' if in_degrees else 'm'})", fontsize="x-small")
    axes[0].set_title(Path(original.source).name, fontsize="small")
    axes[0].legend(loc="upper right", fontsize="x-small")
    axes[len(shown) - 1].set_xlabel("seconds")
    if bodies:
        frames = np.linspace(0, len(time) - 1, figures).round().astype(int)
        rows = []
        for feet in (observe_feet(original), observe_feet(decoded)):
            rows.append(np.concatenate([_stick_figure(feet, f) for f in frames], axis=1))
        axes[-1].imshow(np.concatenate(rows))
        axes[-1].set_title("original above, decoded below", fontsize="small")
        axes[-1].axis("off")
    return figure


def strip_frames(recording: Recording, events: GaitEvents, count: int = 8) -> tuple[list[int], list[str]]:
    """`count` frames over the middle gait cycle of the right side, or without one over the whole recording, and when
    each is."""
    last = len(recording.values) - 1
    found = cycles(events, 0)
    start, end = found[len(found) // 2] if found else (0.0, last / recording.rate_hz)
    times = np.linspace(start, end, count)
    when = [f"{100 * (t - start) / (end - start):.0f} %" if found else f"{t:.1f} s" for t in times]
    return [min(round(t * recording.rate_hz), last) for t in times], when


def draw_strip(recording: Recording, pictures: Sequence[np.ndarray], when: Sequence[str]) -> Figure:
    """Pictures side by side, without the columns that are empty in all, and below each when it is."""
    drawn = np.any([p != p[:1, :1] for p in pictures], axis=(0, 1, 3))
    columns = np.flatnonzero(drawn) if drawn.any() else np.arange(len(drawn))
    within = slice(max(0, columns[0] - 4), columns[-1] + 5)
    width = len(range(*within.indices(len(drawn))))
    figure = Figure(figsize=(0.01 * width * len(pictures), 0.01 * SIZE + 0.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(pictures)))
    for axis, picture, text in zip(axes, pictures, when, strict=True):
        axis.imshow(picture[:, within])
        axis.set(xticks=[], yticks=[], xlabel=text)
        axis.spines[:].set_visible(False)
    cycle = " of a gait cycle of the right side" if when[0].endswith("%") else ""
    figure.suptitle(f"{_title(recording)}, right red, left blue{cycle and ', %' + cycle}", fontsize="small")
    return figure


def save_animation(pictures: Sequence[np.ndarray], rate_hz: float, path: Path) -> None:
    """Pictures one after the other as a GIF without end; GIF counts in hundredths of a second."""
    first, *rest = [Image.fromarray(p) for p in pictures]
    first.save(path, save_all=True, append_images=rest, duration=round(100 / rate_hz) * 10, loop=0)


def _rendered(recording: Recording, feet: Feet, frames: Sequence[int]) -> list[np.ndarray]:
    model = body_model(feet.height_m)
    for geom, body in enumerate(model.geom_bodyid):
        side = model.body(body).name[-2:]
        if side in ("_r", "_l"):
            model.geom_rgba[geom, :3] = to_rgb(COLOURS["_r _l".split().index(side)])
    data = mujoco.MjData(model)
    values = facing_ahead(recording, feet)
    with mujoco.Renderer(model, SIZE, SIZE) as renderer:
        pictures = []
        for frame in frames:
            data.qpos[:] = values[frame]
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera="from_the_right")
            pictures.append(renderer.render().copy())
    return pictures


def facing_ahead(recording: Recording, feet: Feet) -> np.ndarray:
    """Channels [F, C] of the same movement on the spot: the pelvis over the origin, the person facing along x, and the
    lowest point of the feet half a body height below the origin."""
    columns = recording.format.indices
    values = recording.values.astype(float)
    values = with_heading_first(recording.format, values)
    values[:, columns["pelvis_rotation"]] -= feet.facing
    values = with_heading_last(recording.format, values)
    values[:, [columns["pelvis_tx"], columns["pelvis_tz"]]] = 0
    values[:, columns["pelvis_ty"]] = [_pelvis_height(feet, f) - 0.5 * feet.height_m for f in range(len(values))]
    return values


def _pelvis_height(feet: Feet, frame: int) -> float:
    """Metres of the pelvis above the lowest point of the feet, so that the body stands on a floor in every picture."""
    lowest = min(float(x[frame, :, 1].min()) for x in (feet.pose.heels, feet.pose.balls, feet.pose.toes))
    return float(feet.pose.joints[frame, 0, 1]) - lowest


def _stick_figure(feet: Feet, frame: int) -> np.ndarray:
    figure = Figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    pelvis = np.asarray(feet.pose.joints[frame, 0])

    def flat(places: np.ndarray) -> np.ndarray:
        between = np.asarray(places) - pelvis
        return np.stack([ahead(between, feet.facing[frame]), between[..., 1] + _pelvis_height(feet, frame)], axis=-1)

    places = flat(body_places(jax.tree.map(lambda x: x[frame], feet.pose)))
    for line in body_lines(np.ones(len(skeleton().axes), bool)):
        colour = dict(zip("rlm", (*COLOURS, "black"), strict=True))[line.side]
        axis.plot(*places[list(line.points)].T, color=colour, linewidth=2, solid_capstyle="round")
    axis.axhline(0, color="0.7", linewidth=1)
    axis.set(xlim=(-0.62 * feet.height_m, 0.62 * feet.height_m), ylim=(-0.1 * feet.height_m, 1.14 * feet.height_m))
    axis.axis("off")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
