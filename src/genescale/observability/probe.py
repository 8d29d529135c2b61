"""The small HTTP door of a role: is it alive, may it get work, what are its numbers.

`answer` is the one implementation of the three answers; the gateway's own server uses it too. `Probe` serves it for
roles that have no HTTP server: standard library only, loopback unless told otherwise, a few threads at most.
Orchestrators kill what does not answer `/health` and send no work to what does not answer `/ready` with 200, so
`/health` must not depend on anything outside the process.
"""

import select
import selectors
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import orjson

from genescale.clock import Clock, SystemClock
from genescale.observability import metrics as metrics_module
from genescale.observability.logs import get_logger
from genescale.observability.redact import text

_log = get_logger(__name__)
_JSON = "application/json"
_NOT_FOUND = b'{"status":"not found","paths":["/health","/ready","/metrics"]}'
_CONNECTIONS_MAX = 16  # one prober and one scraper are the rule; a flood must not take the threads of the role
_BACKLOG = 128  # a full queue drops the client's first packet, and the client tries again only after a second
_PAUSE_S = 0.2
_PATIENCE_S = 5.0  # a client that has not asked its whole question by then is let go
_HEAD_MAX = 16_384


class State(NamedTuple):
    """Whether it is so, and why not."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What goes back over HTTP."""

    status: int
    content_type: str
    body: bytes


Check: TypeAlias = Callable[[], State]
_Respond: TypeAlias = Callable[[str], Answer | None]


def alive() -> State:
    """A process that can say so is alive."""
    return State(True)


def answer(
    path: str, health: Check = alive, ready: Check = alive, metrics: Callable[[], bytes] = metrics_module.render
) -> Answer | None:
    """The answer to GET `path`, None when it is none of the three. Never raises: a check that fails is a `no`."""
    match path.partition("?")[0]:
        case "/health":
            return _verdict("alive", health)
        case "/ready":
            return _verdict("ready", ready)
        case "/metrics":
            return _numbers(metrics)
        case _:
            return None


def _verdict(word: str, check: Check) -> Answer:
    try:
        state = check()
    except Exception as error:  # noqa: BLE001 - whatever goes wrong inside a check, the answer is `no`
        _log.exception("a check failed", check=word)
        state = State(False, (f"the check itself failed: {type(error).__name__}",))
    document: dict[str, Any] = {"status": word if state.ok else f"not {word}"}
    if state.reasons:
        document["reasons"] = [text(reason) for reason in state.reasons]
    return Answer(200 if state.ok else 503, _JSON, orjson.dumps(document))


def _numbers(metrics: Callable[[], bytes]) -> Answer:
    try:
        return Answer(200, metrics_module.CONTENT_TYPE, metrics())
    except Exception as error:  # noqa: BLE001 - a scrape must not end the thread that serves it
        _log.exception("metrics failed")
        return Answer(500, _JSON, orjson.dumps({"status": f"metrics failed: {type(error).__name__}"}))


class Probe:
    """Serves `answer` until `close`. `port` is the bound port, also when 0 was asked for.

    Raises `OSError` when the address is taken; the caller knows how to explain that.
    """

    def __init__(
        self,
        health: Check = alive,
        ready: Check = alive,
        metrics: Callable[[], bytes] = metrics_module.render,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._respond: _Respond = lambda path: answer(path, health, ready, metrics)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._slots = threading.BoundedSemaphore(_CONNECTIONS_MAX)
        # Waiting without a time-out needs something that can end the wait: a pair of sockets, one end in the selector.
        self._waker, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="probe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more questions; what is being answered ends by itself. May be called twice."""
        if self._thread.is_alive():
            self._waker.send(b"x")
            self._thread.join()
        for each in (self._listener, self._waker, self._woken):
            each.close()

    def __enter__(self) -> "Probe":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._woken in ready:
                    return
                try:
                    connection, _ = self._listener.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue  # the client went away between the select and the accept
                except OSError:
                    _log.exception("the probe cannot take a connection")  # no file descriptor is left, for example
                    select.select([self._woken], [], [], _PAUSE_S)  # or this loop would spin
                    continue
                if self._slots.acquire(blocking=False):
                    threading.Thread(target=self._serve, args=(connection,), name="probe", daemon=True).start()
                else:
                    connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                head = _read_head(connection, self._clock)
                connection.settimeout(_PATIENCE_S)
                connection.sendall(_response(head, self._respond))
        except OSError:
            pass  # the client went away or never asked, and nobody else waits for this answer
        finally:
            self._slots.release()


def _read_head(connection: socket.socket, clock: Clock) -> bytes:
    """What the client asks, up to the empty line. One deadline for all of it, so that no drop-by-drop client stays."""
    deadline = clock.monotonic_s() + _PATIENCE_S
    head = b""
    while b"\r\n\r\n" not in head:
        left = deadline - clock.monotonic_s()
        if left <= 0 or len(head) > _HEAD_MAX:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(_HEAD_MAX)
        if not piece:
            raise ConnectionAbortedError
        head += piece
    return head


def _response(head: bytes, respond: _Respond) -> bytes:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        given = Answer(400, _JSON, b'{"status":"this is not HTTP/1.1"}')
    elif words[0] not in ("GET", "HEAD"):
        given = Answer(405, _JSON, b'{"status":"only GET and HEAD"}')
    else:
        given = respond(words[1]) or Answer(404, _JSON, _NOT_FOUND)
    lines = (
        f"HTTP/1.1 {given.status} {HTTPStatus(given.status).phrase}",
        f"Content-Type: {given.content_type}",
        f"Content-Length: {len(given.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("latin-1") + (b"" if words[0] == "HEAD" else given.body)
