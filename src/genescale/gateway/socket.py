"""`/api/v1/stream`: one WebSocket, driven by `protocol.server.ServerSession`. Raw ASGI; a framework halves its rates.

Everything about who connects is decided before the socket is accepted. Then two tasks run, and neither waits for the
other: the reader feeds the machine, the writer empties a bounded outbox. What the machine asks for and what may wait
for disk or network runs in tasks of its own, and its outcome is fed back.
"""

import asyncio
import contextlib
import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from http import HTTPStatus
from itertools import accumulate
from math import inf
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from genescale.clock import Clock
from genescale.errors import Retryable
from genescale.gateway.admission import Admission, Admitted, Refused, Submission, analysis_id_of
from genescale.gateway.live import ACTIONS, ANALYSIS, LiveValues
from genescale.gateway.replies import Receive, Reply, Scope, Send
from genescale.gateway.results import Results
from genescale.gateway.sessions import Opened as OpenedSession
from genescale.gateway.sessions import SessionIndex
from genescale.gateway.sign_in import SignIn, headers_of
from genescale.gateway.submitting import Group, GroupCommit, refusal_of, single
from genescale.observability.logs import get_logger
from genescale.protocol import server_steps as steps
from genescale.protocol.closing import DRAINING, FORBIDDEN, TOO_MUCH, UNAUTHENTICATED, Closing
from genescale.protocol.frames import SUBPROTOCOL, Accepted, AcceptedBatch, Hello, Rejected, Submit, SubmitBatch
from genescale.protocol.server import Limits, ServerSession, State
from genescale.security.limits import AtOnce
from genescale.security.origin import Origins, normal_origin
from genescale.security.policy import decide
from genescale.security.principal import Principal
from genescale.security.revocations import Revocations
from genescale.security.tickets import BadResumeToken, BadTicket, Resumed, ResumeTokens, Tickets
from genescale.security.tokens import BadToken
from genescale.security.users import NotSignedIn, Users
from genescale.sensitive import Sensitive

PATH: Final = "/api/v1/stream"
ALIASES: Final = frozenset({"/ws", "/genetics"})

_SMALL_BYTES: Final = 32_768  # above it checking and sealing would hold up everybody else on the loop
_FETCH_MAX: Final = 64
_FETCH_BYTES_MAX: Final = 4 << 20
_TICKET: Final = "ticket."
_HOUSEKEEPING_S: Final = 1.0
_HOLDERS_EVERY: Final = 5  # rounds of housekeeping
_RENEW_EVERY: Final = 15
_AGAIN_S: Final = 1.0

_log = get_logger(__name__)
T = TypeVar("T")


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the doors of the stream take. The rules of a single connection are `protocol.server.Limits`."""

    sockets_max: int = 10_000
    unauthenticated_share: float = 0.05
    send_s: float = 10.0
    close_s: float = 2.0
    outbox_bytes_max: int = 4 << 20  # answers that wait for a reader; behind it they stay in the log
    legacy_messages: bool = True
    drain_jitter_ms: int = 5_000


class Entry(NamedTuple):
    """A handshake that may be accepted. Without a principal the first frame must bring a token."""

    principal: Principal | None
    legacy: bool


class Holders:
    """Which connection of this gateway has which session: what the delivery asks, and whom it tells."""

    def __init__(self) -> None:
        self._held: dict[str, Connection] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def sessions(self) -> tuple[str, ...]:
        """The sessions that are connected here. Safe from any thread."""
        return tuple(self._held)

    def on_frames(self, ends: Mapping[str, int]) -> None:
        """Told by the delivery, from its thread, where sessions end now."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all connections
                loop.call_soon_threadsafe(self._available, ends)

    def _available(self, ends: Mapping[str, int]) -> None:
        for session, last_seq in ends.items():
            connection = self._held.get(session)
            if connection is not None:
                connection.feed(steps.Available(last_seq))

    def hold(self, session: str, connection: "Connection") -> None:
        """This connection has the session now; an older one is told so."""
        self._loop = asyncio.get_running_loop()
        older = self._held.get(session)
        self._held[session] = connection
        if older is not None and older is not connection:
            older.feed(steps.TakenOver())

    def let_go(self, session: str, connection: "Connection") -> None:
        """The connection ends."""
        if self._held.get(session) is connection:
            del self._held[session]

    def identities(self) -> dict[str, str]:
        """Session -> the identity of the connection that has it."""
        return {session: connection.identity for session, connection in self._held.items()}

    def lost(self, session: str, identity: str) -> None:
        """A connection at another gateway has the session now."""
        connection = self._held.get(session)
        if connection is not None and connection.identity == identity:
            connection.feed(steps.TakenOver())


