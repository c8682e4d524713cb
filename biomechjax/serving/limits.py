"""What a stranger's request may cost, and what is said when it would cost more."""

import dataclasses

from biomechjax.motion.files import MAX_BYTES


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        upload_bytes: of the files of one upload together.
        upload_s: until an upload, or a question, has arrived whole.
        reading_s: until its files have been read, of processor time; twice as long may pass.
        reading_bytes: of memory for the process that reads them.
        readings: uploads that are read at a time; others wait.
        requests: in progress at a time; others are refused (503).
        question_s: until an answer, the wait for others' answers included.
        waiting: calls of the model that may wait for the one in progress.
        question_characters: of a question.
        movements: recordings remembered; the oldest is forgotten first.
        kept_s: until a recording is forgotten that nobody asks about.
    """

    upload_bytes: int = MAX_BYTES
    upload_s: float = 120.0
    reading_s: float = 60.0
    reading_bytes: int = 6 * 2**30
    readings: int = 2
    requests: int = 32
    question_s: float = 300.0
    waiting: int = 8
    question_characters: int = 500
    movements: int = 8
    kept_s: float = 1800.0


class Refused(Exception):
    """A request that is not served: an HTTP status, and a sentence for the person who made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
