"""Maps over two processes that say who they are and then work for a minute: `workers_run.py`, to be killed."""

import os
import time

from biomechjax.workers import mapping


def work(_: int) -> None:
    print(os.getpid(), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    with mapping(work, 2, 1) as mapped:
        list(mapped(range(8)))