class Stream:
    """All connections of this gateway."""

    def __init__(
        self,
        *,
        sign_in: SignIn,
        origins: Origins,
        tickets: Tickets,
        resume_tokens: ResumeTokens,
        users: Users,
        revocations: Revocations,
        admission: Admission,
        commit: GroupCommit,
        index: SessionIndex,
        holders: Holders,
        results: Results,
        live: LiveValues,
        epoch: str,
        executor: Executor,
        clock: Clock,
        server: Mapping[str, str],
        seed: int,
        limits: Limits | None = None,
        settings: StreamSettings | None = None,
    ) -> None:
        self.sign_in = sign_in
        self._origins = origins
        self._tickets = tickets
        self.resume_tokens = resume_tokens
        self._users = users
        self._revocations = revocations
        self.admission = admission
        self.commit = commit
        self.index = index
        self.holders = holders
        self.results = results
        self.live = live
        self.epoch = epoch
        self._executor = executor
        self.clock = clock
        self.server = server
        self._random = random.Random(seed)  # noqa: S311 - spreads reconnections, hides nothing
        self.limits = limits or Limits()
        self.settings = settings or StreamSettings()
        self.at_once = AtOnce()
        self.counts: Counter[str] = Counter()
        self.unauthenticated = 0
        self._connections: set[Connection] = set()
        self._acks: dict[str, int] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self.draining = False

    # ---- the handshake ----

    def serves(self, path: str) -> bool:
        """Whether this path is the stream's."""
        return path == PATH or path in ALIASES

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One WebSocket, from its handshake to its end."""
        await receive()
        try:
            entry = await self._check(scope)
        except Retryable:
            entry = _refused("unavailable", "try again in a moment", HTTPStatus.SERVICE_UNAVAILABLE)
        if isinstance(entry, Refused):
            self.counts[f"refused_{entry.code}"] += 1
            await _refuse(send, entry)
            return
        self._begin()
        connection = Connection(self, entry, receive, send)
        self._connections.add(connection)
        self.unauthenticated += 1
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    async def _check(self, scope: Scope) -> Entry | Refused:
        """Everything that can be known before the upgrade, the cheap things first."""
        offered: list[str] = list(scope.get("subprotocols") or ())
        legacy = scope["path"] in ALIASES and not offered and self.settings.legacy_messages
        refused = self._why_no_room()
        if not legacy and SUBPROTOCOL not in offered:
            refused = _refused("subprotocol", f"offer the subprotocol {SUBPROTOCOL}", HTTPStatus.BAD_REQUEST)
        shown = self.sign_in.shown(scope)
        bearer = shown is not None and shown.bearer
        origins = headers_of(scope["headers"], b"origin")
        origin = origins[0] if origins else None
        if len(origins) > 1 or not self._origins.allows(origin, bearer=bearer):
            refused = _refused("foreign_origin", "this page may not open a stream here", HTTPStatus.FORBIDDEN)
        if refused is not None:
            return refused
        tickets = [one.removeprefix(_TICKET) for one in offered if one.startswith(_TICKET)]
        if shown is None:
            if legacy or tickets:
                return _refused("unauthenticated", "sign in first", HTTPStatus.UNAUTHORIZED)
            return Entry(None, legacy=False)
        principal = await self.sign_in.recognise(scope)
        if principal is None:
            return _refused("unauthenticated", "sign in again", HTTPStatus.UNAUTHORIZED)
        if not bearer and not legacy and not await self._redeemed(tickets, principal, origin or ""):
            return _refused("ticket", "ask for a new ticket for each connection", HTTPStatus.UNAUTHORIZED)
        return Entry(principal, legacy)

    def _why_no_room(self) -> Refused | None:
        if self.unauthenticated >= max(1, int(self.settings.sockets_max * self.settings.unauthenticated_share)):
            return _refused("busy", "too many handshakes at once; try again", HTTPStatus.SERVICE_UNAVAILABLE)
        if len(self._connections) >= self.settings.sockets_max:
            return _refused("busy", "this server has no room; try again", HTTPStatus.SERVICE_UNAVAILABLE)
        return None

    async def _redeemed(self, tickets: list[str], principal: Principal, origin: str) -> bool:
        if len(tickets) != 1:
            return False
        try:
            await self.blocking(
                self._tickets.redeem, Sensitive(tickets[0]), principal.subject, normal_origin(origin) or ""
            )
        except BadTicket:
            return False
        return True

    def acked(self, session: str, seq: int) -> None:
        """To be stored with those of everybody else, within a second."""
        self._acks[session] = max(seq, self._acks.get(session, 0))

    # ---- what happens by the clock ----

    def _begin(self) -> None:
        if self._housekeeping is None or self._housekeeping.done():
            self._housekeeping = asyncio.create_task(self._keep_house())

    async def _keep_house(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            rounds += 1
            try:
                await self._store_acks()
                await self._end_revoked(renew=rounds % _RENEW_EVERY == 0)
                if rounds % _HOLDERS_EVERY == 0:
                    await self._end_taken_over()
            except Retryable as error:
                _log.warning("the housekeeping of the stream waits", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - a defect in one round must not end revocation and acks for all
                _log.exception("the housekeeping of the stream failed; it goes on")

    async def _store_acks(self) -> None:
        acks, self._acks = self._acks, {}
        if acks:
            try:
                await self.blocking(self.index.ack, acks)
            except BaseException:
                for session, seq in acks.items():  # a lost ack costs a replay only, yet the next round may store it
                    self.acked(session, seq)
                raise

    async def _end_taken_over(self) -> None:
        held = self.holders.identities()
        for session in await self.blocking(self.index.lost, held) if held else ():
            self.holders.lost(session, held[session])

    async def _end_revoked(self, *, renew: bool) -> None:
        """Close what may not go on; with `renew` also read roles and idle times anew."""
        asked = [(one, one.principal, one.was_used()) for one in self._connections if one.principal is not None]
        before = {connection: principal for connection, principal, _ in asked}
        for connection, outcome in await self.blocking(self._still_good, asked, renew) if asked else ():
            if connection.principal is not before[connection]:
                continue  # it brought a new credential meanwhile
            if isinstance(outcome, Principal):
                connection.principal = outcome
            else:
                connection.feed(steps.CredentialRefused(outcome))

    def _still_good(
        self, asked: list[tuple["Connection", Principal, bool]], renew: bool
    ) -> list[tuple["Connection", Principal | Closing]]:
        found: list[tuple[Connection, Principal | Closing]] = []
        for connection, principal, used in asked:
            if self._revocations.covers(principal):
                found.append((connection, FORBIDDEN))
            elif renew:
                try:
                    found.append((connection, self._users.renew(principal, active=used)))
                except NotSignedIn as error:
                    found.append((connection, FORBIDDEN if error.why in {"revoked", "disabled"} else UNAUTHENTICATED))
        return found

    # ---- the end ----

    async def drain(self, deadline_s: float) -> None:
        """Tell everybody, flush, close. Returns when all are closed, at the latest a little after the deadline."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.feed(self.drain_event())
        await self._until_closed(deadline_s)
        for connection in tuple(self._connections):
            connection.feed(steps.DrainDeadline())
        await self._until_closed(self.settings.close_s + 0.5)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        with contextlib.suppress(Retryable):
            await self._store_acks()

    def drain_event(self) -> steps.Drain:
        """With a wait of its own for each client, so that they do not all come back at once."""
        return steps.Drain(self._random.randint(0, self.settings.drain_jitter_ms))

    async def _until_closed(self, seconds: float) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while self._connections and self.clock.monotonic_s() < until_s:
            await asyncio.sleep(0.02)

    async def blocking(self, work: Callable[..., T], *arguments: object) -> T:
        """Run what may wait for tables or log."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


class Connection:
    """One accepted socket: carries out what the machine asks for."""

    def __init__(self, stream: Stream, entry: Entry, receive: Receive, send: Send) -> None:
        self.identity = str(uuid4())
        self.principal: Principal | None = None
        self._stream = stream
        self._entry = entry
        self._receive = receive
        self._raw_send = send
        self._machine = ServerSession(stream.limits, server=stream.server)
        self._session = ""
        self._project = ""
        self._counted = True  # among the unauthenticated
        self._entered = ""  # the subject under which it counts
        self._used = False
        self._outbox: deque[str] = deque()
        self._outbox_bytes = 0
        self._fetch_later: steps.Fetch | None = None
        self._something = asyncio.Event()
        self._over = asyncio.Event()
        self._closing: Closing | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = inf
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- its life ----

    async def serve(self) -> None:
        """From the accept to the close."""
        workers: list[asyncio.Task[None]] = []
        try:
            protocol = None if self._entry.legacy else SUBPROTOCOL
            await self._raw_send({"type": "websocket.accept", "subprotocol": protocol})
            self.feed(steps.Opened(self._entry.legacy))
            if self._stream.draining:
                self.feed(self._stream.drain_event())
            workers = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
            await self._over.wait()
        finally:
            self.feed(steps.Lost())  # leaves nothing behind when the server itself cancels us
            self._leave()
            for task in (*workers, *self._tasks):
                task.cancel()
            await asyncio.gather(*workers, *self._tasks, return_exceptions=True)
            await self._close()

    async def _close(self) -> None:
        if self._closing is None:
            return
        message = {"type": "websocket.close", "code": self._closing.code, "reason": self._closing.reason}
        with contextlib.suppress(TimeoutError, OSError):  # a peer that stopped reading blocks this as well
            await asyncio.wait_for(self._raw_send(message), self._stream.settings.close_s)

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._session:
            self._stream.holders.let_go(self._session, self)
        if self._entered:
            self._stream.at_once.leave(self._entered)
            self._entered = ""
        self._uncount()
        self._outbox.clear()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self._stream.unauthenticated -= 1

    async def _read(self) -> None:
        while not self._over.is_set():
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self.feed(steps.Lost())
                return
            self._used = True
            text = message.get("text")
            self.feed(steps.Arrived(message.get("bytes") or b"" if text is None else text))

    async def _write(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._outbox:
                text = self._outbox.popleft()
                self._outbox_bytes -= len(text)
                try:
                    async with asyncio.timeout(self._stream.settings.send_s):
                        await self._raw_send({"type": "websocket.send", "text": text})
                except (TimeoutError, OSError) as error:
                    self._stream.counts[f"not_written_{type(error).__name__}"] += 1
                    if isinstance(error, TimeoutError):
                        self._closing = TOO_MUCH
                    self.feed(steps.Lost())
                    return
                self.feed(steps.Written())
                self._fetch_if_there_is_room()

    def was_used(self) -> bool:
        """Whether the client sent anything since the last question."""
        used, self._used = self._used, False
        return used

    # ---- the machine ----

    def feed(self, event: steps.Event) -> None:
        """Let the machine decide, and begin what it asks for."""
        clock = self._stream.clock
        for action in self._machine.step(event, clock.monotonic_s(), clock.wall_ms()):
            self._ACTIONS[type(action)](self, action)
        if self._machine.state is State.CLOSED:
            self._over.set()
        else:
            self._arm(clock.monotonic_s())

    def _arm(self, now_s: float) -> None:
        wake_s = self._machine.wake_at_s
        if wake_s == inf or (self._timer is not None and self._timer_at_s <= wake_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0.005, wake_s - now_s)
        self._timer_at_s = now_s + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.feed(steps.Tick())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _do_send(self, action: steps.Send) -> None:
        self._outbox.append(action.text)
        self._outbox_bytes += len(action.text)
        self._something.set()

    def _do_close(self, action: steps.Close) -> None:
        self._closing = action.closing

    def _do_count(self, action: steps.Count) -> None:
        self._stream.counts[action.name] += 1

    def _do_audit(self, action: steps.Audit) -> None:
        self._stream.counts[f"audit_{action.name}"] += 1

    def _do_store_ack(self, action: steps.StoreAck) -> None:
        if self._session:
            self._stream.acked(self._session, action.seq)

    # ---- hello ----

    def _do_authenticate(self, action: steps.Authenticate) -> None:
        self._spawn(self._authenticate(action.hello))

    async def _authenticate(self, hello: Hello) -> None:
        try:
            answer = await self._open(hello)
        except Retryable:
            answer = steps.HelloRefused(DRAINING)
        except Exception:  # noqa: BLE001 - one client is told; the others go on
            _log.exception("a session cannot be opened")
            answer = steps.HelloRefused(DRAINING)
        self._uncount()
        if isinstance(answer, steps.SessionOpened) and self._machine.state is State.AUTHENTICATING:
            self._stream.holders.hold(answer.session, self)
        self.feed(answer)
        if isinstance(answer, steps.SessionOpened) and answer.last_seq:
            # What was numbered between the reading of the index and the holding of the session was told to nobody.
            with contextlib.suppress(Retryable):
                ends = await self._stream.blocking(self._stream.index.ends, [answer.session])
                self.feed(steps.Available(ends.get(answer.session, 0)))

    async def _open(self, hello: Hello) -> steps.SessionOpened | steps.HelloRefused:
        stream = self._stream
        principal = self._entry.principal
        if principal is None:
            if hello.token is None:
                return steps.HelloRefused(UNAUTHENTICATED)
            try:
                principal = await stream.sign_in.prove(Sensitive(hello.token))
            except (NotSignedIn, BadToken):
                return steps.HelloRefused(UNAUTHENTICATED)
        try:
            said = _said(stream.resume_tokens, hello, principal)
        except BadResumeToken as error:
            if error.foreign:
                return steps.HelloRefused(FORBIDDEN)
            said = None
        project = said.project if said is not None else principal.default_project
        if not decide(principal, "list", project).allowed:
            return steps.HelloRefused(FORBIDDEN)
        if not stream.at_once.enter(principal.subject):
            return steps.HelloRefused(TOO_MUCH)
        self._entered, self.principal, self._project = principal.subject, principal, project
        opened = await self._opened(hello, principal, said)
        self._session = opened.session
        token = stream.resume_tokens.sign(
            session=opened.session, subject=principal.subject, project=project, epoch=stream.epoch
        )
        return steps.SessionOpened(
            session=opened.session,
            epoch=stream.epoch,
            resumed=opened.resumed,
            position=opened.position,
            last_seq=opened.last_seq,
            resume_token=token,
            unfinished=opened.unfinished,
            snapshot=opened.snapshot,
            expires_ms=None if principal.expires_s is None else int(principal.expires_s * 1000),
        )

    async def _opened(self, hello: Hello, principal: Principal, said: Resumed | None) -> OpenedSession:
        stream = self._stream
        if said is None or hello.resume is None:
            return await stream.blocking(stream.index.open, principal.subject, self._project, self.identity)
        last_seq = hello.resume.last_seq
        same_epoch = said.epoch == stream.epoch == hello.resume.epoch

        def resume() -> OpenedSession:
            return stream.index.resume(
                said.session,
                principal.subject,
                said.project,
                self.identity,
                last_seq=last_seq,
                same_epoch=same_epoch,
            )

        opened = await stream.blocking(resume)
        if opened.why:
            stream.counts[f"resume_{opened.why}"] += 1
        return opened

    def _do_reauthenticate(self, action: steps.Reauthenticate) -> None:
        self._spawn(self._reauthenticate(Sensitive(action.token)))

    async def _reauthenticate(self, token: Sensitive[str]) -> None:
        try:
            principal = await self._stream.sign_in.prove(token)
        except (NotSignedIn, BadToken):
            self.feed(steps.CredentialRefused(UNAUTHENTICATED))
        except Retryable:
            return  # the old credential goes on until it ends; the client sends the new one again
        else:
            if self.principal is None or principal.subject != self.principal.subject:
                self.feed(steps.CredentialRefused(FORBIDDEN))
                return
            self.principal = principal
            expires_s = principal.expires_s
            self.feed(steps.CredentialRenewed(None if expires_s is None else int(expires_s * 1000)))

    # ---- submit and cancel ----

    def _do_admit(self, action: steps.Admit) -> None:
        self._spawn(self._admit(action.frame))

    async def _admit(self, frame: Submit | SubmitBatch) -> None:
        principal = self.principal
        assert principal is not None
        try:
            if isinstance(frame, Submit) and len(bytes(frame.data)) <= _SMALL_BYTES:
                group = self._group(principal, frame)
            else:
                group = await self._stream.blocking(self._group, principal, frame)
            answer = group if isinstance(group, Refused) else await self._stream.commit.submit(group)
        except Retryable as error:
            answer = refusal_of(error)
        except Exception:  # noqa: BLE001 - one client is told; the others go on
            _log.exception("a request cannot be taken in")
            answer = _refused(
                "internal",
                "a defect of the platform; repeat it later",
                HTTPStatus.INTERNAL_SERVER_ERROR,
                retryable=True,
            )
        if isinstance(answer, Refused):
            self.feed(steps.SubmitAnswered(_rejected(frame.cid, answer)))
        elif isinstance(frame, Submit):
            taken = Accepted(cid=frame.cid, analysis_id=answer.group_id, ref=answer.ref, duplicate=answer.duplicate)
            self.feed(steps.SubmitAnswered(taken, answer.unfinished))
        else:
            count = frame.generate.count if frame.generate else len(frame.items)
            batch = AcceptedBatch(
                cid=frame.cid, batch_id=answer.group_id, count=count, ref=answer.ref, duplicate=answer.duplicate
            )
            self.feed(steps.SubmitAnswered(batch, answer.unfinished))

    def _group(self, principal: Principal, frame: Submit | SubmitBatch) -> Group | Refused:
        if isinstance(frame, Submit):
            admitted = self._stream.admission.admit(principal, self._submission(frame, frame.cid, frame.data))
            return admitted if isinstance(admitted, Refused) else single(admitted)
        datas = _datas(frame)
        batch = hashlib.sha256(b"\x1f".join(datas)).hexdigest()
        items: list[Admitted] = []
        for number, data in enumerate(datas):
            submission = self._submission(frame, f"{frame.cid}#{number}", data, batch)
            admitted = self._stream.admission.admit_item(principal, submission)
            if isinstance(admitted, Refused):
                return admitted
            items.append(admitted)
        return Group(analysis_id_of(self._session, frame.cid), tuple(items))

    def _submission(
        self, frame: Submit | SubmitBatch, cid: str, data: bytes | msgspec.Raw, batch: str = ""
    ) -> Submission:
        return Submission(
            cid=cid,
            project=frame.project or self._project,
            data=data,
            mode=frame.mode,
            priority=frame.priority,
            session=self._session,
            batch=batch,
        )

    def _do_cancel(self, action: steps.CancelAnalysis) -> None:
        self._spawn(self._cancel(action.cid))

    async def _cancel(self, cid: str) -> None:
        try:
            refused = await self._stream.blocking(self._cancelled, cid)
        except Retryable as error:
            refused = refusal_of(error)
        if refused is not None:
            self.feed(steps.Replied(_rejected(cid, refused)))

    def _cancelled(self, cid: str) -> Refused | None:
        assert self.principal is not None
        found = self._stream.results.identities(self._session, cid)
        if not found:
            return _refused("unknown_cid", "nothing was asked for under this key", HTTPStatus.NOT_FOUND)
        answers = self._stream.results.cancel_all(self.principal, found)
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        return refusals[0] if len(refusals) == len(answers) else None

    # ---- delivery ----

    def _do_fetch(self, action: steps.Fetch) -> None:
        self._fetch_later = action
        self._fetch_if_there_is_room()

    def _fetch_if_there_is_room(self) -> None:
        if self._fetch_later is not None and self._outbox_bytes <= self._stream.settings.outbox_bytes_max:
            action, self._fetch_later = self._fetch_later, None
            self._spawn(self._fetch(action))

    async def _fetch(self, action: steps.Fetch) -> None:
        try:
            finals = await self._stream.blocking(self._finals, action)
        except Retryable:
            finals = ()
        except Exception:  # noqa: BLE001 - one client is told; the others go on
            _log.exception("answers cannot be read")
            finals = ()
        self.feed(steps.Fetched(finals))
        if not finals:
            await asyncio.sleep(_AGAIN_S)
            self.feed(steps.Tick())

    def _finals(self, action: steps.Fetch) -> tuple[steps.Final, ...]:
        assert self.principal is not None
        frames = self._stream.index.frames(self._session, action.after, min(action.limit, _FETCH_MAX))
        finals = self._stream.results.finals(self.principal, frames)
        sizes = accumulate(len(final.text) for final in finals)
        fitting = sum(size <= _FETCH_BYTES_MAX for size in sizes)
        return finals[: max(1, fitting)]

    # ---- live values ----

    def _do_follow(self, action: steps.Follow) -> None:
        self._spawn(self._follow(action.topic))

    async def _follow(self, topic: str) -> None:
        try:
            refusal = await self._why_not(topic)
        except Retryable:
            refusal = "try again in a moment"
        if refusal is None:
            self._stream.live.follow(topic, self)
        self.feed(steps.FollowAnswered(topic, refusal))
        if self._machine.state is State.CLOSED:
            self._stream.live.unfollow(topic, self)

    async def _why_not(self, topic: str) -> str | None:
        assert self.principal is not None
        if topic.startswith(ANALYSIS):
            found = await self._stream.blocking(self._stream.results.find, self.principal, topic.removeprefix(ANALYSIS))
            if isinstance(found, Refused):
                return found.message
        elif topic not in ACTIONS:
            return "there is no such topic"
        else:
            decision = decide(self.principal, ACTIONS[topic], self._project)
            if not decision.allowed:
                return decision.reason
        return None if self._stream.live.has(topic) else "unavailable: nothing publishes this topic here yet"

    def _do_unfollow(self, action: steps.Unfollow) -> None:
        self._stream.live.unfollow(action.topic, self)

    _ACTIONS: Final[Mapping[type, Callable[..., None]]] = {
        steps.Send: _do_send,
        steps.Close: _do_close,
        steps.Authenticate: _do_authenticate,
        steps.Reauthenticate: _do_reauthenticate,
        steps.Admit: _do_admit,
        steps.CancelAnalysis: _do_cancel,
        steps.StoreAck: _do_store_ack,
        steps.Fetch: _do_fetch,
        steps.Follow: _do_follow,
        steps.Unfollow: _do_unfollow,
        steps.Count: _do_count,
        steps.Audit: _do_audit,
    }


def _said(tokens: ResumeTokens, hello: Hello, principal: Principal) -> Resumed | None:
    """What a sound resume token says of the session that is asked for; None begins a new one."""
    if hello.resume is None:
        return None
    said = tokens.check(hello.resume.token, subject=principal.subject)
    return said if said.session == hello.resume.session else None


def _datas(frame: SubmitBatch) -> list[bytes]:
    if frame.generate is None:
        return [bytes(item) for item in frame.items]
    wanted = frame.generate
    return [
        msgspec.json.encode({"generate": {"seed": wanted.seed, "index": number, "size": wanted.size}})
        for number in range(wanted.count)
    ]


def _refused(code: str, message: str, status: HTTPStatus, *, retryable: bool = False) -> Refused:
    return Refused(code=code, message=message, status=status, retryable=retryable)


def _rejected(cid: str, refused: Refused) -> Rejected:
    return Rejected(
        cid=cid,
        code=refused.code,
        message=refused.message,
        retryable=refused.retryable,
        retry_ms=refused.retry_ms,
    )


async def _refuse(send: Send, refused: Refused) -> None:
    """Answer the handshake with a problem document instead of an upgrade."""

    async def as_denial(message: Any) -> None:
        await send({**message, "type": "websocket." + message["type"]})

    try:
        await Reply(as_denial, with_body=True).problem(refused.status, refused.message, code=refused.code.upper())
    except OSError:
        return  # the peer is gone
