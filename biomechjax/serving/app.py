"""The server: its page, and what the page asks for.

| request | answer |
|---|---|
| `GET /` and its script and style | the page |
| `GET /about` | the model, what it reads, examples of questions |
| `POST /recordings?file=NAME&size=BYTES` (see `upload`) | `movement_json`, the stick figure, and a key |
| `POST /questions` {key, question, explain, task} | `reply_json` |

What is refused is {"error": a sentence} with a status of 4xx or 5xx.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from biomechjax.errors import InputError
from biomechjax.evaluation.inquiry import (
    DISCLAIMER,
    SIMULATED,
    Movement,
    movement_json,
    open_movement,
    recording_json,
    reply,
    reply_json,
)
from biomechjax.motion.figure import StickFigure
from biomechjax.motion.format import SHIPPED
from biomechjax.motion.options import ANGLE_UNITS, ReadOptions
from biomechjax.motion.player import movement as figure_json
from biomechjax.motion.player import player_script, player_style
from biomechjax.motion.readers import READERS
from biomechjax.motion.recording import Recording
from biomechjax.motion.stick import stick_figure
from biomechjax.serving.desk import Desk
from biomechjax.serving.guard import check_sender, guarded, refusal
from biomechjax.serving.limits import Limits, Refused
from biomechjax.serving.reading import read_in_child
from biomechjax.serving.upload import plan, receive
from biomechjax.tasks.registry import TASKS
from biomechjax.training.trained import TrainedDecoder

LOG = logging.getLogger("biomechjax.serving")
QUESTION_BYTES = 10_000
SHIPPED_FORMATS = sorted(p.stem for p in SHIPPED.glob("*.toml"))
_WORDS = ("format", "array", "unit")  # fields of ReadOptions that are no number
Handler = Callable[[Request], Awaitable[Response]]


def make_app(model: TrainedDecoder, name: str, host: str, limits: Limits = Limits()) -> ASGIApp:
    """The server of a model, for uvicorn or another ASGI server.

    Args:
        name: what the page calls the checkpoint.
        host: the address or name, beside those of loopback, by which requests may name the server.
    """
    desk, about = Desk(limits), _about(model, name, limits)
    readings = asyncio.Semaphore(limits.readings)

    async def recordings(request: Request) -> Response:
        check_sender(request, "application/octet-stream")
        options = _options(request)
        with tempfile.TemporaryDirectory(prefix="biomechjax-") as made:
            folder = Path(made).resolve()
            places, file = plan(request, folder, limits)
            await receive(request, places, limits)
            async with readings:
                recording, skeleton = await read_in_child(folder, file, options, limits)
        movement, shown = await desk.call(lambda: _look(model, recording, skeleton))
        return JSONResponse(shown | {"key": desk.keep(movement) if movement else None})

    async def questions(request: Request) -> Response:
        check_sender(request, "application/json")
        asked = await _asked(request, limits)
        movement = desk.find(asked.key)
        (found,) = await desk.call(lambda: reply(model, movement, [asked.question], asked.explain, asked.task))
        return JSONResponse(reply_json(found))

    async def tell_about(request: Request) -> Response:
        return JSONResponse(about)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            desk.close()

    routes = [
        Route("/recordings", _said_kindly(recordings), methods=["POST"]),
        Route("/questions", _said_kindly(questions), methods=["POST"]),
        Route("/about", tell_about),
        *(Route(path, _file(text, kind)) for path, (text, kind) in _pages().items()),
    ]
    return guarded(Starlette(routes=routes, lifespan=lifespan), host)


def _said_kindly(handler: Handler) -> Handler:
    """The handler, with what it refuses as a sentence; what it does not expect is told to the log alone."""

    async def kind(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as e:
            return refusal(e)
        except InputError as e:
            return refusal(Refused(422, str(e)))
        except Exception:
            LOG.exception("a request failed")
            return refusal(Refused(500, "this did not work, by no fault of yours; the server's log says more"))

    return kind


def _look(
    model: TrainedDecoder, recording: Recording, skeleton: StickFigure | None
) -> tuple[Movement | None, dict[str, Any]]:
    """The movement, if the model can be asked about it, and what the page shows: facts, and the figure; where one of
    the two is not to be had, why."""
    shown: dict[str, Any] = {"figure": None}
    try:
        shown["figure"] = figure_json(skeleton or stick_figure(recording))
    except InputError as e:
        shown["figure_error"] = str(e)
    try:
        movement = open_movement(model, recording)
    except InputError as e:
        return None, shown | {"recording": recording_json(recording), "ask_error": str(e)}
    return movement, shown | {"recording": movement_json(movement)}


def _options(request: Request) -> ReadOptions:
    """Those of the query; a format is one that ships with the package, since a path would be one of this machine.

    Raises:
        Refused: a number is none, or the format is none of those.
        InputError: as `ReadOptions`.
    """
    given: dict[str, Any] = {}
    for field in dataclasses.fields(ReadOptions):
        if text := request.query_params.get(field.name, "").strip():
            try:
                given[field.name] = text if field.name in _WORDS else float(text)
            except ValueError:
                raise Refused(422, f"{field.name} is {text[:40]!r}; expected a number") from None
    if given.get("format", SHIPPED_FORMATS[0]) not in SHIPPED_FORMATS:
        raise Refused(422, f"format {given['format'][:40]!r}; expected one of {', '.join(SHIPPED_FORMATS)}")
    return ReadOptions(**given)


@dataclasses.dataclass(frozen=True)
class _Asked:
    key: str
    question: str
    explain: bool = False
    task: str | None = None


async def _asked(request: Request, limits: Limits) -> _Asked:
    body = b""
    try:
        async with asyncio.timeout(limits.upload_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > QUESTION_BYTES:
                    raise Refused(413, f"expected at most {QUESTION_BYTES} bytes")
    except TimeoutError:
        raise Refused(408, f"the question did not arrive within {limits.upload_s:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the question did not arrive whole") from None
    try:
        asked = _Asked(**json.loads(body))
    except (ValueError, TypeError, RecursionError):
        raise Refused(400, "expected a JSON object with key, question, explain and task") from None
    kinds = isinstance(asked.key, str), isinstance(asked.question, str), isinstance(asked.explain, bool)
    if not all(kinds) or not isinstance(asked.task, str | None):
        raise Refused(400, "key, question and task are text, explain is true or false")
    if len(asked.question) > limits.question_characters:
        raise Refused(413, f"the question is longer than {limits.question_characters} characters")
    return asked


def _about(model: TrainedDecoder, name: str, limits: Limits) -> dict[str, Any]:
    return {
        "model": name,
        "cohort": model.run["cohort"],
        "simulated": model.run["simulated"],
        "simulated_note": SIMULATED if model.run["simulated"] else None,
        "disclaimer": DISCLAIMER,
        "reads": [f.name for f in model.tokenizer.formats],
        "endings": list(READERS),
        "formats": SHIPPED_FORMATS,
        "units": list(ANGLE_UNITS),
        "tasks": {task.name: task.questions[0] for task in TASKS},
        "upload_bytes": limits.upload_bytes,
    }


def _pages() -> dict[str, tuple[str, str]]:
    """Text and content type of what the page is made of, by path."""
    here = {
        name: (Path(__file__).parent / name).read_text(encoding="utf-8")
        for name in ("page.html", "page.js", "page.css")
    }
    return {
        "/": (here["page.html"], "text/html"),
        "/page.js": (here["page.js"], "text/javascript"),
        "/page.css": (here["page.css"], "text/css"),
        "/player.js": (player_script(), "text/javascript"),
        "/player.css": (player_style(), "text/css"),
    }


def _file(text: str, kind: str) -> Handler:
    async def file(request: Request) -> Response:
        return Response(text, media_type=kind)

    return file
