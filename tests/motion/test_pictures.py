"""Pictures: cycles on a common scale, the same file again and again, a walker drawn with and without OpenGL."""

import dataclasses
import subprocess
from pathlib import Path

import mujoco
import numpy as np
import pytest
from PIL import Image
from processes import run_python
from walks import STRIDE_S, SWING, children, pendulum_walk, standing

from biomechjax.motion import pictures
from biomechjax.motion.bids_motion import SIMULATED
from biomechjax.motion.events import gait_events, observe_feet
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.kinematics import forward_kinematics
from biomechjax.motion.pelvis import opensim_order
from biomechjax.motion.pictures import (
    PERCENT,
    SIZE,
    body_pictures,
    cycle_curves,
    draw_angles,
    draw_reconstruction,
    draw_strip,
    facing_ahead,
    normative,
    save_animation,
    strip_frames,
)
from biomechjax.motion.recording import Recording

SCRIPT = Path(__file__).parents[2] / "scripts" / "plot_motion.py"


def events_of(recording):
    return gait_events(observe_feet(recording))


def test_cycles_on_a_common_scale():
    walk = pendulum_walk(30.0)
    curves = cycle_curves(walk, events_of(walk), "hip_flexion_l", 1)
    assert curves.shape[0] >= 5 and curves.shape[1] == len(PERCENT)
    delay = np.arcsin(0.5 * np.sqrt(0.5))
    np.testing.assert_allclose(curves, [SWING * np.cos(2 * np.pi * PERCENT / 100 + delay)] * len(curves), atol=0.02)


def test_the_band_is_that_of_the_children():
    """The file holds what the cycles of the measured children give."""
    band = {joint: normative()[joint] for joint in ("hip_flexion", "knee_angle", "ankle_angle", "pelvis_tilt")}
    means: dict[str, list[np.ndarray]] = {joint: [] for joint in band}
    for recording, _, height_m in children("straight"):
        events = gait_events(observe_feet(recording, height_m))
        for joint, found in means.items():
            names = [joint if joint == "pelvis_tilt" else f"{joint}_{s}" for s in "rl"]
            curves = [cycle_curves(recording, events, name, side) for side, name in enumerate(names)]
            found.append(np.rad2deg(np.concatenate(curves)).mean(axis=0))
    for joint, found in means.items():
        assert len(found) == normative()["children"]
        np.testing.assert_allclose(np.mean(found, axis=0), band[joint]["mean_deg"], atol=0.1)
        np.testing.assert_allclose(np.std(found, axis=0, ddof=1), band[joint]["sd_deg"], atol=0.1)


def test_the_band_is_a_walk():
    """Landmarks any gait text names: the knee bends most, 55 to 65 degrees, at 70 to 75 %; the hip is straightest and
    the foot points down most around toe-off."""
    knee, hip, ankle = (np.array(normative()[j]["mean_deg"]) for j in ("knee_angle", "hip_flexion", "ankle_angle"))
    assert -65 < knee.min() < -55 and 70 <= PERCENT[knee.argmin()] <= 76
    assert 48 <= PERCENT[hip.argmin()] <= 56 and 60 <= PERCENT[ankle.argmin()] <= 68


