"""The local server: answers as ask.py gives them, and refusals that leave nothing behind and tell nothing."""

import asyncio
import json
import re
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="serving needs the extra serve")
pytest.importorskip("uvicorn", reason="serving needs the extra serve")

import numpy as np
import tiny
from served import Client, left_over, mot, serving, tiny_model, upload_path

from biomechjax.errors import InputError
from biomechjax.evaluation.inquiry import SIMULATED, movement_json, open_movement, reply, reply_json
from biomechjax.motion.bids_motion import SIMULATED as SIMULATED_FOLDER
from biomechjax.motion.bvh import bvh_figure
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.player import movement as figure_json
from biomechjax.motion.readers import read_recording
from biomechjax.motion.stick import stick_figure
from biomechjax.serving import app as serving_app
from biomechjax.serving.limits import Limits
from biomechjax.serving.listen import listen
from biomechjax.serving.reading import read_in_child

PAGE = Path(serving_app.__file__).parent / "page.html"
QUESTION = "Is there an impairment?"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def client(model):
    with serving(model, Limits(upload_bytes=100_000)) as found:
        yield found


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder of temporary files, in which nothing may be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    deadline = time.monotonic() + 20
    while left_over(folder) and time.monotonic() < deadline:  # a broken connection may still be noticed
        time.sleep(0.05)
    assert left_over(folder) == []


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    (tmp_path / "walk.mot").write_bytes(mot())
    return tmp_path / "walk.mot"


def test_the_page_and_all_that_it_loads_come_with_a_strict_policy(client: Client):
    loaded = re.findall(r'(?:src|href)="(/[^"]*)"', PAGE.read_text())
    assert sorted(loaded) == ["/page.css", "/page.js", "/player.css", "/player.js"]
    for path in ("/", *loaded, "/about", "/nosuch"):
        status, headers, body = client.send("GET", path)
        assert status == (404 if path == "/nosuch" else 200) and body
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]
    assert not re.search(r"\son[a-z]+=|style=|<script>|<style>|https?:", PAGE.read_text())


def test_the_page_says_what_the_model_is(client: Client):
    about = json.loads(client.send("GET", "/about")[2])
    assert about["simulated"] and "SIMULATED" in about["simulated_note"]
    assert "not a medical device" in about["disclaimer"] and "not a medical device" in PAGE.read_text()
    assert about["tasks"]["diagnosis"] == "What is the diagnosis?" and ".c3d" in about["endings"]


def test_a_recording_is_seen_and_answers_are_those_of_the_library(client: Client, model, walk: Path):
    status, found = client.upload({"walk.mot": walk.read_bytes()})
    assert status == 200, found
    recording = read_recording(walk)
    movement = open_movement(model, recording)
    assert found["recording"] == json.loads(json.dumps(movement_json(movement))) | {"file": "walk.mot"}
    assert SIMULATED in found["recording"]["notes"]
    assert found["figure"] == json.loads(json.dumps(figure_json(stick_figure(recording))))
    status, plain = client.ask(key=found["key"], question=QUESTION)
    assert (status, plain) == (200, reply_json(reply(model, movement, [QUESTION])[0]))
    status, explained = client.ask(key=found["key"], question="Well?", explain=True, task="impairment")
    (expected,) = reply(model, movement, ["Well?"], explained=True, task="impairment")
    assert (status, explained) == (200, json.loads(json.dumps(reply_json(expected))))
    assert explained["explanation"]["seconds_that_mattered"] and explained["explanation"]["probabilities"]


def test_what_a_file_does_not_say_is_said_beside_it(client: Client):
    walk = tiny.walk(2, 60)
    table = "hip_flexion_r,hip_flexion_l\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in walk.values[:, 4:6])
    status, found = client.upload({"walk.csv": table.encode()})
    assert status == 422 and found["error"].startswith("walk.csv: ") and "or else the rate" in found["error"]
    status, found = client.upload({"walk.csv": table.encode()}, unit="rad", rate_hz="30", format="canonical")
    assert status == 200 and found["recording"]["rate_hz"] == 30 and found["recording"]["channels_recorded"] == 2
    for options, said in (
        ({"rate_hz": "fast"}, "rate_hz is 'fast'; expected a number"),
        ({"rate_hz": "-1"}, "rate_hz is -1.0; expected a number above 0"),
        ({"format": "/etc/lab.toml"}, "format '/etc/lab.toml'; expected one of canonical"),
        ({"format": "../canonical"}, "expected one of canonical"),
    ):
        status, found = client.upload({"walk.csv": table.encode()}, **options)
        assert status == 422 and said in found["error"]


