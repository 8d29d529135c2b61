"""The Python client: submit, wait, and see every answer once, over connections that come and go.

    async with Client("wss://genescale.example/api/v1/stream", token) as client:
        outcome = await client.submit(variants=["NM_000059.4:c.68-7T>A"])

`protocol.conversation` decides everything; this file only moves its texts over a socket of the `websockets` library.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from genescale.client.answers import Ended, Outcome, Refused, outcome_of
from genescale.client.rest import refetch
from genescale.client.store import Kept, MemoryStore, Store
from genescale.errors import InvalidInput
from genescale.protocol import client_steps as steps
from genescale.protocol.conversation import ANSWERED_MAX, Conversation
from genescale.protocol.frames import (
    SUBPROTOCOL,
    Accepted,
    AcceptedBatch,
    Generate,
    Mode,
    Progress,
    Rejected,
    ServerFrame,
    Submit,
    SubmitBatch,
    tag_of,
)

OnProgress: TypeAlias = Callable[[Mapping[str, Any]], None]
Refresh: TypeAlias = Callable[[], Awaitable[str | None]]

_TRANSPORT_BYTES_MAX: Final = 1_048_576
_CONNECT_S: Final = 10.0
_CLOSE_S: Final = 2.0
_NO_CLOSE_FRAME: Final = 1006
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _Waiting:
    """Somebody who waits for one cid: a single analysis, or all items of a batch."""

    def __init__(self, count: int, on_progress: OnProgress | None, on_result: Callable[[Outcome], None] | None) -> None:
        self.count = count
        self.on_progress, self.on_result = on_progress, on_result
        self.outcomes: dict[str, Outcome] = {}
        self.done: asyncio.Future[dict[str, Outcome]] = asyncio.get_running_loop().create_future()

    def take(self, outcome: Outcome) -> None:
        self.outcomes[outcome.cid] = outcome
        if self.on_result is not None:
            self.on_result(outcome)
        if len(self.outcomes) >= self.count and not self.done.done():
            self.done.set_result(self.outcomes)


class Client:
    """One session. Use it with `async with`; any number of submissions may wait at the same time.

    `refresh` gets a new credential when the old one ends. `store` makes a later process resume where this one stopped;
    answers to what an earlier process asked go to `unclaimed`, unless the same cid is submitted again here.
    `seed` fixes the jitter of reconnects. `allow_plain` permits an unencrypted connection beyond this machine.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        refresh: Refresh | None = None,
        store: Store | None = None,
        unclaimed: Callable[[Outcome], None] | None = None,
        seed: int | None = None,
        allow_plain: bool = False,
    ) -> None:
        _check_url(url, allow_plain=allow_plain)
        self._url, self._token, self._refresh = url, token, refresh
        self._store = store or MemoryStore()
        self._unclaimed = unclaimed
        self._draw = random.Random(seed).random  # noqa: S311 - spreads reconnects, keeps no secret
        self._kept = Kept()
        self._dirty = False
        self._machine = Conversation(self._draw, token=token)
        self._events: asyncio.Queue[steps.Event] = asyncio.Queue()
        self._waiting: dict[str, _Waiting] = {}
        self._cid_of: dict[str, str] = {}  # analysis id -> cid, for progress
        self._watching: dict[str, Callable[[ServerFrame], None]] = {}
        self._socket: ClientConnection | None = None
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._handshake_status: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrier: asyncio.Task[None] | None = None  # reads and writes the socket of this connection
        self._loop: asyncio.Task[None] | None = None
        self._ended: Ended | None = None

    async def __aenter__(self) -> Self:
        self._kept = self._store.load()
        self._machine = Conversation(self._draw, token=self._token, position=self._kept.position)
        if self._kept.asks or self._kept.frameless:
            answered = [cid for cids in self._kept.answered.values() for cid in cids]
            self._post(steps.Restored(tuple(self._kept.asks.values()), (*answered, *self._kept.frameless)))
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._post(steps.Finish())
        assert self._loop is not None
        await self._loop
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def session(self) -> str | None:
        """The id of the session, once there is one."""
        return self._machine.position.session if self._machine.position else None

    async def submit(
        self,
        *,
        sequence: str | None = None,
        variants: Sequence[str] | None = None,
        data: Mapping[str, Any] | None = None,
        mode: Mode = "normal",
        project: str | None = None,
        priority: int = 5,
        cid: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """One analysis, and its answer. Raises `Refused` or `Ended`; a failed analysis is returned.

        A cid makes it repeatable: the same one again, also from a later process with the same store, is the same
        analysis. Give `data` for anything beyond a sequence or variants.
        """
        cid = cid or uuid.uuid4().hex
        frame = Submit(cid=cid, mode=mode, project=project, priority=priority, data=_payload(sequence, variants, data))
        return (await self._ask(frame, _Waiting(1, on_progress, None)))[cid]

    async def submit_batch(
        self,
        items: Sequence[Mapping[str, Any]] = (),
        *,
        generate: Generate | None = None,
        mode: Mode = "big-data",
        project: str | None = None,
        priority: int = 5,
        cid: str | None = None,
        on_progress: OnProgress | None = None,
        on_result: Callable[[Outcome], None] | None = None,
    ) -> list[Outcome]:
        """Many analyses under one key, and their answers in order. `on_result` gets each one as it comes.

        Items that an earlier process got under this cid are not repeated."""
        cid = cid or uuid.uuid4().hex
        payloads = [msgspec.Raw(msgspec.json.encode(item)) for item in items]
        frame = SubmitBatch(cid=cid, mode=mode, project=project, priority=priority, items=payloads, generate=generate)
        count = generate.count if generate else len(payloads)
        outcomes = await self._ask(frame, _Waiting(count, on_progress, on_result))
        return [outcomes[f"{cid}#{i}"] for i in range(count) if f"{cid}#{i}" in outcomes]

    def cancel(self, cid: str) -> None:
        """Ask to stop an analysis. Whoever waits for it still gets its one answer."""
        self._post(steps.Cancelled(cid))

    def watch(self, topic: str, callback: Callable[[ServerFrame], None]) -> None:
        """Get the newest values of `metrics`, `scaling`, `cost` or `operations`."""
        self._watching[topic] = callback
        self._post(steps.Watched(topic))

    def unwatch(self, topic: str) -> None:
        """No more of them."""
        self._watching.pop(topic, None)
        self._post(steps.Watched(topic, wanted=False))

    def take_back(self) -> None:
        """Continue here after the session was opened elsewhere; the other place ends."""
        self._ended = None
        self._post(steps.TakeBack())

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def _ask(self, frame: Submit | SubmitBatch, waiting: _Waiting) -> dict[str, Outcome]:
        if self._ended is not None:
            raise self._ended
        waiting.count -= len(self._kept.answered.get(frame.cid, ()))  # what an earlier process holds
        self._waiting[frame.cid] = waiting
        if frame.cid not in self._kept.asks:
            self._kept.asks[frame.cid] = frame
            self._dirty = True
            self._post(steps.Asked(frame))
        try:
            return await waiting.done
        finally:
            self._waiting.pop(frame.cid, None)

    def _post(self, event: steps.Event) -> None:
        self._events.put_nowait(event)

    async def _run(self) -> None:
        """Wait for the next event or the next deadline; step; carry out. One at a time, in order."""
        event: steps.Event = steps.Tick()
        while True:
            self._carry_out(self._machine.step(event, time.monotonic()))
            if isinstance(event, steps.Finish):
                break
            event = await self._next_event()
        await self._hang_up(1000)
        self._end(Ended("the client was closed before the answer came"))

    async def _next_event(self) -> steps.Event:
        wait_s = self._machine.wake_at_s - time.monotonic()
        timeout_s = None if wait_s == float("inf") else max(0.0, wait_s)
        try:
            return await asyncio.wait_for(self._events.get(), timeout_s)
        except TimeoutError:
            return steps.Tick()

    def _carry_out(self, actions: list[steps.Action]) -> None:
        texts = [action.text for action in actions if isinstance(action, steps.SendText)]
        for action in actions:
            if not isinstance(action, steps.SendText):
                self._do(action)
        if self._dirty:  # kept before it is sent: what the gateway may know, the next life knows too
            self._store.save(self._kept)
            self._dirty = False
        for text in texts:
            self._outbox.put_nowait(text)

    def _do(self, action: steps.Action) -> None:
        match action:
            case steps.Deliver(answer):
                self._deliver(answer)
            case steps.Tell(frame):
                self._tell(frame)
            case steps.Keep(position):
                self._kept.position = position
                self._dirty = True
            case steps.Stop(reason, reaction):
                self._end(Ended(reason, reaction=reaction))
            case steps.AskSession():  # a program sees the status of a refused handshake itself
                self._post(steps.SessionAsked(self._handshake_status))
            case _:
                self._spawn(self._errand(action))

    async def _errand(self, action: steps.Action) -> None:
        """What takes time; it comes back as an event."""
        match action:
            case steps.Connect():
                await self._connect()
            case steps.Disconnect(code):
                await self._hang_up(code)
            case steps.RefreshCredential():
                await self._refresh_credential()
            case steps.Refetch(cids):
                asked = [(cid, self._kept.asks[cid].project) for cid in cids if cid in self._kept.asks]
                self._post(steps.Refetched(await refetch(self._url, self._token, asked)))
            case _:
                raise TypeError(f"no way to carry out {type(action).__name__}")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _deliver(self, answer: steps.Answer) -> None:
        outcome = outcome_of(answer)
        base, _, item = answer.cid.partition("#")
        waiting = self._waiting.get(base)
        if waiting is not None:
            waiting.take(outcome)
        elif self._unclaimed is not None:
            self._unclaimed(outcome)
        if answer.frame is None:
            self._kept.frameless = [*self._kept.frameless[1 - ANSWERED_MAX :], answer.cid]
        if item:
            self._kept.answered.setdefault(base, []).append(answer.cid)
        if not self._machine.is_waiting(base):
            self._forget(base)
        self._cid_of.pop(answer.analysis_id, None)
        self._dirty = True
        self._post(steps.Applied(answer))

    def _forget(self, cid: str) -> None:
        self._kept.asks.pop(cid, None)
        self._kept.answered.pop(cid, None)
        self._dirty = True

    def _tell(self, frame: ServerFrame) -> None:
        match frame:
            case Accepted(cid=cid, analysis_id=analysis_id) | AcceptedBatch(cid=cid, batch_id=analysis_id):
                self._cid_of[analysis_id] = cid
            case Rejected(cid=cid, code=code, message=message):
                waiting = self._waiting.get(cid)
                if waiting is not None and not waiting.done.done():
                    waiting.done.set_exception(Refused(message, code=code))
                self._forget(cid)
            case Progress(key=key, data=data):
                waiting = self._waiting.get(self._cid_of.get(key.removeprefix("analysis:"), ""))
                if waiting is not None and waiting.on_progress is not None:
                    waiting.on_progress(data)
            case _:
                callback = self._watching.get(tag_of(type(frame)))
                if callback is not None:
                    callback(frame)

    def _end(self, why: Ended) -> None:
        self._ended = why
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(why)

    # --- the socket -------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._handshake_status = None
        try:
            socket = await connect(
                self._url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=headers,
                compression=None,
                max_size=_TRANSPORT_BYTES_MAX,
                open_timeout=_CONNECT_S,
                close_timeout=_CLOSE_S,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            if isinstance(error, InvalidStatus):
                self._handshake_status = error.response.status_code
            self._post(steps.Disconnected(_NO_CLOSE_FRAME))
            return
        self._socket, self._outbox = socket, asyncio.Queue()
        self._carrier = asyncio.ensure_future(self._carry(socket, self._outbox))
        self._tasks.add(self._carrier)
        self._carrier.add_done_callback(self._tasks.discard)
        self._post(steps.Connected())

    async def _carry(self, socket: ClientConnection, outbox: asyncio.Queue[str]) -> None:
        """Both directions of one connection, until it ends."""
        writer = asyncio.ensure_future(_write(socket, outbox))
        try:
            async for message in socket:
                if isinstance(message, str):
                    self._post(steps.Received(message))
        except ConnectionClosed:
            pass  # the code below says how
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        if self._socket is socket:
            self._socket = None
            self._post(steps.Disconnected(socket.close_code or _NO_CLOSE_FRAME))

    async def _hang_up(self, code: int) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await _write_rest(socket, self._outbox)
            await socket.close(code)

    async def _refresh_credential(self) -> None:
        token = await self._refresh() if self._refresh else None
        if token is not None:
            self._token = token
        self._post(steps.Refreshed(token))


async def _write(socket: ClientConnection, outbox: asyncio.Queue[str]) -> None:
    with contextlib.suppress(ConnectionClosed):  # the reader says how it ended
        while True:
            await socket.send(await outbox.get())


async def _write_rest(socket: ClientConnection, outbox: asyncio.Queue[str]) -> None:
    """The last ack belongs before the close."""
    with contextlib.suppress(ConnectionClosed):
        while not outbox.empty():
            await socket.send(outbox.get_nowait())


def _payload(sequence: str | None, variants: Sequence[str] | None, data: Mapping[str, Any] | None) -> msgspec.Raw:
    given = dict(data or {})
    if sequence is not None:
        given["sequence"] = sequence
    if variants is not None:
        given["variants"] = list(variants)
    if not given:
        raise InvalidInput("nothing to analyse: give sequence=, variants= or data=")
    return msgspec.Raw(msgspec.json.encode(given))


def _check_url(url: str, *, allow_plain: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"}:
        raise InvalidInput("the address of a stream begins with wss:// (or ws:// on this machine)")
    if parts.scheme == "ws" and parts.hostname not in _LOOPBACK and not allow_plain:
        raise InvalidInput("ws:// would send the token and the sequences in the open: use wss://, or allow_plain=True")
