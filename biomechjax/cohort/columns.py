"""What the label columns of the simulated clinic mean, for participants.json and scans.json."""

from typing import Any


def _levels(description: str, *words: str) -> dict[str, Any]:
    return {"Description": description, "Levels": {w: w for w in words}}


COLUMNS: dict[str, dict[str, Any]] = {
    "participant_id": {"Description": "participant"},
    "age": {"Description": "age", "Units": "years"},
    "sex": _levels("sex", "female", "male"),
    "height_m": {"Description": "standing height", "Units": "m"},
    "mass_kg": {"Description": "body mass", "Units": "kg"},
    "group": {"Description": "clinical group the participant was recruited in"},
    "impairment": _levels("whether walking is impaired by a diagnosed condition", "yes", "no"),
    "diagnosis": _levels(
        "diagnosis",
        "none",
        "stroke",
        "parkinson's disease",
        "lower limb amputation",
        "knee osteoarthritis",
        "cerebral palsy",
        "cervical myelopathy",
    ),
    "impairment_type": _levels(
        "kind of impairment",
        "none",
        "hemiparesis",
        "hypokinesia",
        "transtibial prosthesis",
        "transfemoral prosthesis",
        "joint pain",
        "crouch gait",
        "spastic ataxia",
    ),
    "affected_side": _levels("side of the body that is affected", "none", "left", "right", "both"),
    "assistive_device": _levels(
        "device used in every trial", "none", "cane", "walker", "ankle-foot orthosis", "prosthesis"
    ),
    "falls_history": _levels("at least one fall in the past year", "yes", "no"),
    "berg_score": {"Description": "Berg Balance Scale, 0 to 56, higher is better", "Units": "points"},
    "filename": {"Description": "recording, relative to the participant's folder"},
    "activity": _levels(
        "clinical test",
        "overground walking",
        "timed up and go",
        "four square step test",
        "tandem gait",
        "quiet standing",
        "five times sit to stand",
    ),
    "walking_speed_m_s": {"Description": "mean speed of the trial; overground walking only", "Units": "m/s"},
    "cadence_steps_min": {"Description": "mean cadence of the trial; overground walking only", "Units": "steps/min"},
    "step_length_m": {"Description": "mean step length; speed = cadence / 60 * step length", "Units": "m"},
    "tug_time_s": {"Description": "Timed Up and Go, from the command to seated", "Units": "s"},
    "fsst_time_s": {"Description": "Four Square Step Test, first step to last", "Units": "s"},
}
