"""A page on this machine where a recording is dropped, seen moving, and asked about.

It answers as ask.py does. Files are read in a process of their own and deleted; their numbers stay in memory for half
an hour. Nobody but this machine can open the page, unless --host says otherwise: there is no password. Ctrl-C ends it.
"""

import contextlib
import dataclasses
import logging
import signal
from pathlib import Path

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.evaluation.inquiry import DISCLAIMER
from biomechjax.training.trained import TrainedDecoder

STOP_S = 10  # for answers in progress


@dataclasses.dataclass(frozen=True)
class Arguments:
    ckpt: Path
    """Decoder checkpoint, from train.py."""
    port: int = 8765
    """0: one that is free."""
    host: str = "127.0.0.1"
    """Address to listen on."""


def main() -> None:
    args = parse(Arguments, __doc__)
    try:
        import uvicorn

        from biomechjax.serving.app import make_app
        from biomechjax.serving.limits import Limits
        from biomechjax.serving.listen import listen
        from biomechjax.serving.patience import Impatient
    except ImportError as e:
        raise InputError(f"serving needs {e.name}; pip install 'biomechjax[serve]'") from e
    logging.basicConfig(format="%(levelname)s: %(message)s")
    socket, url = listen(args.host, args.port)
    with socket:
        model, limits = TrainedDecoder.load(args.ckpt), Limits()
        app = make_app(model, args.ckpt.resolve().name, args.host, limits)
        # Not uvloop, which forks where asyncio does not: no good beside JAX's threads.
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=Impatient,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
            limit_concurrency=limits.requests,
        )
        # uvicorn stops gracefully at either signal and then passes it on.
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            print(f"{url}  ({args.ckpt})\n{DISCLAIMER}", flush=True)
            uvicorn.Server(config).run(sockets=[socket])
        print("stopped")


if __name__ == "__main__":
    run(main)
