"""The people of the simulated clinic: who they are, how badly they are affected, and what a clinician would note."""

import dataclasses

import numpy as np

from biomechjax.cohort import impairments
from biomechjax.cohort.pattern import LEFT, RIGHT, Pattern, personal_style

SIDES = {"none": (), "right": (RIGHT,), "left": (LEFT,), "both": (RIGHT, LEFT)}


@dataclasses.dataclass(frozen=True)
class Group:
    """A clinical group.

    Attributes:
        share: of the cohort; chosen here after the mix of a movement clinic.
        diagnosis, impairment_type: label words.
        age: mean and standard deviation in years, and the youngest and oldest.
        sides: words for the affected side, with equal chances.
        effect: on the way of moving; None for unimpaired people.
        devices: (device, severity at which half of the group uses it); tried in order.
    """

    share: float
    diagnosis: str
    impairment_type: str
    age: tuple[float, float, float, float]
    sides: tuple[str, ...]
    effect: impairments.Effect | None
    devices: tuple[tuple[str, float], ...]


_ONE_SIDE = ("left", "right")
GROUPS = {
    "unimpaired": Group(0.35, "none", "none", (48, 19, 18, 85), ("none",), None, (("cane", 1.0),)),
    "stroke": Group(
        0.14,
        "stroke",
        "hemiparesis",
        (62, 12, 30, 85),
        _ONE_SIDE,
        impairments.stroke,
        (("walker", 0.90), ("ankle-foot orthosis", 0.60), ("cane", 0.50)),
    ),
    "parkinson's disease": Group(
        0.11,
        "parkinson's disease",
        "hypokinesia",
        (68, 9, 45, 85),
        ("both",),
        impairments.parkinson,
        (("walker", 0.70), ("cane", 0.55)),
    ),
    "transtibial prosthesis users": Group(
        0.09,
        "lower limb amputation",
        "transtibial prosthesis",
        (52, 14, 20, 80),
        _ONE_SIDE,
        impairments.transtibial,
        (("prosthesis", -10.0),),
    ),
    "transfemoral prosthesis users": Group(
        0.07,
        "lower limb amputation",
        "transfemoral prosthesis",
        (49, 14, 20, 80),
        _ONE_SIDE,
        impairments.transfemoral,
        (("prosthesis", -10.0),),
    ),
    "knee osteoarthritis": Group(
        0.10,
        "knee osteoarthritis",
        "joint pain",
        (66, 8, 45, 85),
        ("left", "right", "both"),
        impairments.knee_osteoarthritis,
        (("walker", 0.95), ("cane", 0.55)),
    ),
    "cerebral palsy": Group(
        0.06,
        "cerebral palsy",
        "crouch gait",
        (17, 4, 11, 28),
        ("both",),
        impairments.crouch_gait,
        (("walker", 0.85), ("ankle-foot orthosis", 0.50)),
    ),
    "cervical myelopathy": Group(
        0.08,
        "cervical myelopathy",
        "spastic ataxia",
        (62, 11, 35, 85),
        ("both",),
        impairments.cervical_myelopathy,
        (("walker", 0.70), ("cane", 0.55)),
    ),
}

# Comfortable speed in m/s of people in their 20s, 30s, ... 70s (Bohannon 1997, Age and Ageing 26:15-19).
COMFORTABLE_SPEED = {
    "female": (1.407, 1.415, 1.391, 1.395, 1.296, 1.272),
    "male": (1.393, 1.458, 1.462, 1.393, 1.359, 1.330),
}


@dataclasses.dataclass(frozen=True)
class Person:
    """A simulated person: latents that nobody measures, and the labels of participants.tsv.

    Attributes:
        labels: column values.
        severity: 0 to 1; unimpaired people have a little, too.
        pattern: the way of moving, impairment and device included.
        speed_m_s: comfortable walking speed.
        walk_ratio_m_min: step length over cadence, metre minutes per step.
    """

    labels: dict[str, str | float]
    severity: float
    pattern: Pattern
    speed_m_s: float
    walk_ratio_m_min: float

    @property
    def height_m(self) -> float:
        """Standing height in metres."""
        return float(self.labels["height_m"])


