"""Who asks: from the cookie of a browser or the bearer token of a program, and how a browser gets its cookie.

    GET    /login?token=...     redeem the one-time link that `genescale up` prints
    GET    /api/v1/session      who is signed in; 401 says why not, which a refused WebSocket cannot
    DELETE /api/v1/session      sign out
    POST   /api/v1/ws-ticket    a ticket that opens one stream from this page

A cookie counts only without an `Origin` or with one of ours. Tokens are never logged, and nothing quotes them.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple, TypeVar
from urllib.parse import parse_qs

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import Retryable
from genescale.gateway.replies import Header, Reply, Scope
from genescale.security.origin import Origins, normal_origin
from genescale.security.principal import Principal
from genescale.security.tickets import TICKET_S, BadTicket, Tickets, token_digest
from genescale.security.tokens import BadToken, Verifier
from genescale.security.users import NotSignedIn, SignedIn, Users
from genescale.sensitive import Sensitive

LOGIN_PATH: Final = "/login"
SESSION_PATH: Final = "/api/v1/session"
TICKET_PATH: Final = "/api/v1/ws-ticket"

_REMEMBERED_S: Final = 1.0
_REMEMBERED_MAX: Final = 10_000
_TOKEN_CHARACTERS_MAX: Final = 16_384
_QUERY_BYTES_MAX: Final = 2_000
_BEARER: Final = "bearer "
T = TypeVar("T")


class Shown(NamedTuple):
    """What the headers of a request show. `bearer`: not a cookie, so no other page can have sent it."""

    token: Sensitive[str]
    bearer: bool


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `GET /api/v1/session`."""

    name: str
    default_project: str
    roles: dict[str, list[str]]
    expires_at: str | None


class TicketAnswer(msgspec.Struct, frozen=True):
    """The body of `POST /api/v1/ws-ticket`. Offer `ticket.<ticket>` beside `genescale.v1` within `expires_s`."""

    ticket: str
    expires_s: float


