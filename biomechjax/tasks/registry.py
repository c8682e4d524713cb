"""The tasks. To add one, add an entry: nothing else needs to know."""

from biomechjax.tasks.comparison import comparison_corpus
from biomechjax.tasks.task import WHAT, WHETHER, Choice, Labels, Number, Task, Tolerance
from biomechjax.tasks.wording import wording_corpus

WALKING = ("overground walking",)
GAIT = ("overground walking", "timed up and go", "four square step test", "tandem gait")
# Any few seconds of these are like the whole, so that training may cut them.
STEADY_ACTIVITIES = ("overground walking", "tandem gait", "quiet standing")
YES_NO = Choice(("yes", "no"))

# Published figures differ by the people measured, who are therefore named. Of cadence none is known to us.
SPEED_TOLERANCE = Tolerance(
    0.10,
    "minimal clinically important difference: Perera et al. 2006, J Am Geriatr Soc 54:743 (older adults, substantial); "
    "Bohannon & Glenney 2014, J Eval Clin Pract 20:295 (review of adults with pathology)",
)
STEP_TOLERANCE = Tolerance(
    0.067, "minimal detectable change: Kesar et al. 2011, Gait Posture 33:314 (paretic step, chronic stroke, treadmill)"
)
TUG_TOLERANCE = Tolerance(3.5, "minimal detectable change: Huang et al. 2011, Phys Ther 91:114 (Parkinson's disease)")
FSST_TOLERANCE = Tolerance(
    4.6, "minimal detectable change: Wagner et al. 2013, Int J Rehabil Res 36:253 (multiple sclerosis)"
)
BERG_TOLERANCE = Tolerance(
    4.0,
    "minimal detectable change: Donoghue & Stokes 2009, J Rehabil Med 41:343 (older adults, at scores of 45 to 56, the "
    "least of four ranges)",
)

