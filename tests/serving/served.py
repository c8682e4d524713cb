"""A server of a tiny model on loopback, and what asks it."""

import contextlib
import dataclasses
import http.client
import json
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import uvicorn
from labs import FIRST

from biomechjax.serving.app import make_app
from biomechjax.serving.limits import Limits
from biomechjax.serving.listen import listen
from biomechjax.serving.patience import Impatient
from biomechjax.training.trained import TrainedDecoder

COLUMNS = {
    "pelvis_ty": "height",
    "hip_flexion_r": "hip_r",
    "hip_flexion_l": "hip_l",
    "knee_angle_r": "knee_r",
    "knee_angle_l": "knee_l",
}


def tiny_model() -> TrainedDecoder:
    """Untrained; its tokenizer reads a format that has meanings in common with the canonical one."""
    flat = tiny.tokenizer()
    tokenizer = dataclasses.replace(flat, formats=(FIRST,), statistics={FIRST.name: flat.statistics[tiny.FORMAT.name]})
    experiment, run = {"mixture": {"longest": 240}}, {"simulated": True, "cohort": "six walkers (simulated)"}
    return TrainedDecoder(tiny.decoder_config(), tiny.decoder_params(), tiny.vocabulary(), tokenizer, experiment, run)


def mot(seed: int = 1, frames: int = 90) -> bytes:
    """A walk as OpenSim would store it, in radians."""
    walk = tiny.walk(seed, frames)
    columns = np.stack([np.arange(frames) / 30, *(walk.channel(own) for own in COLUMNS.values())], axis=1)
    rows = "\n".join("\t".join(f"{x:.6f}" for x in row) for row in columns)
    head = f"walk\nversion=1\nnRows={frames}\nnColumns={len(COLUMNS) + 1}\ninDegrees=no\nendheader\n"
    return f"{head}time\t{chr(9).join(COLUMNS)}\n{rows}\n".encode()


@dataclasses.dataclass(frozen=True)
class Client:
    """Sends requests to a server at a port of loopback."""

    port: int

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def upload(self, files: dict[str, bytes], headers: dict[str, str] | None = None, **options: Any) -> tuple[int, Any]:
        path = upload_path({name: len(data) for name, data in files.items()}, **options)
        sent = {"Content-Type": "application/octet-stream"} | (headers or {})
        status, _, body = self.send("POST", path, b"".join(files.values()), sent)
        return status, json.loads(body)

    def ask(self, headers: dict[str, str] | None = None, **asked: Any) -> tuple[int, Any]:
        sent = {"Content-Type": "application/json"} | (headers or {})
        status, _, body = self.send("POST", "/questions", json.dumps(asked), sent)
        return status, json.loads(body)


def upload_path(files: dict[str, int], **options: Any) -> str:
    pairs = [pair for name, size in files.items() for pair in (("file", name), ("size", size))]
    return "/recordings?" + urllib.parse.urlencode([*pairs, *options.items()])


@contextlib.contextmanager
def serving(model: TrainedDecoder, limits: Limits = Limits()) -> Iterator[Client]:
    socket, _ = listen("127.0.0.1", 0)
    app = make_app(model, "tiny", "127.0.0.1", limits)
    server = uvicorn.Server(uvicorn.Config(app, loop="asyncio", http=Impatient, ws="none", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    with socket:
        thread.start()
        try:
            yield Client(socket.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def left_over(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
