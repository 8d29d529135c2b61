"""A polite client of somebody else's REST server: never faster than allowed, never for ever, never in silence.

    RestError
    ├── RestUnavailable (Retryable)   the server is down, slow, busy or speaks nonsense; `after_s` says when it may do
    └── RestRefused (Permanent)       the server understood and said no; `status` and `said` tell what

What it does about a failure, in this order: waits as long as the server asks (`Retry-After`, `X-RateLimit-Reset`);
tries again with full jitter, bounded in number, age and share of all calls; and after several failures in a row stops
calling altogether for a while (an open circuit), then lets one call through to see (half open). Whoever needs an answer
sooner than that gets `RestUnavailable` and decides for himself.

Messages name the end point and never what was asked: paths and bodies may hold somebody's variants.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import urllib.parse
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final

from genescale.clock import Clock
from genescale.errors import GenescaleError, InvalidInput, Permanent, Retryable
from genescale.events.retry import RetryBudget, RetryPolicy

ANSWER_BYTES_MAX: Final = 64 << 20
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth another try
BANNED_S: Final = 600.0  # Ensembl answers 403 to those who ignored its limits, for some time
_CHUNK: Final = 1 << 16


class RestError(GenescaleError):
    """What can go wrong with a call."""


class RestUnavailable(Retryable, RestError):
    """No answer now; perhaps later."""


class RestRefused(Permanent, RestError):
    """The server said no. `said` is its own explanation and may repeat what was asked: show it, do not log it."""

    def __init__(self, message: str, *, status: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class _Passing(Exception):
    """One try failed in a way that may pass."""

    def __init__(self, why: str, *, after_s: float | None = None, counts: bool = True) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.counts = counts  # against the circuit: being told to slow down is no fault of the server


class Pace:
    """At most so many calls a second, evenly, for all threads together; and none before the server wants one."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._gap_s = 1.0 / per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s = clock.monotonic_s()

    def wait(self, at_most_s: float) -> None:
        """Sleep until it is our turn. Raises `RestUnavailable` when that is further away than `at_most_s`."""
        with self._lock:
            now = self._clock.monotonic_s()
            turn = max(now, self._next_s)
            if turn - now > at_most_s:
                raise RestUnavailable(
                    f"the server asked for a pause of {turn - now:.0f} s: try again then", after_s=turn - now
                )
            self._next_s = turn + self._gap_s
        if turn > now:
            self._clock.sleep(turn - now)

    def hold(self, seconds: float) -> None:
        """No call for this long."""
        with self._lock:
            self._next_s = max(self._next_s, self._clock.monotonic_s() + seconds)


