"""How the gateway answers over HTTP: protective headers on everything, a problem document for every refusal."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

from genescale.gateway.pages import Page

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

_PROTECTION: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
NO_STORE: Header = (b"cache-control", b"no-store")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457). `detail` tells a person what to do; it never quotes what the client sent."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str | msgspec.UnsetType = msgspec.UNSET  # a short name for programs


class Reply:
    """One answer on its way out."""

    def __init__(self, send: Send, *, with_body: bool) -> None:
        self._send = send
        self._with_body = with_body

    async def page(self, page: Page, *, gzip: bool) -> None:
        """One of the built pages."""
        headers: list[Header] = [(b"cache-control", page.cache_control)]
        body = page.body
        if page.shrunk is not None:
            headers.append((b"vary", b"accept-encoding"))
            if gzip:
                headers.append((b"content-encoding", b"gzip"))
                body = page.shrunk
        await self._out(page.status, page.content_type, body, headers)

    async def whole(self, status: int, content_type: bytes, body: bytes, *headers: Header) -> None:
        """A body that must not be kept by anybody on the way."""
        await self._out(status, content_type, body, [NO_STORE, *headers])

    async def problem(self, status: HTTPStatus, detail: str, *headers: Header, code: str = "") -> None:
        """A refusal."""
        problem = Problem(title=status.phrase, status=status.value, detail=detail, code=code or msgspec.UNSET)
        body = msgspec.json.encode(problem)
        await self._out(status.value, b"application/problem+json", body, [NO_STORE, *headers])

    async def _out(self, status: int, content_type: bytes, body: bytes, headers: Iterable[Header]) -> None:
        fixed = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        start = {"type": "http.response.start", "status": status, "headers": [*fixed, *headers, *_PROTECTION]}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body if self._with_body else b""})