def draw_groups(participants: int, seed: int) -> list[str]:
    """The group of each participant: shares kept to the nearest person, order random."""
    names = list(GROUPS)
    bounds = np.cumsum([GROUPS[n].share for n in names]) / sum(g.share for g in GROUPS.values())
    ranks = np.random.default_rng([seed, 0]).permutation(participants)
    return [names[int(np.searchsorted(bounds, (r + 0.5) / participants))] for r in ranks]


def draw_person(rng: np.random.Generator, name: str) -> Person:
    """One person of the group `name`."""
    group = GROUPS[name]
    mean, spread, youngest, oldest = group.age
    age = float(np.clip(round(rng.normal(mean, spread)), youngest, oldest))
    sex = str(rng.choice(["female", "male"]))
    height = float(np.clip(rng.normal(*((1.63, 0.065) if sex == "female" else (1.77, 0.07))), 1.45, 2.0))
    mass = float(np.clip(rng.normal(26 if age > 25 else 22.5, 4), 17, 42)) * height**2
    side = str(rng.choice(group.sides))
    frailty = max(0.0, (age - 60) / 25)  # 0 up to 60 years, 1 at 85

    pattern = personal_style(rng)
    if group.effect is None:
        # Healthy people differ too, the older ones more: a little of what slows patients down.
        severity = float(rng.beta(1.2, 9) + 0.25 * frailty * rng.beta(2, 2))
        pattern.speed *= 1 - 0.5 * severity
        pattern.step_time_cv *= 1 + 2 * severity
        pattern.sway *= 1 + severity
        pattern.transfer_time *= 1 + 0.8 * severity
        pattern.turn_time *= 1 + 0.8 * severity
    else:
        severity = float(0.06 + 0.94 * rng.beta(1.9, 1.7))
        impairments.impair(pattern, group.effect, severity, SIDES[side], rng)
    device = _draw_device(rng, group, severity)
    impairments.use_device(pattern, device, SIDES[side], rng)

    decade = int(np.clip(age // 10 - 2, 0, 5))
    speed = COMFORTABLE_SPEED[sex][decade] * pattern.speed * (1 - 0.10 * frailty)
    # Step length over cadence hardly changes with speed: about 0.0063 m min in adults (Sekiya & Nagasaki 1998); it
    # goes with body height.
    ratio = 0.0063 * max(pattern.walk_ratio, 0.58) * (height / 1.70)
    labels: dict[str, str | float] = {
        "age": int(age),
        "sex": sex,
        "height_m": round(height, 2),
        "mass_kg": round(mass, 1),
        "group": name,
        "impairment": "no" if group.effect is None else "yes",
        "diagnosis": group.diagnosis,
        "impairment_type": group.impairment_type,
        "affected_side": side,
        "assistive_device": device,
        "falls_history": _draw_falls(rng, severity, frailty, pattern),
        "berg_score": _draw_berg(rng, severity, frailty, pattern),
    }
    return Person(labels, severity, pattern, max(speed, 0.30), ratio)


def _draw_device(rng: np.random.Generator, group: Group, severity: float) -> str:
    """Each device of the group with a chance that rises with severity (logistic, slope chosen here)."""
    for device, half in group.devices:
        if rng.random() < _logistic((severity - half) / 0.10):
            return device
    return "none"


def _draw_falls(rng: np.random.Generator, severity: float, frailty: float, pattern: Pattern) -> str:
    """A fall in the past year: logistic in severity, age and step-time variability (the direction as in Hausdorff et
    al. 2001, Arch Phys Med Rehabil 82:1050; the weights are chosen here)."""
    unsteady = (pattern.step_time_cv - 0.02) / 0.02
    return "yes" if rng.random() < _logistic(-4.2 + 7.5 * severity + 1.0 * frailty + 0.7 * unsteady) else "no"


def _draw_berg(rng: np.random.Generator, severity: float, frailty: float, pattern: Pattern) -> int:
    """Berg Balance Scale, 0 to 56 (Berg et al. 1992); about 2.3 points of scatter between raters and days."""
    unsteady = min(1.5, max(0.0, (pattern.step_time_cv - 0.02) / 0.03))
    mean = 56.5 - 25 * severity**1.4 - 2 * frailty - 3 * unsteady
    return int(np.clip(round(rng.normal(mean, 2.3)), 0, 56))


def _logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
