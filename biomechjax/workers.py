"""Work spread over processes."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_job: Callable[[Any], Any]  # of a worker process: it may be large, and is sent once


@contextlib.contextmanager
def mapping(job: Callable[[A], B], workers: int, at_once: int = 8) -> Iterator[Callable[[Sequence[A]], Iterable[B]]]:
    """A function that maps items to what the job makes of them, in order, in so many processes.

    Each call starts its work at once where there are several processes, which are sent at most `at_once` items at a
    time, and give back what is made of these together: 1 for items that take long. All of them have ended when the
    context does.
    """
    if workers <= 1:
        yield lambda items: map(job, items)
        return
    # Spawned, not forked: the caller may hold threads (JAX does), and a fork of those can hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _set_job, (job,)) as pool:
        try:
            yield lambda items: pool.map(_call, items, chunksize=max(1, min(at_once, len(items) // (4 * workers))))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _set_job(job: Callable[[Any], Any]) -> None:
    global _job
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would work on, and then wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


def _call(item: Any) -> Any:
    return _job(item)