def test_a_movement_of_a_bids_folder_is_read_with_the_files_beside_it(client: Client, cohort):
    trial = next(t for t in cohort.trials if t.labels["activity"] == "timed up and go")
    files = {p.name: p.read_bytes() for p in (trial.path, trial.channels, trial.sidecar)}
    files |= {n: (cohort.path / n).read_bytes() for n in ("motion_format.json", "dataset_description.json")}
    status, found = client.upload(files)
    assert status == 200, found
    assert found["recording"]["format"] == "walker" and SIMULATED_FOLDER in found["recording"]["notes"]
    assert found["key"] is None and "shares no recorded channel" in found["ask_error"]
    assert found["figure"] is None and "format walker has neither markers" in found["figure_error"]
    status, found = client.upload({k: v for k, v in files.items() if k != trial.sidecar.name})
    assert status == 422 and f"{trial.sidecar.name} is not beside it" in found["error"] and "/" not in found["error"]
    status, found = client.upload(files | {"motion_format.json": b"{"})
    assert status == 422 and found["error"].startswith("motion_format.json: not readable as JSON")


def test_a_skeleton_is_seen_though_the_model_cannot_read_it(client: Client, tmp_path: Path):
    limb = "JOINT LeftLeg {{ OFFSET 0 -90 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site {{ OFFSET 0 -80 0 }} }}"
    limb = limb.replace("{{", "{").replace("}}", "}")
    head = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    rows = "\n".join(f"{i} 170 0 0 0 0 0 {i} 0" for i in range(30))
    text = f"HIERARCHY\nROOT Hips {{ OFFSET 0 0 0 {head} {limb} }}\nMOTION\nFrames: 30\nFrame Time: 0.04\n{rows}\n"
    (tmp_path / "a.bvh").write_text(text)
    status, found = client.upload({"a.bvh": text.encode()})
    assert status == 200 and found["key"] is None
    assert found["figure"] == json.loads(json.dumps(figure_json(bvh_figure(tmp_path / "a.bvh"))))


def test_only_by_a_name_of_this_machine(client: Client):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        for method, path in (("GET", "/"), ("GET", "/about"), ("POST", "/questions")):
            status, headers, body = client.send(method, path, headers={"Host": host})
            assert status == 400 and b"biomechjax" not in body and "content-security-policy" in headers
    for host in ("localhost:99", "127.0.0.1", "[::1]:8765"):
        assert client.send("GET", "/", headers={"Host": host})[0] == 200


def test_pages_of_other_sites_are_refused(client: Client):
    other = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for headers in (other, other | {"Sec-Fetch-Site": "same-site"}):
        assert client.upload({"walk.mot": mot()}, headers)[0] == 403
        assert client.ask(headers, key="", question="?")[0] == 403
    # What such a page may send without asking first has one of these types.
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
        assert client.upload({"walk.mot": mot()}, {"Content-Type": kind})[0] == 415
        assert client.ask({"Content-Type": kind}, key="", question="?")[0] == 415
    status, headers, _ = client.send("OPTIONS", "/questions", headers={"Origin": "https://evil.example"})
    assert status == 405 and not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("../walk.mot", 400),
        ("/etc/walk.mot", 400),
        ("a/../walk.mot", 400),
        ("a\\walk.mot", 400),
        ("c:walk.mot", 400),
        ("..", 400),
        (".mot", 400),
        ("a\0.mot", 400),
        ("a\n.mot", 400),
        ("", 400),
        ("a" * 200 + ".mot", 400),
        ("walk.exe", 415),
        ("walk.pkl", 415),
        ("walk", 415),
    ],
)
def test_names_that_are_no_recordings_are_refused(client: Client, temporary: Path, name: str, status: int):
    found, said = client.upload({name: mot()})
    assert found == status and str(temporary) not in said["error"]


def test_one_recording_at_a_time(client: Client):
    assert client.upload({"a.mot": mot(), "b.mot": mot()})[0] == 400
    assert client.upload({})[0] == 400
    assert client.upload({f"{i}_motion.json": b"{}" for i in range(9)})[0] == 400
    for query in ("file=a.mot", "file=a.mot&size=-1", "file=a.mot&size=1&size=2", "file=a.mot&size=x"):
        status, _, _ = client.send("POST", f"/recordings?{query}", b"x", {"Content-Type": "application/octet-stream"})
        assert status == 400
    twice = "file=a.mot&size=1&file=a.mot&size=1"
    assert client.send("POST", f"/recordings?{twice}", b"xx", {"Content-Type": "application/octet-stream"})[0] == 400