TASKS = (
    Task(
        "activity",
        "activity",
        Choice((*GAIT, "quiet standing", "five times sit to stand")),
        WHAT,
        ("activity", "clinical test", "movement task"),
        ("What is the person doing?", "Which activity is this?", "Which activity was this?", "What activity is this?"),
    ),
    Task(
        "impairment",
        "impairment",
        YES_NO,
        WHETHER,
        ("a movement impairment", "an impairment", "an impaired movement"),
        ("Is the movement impaired?", "Is this movement impaired?", "Is the person impaired?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "impairment type",
        "impairment_type",
        Choice(
            (
                "none",
                "hemiparesis",
                "hypokinesia",
                "transtibial prosthesis",
                "transfemoral prosthesis",
                "joint pain",
                "crouch gait",
                "spastic ataxia",
            )
        ),
        WHAT,
        ("type of impairment", "impairment type", "kind of movement impairment"),
        ("Which type of impairment is it?", "What kind of impairment does the person have?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "affected side",
        "affected_side",
        Choice(("none", "left", "right", "both")),
        WHAT,
        ("affected side", "side of the impairment", "impaired side"),
        ("Which side is affected?", "Is the left or the right side affected?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "diagnosis",
        "diagnosis",
        Choice(
            (
                "none",
                "stroke",
                "parkinson's disease",
                "lower limb amputation",
                "knee osteoarthritis",
                "cerebral palsy",
                "cervical myelopathy",
            )
        ),
        WHAT,
        ("diagnosis", "most likely diagnosis", "diagnosis that fits"),
        ("Which diagnosis fits?", "Which diagnosis does the person have?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "assistive device",
        "assistive_device",
        Choice(("none", "cane", "walker", "ankle-foot orthosis", "prosthesis")),
        WHAT,
        ("assistive device", "device used for walking", "walking aid"),
        ("Which assistive device is used?", "Does the person use an assistive device, and which?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "falls history",
        "falls_history",
        YES_NO,
        WHETHER,
        ("a history of falls", "falls in the past year", "a fall in the past year"),
        ("Has this person fallen in the past year?", "Did the person fall in the past year?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "walking speed",
        "walking_speed_m_s",
        Number("m/s", 2, 0.0, 8.0, pace=1, tolerance=SPEED_TOLERANCE),
        WHAT,
        ("walking speed", "speed of walking", "gait speed"),
        ("How fast does the person walk?", "How fast did they walk?", "How fast is the walking?"),
        WALKING,
    ),
    Task(
        "cadence",
        "cadence_steps_min",
        Number("steps/min", 0, 0.0, 300.0, pace=1),
        WHAT,
        ("cadence", "number of steps per minute", "step rate"),
        ("How many steps per minute does the person take?", "How many steps per minute?"),
        WALKING,
    ),
    Task(
        "step length",
        "step_length_m",
        Number("m", 2, 0.0, 2.0, tolerance=STEP_TOLERANCE),
        WHAT,
        ("step length", "length of a step", "mean step length"),
        ("How long are the steps?", "How long is a step?"),
        WALKING,
    ),
    Task(
        "step time asymmetry",
        "step_time_asymmetry_percent",
        Number("%", 0, 0.0, 200.0),
        WHAT,
        ("step time asymmetry", "asymmetry of the step times", "difference of left and right step time"),
        ("How asymmetric are the steps?", "How much do left and right step time differ?"),
        WALKING,
    ),
    Task(
        "Timed Up and Go time",
        "tug_time_s",
        Number("s", 1, 0.0, 300.0, pace=-1, tolerance=TUG_TOLERANCE),
        WHAT,
        ("Timed Up and Go time", "time of the Timed Up and Go", "Timed Up and Go result"),
        ("How long did the Timed Up and Go take?", "How many seconds did the Timed Up and Go take?"),
        ("timed up and go",),
    ),
    Task(
        "Four Square Step Test time",
        "fsst_time_s",
        Number("s", 1, 0.0, 300.0, pace=-1, tolerance=FSST_TOLERANCE),
        WHAT,
        ("Four Square Step Test time", "time of the Four Square Step Test", "Four Square Step Test result"),
        ("How long did the Four Square Step Test take?", "How many seconds did the Four Square Step Test take?"),
        ("four square step test",),
    ),
    Task(
        "Berg Balance score",
        "berg_score",
        Number("points", 0, 0.0, 56.0, tolerance=BERG_TOLERANCE),
        WHAT,
        ("Berg Balance score", "score on the Berg Balance Scale", "Berg score"),
        ("How would the Berg Balance Scale be scored?", "Which Berg Balance score fits?"),
        GAIT,
        of_person=True,
    ),
    Task(
        "exercise",
        "movement",
        Choice(
            (
                "deep squat",
                "hurdle step",
                "inline lunge",
                "side lunge",
                "sit to stand",
                "standing active straight leg raise",
                "standing shoulder abduction",
                "standing shoulder extension",
                "standing shoulder internal-external rotation",
                "standing shoulder scaption",
            )
        ),
        WHAT,
        ("exercise", "name of the exercise", "rehabilitation exercise"),
        ("Which exercise is this?", "What exercise is this?"),
    ),
    Task(
        "execution",
        "execution",
        Choice(("correct", "incorrect")),
        WHAT,
        ("execution", "quality of the execution", "correctness of the execution"),
        ("Was the execution correct?", "Is the execution correct or incorrect?", "Was this done correctly?"),
    ),
)

BY_NAME = {task.name: task for task in TASKS}


def task_of(question: str) -> Task | None:
    """The task that has the question among its wordings, of training or of evaluation; case, blanks and the mark at the
    end do not matter."""
    return _BY_WORDING.get(_plain(question))


def _plain(question: str) -> str:
    return " ".join(question.lower().split()).rstrip("?!. ")


_BY_WORDING = {_plain(q): t for t in TASKS for q in (*t.questions, *t.held_out_questions)}


def at_pace(labels: Labels, pace: float) -> dict[str, str | float]:
    """The labels of a movement that is played at `pace` times its own."""
    changes = {t.label: pace**t.answer.pace for t in TASKS if isinstance(t.answer, Number)}
    return {k: v * changes.get(k, 1.0) if isinstance(v, float | int) else v for k, v in labels.items()}


def caption(labels: Labels, pace: float = 1.0) -> str:
    """What is known of a recording, played at `pace` times its own, in the terms of the tasks; empty for nothing."""
    return "; ".join(f"{t.name}: {t.answer_text(labels, pace)}" for t in TASKS if t.asked_of(labels))


def corpus() -> list[str]:
    """All text that the tasks can produce, for training a text tokenizer: questions, options, units and digits."""
    lines = [q for t in TASKS for q in t.questions + t.held_out_questions]
    for task in TASKS:
        answers = task.answer.options if isinstance(task.answer, Choice) else [f"0.0 {task.answer.unit}"]
        lines += [f" {answer}" for answer in answers]
    return lines + comparison_corpus() + wording_corpus() + [f"{t.name}: ; " for t in TASKS] + ["0123456789.-"]
