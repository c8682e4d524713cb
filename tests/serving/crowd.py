"""Clients of every kind for a server: good ones, and those that send what they should not, or how they should not."""

import collections
import contextlib
import dataclasses
import gzip
import http.client
import io
import json
import random
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

from served import Client, mot, upload_path

CLOSED = ("ConnectionResetError", "BrokenPipeError", "RemoteDisconnected")
QUESTION = "Is there an impairment?"
BUSY = 503
TELLING = re.compile(r'Traceback|File \\?"|site-packages|\.py\b|/usr/|/home/|/root/')
OCTETS, JSON = {"Content-Type": "application/octet-stream"}, {"Content-Type": "application/json"}


@dataclasses.dataclass
class Crowd:
    """What the clients of a run share, and what they saw.

    Attributes:
        port: of the server.
        secrets: texts that no answer may hold, as the names of folders.
        movement, answer: what the library says of the good recording and QUESTION.
        seen: (kind of client, status or what else happened) to how often.
        slowest: seconds, by kind.
        wrong: what should not have been.
    """

    port: int
    secrets: list[str]
    recording: tuple[str, bytes]
    movement: dict[str, Any]
    answer: dict[str, Any]
    seen: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    slowest: collections.defaultdict[str, float] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(float)
    )
    wrong: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def note(self, kind: str, status: int | str, body: bytes, expected: tuple[int | str, ...], began: float) -> None:
        text = body.decode(errors="replace")
        with self.lock:
            self.seen[kind, str(status)] += 1
            self.slowest[kind] = max(self.slowest[kind], time.monotonic() - began)
            if status not in (*expected, BUSY):
                self.wrong.append(f"{kind}: {status}, expected {expected}: {text[:300]}")
            if kind != "page" and (TELLING.search(text) or any(secret in text for secret in self.secrets)):
                self.wrong.append(f"{kind}: tells too much: {text[:300]}")

    def send(self, kind: str, method: str, path: str, body: Any, headers: Any, *expected: int) -> tuple[int, bytes]:
        began = time.monotonic()
        try:
            status, _, answer = Client(self.port).send(method, path, body, headers)
        except (OSError, http.client.HTTPException) as e:
            # The server may refuse before all has arrived, and closes: then some of what is sent finds no reader.
            self.note(kind, type(e).__name__, b"", CLOSED, began)
            return 0, b""
        self.note(kind, status, answer, expected, began)
        return status, answer

    def upload(self, kind: str, name: str, data: bytes, *expected: int, headers: Any = OCTETS) -> tuple[int, bytes]:
        return self.send(kind, "POST", upload_path({name: len(data)}), data, headers, *expected)


def good(crowd: Crowd) -> None:
    """Uploads a recording and asks about it; unless the server is busy, the answers are those of the library."""
    status, body = crowd.upload("good", *crowd.recording, 200)
    if status != 200:
        return
    found = json.loads(body)
    if found["recording"] != crowd.movement:
        crowd.wrong.append(f"good: another movement: {found['recording']}")
    asked = json.dumps({"key": found["key"], "question": QUESTION})
    # 404: so many others came since that the recording is forgotten.
    status, body = crowd.send("good", "POST", "/questions", asked, JSON, 200, 404)
    if status == 200 and json.loads(body) != crowd.answer:
        crowd.wrong.append(f"good: another answer: {body!r}")


def page(crowd: Crowd) -> None:
    for path in ("/", "/about", "/page.js", "/player.js"):
        crowd.send("page", "GET", path, None, {}, 200)
    crowd.send("page", "GET", "/../../etc/passwd", None, {}, 404)


def wrong_type(crowd: Crowd) -> None:
    crowd.upload("wrong type", "walk.exe", b"MZ" * 99, 415)
    crowd.upload("wrong type", "walk.mot", mot(), 415, headers={"Content-Type": "text/plain"})
    crowd.upload("wrong type", "../walk.mot", mot(), 400)
    crowd.upload("wrong type", "walk.pkl", b"\x80\x04.", 415)


