"""A way of moving, as the numbers in which people and impairments differ.

Angles are in degrees here, as the gait literature states them, and the field names say so; `gait` converts them once.
Arrays of two hold the right and the left side.
"""

import dataclasses

import numpy as np

RIGHT, LEFT = 0, 1


def _per_side(value: float) -> np.ndarray:
    return dataclasses.field(default_factory=lambda: np.full(2, value))  # type: ignore[return-value]


@dataclasses.dataclass
class Pattern:
    """Deviations from the normative adult; the defaults are that adult.

    Attributes ending in `_deg` add degrees, all others are factors unless said otherwise.
    """

    # Legs
    hip_flexion_deg: np.ndarray = _per_side(0.0)
    hip_adduction_deg: np.ndarray = _per_side(0.0)  # negative: a wide base
    hip_rotation_deg: np.ndarray = _per_side(0.0)
    circumduction_deg: np.ndarray = _per_side(0.0)  # abduction in swing
    hip_excursion: np.ndarray = _per_side(1.0)
    knee_flexion_deg: np.ndarray = _per_side(0.0)  # throughout
    knee_loading: np.ndarray = _per_side(1.0)  # the flexion wave of loading response
    knee_swing_loss_deg: np.ndarray = _per_side(0.0)
    ankle_deg: np.ndarray = _per_side(0.0)
    push_off: np.ndarray = _per_side(1.0)  # plantarflexion at toe-off
    foot_drop_deg: np.ndarray = _per_side(0.0)  # plantarflexion in swing
    subtalar_deg: np.ndarray = _per_side(0.0)
    # Arms
    arm_swing: np.ndarray = _per_side(1.0)
    arm_flexion_deg: np.ndarray = _per_side(0.0)
    arm_abduction_deg: np.ndarray = _per_side(0.0)
    elbow_flexion_deg: np.ndarray = _per_side(0.0)
    pronation_deg: np.ndarray = _per_side(0.0)
    wrist_flexion_deg: np.ndarray = _per_side(0.0)
    # Pelvis and trunk
    hip_hike_deg: np.ndarray = _per_side(0.0)  # the pelvis lifted on the swinging side
    trunk_sway_deg: np.ndarray = _per_side(0.0)  # the trunk leaning over the standing side
    pelvic_tilt_deg: float = 0.0  # anterior positive
    trunk_flexion_deg: float = 0.0
    neck_flexion_deg: float = 0.0
    pelvic_list: float = 1.0
    pelvic_rotation: float = 1.0
    sway: float = 1.0  # of the pelvis from side to side, and of quiet standing
    # Timing
    stance_shift: np.ndarray = _per_side(0.0)  # fraction of the cycle added to stance
    step_shift: float = 0.0  # fraction of the cycle by which the left heel strike is late
    step_time_cv: float = 0.02  # standard deviation over mean of the step times
    wobble_deg: float = 0.6  # slow irregularity of every joint, standard deviation
    speed: float = 1.0
    walk_ratio: float = 1.0  # step length over cadence
    turn_time: float = 1.0
    transfer_time: float = 1.0  # of standing up and sitting down


def personal_style(rng: np.random.Generator) -> Pattern:
    """A healthy person's own way of moving; the spreads are chosen here so that people are told apart but overlap."""

    def each_side(common: float, side: float) -> np.ndarray:
        return rng.normal(0, common) + rng.normal(0, side, 2)

    return Pattern(
        hip_flexion_deg=each_side(3.5, 1.0),
        hip_adduction_deg=each_side(1.5, 0.8),
        hip_rotation_deg=each_side(4.0, 2.0),
        circumduction_deg=np.abs(each_side(0.6, 0.5)),
        hip_excursion=np.exp(each_side(0.06, 0.03)),
        knee_flexion_deg=each_side(2.5, 1.2),
        knee_loading=np.exp(each_side(0.25, 0.12)),
        knee_swing_loss_deg=each_side(3.0, 1.5),
        ankle_deg=each_side(2.0, 1.0),
        push_off=np.exp(each_side(0.15, 0.08)),
        foot_drop_deg=each_side(1.2, 0.8),
        subtalar_deg=each_side(2.0, 1.5),
        arm_swing=np.exp(each_side(0.30, 0.15)),
        arm_flexion_deg=each_side(4.0, 2.0),
        arm_abduction_deg=each_side(2.5, 1.5),
        elbow_flexion_deg=each_side(6.0, 3.0),
        pronation_deg=each_side(12.0, 6.0),
        wrist_flexion_deg=each_side(5.0, 3.0),
        hip_hike_deg=each_side(0.5, 0.5),
        trunk_sway_deg=each_side(0.8, 0.5),
        pelvic_tilt_deg=rng.normal(0, 4.0),
        trunk_flexion_deg=rng.normal(0, 3.5),
        neck_flexion_deg=rng.normal(0, 5.0),
        pelvic_list=float(np.exp(rng.normal(0, 0.2))),
        pelvic_rotation=float(np.exp(rng.normal(0, 0.25))),
        sway=float(np.exp(rng.normal(0, 0.2))),
        stance_shift=each_side(0.006, 0.004),
        step_shift=rng.normal(0, 0.006),
        step_time_cv=0.02 * float(np.exp(rng.normal(0, 0.25))),
        wobble_deg=0.6 * float(np.exp(rng.normal(0, 0.2))),
        speed=float(np.exp(rng.normal(0, 0.11))),
        walk_ratio=float(np.exp(rng.normal(0, 0.08))),
        turn_time=float(np.exp(rng.normal(0, 0.12))),
        transfer_time=float(np.exp(rng.normal(0, 0.12))),
    )
