"""`/api/v1/analyses`: submit, look, list, fetch, cancel, over plain HTTP.

Plain ASGI like the rest of the door, since programs submit here at rates that a framework halves. Whatever may wait
for a disk runs on the executor; the event loop only reads, decides and writes.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Annotated, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec
from msgspec import Meta, Raw

from genescale.errors import GenescaleError, Retryable
from genescale.gateway.admission import Admission, Admitted, Refused, Submission
from genescale.gateway.replies import Header, Receive, Reply, Scope
from genescale.gateway.results import Answer, Results
from genescale.gateway.submitting import GroupCommit, refusal_of, single
from genescale.observability.logs import get_logger
from genescale.protocol.frames import Mode, Project, is_strict_json
from genescale.protocol.rest import ANALYSES_PATH
from genescale.security.principal import Principal

BODY_BYTES_MAX: Final = 1_100_000
PAGE_MAX: Final = 500

Authenticate: TypeAlias = Callable[[Iterable[Header]], Principal | None]
"""Who asks, from the headers of a request; None when nothing proves it. Must not wait."""

_BODY_S: Final = 30.0
_QUERY_BYTES_MAX: Final = 8_000  # fifty cids of 64 characters, and room
_VALUE_MAX: Final = 128
_SMALL_BYTES: Final = 32_768  # above it checking and sealing would hold up everybody else on the loop
_LOOKING: Final = frozenset({"GET", "HEAD"})
_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_IDENTITY: Final = re.compile(r"[0-9a-f-]{36}")
_UNAUTHENTICATED: Final = Refused(
    code="unauthenticated", message="sign in, or send a bearer token", status=HTTPStatus.UNAUTHORIZED
)
_NOWHERE: Final = Refused(code="not_found", message="there is nothing here", status=HTTPStatus.NOT_FOUND)

_log = get_logger(__name__)
T = TypeVar("T")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /api/v1/analyses`."""

    data: Raw
    project: Project | None = None
    mode: Mode = "normal"
    priority: Annotated[int, Meta(ge=1, le=10)] = 5


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to it. `idempotency_key`: what to repeat the request with."""

    analysis_id: str
    state: str
    duplicate: bool
    ref: str
    idempotency_key: str


_ASKED: Final = msgspec.json.Decoder(Asked)
_ENCODER: Final = msgspec.json.Encoder()


class Rest:
    """The routes. `authenticate` says who asks; the executor carries what blocks."""

    def __init__(
        self,
        *,
        admission: Admission,
        commit: GroupCommit,
        results: Results,
        authenticate: Authenticate,
        executor: Executor,
        body_bytes_max: int = BODY_BYTES_MAX,
        new_key: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._admission = admission
        self._commit = commit
        self._results = results
        self._authenticate = authenticate
        self._executor = executor
        self._body_bytes_max = body_bytes_max
        self._new_key = new_key

    def serves(self, path: str) -> bool:
        """Whether this path is one of these routes."""
        return path == ANALYSES_PATH or path.startswith(ANALYSES_PATH + "/")

    async def answer(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        """One request. Nothing that a client sends ends in anything but an answer."""
        try:
            refused = await self._route(scope, receive, reply)
        except Retryable as error:
            refused = refusal_of(error)
        except GenescaleError as error:
            _log.exception("a request to %s failed", ANALYSES_PATH)
            refused = _defect(error)
        except Exception as error:  # noqa: BLE001 - a defect, too, is answered with a problem document
            _log.exception("a request to %s failed", ANALYSES_PATH)
            refused = _defect(error)
        if refused is not None:
            await _refuse(reply, refused)

    async def _route(self, scope: Scope, receive: Receive, reply: Reply) -> Refused | None:
        principal = self._authenticate(scope["headers"])
        if principal is None:
            return _UNAUTHENTICATED
        path: str = scope["path"].removeprefix(ANALYSES_PATH)
        if path:
            return await self._one(principal, path[1:], scope["method"], reply)
        return await self._all(principal, scope, receive, reply)

    async def _all(self, principal: Principal, scope: Scope, receive: Receive, reply: Reply) -> Refused | None:
        if scope["method"] == "POST":
            return await self._submit(principal, scope, receive, reply)
        if scope["method"] in _LOOKING:
            return await self._list(principal, scope, reply)
        return await _only(reply, b"GET, HEAD, POST")

    async def _one(self, principal: Principal, path: str, method: str, reply: Reply) -> Refused | None:
        identity, _, tail = path.partition("/")
        if not _IDENTITY.fullmatch(identity) or tail not in {"", "result"}:
            return _NOWHERE
        if method in _LOOKING:
            if tail:
                return await self._result(principal, identity, reply)
            return await self._show(reply, HTTPStatus.OK, self._results.find, principal, identity)
        if method == "DELETE" and not tail:
            return await self._show(reply, HTTPStatus.ACCEPTED, self._results.cancel, principal, identity)
        return await _only(reply, b"GET, HEAD" if tail else b"DELETE, GET, HEAD")

    async def _submit(self, principal: Principal, scope: Scope, receive: Receive, reply: Reply) -> Refused | None:
        body = _bad_headers(scope) or await self._body(scope, receive)
        if isinstance(body, Refused):
            return body
        cid = _header(scope, b"idempotency-key") or self._new_key()
        traceparent = _header(scope, b"traceparent")
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None  # W3C: what cannot be read is as if it were not there
        if len(body) <= _SMALL_BYTES:
            admitted = self._admit(principal, body, cid, traceparent)
        else:
            admitted = await self._blocking(self._admit, principal, body, cid, traceparent)
        if isinstance(admitted, Refused):
            return admitted
        taken = await self._commit.submit(single(admitted))
        if isinstance(taken, Refused):
            return taken
        told = Told(
            analysis_id=taken.group_id,
            state="queued" if taken.unfinished else "finished",
            duplicate=taken.duplicate,
            ref=taken.ref,
            idempotency_key=cid,
        )
        location = (b"location", f"{ANALYSES_PATH}/{taken.group_id}".encode())
        await reply.whole(HTTPStatus.ACCEPTED, b"application/json", _ENCODER.encode(told), location)
        return None

    def _admit(self, principal: Principal, body: bytes, cid: str, traceparent: str | None) -> Admitted | Refused:
        if not is_strict_json(body):
            return _bad_body("the body is not JSON, names a key twice, or nests too deeply")
        try:
            asked = _ASKED.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return _bad_body("the body is {data, project, mode, priority}; priority is 1 to 10")
        submission = Submission(
            cid=cid,
            project=asked.project or principal.default_project,
            data=asked.data,
            mode=asked.mode,
            priority=asked.priority,
            traceparent=traceparent,
        )
        return self._admission.admit(principal, submission)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | Refused:
        length = _header(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length) > self._body_bytes_max:
            return self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_S):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return _bad_body("the body ended early")
                    body += message.get("body", b"")
                    if len(body) > self._body_bytes_max:
                        return self._too_large()
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            return Refused(code="too_slow", message="the body did not come in time", status=HTTPStatus.REQUEST_TIMEOUT)

    def _too_large(self) -> Refused:
        return Refused(
            code="too_large",
            message=f"a request holds at most {self._body_bytes_max:,} bytes; upload the file and refer to it",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )

    async def _list(self, principal: Principal, scope: Scope, reply: Reply) -> Refused | None:
        raw: bytes = scope.get("query_string", b"")
        if len(raw) > _QUERY_BYTES_MAX:
            return _bad_body("the query is too long")
        pairs = parse_qsl(raw.decode("latin-1"))
        if not all(value.isprintable() and len(value) <= _VALUE_MAX for _, value in pairs):
            return _bad_body(f"the values of the query are texts of at most {_VALUE_MAX} characters")
        query = dict(pairs)
        cids = [value for name, value in pairs if name == "cid"]
        if cids:
            return await self._show(reply, HTTPStatus.OK, self._results.of_cids, principal, cids)
        limit = query.get("limit", "100")
        if not limit.isdecimal() or not 1 <= int(limit[:6]) <= PAGE_MAX:
            return _bad_body(f"limit is 1 to {PAGE_MAX}")

        def listed() -> object:
            return self._results.listed(
                principal,
                query.get("project") or principal.default_project,
                state=query.get("state", ""),
                session=query.get("session", ""),
                after=query.get("after", ""),
                limit=int(limit),
            )

        return await self._show(reply, HTTPStatus.OK, listed)

    async def _result(self, principal: Principal, identity: str, reply: Reply) -> Refused | None:
        found = await self._blocking(self._results.result, principal, identity)
        if isinstance(found, Answer):
            etag = (b"etag", f'"{identity}-{found.analysis.revision}"'.encode())
            await reply.whole(HTTPStatus.OK, b"application/json", found.data, etag)
            return None
        return found

    async def _show(
        self, reply: Reply, status: HTTPStatus, ask: Callable[..., object], *arguments: object
    ) -> Refused | None:
        found = await self._blocking(ask, *arguments)
        if isinstance(found, Refused):
            return found
        await reply.whole(status, b"application/json", _ENCODER.encode(found))
        return None

    async def _blocking(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


def _bad_headers(scope: Scope) -> Refused | None:
    if not (_header(scope, b"content-type") or "").lower().startswith("application/json"):
        return Refused(
            code="unsupported_media_type", message="send application/json", status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )
    key = _header(scope, b"idempotency-key")
    if key is None or _KEY.fullmatch(key):
        return None
    return Refused(
        code="invalid_key",
        message="Idempotency-Key: 1 to 64 letters, digits and _ . : -",
        status=HTTPStatus.BAD_REQUEST,
    )


async def _refuse(reply: Reply, refused: Refused) -> None:
    headers: list[Header] = []
    if refused.retryable:
        headers.append((b"retry-after", str(max(1, (refused.retry_ms or 0) // 1000)).encode()))
    if refused.status is HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    await reply.problem(refused.status, refused.message, *headers, code=refused.code.upper())


async def _only(reply: Reply, methods: bytes) -> None:
    await reply.problem(HTTPStatus.METHOD_NOT_ALLOWED, f"only {methods.decode()}", (b"allow", methods))


def _bad_body(message: str) -> Refused:
    return Refused(code="invalid_request", message=message, status=HTTPStatus.BAD_REQUEST)


def _defect(error: Exception) -> Refused:
    return Refused(
        code="internal",
        message=f"{type(error).__name__}; the log has the details",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def _header(scope: Scope, name: bytes) -> str | None:
    headers: Iterable[Header] = scope["headers"]
    return next((value.decode("latin-1") for found, value in headers if found == name), None)