class SignIn:
    """The routes above, and the reading of credentials for all other doors."""

    def __init__(
        self,
        *,
        users: Users,
        tickets: Tickets,
        origins: Origins,
        executor: Executor,
        clock: Clock,
        verifier: Verifier | None = None,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._origins = origins
        self._executor = executor
        self._clock = clock
        self._verifier = verifier
        self._remembered: dict[str, tuple[float, Principal]] = {}

    # ---- who asks ----

    def shown(self, scope: Scope) -> Shown | None:
        """The credential in the headers; the bearer header goes before the cookie."""
        values = headers_of(scope["headers"], b"authorization")
        if values:
            value = values[0]
            is_bearer = len(values) == 1 and value[: len(_BEARER)].lower() == _BEARER
            return Shown(Sensitive(value[len(_BEARER) :].strip()), bearer=True) if is_bearer else None
        name = cookie_name(scope)
        for value in headers_of(scope["headers"], b"cookie"):
            try:
                found = SimpleCookie(value).get(name)
            except CookieError:
                continue
            if found is not None:
                return Shown(Sensitive(found.value), bearer=False)
        return None

    async def recognise(self, scope: Scope) -> Principal | None:
        """Who asks; None when nothing proves it. May raise `Retryable`."""
        shown = self.shown(scope)
        if shown is None or not self._is_ours(scope, shown):
            return None
        held = self._held(shown.token)
        if held is not None:
            return held
        try:
            return await self.prove(shown.token)
        except (NotSignedIn, BadToken):
            return None

    async def looked_up(self, scope: Scope, reply: Reply) -> bool:
        """Ask the tables now, so that `recognised` need not wait. False: it answered that they cannot be asked."""
        try:
            await self.recognise(scope)
        except Retryable:
            await _unavailable(reply)
            return False
        return True

    def recognised(self, headers: Iterable[Header]) -> Principal | None:
        """Whom `recognise` found for these headers a moment ago. Never waits."""
        scope = {"headers": headers}
        shown = self.shown(scope) or self.shown({**scope, "scheme": "https"})
        return self._held(shown.token) if shown is not None and self._is_ours(scope, shown) else None

    async def prove(self, token: Sensitive[str]) -> Principal:
        """Who this token stands for. Raises `NotSignedIn`, `BadToken` or `Retryable`."""
        if len(token) > _TOKEN_CHARACTERS_MAX:
            raise NotSignedIn("sign in first", why="unknown")
        principal = await self.blocking(self._prove, token)
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[token_digest(token.reveal())] = (self._clock.monotonic_s(), principal)
        return principal

    def _prove(self, token: Sensitive[str]) -> Principal:
        if self._verifier is not None and token.reveal().count(".") == 2:
            return self._users.complete(self._verifier.principal(token))
        return self._users.authenticate(token)

    def _held(self, token: Sensitive[str]) -> Principal | None:
        at_s, principal = self._remembered.get(token_digest(token.reveal()), (0.0, None))
        if principal is None or self._clock.monotonic_s() - at_s >= _REMEMBERED_S:
            return None
        return principal

    def _is_ours(self, scope: Scope, shown: Shown) -> bool:
        """A cookie that comes with a foreign Origin was sent by somebody else's page."""
        origins = headers_of(scope["headers"], b"origin")
        return shown.bearer or not origins or (len(origins) == 1 and self._origins.allows(origins[0], bearer=False))

    async def blocking(self, work: Callable[..., T], *arguments: object) -> T:
        """Run what may wait for the tables."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    # ---- the routes ----

    def serves(self, path: str) -> bool:
        """Whether this path is one of these routes."""
        return path in {LOGIN_PATH, SESSION_PATH, TICKET_PATH}

    async def answer(self, scope: Scope, reply: Reply) -> None:
        """One request."""
        method, path = scope["method"], scope["path"]
        try:
            if path == LOGIN_PATH and method == "GET":
                await self._login(scope, reply)
            elif path == SESSION_PATH and method in {"GET", "HEAD"}:
                await self._session(scope, reply)
            elif path == SESSION_PATH and method == "DELETE":
                await self._sign_out(scope, reply)
            elif path == TICKET_PATH and method == "POST":
                await self._ticket(scope, reply)
            else:
                allowed = {LOGIN_PATH: b"GET", SESSION_PATH: b"DELETE, GET, HEAD", TICKET_PATH: b"POST"}[path]
                await reply.problem(
                    HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed.decode()}", (b"allow", allowed), code="METHOD"
                )
        except Retryable:
            await _unavailable(reply)

    async def _login(self, scope: Scope, reply: Reply) -> None:
        raw: bytes = scope.get("query_string", b"")
        tokens = parse_qs(raw.decode("latin-1")).get("token", []) if len(raw) <= _QUERY_BYTES_MAX else []
        if len(tokens) != 1:
            await _unauthenticated(reply, "open the link that genescale up printed")
            return
        try:
            signed_in: SignedIn = await self.blocking(self._users.redeem_link, Sensitive(tokens[0]))
        except NotSignedIn as error:
            await _unauthenticated(reply, str(error))
            return
        cookie = _cookie(scope, signed_in.token.reveal())
        await reply.whole(HTTPStatus.SEE_OTHER, b"text/plain", b"", (b"location", b"/"), (b"set-cookie", cookie))

    async def _session(self, scope: Scope, reply: Reply) -> None:
        principal = await self.recognise(scope)
        if principal is None:
            await _unauthenticated(reply, "nobody is signed in here; sign in again")
            return
        answer = SessionAnswer(
            name=principal.name,
            default_project=principal.default_project,
            roles={project: sorted(roles) for project, roles in sorted(principal.roles.items())},
            expires_at=None if principal.expires_s is None else rfc3339(int(principal.expires_s * 1000)),
        )
        await reply.whole(HTTPStatus.OK, b"application/json", msgspec.json.encode(answer))

    async def _sign_out(self, scope: Scope, reply: Reply) -> None:
        shown = self.shown(scope)
        if shown is not None and self._is_ours(scope, shown):
            self._remembered.pop(token_digest(shown.token.reveal()), None)
            await self.blocking(self._users.sign_out, shown.token)
        gone = _cookie(scope, "") + b"; Max-Age=0"
        await reply.whole(HTTPStatus.OK, b"application/json", b"{}", (b"set-cookie", gone))

    async def _ticket(self, scope: Scope, reply: Reply) -> None:
        origins = headers_of(scope["headers"], b"origin")
        origin = normal_origin(origins[0]) if len(origins) == 1 else None
        principal = await self.recognise(scope)
        if principal is None:
            await _unauthenticated(reply, "sign in, and ask from a page of this server")
        elif origin is None or not self._origins.allows(origin, bearer=False):
            await reply.problem(HTTPStatus.FORBIDDEN, "a ticket is for a page of this server", code="FOREIGN_ORIGIN")
        else:
            try:
                ticket = await self.blocking(self._tickets.issue, principal.subject, origin)
            except BadTicket as error:
                await reply.problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), (b"retry-after", b"30"), code="RATE")
                return
            await reply.whole(
                HTTPStatus.OK, b"application/json", msgspec.json.encode(TicketAnswer(ticket.reveal(), TICKET_S))
            )


def headers_of(headers: Iterable[Header], name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for found, value in headers if found == name]


def cookie_name(scope: Scope) -> str:
    """Browsers take the strict name only over TLS; the other one is for loopback without it."""
    return "__Host-genescale" if scope.get("scheme") in {"https", "wss"} else "genescale_session"


def _cookie(scope: Scope, value: str) -> bytes:
    name = cookie_name(scope)
    secure = "; Secure" if name.startswith("__Host-") else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}".encode()


async def _unauthenticated(reply: Reply, detail: str) -> None:
    await reply.problem(HTTPStatus.UNAUTHORIZED, detail, (b"www-authenticate", b"Bearer"), code="UNAUTHENTICATED")


async def _unavailable(reply: Reply) -> None:
    again = (b"retry-after", b"1")
    await reply.problem(HTTPStatus.SERVICE_UNAVAILABLE, "try again in a moment", again, code="UNAVAILABLE")