def damaged(crowd: Crowd) -> None:
    name = random.choice(["a.mot", "a.c3d", "a.npz", "a.bvh", "a.json", "a_angles.txt.gz", "a.parquet"])
    crowd.upload("damaged", name, random.randbytes(random.choice([1, 600, 50_000])), 422)


def bomb(crowd: Crowd) -> None:
    """Small files that become large."""
    crowd.upload("bomb", *random.choice(_bombs()), 422)


def _bombs() -> list[tuple[str, bytes]]:
    if not BOMBS:
        zeros = bytes(2**20)
        header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (40000000, 40), }"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("qpos.npy", "w") as file:
            file.write(header.ljust(127) + b"\n")
            for _ in range(1200):
                file.write(zeros)
        deep = b"[" * 500_000
        BOMBS.extend([("a.npz", packed.getvalue()), ("a_angles.txt.gz", gzip.compress(zeros * 300)), ("a.json", deep)])
    return BOMBS


BOMBS: list[tuple[str, bytes]] = []


def oversize(crowd: Crowd) -> None:
    """Too much announced, more sent than announced, and a question of a megabyte."""
    crowd.send("oversize", "POST", upload_path({"a.mot": 10**12}), b"", OCTETS, 413)
    crowd.send("oversize", "POST", upload_path({"a.mot": 10}), b"x" * 100_000, OCTETS, 413)
    crowd.send("oversize", "POST", "/questions", b" " * 10**6, JSON, 413)


def questions(crowd: Crowd) -> None:
    for body, status in ((b"[" * 9000, 400), (b"\xff", 400), (b"{}", 400), (b'{"key":"x","question":"?"}', 404)):
        crowd.send("odd questions", "POST", "/questions", body, JSON, status)


def other_site(crowd: Crowd) -> None:
    crowd.upload("other sites", "walk.mot", mot(), 403, headers=OCTETS | {"Sec-Fetch-Site": "cross-site"})
    crowd.send("other sites", "GET", "/", None, {"Host": "evil.example"}, 400)


def cut_off(crowd: Crowd) -> None:
    """Begins an upload and is gone."""
    _by_hand(crowd, "cut off", _head(5000) + b"x" * random.choice([0, 100]), 0.0)


def slow(crowd: Crowd) -> None:
    """A byte now and then, and gone before the end."""
    _by_hand(crowd, "slow", _head(5000), random.uniform(1, 8))


def silent(crowd: Crowd) -> None:
    """Opens a connection, perhaps begins a request, and waits to be told to go."""
    _by_hand(crowd, "silent", random.choice([b"", b"GET / HT"]), 25.0, byte=b"")


def nonsense(crowd: Crowd) -> None:
    _by_hand(crowd, "nonsense", random.choice([random.randbytes(200), b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000]), 0.5)


def _head(size: int) -> bytes:
    head = f"POST {upload_path({'a.mot': size})} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    return f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()


def _by_hand(crowd: Crowd, kind: str, first: bytes, seconds: float, byte: bytes = b"x") -> None:
    """Sends bytes over a connection for a while, or until the server closes it."""
    began, what = time.monotonic(), "left"
    try:
        with socket.create_connection(("127.0.0.1", crowd.port), timeout=0.5) as connection:
            connection.sendall(first)
            while time.monotonic() - began < seconds:
                connection.sendall(byte)
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(4096)
                    what = "answered" if answer else "closed"
                    crowd.note(kind, what, answer, ("answered", "closed"), began)
                    return
    except OSError as e:
        what = type(e).__name__
    crowd.note(kind, what, b"", ("left", "ConnectionResetError", "BrokenPipeError", "TimeoutError"), began)


KINDS: tuple[Callable[[Crowd], None], ...] = (
    good,
    page,
    wrong_type,
    damaged,
    oversize,
    slow,
    cut_off,
    silent,
    questions,
    bomb,
    other_site,
    nonsense,
)
