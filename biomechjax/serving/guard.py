"""What every request passes through: who may ask, and headers that keep the page to itself.

A page of another site may not use this server: its requests carry another `Host` (DNS rebinding), or a browser says
that they come from another site, or have a content type that a browser sends only after asking, which is never allowed.
"""

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biomechjax.serving.limits import Refused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers:
    """ASGI middleware that puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def guarded(app: Starlette, host: str) -> ASGIApp:
    """The app for requests to this machine by a name of its own, or by `host`."""
    named = TrustedHostMiddleware(app, allowed_hosts=[*LOOPBACK, host], www_redirect=False)
    return Headers(named)


def check_sender(request: Request, content_type: str) -> None:
    """Raises Refused where a request comes from another site or has another content type."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refused(403, "only the page of this server may ask it")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
        raise Refused(415, f"expected content of type {content_type}")


def refusal(error: Refused) -> JSONResponse:
    return JSONResponse({"error": str(error)}, error.status, {"Retry-After": "5"} if error.status == 503 else None)
