"""Are simulated unimpaired walks told from recorded ones, and by what? `python -m tests.cohort.real_or_simulated`.

Extra trees on windows of a second at 30 Hz, flexion of both hips and knees: the channels that all sources share.
Nobody's windows are in both halves of a split; of CMU, where nobody knows who walked, each trial counts as a person.
Simulated walks are taken twice: as they are recorded, with the error of markerless capture, which marker data have not,
and as they truly are.
"""

import functools
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from biomechjax.cohort import activities
from biomechjax.cohort.capture import capture
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.people import draw_person
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

sys.path.insert(0, str(Path(__file__).parents[1] / "motion"))
from walks import SHARED, children

CHANNELS = ("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l")
RATE_HZ, WINDOW = 30.0, 30
OPENSIM = ("opencap_walking1", "gait2354_subject01_walk1_ik", "gait10dof_subject01_walk_ik")
Walks = list[tuple[str, Recording]]


def recorded() -> dict[str, Walks]:
    """(person, walk) of each source."""
    archive = SHARED / "cmu_mocap_expmap" / "cmu_expmap.npz"
    with np.load(archive, allow_pickle=False) as z:
        arrays = [n for n in z.files if "__walking" in n]
    options = [ReadOptions(format="cmu_expmap", array=n, rate_hz=120.0, unit="rad", unit_m=0.05644) for n in arrays]
    return {
        "biomechZoo children": [(r.source.split("_")[0], r) for r, _, _ in children("straight")],
        "CMU": [(o.array or "", to_format(read_recording(archive, o), load_format(CANONICAL))) for o in options],
        "OpenSim": [(n, read_recording(SHARED / "opensim_opencap_mot" / f"{n}.mot")) for n in OPENSIM],
    }


def simulated(people: int, true: bool) -> Walks:
    """Comfortable walks of unimpaired people."""
    found = []
    for i in range(people):
        rng = np.random.default_rng([3, i])
        values = activities.walk(draw_person(rng, "unimpaired"), rng)[1].values
        values = (values if true else capture(values, rng)).astype(np.float32)
        found.append((f"simulated {i}", Recording(canonical(), RATE_HZ, values, np.ones(canonical().size, bool))))
    return found


def describe(walks: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Features [windows, .] and the person of each window, at most four of a walk; without the ends, which are
    filtered with nothing beyond."""
    rows, people = [], []
    for person, walk in walks:
        walk = walk.resampled(RATE_HZ)
        angles = np.rad2deg(np.stack([walk.channel(n) for n in CHANNELS], axis=1))
        starts = np.arange(2, len(angles) - WINDOW - 1, WINDOW // 2)[:4]
        rows += [_features(angles[a : a + WINDOW]) for a in starts]
        people += [person] * len(starts)
    return np.array(rows), np.array(people)


def _features(angles: np.ndarray) -> np.ndarray:
    """Of both sides alike: sorted, so that it does not count which leg goes first."""
    speed, acceleration = np.diff(angles, axis=0) * RATE_HZ, np.diff(angles, 2, axis=0) * RATE_HZ**2
    jerk = np.diff(acceleration, axis=0) * RATE_HZ
    each = [angles.mean(0), angles.min(0), angles.max(0), angles.std(0), speed.min(0), speed.max(0)]
    each += [acceleration.min(0), acceleration.max(0), np.abs(jerk).mean(0)]
    return np.concatenate([np.sort(x.reshape(2, 2), axis=1).ravel() for x in each])


def names() -> list[str]:
    measures = ("mean", "lowest", "highest", "spread", "lowest speed", "highest speed", "lowest acceleration")
    measures += ("highest acceleration", "jerk")
    return [f"{j} {m} {e}" for m in measures for j in ("hip", "knee") for e in ("(less)", "(more)")]


def main(people: int = 60) -> None:
    model = functools.partial(ExtraTreesClassifier, 150, min_samples_leaf=2, class_weight="balanced", random_state=0)
    for true in (False, True):
        there, who = describe(simulated(people, true))
        for source, walks in recorded().items():
            here, whose = describe(walks)
            x, y, group = np.concatenate([here, there]), np.repeat([1, 0], [len(here), len(there)]), [*whose, *who]
            folds = min(5, len(set(whose)))
            seen, score = np.zeros(len(y)), np.zeros(x.shape[1])
            for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(x, y, group):
                fitted = model().fit(x[train], y[train])
                seen[test] = fitted.predict_proba(x[test])[:, 1]
                score += fitted.feature_importances_ / folds
            used = [
                f"{names()[i]} {np.median(here[:, i]):.4g} / {np.median(there[:, i]):.4g}"
                for i in (-score).argsort()[:5]
            ]
            print(
                f"{source} ({len(set(whose))} people, {len(here)} windows) against {people} "
                f"{'true' if true else 'recorded'} simulated: AUC {roc_auc_score(y, seen):.3f}; told by "
                f"(medians real / simulated) {'; '.join(used)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
