"""The gateway's HTTP door: the portal's pages, the state of the platform, health and metrics.

Plain ASGI, since the hot routes to come (the socket) are measured twice as fast without a framework. `wiring` serves
it. Every answer carries the same protective headers; every refusal is a problem document (RFC 9457).
"""

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from genescale.errors import Retryable
from genescale.gateway.pages import Page
from genescale.gateway.platform import Remembered
from genescale.gateway.replies import Header, Receive, Reply, Scope, Send
from genescale.gateway.rest import Rest
from genescale.gateway.sign_in import SignIn
from genescale.gateway.socket import Stream
from genescale.observability import probe
from genescale.observability.logs import get_logger

_log = get_logger(__name__)

PLATFORM_PATH = "/api/v1/platform"
# The second names are those that existing probes and dashboards of the field ask for.
PROBE_PATHS: Mapping[str, str] = {
    "/health": "/health",
    "/ready": "/ready",
    "/metrics": "/metrics",
    "/q/health": "/health",
    "/q/health/live": "/health",
    "/q/health/ready": "/ready",
    "/q/metrics": "/metrics",
}

_RETRY_AFTER_S = 1


class Gateway:
    """The ASGI application."""

    def __init__(
        self,
        *,
        pages: Mapping[str, Page],
        platform: Remembered,
        ready: probe.Check,
        rest: Rest | None = None,
        sign_in: SignIn | None = None,
        stream: Stream | None = None,
    ) -> None:
        self._pages = pages
        self._rest = rest
        self._sign_in = sign_in
        self._stream = stream
        self._platform = platform
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif self._stream is not None and self._stream.serves(scope["path"]):
            await self._stream.answer(scope, receive, send)
        else:  # a WebSocket at a path that has none: closing before the accept answers 403
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        reply = Reply(send, with_body=method != "HEAD")
        path: str = scope["path"]
        if self._sign_in is not None and self._sign_in.serves(path):
            await self._sign_in.answer(scope, reply)
        elif self._rest is not None and self._rest.serves(path):
            if self._sign_in is None or await self._sign_in.looked_up(scope, reply):
                await self._rest.answer(scope, receive, reply)
        elif not (path in self._pages or path in PROBE_PATHS or path == PLATFORM_PATH):
            await reply.problem(HTTPStatus.NOT_FOUND, f"nothing is served here; try /, {PLATFORM_PATH} or /health")
        elif method not in {"GET", "HEAD"}:
            await reply.problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", (b"allow", b"GET, HEAD"))
        elif path == PLATFORM_PATH:
            await self._answer_platform(reply)
        elif path in PROBE_PATHS:
            await self._answer_probe(PROBE_PATHS[path], reply)
        else:
            await reply.page(self._pages[path], gzip=_takes_gzip(scope["headers"]))

    async def _answer_platform(self, reply: Reply) -> None:
        try:
            body = await self._platform.body()
        except Retryable as error:
            after = (b"retry-after", str(_RETRY_AFTER_S).encode())
            await reply.problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), after)
        except Exception as error:  # noqa: BLE001 - a defect, too, is answered with a problem document
            _log.exception("the state of the platform cannot be collected")
            await reply.problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}; the log has the details")
        else:
            await reply.whole(HTTPStatus.OK, b"application/json", body)

    async def _answer_probe(self, path: str, reply: Reply) -> None:
        # In a thread, since readiness asks the log; /health must answer even when all threads are busy.
        if path == "/health":
            answer = probe.answer(path)
        else:
            answer = await asyncio.to_thread(probe.answer, path, probe.alive, self._ready)
        assert answer is not None
        await reply.whole(answer.status, answer.content_type.encode(), answer.body)


def _takes_gzip(headers: Iterable[Header]) -> bool:
    for name, value in headers:
        if name == b"accept-encoding":
            offers = [offer.strip().replace(b" ", b"") for offer in value.lower().split(b",")]
            return any(o == b"gzip" or (o.startswith(b"gzip;") and not o.endswith((b"=0", b"=0.0"))) for o in offers)
    return False


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
