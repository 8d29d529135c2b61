"""One connection of one client, as the server sees it: what happened goes in, what to do comes out.

Pure: no sockets, no storage, no clocks. `gateway.socket` feeds it and carries out its actions; tests feed it faults.
Each rule of the protocol has one method here, in the order in which a connection lives: hello, frames, admission,
delivery, acks, live values, time, the end.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from math import inf
from typing import Any, Final

import msgspec

from genescale.clock import rfc3339
from genescale.protocol import server_steps as steps
from genescale.protocol.closing import (
    BAD_FRAME,
    DRAINING,
    HELLO_TIMEOUT,
    RESTART,
    TAKEN_OVER,
    TOO_MUCH,
    UNAUTHENTICATED,
    Closing,
)
from genescale.protocol.frames import (
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    Accepted,
    AcceptedBatch,
    Ack,
    AnalysisState,
    Auth,
    AuthExpiring,
    BigDataProcessing,
    Cancel,
    ClientFrame,
    Draining,
    Fault,
    Hello,
    Ping,
    Pong,
    Rejected,
    ServerPing,
    ServerPong,
    Snapshot,
    Submit,
    SubmitBatch,
    Subscribe,
    Throttle,
    Unsubscribe,
    Welcome,
    decode_client,
    encode,
)
from genescale.protocol.legacy import as_batch, decode_legacy
from genescale.protocol.pace import TokenBucket
from genescale.protocol.server_steps import Action, Event


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may do. The defaults are those of the protocol's tables."""

    hello_s: float = 5.0
    heartbeat_s: float = 20.0
    frames_per_s: float = 50.0
    frames_burst: float = 100.0
    refusals_max: int = 200  # refused frames in a row (no 10 s of peace between) before the connection ends
    inflight_max: int = 64
    batch_items_max: int = 10_000
    subscriptions_max: int = 32
    outbox_max: int = 1_000
    fetch_max: int = 256
    slow_s: float = 10.0
    ack_store_s: float = 1.0
    live_s: float = 0.5  # latest-wins values go out at most this often: 2 Hz
    live_keys_max: int = 256
    expiring_s: float = 60.0
    idle_s: float = 900.0
    held_max: int = 32  # messages of a legacy client that wait for its authentication


class State(Enum):
    """Where a connection stands. Only OPEN and DRAINING carry work."""

    NEW = "new"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class _Asked(msgspec.Struct, gc=False):
    """A cid between `Admit` and its answer: how often it was asked, how many final frames came meanwhile."""

    times: int = 0
    finals: int = 0


class _Value(msgspec.Struct, gc=False):
    """The newest value of a live key; `text` is None once it is written."""

    topic: str
    ver: int
    text: str | None


_INFLIGHT_RETRY_MS: Final = 1_000
_PEACE_S: Final = 10.0
_SNAPSHOT_PART_BYTES: Final = FRAME_BYTES_MAX // 2
_USER_ACTIONS: Final = (Submit, SubmitBatch, BigDataProcessing, Cancel, Subscribe, Unsubscribe, Auth)


