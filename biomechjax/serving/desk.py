"""One model behind a counter: one call at a time, few waiting, the last recordings remembered for a while."""

import asyncio
import concurrent.futures
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from biomechjax.evaluation.inquiry import Movement
from biomechjax.serving.limits import Limits, Refused

T = TypeVar("T")


class Desk:
    """Calls of the model in turn, and what was uploaded, by keys that cannot be guessed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._worker = concurrent.futures.ThreadPoolExecutor(1, "model")
        self._calls = 0
        self._movements: OrderedDict[str, Movement] = OrderedDict()

    async def call(self, job: Callable[[], T]) -> T:
        """What the job returns, when the calls before it are done.

        Raises:
            Refused: too many wait already, or it takes too long. The call itself cannot be broken off: those after it
                wait on.
        """
        if self._calls > self._limits.waiting:
            raise Refused(503, "the model is busy with other questions; ask again in a moment")
        self._calls += 1
        future = asyncio.get_running_loop().run_in_executor(self._worker, job)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._limits.question_s)
        except TimeoutError:
            raise Refused(504, f"no answer within {self._limits.question_s:g} s; the model may still be busy") from None

    def _done(self, future: asyncio.Future) -> None:
        self._calls -= 1
        if not future.cancelled():
            future.exception()  # seen, though nobody may wait for it any more

    def keep(self, movement: Movement) -> str:
        """Remembers a movement, and returns its key."""
        key = secrets.token_urlsafe(16)
        self._movements[key] = movement
        while len(self._movements) > self._limits.movements:
            self._movements.popitem(last=False)
        self._forget_later(key)
        return key

    def find(self, key: str) -> Movement:
        """Raises Refused where it was forgotten, or never was."""
        if key not in self._movements:
            raise Refused(404, "this recording is not remembered any more; give its file again")
        return self._movements[key]

    def _forget_later(self, key: str) -> None:
        asyncio.get_running_loop().call_later(self._limits.kept_s, self._movements.pop, key, None)

    def close(self) -> None:
        """Forgets everything; calls that have not begun never do."""
        self._movements.clear()
        self._worker.shutdown(wait=False, cancel_futures=True)
