"""How each clinical group and each device changes a way of moving.

Directions follow the clinical gait literature named at each function. Sizes are those at full severity; patients have a
mean severity of 0.56 (`people`), so that a published mean difference between a group and healthy people is about 0.56
of the size here. Where a function names figures, the sizes beside them were set or checked by these; all other sizes
are chosen here, so that mild patients look nearly normal and groups overlap as people do. Every effect is scaled by
severity (0 to 1) and by an own random gain per person and effect, so no two patients of a group deviate alike.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from biomechjax.cohort.pattern import LEFT, Pattern


@dataclasses.dataclass
class _Dose:
    """Severity with a random gain per effect."""

    severity: float
    rng: np.random.Generator

    def add(self, size: float) -> float:
        """`size` scaled by severity and a log-normal gain."""
        return size * self.severity * float(np.exp(self.rng.normal(0, 0.4)))

    def factor(self, at_full: float) -> float:
        """A factor that is 1 at severity 0 and about `at_full` at severity 1."""
        return float(np.exp(self.add(np.log(at_full))))


def _side_lag(p: Pattern, side: int, fraction: float) -> None:
    """Delays the heel strike of one side, so that step times differ."""
    p.step_shift += fraction if side == LEFT else -fraction


def stroke(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """Hemiparetic gait: stiff knee, drop foot, circumduction, hip hike, flexed arm (Olney & Richards 1996).

    A knee is stiff that bends by less than 44 degrees in swing, 17 less than the other: thresholds found in 50 people
    after a stroke, about half of them stiff (a cluster analysis of definitions of stiff-knee gait). Here the knee loses
    15 degrees on average.
    """
    a = sides[0]
    p.knee_swing_loss_deg[a] += d.add(26)
    p.knee_loading[a] *= d.factor(0.5)
    p.knee_flexion_deg[a] += d.rng.normal(0, 5) * d.severity
    p.foot_drop_deg[a] += d.add(11)
    p.push_off[a] *= d.factor(0.45)
    p.hip_excursion[a] *= d.factor(0.8)
    p.circumduction_deg[a] += d.add(6)
    p.hip_hike_deg[a] += d.add(5)
    p.arm_swing[a] *= d.factor(0.2)
    p.elbow_flexion_deg[a] += d.add(45)
    p.arm_abduction_deg[a] += d.add(8)
    p.pronation_deg[a] += d.add(20)
    p.stance_shift[a] -= d.add(0.05)
    p.stance_shift[1 - a] += d.add(0.05)
    _side_lag(p, a, d.add(0.05))
    p.step_time_cv += d.add(0.03)
    p.speed *= d.factor(0.40)
    p.turn_time *= d.factor(2.4)
    p.transfer_time *= d.factor(2.2)


def parkinson(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """Short steps at kept cadence, little arm swing, stooped trunk, slow turns (Morris et al. 1994; Hausdorff 1998).

    In early disease speed is 0.82 against 1.33 m/s and cadence 102 against 114 steps/min (Pistacchi et al. 2017, Funct
    Neurol 32:28); here people lose a quarter of their speed and keep their cadence.
    """
    worse = d.rng.integers(2)  # arm swing is lost more on one side
    p.walk_ratio *= d.factor(0.6)
    p.speed *= d.factor(0.6)
    p.arm_swing[worse] *= d.factor(0.15)
    p.arm_swing[1 - worse] *= d.factor(0.35)
    for a in sides:
        p.elbow_flexion_deg[a] += d.add(18)
        p.knee_flexion_deg[a] += d.add(7)
        p.knee_swing_loss_deg[a] += d.add(8)
        p.foot_drop_deg[a] += d.add(3)
        p.push_off[a] *= d.factor(0.75)
    p.trunk_flexion_deg += d.add(18)
    p.neck_flexion_deg -= d.add(8)
    p.pelvic_rotation *= d.factor(0.45)
    p.pelvic_list *= d.factor(0.7)
    p.step_time_cv += d.add(0.03)
    p.turn_time *= d.factor(3.0)
    p.transfer_time *= d.factor(2.0)


def transtibial(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """No active push-off, less loading flexion, longer stance on the sound side (Winter & Sienko 1988).

    Speed is 0.99 m/s after trauma and 0.85 after vascular disease against 1.42 (Hermodsson et al. 1994, Prosthet Orthot
    Int 18:68); of the former that is the share 0.70, at mean severity 0.53 ** 0.56.
    """
    a = sides[0]
    p.push_off[a] *= d.rng.uniform(0.2, 0.5)  # the foot has no muscle, however well the person walks
    p.foot_drop_deg[a] -= d.rng.uniform(0, 3)
    p.knee_loading[a] *= d.factor(0.35)
    p.knee_swing_loss_deg[a] += d.add(5)
    p.hip_excursion[a] *= d.factor(1.1)
    p.hip_hike_deg[a] += d.add(3)
    p.stance_shift[a] -= 0.01 + d.add(0.03)
    p.stance_shift[1 - a] += d.add(0.03)
    p.trunk_sway_deg[a] += d.add(3)
    p.speed *= d.factor(0.53)
    p.turn_time *= d.factor(1.4)
    p.transfer_time *= d.factor(1.4)


def transfemoral(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """Knee held straight in stance, hip hike, vaulting, marked timing asymmetry (Jaegers et al. 1995).

    Everything spatial and temporal is further from normal than after a transtibial amputation (Schmid-Zalaudek et al.
    2022, kinetic gait data of 865 patients); no figures of theirs stand behind the sizes.
    """
    a = sides[0]
    p.push_off[a] *= d.rng.uniform(0.2, 0.5)
    p.foot_drop_deg[a] -= d.rng.uniform(0, 3)
    p.knee_loading[a] *= d.rng.uniform(0.05, 0.3)
    p.knee_swing_loss_deg[a] += d.rng.normal(0, 4) + d.add(12)
    p.hip_excursion[a] *= d.factor(1.1)
    p.circumduction_deg[a] += d.add(4)
    p.hip_hike_deg[a] += 1.5 + d.add(5)
    p.hip_adduction_deg[a] -= d.add(3)
    p.stance_shift[a] -= 0.02 + d.add(0.05)
    p.stance_shift[1 - a] += 0.01 + d.add(0.04)
    _side_lag(p, a, d.add(0.03))
    p.trunk_sway_deg[a] += d.add(7)
    p.push_off[1 - a] *= d.factor(1.2)
    p.speed *= d.factor(0.48)
    p.turn_time *= d.factor(1.6)
    p.transfer_time *= d.factor(1.6)


def knee_osteoarthritis(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """A stiff knee, flexion contracture and trunk lean over the painful side (Mundermann et al. 2005).

    Knees bend by 10.3 against 18.0 degrees in stance (0.36 ** 0.56 of it) and by 54.8 against 61.2 in swing (a case
    control study of 23 patients, BMC Musculoskelet Disord 2013, 14:169).
    """
    for a in sides:
        p.knee_loading[a] *= d.factor(0.36)
        p.knee_swing_loss_deg[a] += d.add(11)
        p.knee_flexion_deg[a] += d.add(6)
        p.hip_adduction_deg[a] += d.add(2)
        p.trunk_sway_deg[a] += d.add(7)
        p.stance_shift[a] -= d.add(0.02)
        p.push_off[a] *= d.factor(0.8)
    p.speed *= d.factor(0.6)
    p.turn_time *= d.factor(1.4)
    p.transfer_time *= d.factor(2.0)


def crouch_gait(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """Knees flexed in stance, hips flexed and turned in, arms held out (Rodda et al. 2004, J Bone Joint Surg 86-B:251).

    A knee bent in stance bends less in swing for that alone (van der Krogt et al. 2010, Ann Biomed Eng 38:1593).
    """
    for a in sides:
        p.knee_flexion_deg[a] += d.add(28)
        p.knee_swing_loss_deg[a] += d.add(24)
        p.hip_flexion_deg[a] += d.add(15)
        p.hip_rotation_deg[a] += d.add(14)
        p.hip_adduction_deg[a] += d.add(3)
        p.ankle_deg[a] += d.add(9)
        p.push_off[a] *= d.factor(0.5)
        p.arm_abduction_deg[a] += d.add(14)
        p.elbow_flexion_deg[a] += d.add(25)
        p.trunk_sway_deg[a] += d.add(5)
    p.pelvic_tilt_deg += d.add(6)
    p.step_time_cv += d.add(0.02)
    p.wobble_deg += d.add(1.0)
    p.speed *= d.factor(0.55)
    p.walk_ratio *= d.factor(0.85)
    p.turn_time *= d.factor(1.6)
    p.transfer_time *= d.factor(1.6)


def cervical_myelopathy(p: Pattern, d: _Dose, sides: tuple[int, ...]) -> None:
    """Wide-based, slow and unsteady with long double support (Kuhtz-Buschbeck et al. 1999, Gait Posture).

    Their knees and hips did not differ from controls'; of 62 others, those with disturbed gait bent the knee to 54.8
    against 60.5 degrees and pushed off to 6.5 against 12.2 degrees of plantarflexion (Lee et al. 2021, Sci Rep
    11:11179).
    """
    for a in sides:
        p.hip_adduction_deg[a] -= d.add(6)
        p.knee_loading[a] *= d.factor(0.5)
        p.knee_swing_loss_deg[a] += d.add(10)
        p.foot_drop_deg[a] += d.add(3)
        p.push_off[a] *= d.factor(0.45)
        p.stance_shift[a] += d.add(0.045)
        p.arm_swing[a] *= d.factor(0.6)
        p.arm_abduction_deg[a] += d.add(4)
    p.sway *= d.factor(2.2)
    p.step_time_cv += d.add(0.05)
    p.wobble_deg += d.add(2.0)
    p.walk_ratio *= d.factor(0.85)
    p.speed *= d.factor(0.5)
    p.turn_time *= d.factor(2.0)
    p.transfer_time *= d.factor(1.6)


Effect = Callable[[Pattern, _Dose, tuple[int, ...]], None]


def impair(p: Pattern, effect: Effect, severity: float, sides: tuple[int, ...], rng: np.random.Generator) -> None:
    """Changes a person's pattern in place by the effect of their group at their severity."""
    effect(p, _Dose(severity, rng), sides)


def use_device(p: Pattern, device: str, sides: tuple[int, ...], rng: np.random.Generator) -> None:
    """Changes a pattern in place by a walking aid; modest effects, chosen here.

    A cane is held opposite the affected leg. A prosthesis is part of its group's effect and changes nothing more.
    """
    if device == "cane":
        hand = 1 - sides[0] if len(sides) == 1 else int(rng.integers(2))
        p.arm_swing[hand] *= rng.uniform(0.4, 0.9)
        p.elbow_flexion_deg[hand] += rng.uniform(5, 22)
        p.arm_flexion_deg[hand] += rng.uniform(0, 12)
        p.trunk_sway_deg *= 0.8
    elif device == "walker":
        p.arm_swing *= rng.uniform(0.1, 0.4)
        p.elbow_flexion_deg += rng.uniform(12, 40)
        p.arm_flexion_deg += rng.uniform(5, 25)
        p.trunk_flexion_deg += rng.uniform(3, 12)
        p.sway *= 0.85
    elif device == "ankle-foot orthosis":
        for side in sides:
            p.push_off[side] *= rng.uniform(0.35, 0.7)
            p.foot_drop_deg[side] *= rng.uniform(0.1, 0.4)