class ServerSession:
    """The server's half of one connection. Call `step` for whatever happens, and a `Tick` at `wake_at_s`."""

    __slots__ = (
        "_acked_seq",
        "_asked",
        "_available_seq",
        "_bucket",
        "_expires_ms",
        "_fetched_seq",
        "_fetching",
        "_followed",
        "_held",
        "_index_seq",
        "_legacy",
        "_limits",
        "_live",
        "_live_at_s",
        "_moved_s",
        "_now_s",
        "_opened_s",
        "_out",
        "_ping_at_s",
        "_reconnect_after_ms",
        "_refusals",
        "_refused_s",
        "_server",
        "_state",
        "_stored_s",
        "_stored_seq",
        "_unfinished",
        "_unwritten",
        "_used_s",
        "_wall_ms",
        "_warned",
    )

    def __init__(self, limits: Limits | None = None, *, server: Mapping[str, str] | None = None) -> None:
        self._limits = limits or Limits()
        self._server = dict(server or {})
        self._state = State.NEW
        self._out: list[Action] = []
        self._now_s, self._wall_ms = 0.0, 0
        self._legacy = False
        self._held: list[ClientFrame] = []
        self._bucket = TokenBucket(self._limits.frames_per_s, self._limits.frames_burst, 0.0)
        self._refusals, self._refused_s = 0, -inf
        self._opened_s = self._used_s = self._moved_s = 0.0
        self._ping_at_s = inf
        self._expires_ms: int | None = None
        self._warned = False
        self._asked: dict[str, _Asked] = {}
        self._unfinished: dict[str, int] = {}
        self._followed: set[str] = set()
        self._live: dict[str, _Value] = {}
        self._live_at_s = -inf
        # Positions: stored <= acked <= fetched (given to the writer) <= available (known to be in the index).
        self._stored_seq = self._acked_seq = self._fetched_seq = self._available_seq = self._index_seq = 0
        self._stored_s = -inf
        self._fetching = False
        self._unwritten = 0
        self._reconnect_after_ms = 0

    @property
    def state(self) -> State:
        """Where this connection stands."""
        return self._state

    @property
    def unwritten(self) -> int:
        """Texts that were sent and not yet reported as written."""
        return self._unwritten

    def step(self, event: Event, now_s: float, wall_ms: int) -> list[Action]:
        """What to do about `event`. `now_s` only grows; `wall_ms` may jump. Nothing happens after the end."""
        if self._state is State.CLOSED:
            return []
        self._now_s, self._wall_ms = now_s, wall_ms
        out: list[Action] = []
        self._out = out
        self._EVENTS[type(event)](self, event)
        if self._state is State.DRAINING:
            self._leave_when_flushed()
        self._out = []
        return out

    @property
    def wake_at_s(self) -> float:
        """The monotonic second at which a `Tick` has something to do; infinity when nothing waits for time."""
        if self._state is State.CLOSED or self._state is State.AUTHENTICATING:
            return inf
        if self._state is State.NEW:
            return inf if self._legacy else self._opened_s + self._limits.hello_s
        wakes = [self._ping_at_s, self._used_s + self._limits.idle_s]
        if self._unwritten:
            wakes.append(self._moved_s + self._limits.slow_s)
        elif any(value.text is not None for value in self._live.values()):
            wakes.append(self._live_at_s + self._limits.live_s)
        if self._acked_seq > self._stored_seq:
            wakes.append(self._stored_s + self._limits.ack_store_s)
        if self._expires_ms is not None:  # an estimate: the wall may jump, so every ping looks again
            left_s = (self._expires_ms - self._wall_ms) / 1000
            wakes.append(self._now_s + (left_s if self._warned else left_s - self._limits.expiring_s))
        return min(wakes)

    # --- hello ------------------------------------------------------------------------------------------------------

    def _on_opened(self, event: steps.Opened) -> None:
        self._legacy = event.legacy
        self._opened_s = self._used_s = self._now_s
        self._bucket = TokenBucket(self._limits.frames_per_s, self._limits.frames_burst, self._now_s)

    def _first_frame(self, frame: ClientFrame) -> None:
        if isinstance(frame, Hello):
            self._state = State.AUTHENTICATING
            self._out.append(steps.Authenticate(frame, self._legacy))
        elif self._legacy:  # the first message counts as hello, and is answered after it
            self._state = State.AUTHENTICATING
            self._held.append(frame)
            self._out.append(steps.Authenticate(Hello(), legacy=True))
        else:
            self._close(BAD_FRAME, "no_hello")

    def _frame_too_early(self, frame: ClientFrame) -> None:
        if not self._legacy:
            self._close(BAD_FRAME, "frame_before_welcome")
        elif len(self._held) >= self._limits.held_max:
            self._close(TOO_MUCH, "held_full")
        else:
            self._held.append(frame)

    def _on_session_opened(self, event: steps.SessionOpened) -> None:
        if self._state is not State.AUTHENTICATING:
            return
        self._state = State.OPEN
        self._acked_seq = self._fetched_seq = event.position
        self._stored_seq = -1 if event.resumed else event.position  # a resume is an ack too: it will be stored
        self._available_seq = self._index_seq = event.last_seq
        self._unfinished = dict(event.unfinished)
        self._expires_ms = event.expires_ms
        self._used_s = self._now_s
        self._ping_at_s = self._now_s + self._limits.heartbeat_s
        self._send(self._welcome(event))
        if not event.resumed:
            for part in snapshot_parts(event.snapshot, event.live, event.last_seq + 1):
                self._send_text(part)
        self._out.append(steps.Audit("resume" if event.resumed else "connect"))
        self._pull()
        held, self._held = self._held, []
        for frame in held:
            self._metered(frame)

    def _welcome(self, event: steps.SessionOpened) -> Welcome:
        limits = self._limits
        return Welcome(
            session=event.session,
            epoch=event.epoch,
            resumed=event.resumed,
            replay_from=event.position + 1,
            next_seq=event.last_seq + 1,
            resume_token=event.resume_token,
            heartbeat_ms=int(limits.heartbeat_s * 1000),
            max_inflight=limits.inflight_max,
            limits={
                "frame_bytes": FRAME_BYTES_MAX,
                "frames_per_s": int(limits.frames_per_s),
                "frames_burst": int(limits.frames_burst),
                "batch_items": limits.batch_items_max,
                "subscriptions": limits.subscriptions_max,
            },
            server=self._server,
            server_time=rfc3339(self._wall_ms),
        )

    def _on_hello_refused(self, event: steps.HelloRefused) -> None:
        self._close(event.closing, "hello_refused")

    # --- frames -----------------------------------------------------------------------------------------------------

    def _on_arrived(self, event: steps.Arrived) -> None:
        frame = self._decode(event.data)
        if isinstance(frame, Fault):
            self._close(frame.closing, "bad_frame")
        elif self._state is State.NEW:
            self._first_frame(frame)
        elif self._state is State.AUTHENTICATING:
            self._frame_too_early(frame)
        else:
            self._metered(frame)

    def _decode(self, data: str | bytes) -> ClientFrame | Fault:
        if isinstance(data, bytes):
            return Fault(BAD_FRAME, "binary")
        if self._legacy:
            return decode_legacy(data)
        early = self._state is State.NEW or self._state is State.AUTHENTICATING
        return decode_client(data, bytes_max=HELLO_BYTES_MAX if early else FRAME_BYTES_MAX)

    def _metered(self, frame: ClientFrame) -> None:
        if isinstance(frame, Ack) and frame.seq > self._acked_seq:  # paid for by the frames that it confirms
            self._ack(frame)
        elif self._bucket.take(self._now_s):
            if isinstance(frame, _USER_ACTIONS):
                self._used_s = self._now_s
            self._FRAMES[type(frame)](self, frame)
        else:
            self._refuse(frame)

    def _refuse(self, frame: ClientFrame) -> None:
        if self._now_s - self._refused_s > _PEACE_S:
            self._refusals = 0
        self._refusals, self._refused_s = self._refusals + 1, self._now_s
        self._out.append(steps.Count("throttled"))
        if self._refusals > self._limits.refusals_max:
            self._close(TOO_MUCH, "rate")
        else:
            retry_ms = int(self._bucket.wait_s(self._now_s) * 1000) + 1
            self._send(Throttle(retry_ms=retry_ms, scope="rate", cid=getattr(frame, "cid", None)))

    def _second_hello(self, _frame: Hello) -> None:
        self._close(BAD_FRAME, "second_hello")

    def _ping(self, frame: Ping) -> None:
        self._send(ServerPong(t=frame.t, server_time=rfc3339(self._wall_ms)))

    def _pong(self, _frame: Pong) -> None:
        pass  # the transport's own ping tells a dead peer; this one is for the client's sake

    def _auth(self, frame: Auth) -> None:
        self._out.append(steps.Reauthenticate(frame.token))

    def _cancel(self, frame: Cancel) -> None:
        self._out += (steps.Audit("cancel"), steps.CancelAnalysis(frame.cid))

    # --- admission --------------------------------------------------------------------------------------------------

    def _burst(self, frame: BigDataProcessing) -> None:
        self._submit(as_batch(frame))

    def _submit(self, frame: Submit | SubmitBatch) -> None:
        if self._state is State.DRAINING:
            self._reject(frame.cid, "draining", "this server is stopping; connect again and repeat it", retry=True)
        elif isinstance(frame, SubmitBatch) and bool(frame.items) == bool(frame.generate):
            self._reject(frame.cid, "invalid_batch", "give either items or generate")
        elif isinstance(frame, SubmitBatch) and len(frame.items) > self._limits.batch_items_max:
            most = self._limits.batch_items_max
            self._reject(frame.cid, "too_many_items", f"a batch holds at most {most} items; send several")
        elif self._is_full_for(frame.cid):
            self._out.append(steps.Count("inflight_full"))
            self._send(Throttle(retry_ms=_INFLIGHT_RETRY_MS, scope="inflight", cid=frame.cid))
        else:
            self._asked.setdefault(frame.cid, _Asked()).times += 1
            self._out.append(steps.Admit(frame))

    def _is_full_for(self, cid: str) -> bool:
        """Whether this would be one more. What is under way already may be repeated: that only repeats the answer."""
        if cid in self._asked or cid in self._unfinished:
            return False
        return len(self._asked) + len(self._unfinished) >= self._limits.inflight_max

    def _on_submit_answered(self, event: steps.SubmitAnswered) -> None:
        cid = event.reply.cid
        asked = self._asked.get(cid)
        if asked is not None:
            asked.times -= 1
            if asked.times == 0:
                del self._asked[cid]
            left = event.unfinished - asked.finals
            if left > 0 and not isinstance(event.reply, Rejected):
                self._unfinished[cid] = left
        if isinstance(event.reply, Accepted | AcceptedBatch) and not event.reply.duplicate:
            self._out.append(steps.Audit("submit"))
        self._reply(event.reply)

    def _on_replied(self, event: steps.Replied) -> None:
        self._reply(event.reply)

    def _reply(self, reply: Accepted | AcceptedBatch | Rejected) -> None:
        if self._state is State.OPEN or self._state is State.DRAINING:
            self._send(reply)

    def _reject(self, cid: str, code: str, message: str, *, retry: bool = False) -> None:
        retry_ms = self._reconnect_after_ms if retry else None
        self._send(Rejected(cid=cid, code=code, message=message, retryable=retry, retry_ms=retry_ms))

    # --- delivery ---------------------------------------------------------------------------------------------------

    def _on_available(self, event: steps.Available) -> None:
        self._available_seq = max(self._available_seq, event.last_seq)
        self._pull()

    def _pull(self) -> None:
        """Ask for what the index has and the outbox can hold, one request at a time and never for crumbs."""
        room = self._limits.outbox_max - self._unwritten
        is_open = self._state is State.OPEN or self._state is State.DRAINING
        if self._fetching or not is_open or self._available_seq <= self._fetched_seq:
            return
        if self._unwritten == 0 or room * 2 >= self._limits.outbox_max:
            self._fetching = True
            self._out.append(steps.Fetch(self._fetched_seq, min(room, self._limits.fetch_max)))

    def _on_fetched(self, event: steps.Fetched) -> None:
        self._fetching = False
        for final in event.finals:
            if final.seq != self._fetched_seq + 1:
                self._out.append(steps.Count("fetch_out_of_order"))
                break
            self._fetched_seq = final.seq
            self._finish_one(final)
            self._send_text(final.text)
        if event.finals:
            self._available_seq = max(self._available_seq, self._fetched_seq)
            self._pull()  # an empty answer waits for the next tick instead

    def _finish_one(self, final: steps.Final) -> None:
        if final.seq <= self._index_seq:
            return  # `SessionOpened.unfinished` knows it
        cid = final.cid.partition("#")[0]
        asked = self._asked.get(cid)
        if asked is not None:
            asked.finals += 1
        left = self._unfinished.get(cid, 0) - 1
        if left > 0:
            self._unfinished[cid] = left
        else:
            self._unfinished.pop(cid, None)

    def _on_written(self, event: steps.Written) -> None:
        self._unwritten -= event.count
        self._moved_s = self._now_s
        self._pull()
        self._flush_live()

    # --- acks -------------------------------------------------------------------------------------------------------

    def _ack(self, frame: Ack) -> None:
        if frame.seq > self._fetched_seq:
            self._close(BAD_FRAME, "ack_of_the_unsent")
        elif frame.seq > self._acked_seq:
            self._acked_seq = frame.seq
            self._store_ack()

    def _store_ack(self) -> None:
        if self._acked_seq > self._stored_seq and self._now_s - self._stored_s >= self._limits.ack_store_s:
            self._stored_seq, self._stored_s = self._acked_seq, self._now_s
            self._out.append(steps.StoreAck(self._acked_seq))

    # --- live values ------------------------------------------------------------------------------------------------

    def _subscribe(self, frame: Subscribe) -> None:
        if frame.topic in self._followed:
            return
        if len(self._followed) >= self._limits.subscriptions_max:
            most = self._limits.subscriptions_max
            self._reject(frame.topic, "too_many_subscriptions", f"at most {most}; unsubscribe from one first")
            return
        self._followed.add(frame.topic)
        self._out.append(steps.Follow(frame.topic))

    def _on_follow_answered(self, event: steps.FollowAnswered) -> None:
        if event.refusal is not None and event.topic in self._followed:
            self._followed.discard(event.topic)
            self._reject(event.topic, "forbidden", event.refusal)

    def _unsubscribe(self, frame: Unsubscribe) -> None:
        if frame.topic in self._followed:
            self._followed.discard(frame.topic)
            self._live = {key: value for key, value in self._live.items() if value.topic != frame.topic}
            self._out.append(steps.Unfollow(frame.topic))

    def _on_live(self, event: steps.Live) -> None:
        own = event.topic.startswith("analysis:")  # the caller gives each session only the progress of its own
        if not (own or event.topic in self._followed):
            return
        before = self._live.pop(event.key, None)
        if before is not None and before.ver >= event.ver:
            self._live[event.key] = before
            return
        if before is None and len(self._live) >= self._limits.live_keys_max and not self._forget_a_live_key():
            self._out.append(steps.Count("live_keys_full"))
            return
        self._live[event.key] = _Value(event.topic, event.ver, event.text)
        self._flush_live()

    def _forget_a_live_key(self) -> bool:
        """Drop the key that was silent longest, if its value was written."""
        oldest = next((key for key, value in self._live.items() if value.text is None), None)
        if oldest is not None:
            del self._live[oldest]
        return oldest is not None

    def _flush_live(self) -> None:
        """Write the newest values when nothing else waits, and not too often: never a queue, always the last word."""
        if self._unwritten or self._now_s - self._live_at_s < self._limits.live_s:
            return
        for value in self._live.values():
            if value.text is not None:
                self._live_at_s = self._now_s
                self._send_text(value.text)
                value.text = None

    # --- time -------------------------------------------------------------------------------------------------------

    def _on_tick(self, _event: steps.Tick) -> None:
        if self._state is State.NEW:
            if not self._legacy and self._now_s - self._opened_s >= self._limits.hello_s:
                self._close(HELLO_TIMEOUT, "hello_timeout")
            return
        if self._state is State.AUTHENTICATING:
            return
        for rule in (self._end_stalled, self._end_idle, self._watch_expiry):
            rule()
            if self._state is State.CLOSED:
                return
        if self._now_s >= self._ping_at_s:
            self._ping_at_s = self._now_s + self._limits.heartbeat_s
            self._send(ServerPing(t=self._wall_ms, server_time=rfc3339(self._wall_ms)))
        self._store_ack()
        self._pull()
        self._flush_live()

    def _end_stalled(self) -> None:
        if self._unwritten and self._now_s - self._moved_s >= self._limits.slow_s:
            self._close(TOO_MUCH, "slow_consumer")

    def _end_idle(self) -> None:
        if self._now_s - self._used_s >= self._limits.idle_s:
            self._close(UNAUTHENTICATED, "idle")

    def _watch_expiry(self) -> None:
        if self._expires_ms is None:
            return
        left_s = (self._expires_ms - self._wall_ms) / 1000
        if left_s <= 0:
            self._close(UNAUTHENTICATED, "expired")
        elif left_s <= self._limits.expiring_s and not self._warned:
            self._warned = True
            self._send(AuthExpiring(expires_at=rfc3339(self._expires_ms)))

    def _on_credential_renewed(self, event: steps.CredentialRenewed) -> None:
        self._expires_ms, self._warned = event.expires_ms, False

    # --- the end ----------------------------------------------------------------------------------------------------

    def _on_credential_refused(self, event: steps.CredentialRefused) -> None:
        self._close(event.closing, "credential_refused")

    def _on_taken_over(self, _event: steps.TakenOver) -> None:
        self._close(TAKEN_OVER, "taken_over")

    def _on_drain(self, event: steps.Drain) -> None:
        if self._state is State.OPEN:
            self._state = State.DRAINING
            self._reconnect_after_ms = event.reconnect_after_ms
            self._send(Draining(reconnect_after_ms=event.reconnect_after_ms))
        elif self._state is not State.DRAINING:
            self._close(DRAINING, "draining")

    def _leave_when_flushed(self) -> None:
        waits = self._unwritten or self._asked or self._fetching or self._available_seq > self._fetched_seq
        if not waits:
            self._close(RESTART, "drained")

    def _on_drain_deadline(self, _event: steps.DrainDeadline) -> None:
        self._close(RESTART if self._state is State.DRAINING else DRAINING, "drain_deadline")

    def _on_lost(self, _event: steps.Lost) -> None:
        self._end()

    def _close(self, closing: Closing, why: str) -> None:
        if self._state is State.CLOSED:
            return
        self._end()
        self._out += (steps.Count(f"closed_{why}"), steps.Audit(f"close_{closing.name}"), steps.Close(closing))

    def _end(self) -> None:
        """Leave nothing behind: the last ack is stored, and nobody feeds this connection any more."""
        self._state = State.CLOSED
        if self._acked_seq > self._stored_seq:
            self._out.append(steps.StoreAck(self._acked_seq))
        self._out += [steps.Unfollow(topic) for topic in sorted(self._followed)]
        self._followed.clear()
        self._live.clear()
        self._held.clear()

    # --- writing ----------------------------------------------------------------------------------------------------

    def _send(self, frame: msgspec.Struct) -> None:
        self._send_text(encode(frame))

    def _send_text(self, text: str) -> None:
        if self._state is State.CLOSED:
            return
        if self._unwritten >= 2 * self._limits.outbox_max:  # replies to somebody who asks and does not read
            self._close(TOO_MUCH, "outbox_full")
            return
        if self._unwritten == 0:
            self._moved_s = self._now_s
        self._unwritten += 1
        self._out.append(steps.Send(text))

    # --- which method has which rule --------------------------------------------------------------------------------

    _EVENTS: Final[Mapping[type, Callable[..., None]]] = {
        steps.Opened: _on_opened,
        steps.Arrived: _on_arrived,
        steps.SessionOpened: _on_session_opened,
        steps.HelloRefused: _on_hello_refused,
        steps.SubmitAnswered: _on_submit_answered,
        steps.Replied: _on_replied,
        steps.FollowAnswered: _on_follow_answered,
        steps.CredentialRenewed: _on_credential_renewed,
        steps.CredentialRefused: _on_credential_refused,
        steps.Available: _on_available,
        steps.Fetched: _on_fetched,
        steps.Written: _on_written,
        steps.Live: _on_live,
        steps.Tick: _on_tick,
        steps.TakenOver: _on_taken_over,
        steps.Drain: _on_drain,
        steps.DrainDeadline: _on_drain_deadline,
        steps.Lost: _on_lost,
    }

    _FRAMES: Final[Mapping[type, Callable[..., None]]] = {
        Hello: _second_hello,
        Submit: _submit,
        SubmitBatch: _submit,
        BigDataProcessing: _burst,
        Cancel: _cancel,
        Ack: _ack,
        Subscribe: _subscribe,
        Unsubscribe: _unsubscribe,
        Ping: _ping,
        Pong: _pong,
        Auth: _auth,
    }


def snapshot_parts(analyses: tuple[AnalysisState, ...], live: Mapping[str, Any], next_seq: int) -> list[str]:
    """The snapshot as frames below the frame limit; the live values are in the last one. There is always one."""
    groups = list(_groups(analyses)) or [[]]
    last = len(groups) - 1
    return [
        encode(
            Snapshot(
                part=part,
                parts=len(groups),
                analyses=group,
                live=dict(live) if part == last else {},
                next_seq=next_seq,
            )
        )
        for part, group in enumerate(groups)
    ]


def _groups(analyses: tuple[AnalysisState, ...]) -> Iterator[list[AnalysisState]]:
    group: list[AnalysisState] = []
    size = 0
    for one in analyses:
        size_of_one = len(encode(one))
        if group and size + size_of_one > _SNAPSHOT_PART_BYTES:
            yield group
            group, size = [], 0
        group.append(one)
        size += size_of_one
    if group:
        yield group