@pytest.mark.parametrize("walk", [pendulum_walk(30.0), standing(), pendulum_walk(unobserved=("pelvis_tilt",))])
def test_angles_are_drawn_the_same_again(tmp_path: Path, walk):
    for name in ("a.png", "b.png"):
        draw_angles(walk, events_of(walk)).savefig(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("facing", [0.0, 2.0])
def test_stick_figures_walk_to_the_right(monkeypatch: pytest.MonkeyPatch, facing: float):
    def without_opengl(*_):
        raise mujoco.FatalError("no OpenGL")

    monkeypatch.setattr(pictures, "_rendered", without_opengl)
    walk = pendulum_walk(30.0, heading=np.full(240, facing))
    frames, when = strip_frames(walk, events_of(walk))
    assert when[0] == "0 %" and when[-1] == "100 %"
    assert (frames[-1] - frames[0]) / 30 == pytest.approx(STRIDE_S, abs=0.04)
    found, rendered = body_pictures(walk, frames)
    assert not rendered and len(found) == 8
    assert found[0].shape == (SIZE, SIZE, 3) and found[0].dtype == np.uint8
    red = (found[0][..., 0] > 180) & (found[0][..., 1] < 120)
    blue = (found[0][..., 2] > 150) & (found[0][..., 0] < 120)
    low = slice(round(0.75 * SIZE), None)  # at the right strike the right foot, red, is ahead of the left one
    assert np.nonzero(red[low])[1].mean() > np.nonzero(blue[low])[1].mean() + 20
    again, _ = body_pictures(walk, frames)
    np.testing.assert_array_equal(found[0], again[0])


def test_a_walk_on_the_spot_is_the_same_wherever_it_went():
    """Leaning forward by 0.2 and to the right by 0.1 radians, ahead and facing round."""
    there = []
    for facing in (0.0, 2.0):
        walk = pendulum_walk(30.0, heading=np.full(240, facing))
        walk.values[:, 3:6] = opensim_order(np.array([[-0.2, 0.1, facing]]))
        there.append(facing_ahead(walk, observe_feet(walk)))
    np.testing.assert_allclose(there[1], there[0], atol=1e-5)
    np.testing.assert_allclose(there[0][:, 3:6], opensim_order(np.array([[-0.2, 0.1, 0.0]])).repeat(240, 0), atol=1e-5)
    lowest = forward_kinematics(there[0].astype(np.float32)).toes[..., 1].min()
    assert lowest == pytest.approx(-0.85, abs=0.05)


def test_a_reconstruction_is_drawn_beside_the_original():
    """The angles that move most come first; a walk has a body, standing in another format has none."""
    walk = pendulum_walk(30.0)
    walk.values[:, walk.format.indices["knee_angle_r"]] = np.linspace(-1.5, 0, len(walk.values))
    decoded = dataclasses.replace(walk, values=walk.values + np.float32(np.radians(3.0)))
    axes = draw_reconstruction(walk, decoded, panels=3).axes
    assert [a.get_ylabel().split("\n")[0] for a in axes] == ["knee_angle_r", "hip_flexion_r", "hip_flexion_l", ""]
    original, copy = (line.get_ydata() for line in axes[0].lines)
    np.testing.assert_allclose(original, np.linspace(-85.94, 0, len(walk.values)), atol=0.1)
    np.testing.assert_allclose(copy - original, 3.0, atol=1e-3)
    above, below = np.array_split(np.asarray(axes[-1].images[0].get_array()), 2)
    assert above.shape == (SIZE, 10 * SIZE, 3) and (above != below).any()

    channels = [["x", "m", "x"], ["y", "m", "y"]]
    marker = MotionFormat.from_dict({"name": "marker", "channels": channels})
    place = Recording(marker, 30.0, np.linspace([0, 0], [1, 9], 30, dtype=np.float32), np.array([True, False]))
    (axis,) = draw_reconstruction(place, place).axes
    assert axis.get_ylabel() == "x\n(m)" and axis.lines[0].get_ydata()[-1] == 1


def test_a_strip_says_who_and_when_and_leaves_out_what_is_empty():
    shots = [np.full((SIZE, SIZE, 3), 255, np.uint8) for _ in range(3)]
    for i, shot in enumerate(shots):
        shot[50:60, 100 + 10 * i : 110 + 10 * i] = 0
    still = standing(2.0)
    frames, when = strip_frames(still, events_of(still), 3)
    assert (frames, when) == ([0, 100, 199], ["0.0 s", "1.0 s", "2.0 s"])
    figure = draw_strip(still, shots, when)
    assert [a.get_xlabel() for a in figure.axes] == when
    assert {np.shape(a.images[0].get_array()) for a in figure.axes} == {(SIZE, 38, 3)}  # 100 to 130, and 4 around
    assert figure.get_suptitle() == "standing, right red, left blue"
    made_up = dataclasses.replace(still, notes=(SIMULATED,))
    assert draw_strip(made_up, shots, ["0 %"] * 3).get_suptitle().startswith("SIMULATED person: standing")
    assert draw_angles(made_up, events_of(made_up)).get_suptitle().startswith("SIMULATED person: standing")
    walk = pendulum_walk(30.0)
    assert "children" in draw_angles(walk, events_of(walk)).get_suptitle()  # whose band it is


def test_an_animation_is_a_gif(tmp_path: Path):
    shots = [np.full((SIZE, SIZE, 3), grey, np.uint8) for grey in (0, 100, 200)]
    save_animation(shots, 12.5, tmp_path / "a.gif")
    gif = Image.open(tmp_path / "a.gif")
    assert gif.n_frames == 3 and gif.info["duration"] == 80


def write_walk(path: Path) -> Path:
    walk = pendulum_walk(30.0, 4.0)
    names = ("pelvis_tx", "pelvis_tz", "hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l")
    rows = [[i / 30, *(walk.channel(n)[i] for n in names)] for i in range(len(walk.values))]
    text = "\n".join("\t".join(f"{x:.6f}" for x in row) for row in rows)
    path.write_text(f"walk\nversion=1\ninDegrees=no\nendheader\ntime\t{chr(9).join(names)}\n{text}\n")
    return path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return run_python(SCRIPT, *words, cwd=folder, timeout_s=120)


def test_command(tmp_path: Path):
    write_walk(tmp_path / "walk.mot")
    done = run(tmp_path, "walk.mot", "--out", "new/out", "--height-m", "1.8")
    assert done.returncode == 0, done.stderr
    assert "walking_speed_m_s               1.2 m/s" in done.stdout
    assert sorted(p.name for p in (tmp_path / "new" / "out").iterdir()) == ["walk_angles.png", "walk_body.png"]


@pytest.mark.slow
def test_command_takes_other_formats_and_what_a_file_does_not_say(tmp_path: Path):
    """Canonical meanings of a lab's own channels, in degrees at a rate that only the flags tell."""
    names = {"K": "knee_angle_", "H": "hip_flexion_"}
    channels = [[f"{s}{n}", "rad", f"{o}{n}"] for s, o in ("RL", "LR") for n in names]
    same = [f'{name}{s.lower()} = "{s}{n}"' for s in "RL" for n, name in names.items()]
    toml = f'name = "lab"\nchannels = {channels}\n[canonical]\n' + "\n".join(same)
    (tmp_path / "lab.toml").write_text(toml)
    walk = pendulum_walk(30.0, 4.0)
    columns = [np.rad2deg(walk.channel(f"{names[n]}{s.lower()}")) for s in "RL" for n in names]
    rows = [",".join(f"{x:.4f}" for x in row) for row in np.stack(columns, axis=1)]
    (tmp_path / "walk.csv").write_text("\n".join([",".join(c[0] for c in channels), *rows]))
    assert "give the unit" in run(tmp_path, "walk.csv", "--format", "lab.toml", "--rate-hz", "30").stderr
    done = run(tmp_path, "walk.csv", "--format", "lab.toml", "--rate-hz", "30", "--unit", "deg")
    assert done.returncode == 0, done.stderr
    assert "cadence_steps_min               109 steps/min" in done.stdout


def test_command_refuses_a_file_for_a_folder(tmp_path: Path):
    write_walk(tmp_path / "walk.mot")
    done = run(tmp_path, "walk.mot", "--out", "walk.mot")
    assert done.returncode == 2
    assert "--out walk.mot: not a folder that can be written to: File exists" in done.stderr
