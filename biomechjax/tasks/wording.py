"""What is said around movements where a question is about more than the labels of one of them."""

FIRST_RECORDING, SECOND_RECORDING = "First recording:", "Second recording:"
VISIT = "Recordings of one person:"
DESCRIBE = ("Describe this movement.", "Describe the recording.", "What does this recording show?")
SHOW = ("Show this movement: {}.", "Generate a movement: {}.", "Give me a recording of this: {}.")
CONTINUE = ("Continue this movement.", "How does the movement go on?", "Go on with the recording.")


def wording_corpus() -> list[str]:
    """All of these texts."""
    return [FIRST_RECORDING, SECOND_RECORDING, VISIT, *DESCRIBE, *(s.format("") for s in SHOW), *CONTINUE]