def test_no_more_than_was_agreed_is_read(client: Client):
    octets = {"Content-Type": "application/octet-stream"}
    status, _, body = client.send("POST", upload_path({"a.mot": 100_001}), b"", octets)
    assert status == 413 and "at most 100000" in json.loads(body)["error"]
    assert client.send("POST", upload_path({"a.mot": 10}), b"x" * 11, octets)[0] == 413
    status, _, body = client.send("POST", upload_path({"a.mot": 12}), b"x" * 11, octets)
    assert status == 400 and "did not arrive whole" in json.loads(body)["error"]
    status, _, body = client.send("POST", "/questions", b" " * 20_000, {"Content-Type": "application/json"})
    assert status == 413


def begin_upload(client: Client, announced: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=60)
    head = f"POST {upload_path({'a.mot': announced})} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/octet-stream\r\nContent-Length: {announced}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_a_broken_upload_leaves_nothing(client: Client, temporary: Path):
    connection = begin_upload(client, 5000, b"x" * 100)
    while not any(Path(p).suffix == ".mot" for p in left_over(temporary)):  # it has begun
        time.sleep(0.01)
    connection.close()
    assert client.send("GET", "/about")[0] == 200  # and the fixture sees that nothing is left


def test_a_slow_upload_is_given_up(model):
    with serving(model, Limits(upload_s=0.3)) as client, begin_upload(client, 5000, b"x" * 100) as connection:
        answer = b""
        while b"did not arrive within 0.3 s" not in answer and (part := connection.recv(4000)):
            answer += part  # head and body may come apart
        assert b" 408 " in answer.partition(b"\r\n")[0] and b"did not arrive within 0.3 s" in answer


def test_damaged_files_are_told_by_name_and_line_alone(client: Client, temporary: Path):
    status, found = client.upload({"walk.mot": mot()[:-60]})
    assert status == 422 and found["error"].startswith("walk.mot: line ")
    status, other = client.upload({"a.c3d": b"\0" * 600})
    assert status == 422 and other["error"].startswith("a.c3d: ")
    assert str(temporary) not in found["error"] + other["error"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"key": "nosuch", "question": "?"}, 404),
        ({"key": 1, "question": "?"}, 400),
        ({"key": "nosuch", "question": None}, 400),
        ({"key": "nosuch", "question": "?", "explain": "yes"}, 400),
        ({"key": "nosuch", "question": "?", "more": 1}, 400),
        ({"question": "?"}, 400),
        ({"key": "nosuch", "question": "?" * 501}, 413),
    ],
)
def test_questions_that_are_none_are_refused(client: Client, asked: dict, status: int):
    assert client.ask(**asked)[0] == status


def test_what_the_library_refuses_to_ask_is_said(client: Client):
    key = client.upload({"walk.mot": mot()})[1]["key"]
    assert client.ask(key=key, question=" ") == (422, {"error": client.ask(key=key, question="")[1]["error"]})
    status, found = client.ask(key=key, question="?", task="nosuch")
    assert status == 422 and "expected one of activity" in found["error"]
    json_body = {"Content-Type": "application/json"}
    assert client.send("POST", "/questions", b"[" * 9000, json_body)[0] == 400
    assert client.send("POST", "/questions", b"\xff", json_body)[0] == 400


