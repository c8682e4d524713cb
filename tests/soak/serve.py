"""Starts serve.py as it is and lets many clients loose on it: good ones, and every kind of bad one at once.

    python tests/soak/serve.py --clients 60 --seconds 180 [--ckpt CHECKPOINT --motion FILE]

writes a Markdown table of requests, statuses and the slowest answer of each kind of client, the most memory of server
and readers, and what was left in the folder of temporary files. The status is 1 where anything was wrong: the server
ended, an answer was not that of the library, a status was not one of those expected, an answer told a path, a program
or a traceback, a file was left, or too much memory was taken. By default the checkpoint is a tiny one of random
weights.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "serving")]  # as pytest does

from crowd import KINDS, QUESTION, Crowd, good  # noqa: E402
from served import left_over, mot  # noqa: E402

ROOT = TESTS.parent
MOST_BYTES = 4 * 2**30  # of the server; its readers have a limit of their own
SETTLE_S = 60.0
PAUSE_S = 0.05  # of a client before its next request


class Memory(threading.Thread):
    """Watches a process and its children: the most resident bytes of it, and of all its children at a time."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.own, self.children, self.stop = pid, 0, 0, threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.2):
            resident: dict[int, int] = {}
            for status in Path("/proc").glob("[0-9]*/status"):
                with contextlib.suppress(OSError, KeyError, ValueError):
                    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                    if self.pid in (int(fields["PPid"]), int(fields["Pid"])):
                        resident[int(fields["Pid"])] = int(fields["VmRSS"].split()[0]) * 1024
            self.own = max(self.own, resident.pop(self.pid, 0))
            self.children = max(self.children, sum(resident.values()))


@contextlib.contextmanager
def serve(ckpt: Path, temporary: Path, log: Path):
    """serve.py on a free port, with its own folder for temporary files; yields the process and the port."""
    words = [sys.executable, str(ROOT / "scripts" / "serve.py"), "--ckpt", str(ckpt), "--port", "0"]
    settings = os.environ | {"TMPDIR": str(temporary), "GLIBC_TUNABLES": "", "PYTHONPATH": str(ROOT)}
    with (
        log.open("w") as errors,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=settings) as process,
    ):
        try:
            assert process.stdout
            url = process.stdout.readline().split(" ")[0]
            assert url, f"serve.py did not start: {log.read_text()}"
            yield process, int(url.rstrip("/").rpartition(":")[2])
        finally:
            process.kill()


def expected(ckpt: Path, motion: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the library, and so ask.py, says of the recording."""
    from biomechjax.evaluation.inquiry import movement_json, open_movement, reply, reply_json
    from biomechjax.motion.readers import read_recording
    from biomechjax.training.trained import TrainedDecoder

    model = TrainedDecoder.load(ckpt)
    movement = open_movement(model, read_recording(motion))
    about = json.loads(json.dumps(movement_json(movement))) | {"file": motion.name}
    return about, json.loads(json.dumps(reply_json(reply(model, movement, [QUESTION])[0])))


def soak(ckpt: Path, motion: Path, clients: int, seconds: float, work: Path) -> tuple[list[str], str]:
    """What was wrong, and the table."""
    temporary, log = work / "temporary", work / "log"
    temporary.mkdir()
    movement, answer = expected(ckpt, motion)
    with serve(ckpt, temporary, log) as (process, port):
        secrets = [str(temporary), str(ROOT), str(work), sys.prefix]
        crowd = Crowd(port, secrets, (motion.name, motion.read_bytes()), movement, answer)
        memory = Memory(process.pid)
        memory.start()
        end = time.monotonic() + seconds

        def client(act: Callable[[Crowd], None]) -> None:
            while time.monotonic() < end and process.poll() is None:
                act(crowd)
                time.sleep(PAUSE_S)

        threads = [threading.Thread(target=client, args=(KINDS[i % len(KINDS)],)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settled = time.monotonic() + SETTLE_S
        before = crowd.seen["good", "200"]
        while crowd.seen["good", "200"] < before + 2 and time.monotonic() < settled and process.poll() is None:
            good(crowd)  # until silence is given up, all places may be taken
        while left_over(temporary) and time.monotonic() < settled:
            time.sleep(0.1)
        left = left_over(temporary)
        memory.stop.set()
        ended = process.poll()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        stopped = process.poll()
    wrong = list(dict.fromkeys(crowd.wrong))
    wrong += [f"left: {name}" for name in left]
    wrong += [f"the server ended with {ended}"] if ended is not None else []
    wrong += [f"asked to stop, the server ended with {stopped}"] if stopped != 0 else []
    wrong += ["the log tells of a failure:\n" + log.read_text()[-3000:]] if "Traceback" in log.read_text() else []
    wrong += [f"the server took {memory.own} bytes"] if memory.own > MOST_BYTES else []
    wrong += [] if crowd.seen["good", "200"] >= before + 2 else ["no good answer after the load"]
    return wrong, _table(crowd, memory, len(left), clients, seconds)


def _table(crowd: Crowd, memory: Memory, left: int, clients: int, seconds: float) -> str:
    lines = ["| client | requests | answers | slowest, s |", "|---|---|---|---|"]
    for kind in dict.fromkeys(kind for kind, _ in crowd.seen):
        of_kind = sorted((status, n) for (k, status), n in crowd.seen.items() if k == kind)
        answers = ", ".join(f"{status}: {n}" for status, n in of_kind)
        lines.append(f"| {kind} | {sum(n for _, n in of_kind)} | {answers} | {crowd.slowest[kind]:.1f} |")
    lines.append(
        f"\n{clients} clients for {seconds:.0f} s, {sum(crowd.seen.values())} requests; at most "
        f"{memory.own / 2**20:.0f} MiB in the server and {memory.children / 2**20:.0f} MiB in its readers; "
        f"{left} files left; {len(crowd.wrong)} answers wrong."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=60, help="at a time; their kinds take turns")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--ckpt", type=Path, help="decoder checkpoint; by default a tiny one is made")
    parser.add_argument("--motion", type=Path, help="a recording that it reads, for the good clients")
    arguments = parser.parse_args()
    if (arguments.ckpt is None) != (arguments.motion is None):
        parser.error("--ckpt and --motion go together")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ckpt, motion = arguments.ckpt, arguments.motion
        if ckpt is None:
            ckpt, motion = tiny_checkpoint(work), work / "walk.mot"
            motion.write_bytes(mot())
        wrong, table = soak(ckpt, motion, arguments.clients, arguments.seconds, work)
    for what in wrong[:40]:
        print(what)
    print(table)
    sys.exit(bool(wrong))


def tiny_checkpoint(folder: Path) -> Path:
    """Of random weights, and of a laboratory whose channels have canonical meanings."""
    from labs import FIRST
    from sound_folders import write_checkpoint

    return write_checkpoint(folder / "tiny-decoder", FIRST)


if __name__ == "__main__":
    main()
