"""Many clients at once, good and bad (`soak/serve.py` lets them loose on serve.py itself, for as long as is wanted)."""

import contextlib
import json
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="serving needs the extra serve")
pytest.importorskip("uvicorn", reason="serving needs the extra serve")

import crowd
from served import Client, left_over, mot, serving, tiny_model

from biomechjax.evaluation.inquiry import movement_json, open_movement, reply, reply_json
from biomechjax.motion.readers import read_recording
from biomechjax.serving.limits import Limits
from biomechjax.serving.patience import Impatient


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_good_clients_get_their_answers_among_bad_ones(model, temporary: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Impatient, "head_s", 1.0)
    (tmp_path / "walk.mot").write_bytes(mot())
    movement = open_movement(model, read_recording(tmp_path / "walk.mot"))
    about = json.loads(json.dumps(movement_json(movement))) | {"file": "walk.mot"}
    answer = reply_json(reply(model, movement, [crowd.QUESTION])[0])
    with serving(model) as client:
        secrets = [str(temporary), str(tmp_path)]
        seen = crowd.Crowd(client.port, secrets, ("walk.mot", mot()), about, answer)
        threads = [threading.Thread(target=act, args=(seen,)) for act in (*crowd.KINDS, crowd.good)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        crowd.good(seen)
        assert client.send("GET", "/about")[0] == 200
    assert not seen.wrong
    answered = {kind for kind, status in seen.seen if status.isdigit()}
    assert answered >= {"good", "page", "wrong type", "damaged", "oversize", "odd questions", "bomb", "other sites"}
    assert seen.seen["good", "200"] == 6 and ("silent", "closed") in seen.seen
    deadline = time.monotonic() + 20
    while left_over(temporary) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(temporary) == []


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes it before long."""
    connection.settimeout(20)
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_who_opens_a_connection_and_asks_nothing_is_shut_out(model, monkeypatch, first: bytes):
    """Else some dozens of such would keep out everybody for ever."""
    monkeypatch.setattr(Impatient, "head_s", 0.3)
    with serving(model) as client, socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(first)
        assert is_closed(connection)


def test_who_begins_a_second_request_and_does_not_end_it_is_shut_out(model, monkeypatch):
    monkeypatch.setattr(Impatient, "head_s", 0.3)
    with serving(model) as client, socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(b"GET /nosuch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 404 " in connection.recv(4000)
        connection.sendall(b"GET / HT")
        connection.settimeout(20)
        rest = b"?"
        while rest:  # what was still to come of the answer
            rest = connection.recv(4000)


def test_a_request_may_take_longer_than_its_head(model, monkeypatch):
    monkeypatch.setattr(Impatient, "head_s", 0.2)
    body = json.dumps({"key": "nosuch", "question": "?"}).encode()
    head = f"POST /questions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with serving(model) as client, socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        time.sleep(0.6)
        connection.sendall(body)
        assert b" 404 " in connection.recv(4000).partition(b"\r\n")[0]


def test_who_does_not_read_an_answer_is_shut_out(model, monkeypatch):
    monkeypatch.setattr(Impatient, "stalled_s", 0.3)
    request = b"GET /player.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(model) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.port))
        connection.settimeout(20)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                connection.sendall(request * 500)


def test_a_question_has_to_arrive(model, caplog):
    head = (
        b"POST /questions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    with serving(model, Limits(upload_s=0.3)) as client:
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
            connection.sendall(head)
            answer = b""
            while b"within 0.3 s" not in answer and (part := connection.recv(4000)):
                answer += part
            assert b" 408 " in answer.partition(b"\r\n")[0] and b"within 0.3 s" in answer
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(head)
        assert Client(client.port).send("GET", "/about")[0] == 200
    assert not caplog.records  # no failure of ours