def test_what_fails_inside_is_told_to_the_log_alone(client: Client, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("secret in /somewhere/else.py")

    monkeypatch.setattr(serving_app, "open_movement", fails)
    status, found = client.upload({"walk.mot": mot()})
    assert status == 500 and "secret" not in found["error"] and "/" not in found["error"]
    assert "secret in /somewhere/else.py" in caplog.text


def test_one_call_at_a_time_and_few_wait(model, monkeypatch):
    """The first call is held; as many as may wait do, the next is turned away, and all that waited are answered."""
    held, running, most = threading.Event(), [], []

    def slow(*arguments):
        running.append(1)
        most.append(len(running))
        assert held.wait(60)
        running.pop()
        return reply(*arguments)

    with serving(model, Limits(waiting=1)) as client:
        key = client.upload({"walk.mot": mot()})[1]["key"]
        monkeypatch.setattr(serving_app, "reply", slow)
        answers: list[int] = []
        asking = [
            threading.Thread(target=lambda: answers.append(client.ask(key=key, question=QUESTION)[0])) for _ in "ab"
        ]
        for thread in asking:
            thread.start()
        status, headers = 0, {}
        while status != 503:  # until both have arrived
            body = json.dumps({"key": key, "question": QUESTION})
            if asking_is_full(client, asking, running):
                status, headers, _ = client.send("POST", "/questions", body, {"Content-Type": "application/json"})
        assert headers["retry-after"] == "5"
        held.set()
        for thread in asking:
            thread.join()
    assert answers == [200, 200] and set(most) == {1}


def asking_is_full(client: Client, asking: list[threading.Thread], running: list[int]) -> bool:
    """Whether the first call runs and the second has had time to come after it."""
    time.sleep(0.3)
    return bool(running) and all(t.is_alive() for t in asking)


def test_an_answer_that_takes_too_long_is_given_up(model, monkeypatch):
    held = threading.Event()
    with serving(model) as client:
        key = client.upload({"walk.mot": mot()})[1]["key"]
    with serving(model, Limits(question_s=0.2)) as client:
        monkeypatch.setattr(serving_app.Desk, "find", lambda *_: None)
        monkeypatch.setattr(serving_app, "reply", lambda *_: held.wait(60))
        status, found = client.ask(key=key, question=QUESTION)
        held.set()
    assert status == 504 and "no answer within 0.2 s" in found["error"]


def test_recordings_are_forgotten(model):
    with serving(model, Limits(movements=1)) as client:
        first, second = (client.upload({"walk.mot": mot()})[1]["key"] for _ in "ab")
        assert first != second and len(first) >= 20
        assert client.ask(key=first, question=QUESTION)[0] == 404
        assert client.ask(key=second, question=QUESTION)[0] == 200
    with serving(model, Limits(kept_s=0.0)) as client:
        key = client.upload({"walk.mot": mot()})[1]["key"]
        time.sleep(0.1)
        assert client.ask(key=key, question=QUESTION)[0] == 404


@pytest.mark.parametrize("limits", [Limits(reading_s=0.01), Limits(reading_bytes=1)])
def test_reading_is_bounded(walk: Path, temporary: Path, limits: Limits):
    walk.write_bytes(mot(frames=60_000))  # more than what Python has set aside for itself
    with pytest.raises(InputError, match="walk.mot: reading it takes too much time or memory"):
        asyncio.run(read_in_child(walk.parent, walk, ReadOptions(), limits))


def test_what_readers_write_goes_into_the_folder_that_is_removed(walk: Path, monkeypatch):
    """Also where they are killed before they can tidy up."""
    start, environments = asyncio.create_subprocess_exec, []

    def watched(*command, **settings):
        environments.append(settings["env"])
        return start(*command, **settings)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    asyncio.run(read_in_child(walk.parent, walk, ReadOptions(), Limits()))
    assert [e["TMPDIR"] for e in environments] == [str(walk.parent)]


def test_few_files_are_read_at_a_time(model, monkeypatch):
    running, most = [], []

    async def slowly(*arguments):
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0.2)
        running.pop()
        raise InputError("enough")

    monkeypatch.setattr(serving_app, "read_in_child", slowly)
    with serving(model, Limits(readings=2)) as client:
        found: list[int] = []
        uploads = [threading.Thread(target=lambda: found.append(client.upload({"a.mot": mot()})[0])) for _ in range(5)]
        for upload in uploads:
            upload.start()
        for upload in uploads:
            upload.join()
    assert found == [422] * 5 and max(most) == 2


def test_a_recording_comes_out_of_the_child_as_it_is(walk: Path):
    found, skeleton = asyncio.run(read_in_child(walk.parent, walk, ReadOptions(duration_s=9.0), Limits()))
    expected = read_recording(walk, ReadOptions(duration_s=9.0))
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.observed, expected.observed)
    assert (found.format, found.rate_hz, found.notes) == (expected.format, expected.rate_hz, expected.notes)
    assert found.source == "walk.mot" and skeleton is None


def test_where_it_listens():
    opened, url = listen("127.0.0.1", 0)
    with opened:
        port = opened.getsockname()[1]
        assert url == f"http://127.0.0.1:{port}/" and opened.getsockname()[0] == "127.0.0.1"
        with pytest.raises(InputError, match=f"--host 127.0.0.1 --port {port}: cannot listen there"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="cannot listen there"):
        listen("203.0.113.1", 0)