class Circuit:
    """Closed: calls pass. Open after several failures in a row: none does. Half open after a rest: one does."""

    def __init__(self, clock: Clock, *, failures: int = 5, rest_s: float = 30.0, rest_max_s: float = 600.0) -> None:
        self._clock = clock
        self._failures, self._rest_s, self._rest_max_s = failures, rest_s, rest_max_s
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._opened_s: float | None = None
        self._resting_s = rest_s
        self._trying = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half open`."""
        with self._lock:
            if self._opened_s is None:
                return "closed"
            return "half open" if self._left_s() <= 0 else "open"

    def rest_s(self) -> float:
        """How long no call will pass; 0 when one may."""
        with self._lock:
            return 0.0 if self._opened_s is None else max(0.0, self._left_s())

    def enter(self) -> None:
        """Raises `RestUnavailable` while open, and for all but the one call that tries a half open circuit."""
        with self._lock:
            if self._opened_s is None:
                return
            left = self._left_s()
            if left > 0 or self._trying:
                raise RestUnavailable(
                    f"the server failed {self._in_a_row} times in a row and is left alone for now",
                    after_s=max(left, 1.0),
                )
            self._trying = True

    def succeeded(self) -> None:
        """The server answered."""
        with self._lock:
            self._in_a_row, self._opened_s, self._trying, self._resting_s = 0, None, False, self._rest_s

    def failed(self) -> None:
        """The server did not answer. A failed trial rests twice as long as the time before."""
        with self._lock:
            self._in_a_row += 1
            if self._trying:
                self._resting_s = min(self._resting_s * 2, self._rest_max_s)
            if self._trying or (self._opened_s is None and self._in_a_row >= self._failures):
                self._opened_s = self._clock.monotonic_s()
            self._trying = False

    def undecided(self) -> None:
        """The trial told nothing about the server (it asked for a pause, say): the next call may try."""
        with self._lock:
            self._trying = False

    def _left_s(self) -> float:
        return (self._opened_s or 0.0) + self._resting_s - self._clock.monotonic_s()


class RestClient:
    """Calls one server that speaks JSON. Any number of threads may share one; they share its pace.

    `timeout_s` bounds one try from connecting to the last byte, `policy` all tries of a call. `seed` is that of the
    jitter. `proxy` is `host:port` of an HTTP proxy that lets TLS through.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        seed: int,
        per_second: float = 15.0,
        timeout_s: float = 60.0,
        policy: RetryPolicy | None = None,
        circuit: Circuit | None = None,
        proxy: str = "",
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise InvalidInput(f"{url!r} is no address of a server: write https://HOST, with a path at most")
        self.url = url.rstrip("/")
        self.circuit = circuit or Circuit(clock)
        self.pace = Pace(per_second, clock)
        self._parts = parts
        self._clock = clock
        self._timeout_s = timeout_s
        self._policy = policy or RetryPolicy(age_max_s=300.0)
        self._budget = RetryBudget(self._policy)
        self._refilled_s = clock.monotonic_s()
        self._draw = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._lock = threading.Lock()
        self._proxy = proxy
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []
        self._context = ssl.create_default_context() if parts.scheme == "https" else None

    def call(self, end_point: str, path: str, body: Any = None) -> Any:
        """The parsed answer to a GET of `path`, or to a POST of `body`. `end_point` is its name in messages.

        Raises `RestUnavailable` or `RestRefused`, nothing else.
        """
        began = self._clock.monotonic_s()
        with self._lock:
            self._budget.earn(1)
            self._budget.refill(began - self._refilled_s)
            self._refilled_s = began
        attempt = 0
        while True:
            self.circuit.enter()
            try:
                self._wait_turn(began)
                answer = self._try(path, None if body is None else json.dumps(body).encode())
            except _Passing as failure:
                attempt += 1
                if failure.counts:
                    self.circuit.failed()
                else:
                    self.circuit.undecided()
                self._pause(end_point, failure, attempt, began)
            except RestRefused:
                self.circuit.succeeded()  # an answer is an answer
                raise
            except BaseException:
                self.circuit.undecided()
                raise
            else:
                self.circuit.succeeded()
                return answer

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            opened, self._open = self._open, []
        for connection in opened:
            connection.close()

    def _wait_turn(self, began: float) -> None:
        self.pace.wait(self._policy.age_max_s - (self._clock.monotonic_s() - began))

    def _pause(self, end_point: str, failure: _Passing, attempt: int, began: float) -> None:
        """Sleep before the next try, or give up."""
        age = self._clock.monotonic_s() - began
        with self._lock:
            delay = self._policy.delay_s(attempt, failure.after_s, self._draw)
            over = self._policy.exhausted(attempt, age + delay)
            rest = self.circuit.rest_s()
            allowed = not over and not rest and self._budget.spend()
        if not allowed:
            why = "; it is left alone for now" if rest else "" if over else "; too many calls are repeated already"
            delay = max(delay, rest)
            raise RestUnavailable(
                f"{end_point} of {self.url}: {failure} ({attempt} tries in {age:.0f} s{why})", after_s=delay
            ) from failure
        if failure.after_s:
            self.pace.hold(delay)
        else:
            self._clock.sleep(delay)

    def _try(self, path: str, body: bytes | None) -> Any:
        """One try. Raises `_Passing` or `RestRefused`."""
        connection = self._connection()
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "genescale"}
        deadline = self._clock.monotonic_s() + self._timeout_s
        method, target = "GET" if body is None else "POST", self._parts.path.rstrip("/") + path
        try:
            response = self._sent(connection, method, target, body, headers)
            content = self._read(response, deadline)
        except TimeoutError as error:
            connection.close()
            raise _Passing(f"no answer within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _Passing(f"the connection failed ({type(error).__name__})") from error
        except BaseException:
            connection.close()  # half an answer would otherwise be read by the next call
            raise
        if response.will_close:
            connection.close()
        self._note_limits(response.headers)
        return self._judged(response.status, response.headers, content)

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        """Send and wait for the first line. A kept connection that the server has closed meanwhile is opened again."""
        kept = connection.sock is not None
        try:
            connection.request(method, target, body, headers)
            return connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            if not kept:
                raise
        connection.close()
        connection.request(method, target, body, headers)
        return connection.getresponse()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK):
            parts.append(chunk)
            size += len(chunk)
            if size > ANSWER_BYTES_MAX:
                raise http.client.HTTPException("the answer is too long")
            if self._clock.monotonic_s() > deadline:
                raise TimeoutError
        response.read()  # notes that the answer is whole, or raises that it is not
        return b"".join(parts)

    def _judged(self, status: int, headers: Message, content: bytes) -> Any:
        if status == 200:
            try:
                return json.loads(content)
            except (ValueError, RecursionError) as error:
                raise _Passing("the answer is no JSON") from error
        after_s = seconds_of(headers.get("Retry-After"))
        if status == 403:
            self.pace.hold(BANNED_S)
            raise RestUnavailable(
                f"{self.url} has shut us out for a while (403), as it does after too many calls", after_s=BANNED_S
            )
        if status in PASSING or status >= 500:
            slow_down = status == 429
            if slow_down and after_s is None:
                after_s = seconds_of(headers.get("X-RateLimit-Reset"))
            raise _Passing(f"it answered {status}", after_s=after_s, counts=not slow_down)
        raise RestRefused(f"{self.url} answered {status}", status=status, said=_explanation(content))

    def _note_limits(self, headers: Message) -> None:
        """When nothing is left of the quota, wait for the next one instead of running into the refusal."""
        if headers.get("X-RateLimit-Remaining", "").strip() == "0":
            self.pace.hold(seconds_of(headers.get("X-RateLimit-Reset")) or 1.0)

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's connection; http.client opens it again by itself when it was closed."""
        found: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._new_connection()
            self._local.connection = found
            with self._lock:
                self._open.append(found)
        return found

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        target = urllib.parse.urlsplit(f"//{self._proxy}") if self._proxy else None
        at = (str(target.hostname), target.port or 3128) if target else (host, port)
        if self._context is None:
            return http.client.HTTPConnection(*at, timeout=self._timeout_s)
        connection = http.client.HTTPSConnection(*at, timeout=self._timeout_s, context=self._context)
        if target:
            connection.set_tunnel(host, port or 443)
        return connection


def seconds_of(text: str | None) -> float | None:
    """The seconds in a header such as `Retry-After: 1.5`; None for a date, nonsense or nothing."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 * 7 else None


def _explanation(content: bytes) -> str:
    """The server's own words: Ensembl's `{"error": ...}`, cut to a length for people."""
    try:
        parsed: Mapping[str, Any] | Any = json.loads(content)
        words = parsed.get("error") if isinstance(parsed, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    except (ValueError, RecursionError):
        words = None
    return words[:500] if isinstance(words, str) else ""
