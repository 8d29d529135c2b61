"""One session as its client sees it, over as many connections as it takes: events in, actions out.

Pure, like the server's half. `client.aio` drives it with a real socket; the page's own client follows the same rules.
What it promises: every cid that was asked gets exactly one visible answer per revision, whatever breaks in between.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Any, Final, TypeAlias

import msgspec

from genescale.protocol import client_steps as steps
from genescale.protocol.client_steps import Action, Answer, Event, Position
from genescale.protocol.closing import BAD_FRAME, GOING_AWAY, NORMAL, Reaction, reaction_to
from genescale.protocol.frames import (
    FRAME_BYTES_MAX,
    Accepted,
    AcceptedBatch,
    Ack,
    AnalysisState,
    Auth,
    AuthExpiring,
    Cancel,
    Draining,
    Failed,
    Hello,
    Pong,
    Rejected,
    Result,
    Resume,
    ServerPing,
    Snapshot,
    Submit,
    SubmitBatch,
    Subscribe,
    Throttle,
    Unsubscribe,
    Welcome,
    decode_server,
    encode,
)
from genescale.protocol.pace import TokenBucket, backoff_s

ACK_FRAMES: Final = 32
ACK_S: Final = 1.0
DEAD_INTERVALS: Final = 2.25
HEALTHY_S: Final = 30.0
LATER_S: Final = 5.0
ONCE_S: Final = 60.0
REFETCH_S: Final = 5.0
ANSWERED_MAX: Final = 10_000  # as many as a server replays
FINAL_STATES: Final = frozenset({"success", "partial", "failed", "cancelled"})


class State(Enum):
    """Where the conversation stands."""

    WAITING = "waiting"  # no connection; `connect_at` says when to try
    CONNECTING = "connecting"
    GREETING = "greeting"  # hello is out
    SNAPSHOT = "snapshot"  # welcome is in, the snapshot is not complete
    OPEN = "open"
    ASKING = "asking"  # the driver finds out why, or gets a credential
    STOPPED = "stopped"


class _Stage(Enum):
    QUEUED = "queued"  # not sent on this connection
    SENT = "sent"
    ACCEPTED = "accepted"
    ELSEWHERE = "elsewhere"  # sent in a session that is gone: REST is asked first


class _Ask(msgspec.Struct, gc=False):
    """One cid without its (last) answer."""

    text: str
    size: int
    stage: _Stage
    left: int  # answers that it still gets: 1, or the items of a batch
    sends: int = 0  # how often it left; an earlier life counts as one


_Draw: TypeAlias = Callable[[], float]


class Conversation:
    """The client's half of a session. Call `step` for whatever happens, and a `Tick` at `wake_at_s`."""

    def __init__(
        self, draw: _Draw, *, token: str | None = None, position: Position | None = None, caps: tuple[str, ...] = ()
    ) -> None:
        self._draw = draw
        self._token = token
        self._caps = list(caps)
        self._state = State.WAITING
        self._connect_at_s = 0.0
        self._out: list[Action] = []
        self._now_s = 0.0
        self._position = position  # as kept: what the application holds
        self._welcomed: Welcome | None = None
        self._current: Position | None = None  # the session that was opened last; its numbers count
        self._seq = position.last_seq if position else 0  # the last frame that was taken in order
        self._asks: dict[str, _Ask] = {}
        self._queue: dict[str, None] = {}  # cids to send, oldest first
        self._open_asks = 0  # sent or accepted
        self._answered: dict[str, int] = {}  # cid -> highest revision shown, oldest first
        self._cancels: dict[str, None] = {}
        self._topics: dict[str, None] = {}
        self._versions: dict[str, int] = {}
        self._refetch_at_s = inf
        self._acked_seq, self._ack_at_s = self._seq, inf
        self._handed: deque[Answer] = deque()  # in the application's hands: delivered, not yet applied
        self._bucket = TokenBucket(50, 100, 0.0)
        self._paused_until_s = 0.0
        self._max_inflight = 64
        self._heartbeat_s = 20.0
        self._heard_s = self._open_since_s = 0.0
        self._failures = 0
        self._bad_frame_s = -inf
        self._hint_s: float | None = None

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def position(self) -> Position | None:
        """What to keep for the next life of this client."""
        return self._position

    @property
    def waiting(self) -> frozenset[str]:
        """The cids without their last answer."""
        return frozenset(self._asks)

    def is_waiting(self, cid: str) -> bool:
        """Whether this cid still gets an answer."""
        return cid in self._asks

    def step(self, event: Event, now_s: float) -> list[Action]:
        """What to do about `event`. After `Stop` only `TakeBack` and `Refreshed` begin again."""
        self._now_s = now_s
        out: list[Action] = []
        self._out = out
        self._EVENTS[type(event)](self, event)
        self._out = []
        return out

    @property
    def wake_at_s(self) -> float:
        """The second at which a `Tick` has something to do."""
        if self._state is State.WAITING:
            return self._connect_at_s
        if not self._is_connected():
            return inf
        wakes = [self._heard_s + DEAD_INTERVALS * self._heartbeat_s, self._ack_at_s, self._refetch_at_s]
        if self._may_send_more():
            wakes.append(max(self._paused_until_s, self._now_s + self._bucket.wait_s(self._now_s)))
        return min(wakes)

    def _is_connected(self) -> bool:
        return self._state in {State.GREETING, State.SNAPSHOT, State.OPEN}

    # --- what the application wants ---------------------------------------------------------------------------------

    def _on_asked(self, event: steps.Asked) -> None:
        self._ask(event.frame)
        self._send_queued()

    def _on_restored(self, event: steps.Restored) -> None:
        for frame in event.frames:
            self._ask(frame, sends=1)
        for cid in event.answered:
            self._answered[cid] = 1
            ask = self._asks.get(cid.partition("#")[0])
            if ask is not None:
                ask.left -= 1
        self._send_queued()

    def _ask(self, frame: Submit | SubmitBatch, *, sends: int = 0) -> None:
        if frame.cid in self._asks:
            return
        text = encode(frame)
        size = len(text.encode())
        if size > FRAME_BYTES_MAX:
            self._reject_here(frame.cid)
            return
        self._asks[frame.cid] = _Ask(text, size, _Stage.QUEUED, _answers_of(frame), sends)
        self._queue[frame.cid] = None

    def _reject_here(self, cid: str) -> None:
        message = "too large for one frame (256 KiB): split it, or upload it over REST"
        self._out.append(steps.Tell(Rejected(cid=cid, code="too_large", message=message, retryable=False)))

    def _on_cancelled(self, event: steps.Cancelled) -> None:
        ask = self._asks.get(event.cid)
        if ask is None:
            return
        if ask.sends == 0:
            self._forget(event.cid)
            message = "cancelled before it was sent"
            self._out.append(steps.Tell(Rejected(cid=event.cid, code="cancelled", message=message, retryable=False)))
            return
        self._cancels[event.cid] = None
        if self._state is State.OPEN:
            self._send(Cancel(cid=event.cid))

    def _on_watched(self, event: steps.Watched) -> None:
        if event.wanted:
            self._topics[event.topic] = None
        else:
            self._topics.pop(event.topic, None)
        if self._state is State.OPEN:
            self._send(Subscribe(topic=event.topic) if event.wanted else Unsubscribe(topic=event.topic))

    def _on_applied(self, event: steps.Applied) -> None:
        if any(one is event.answer for one in self._handed):
            while self._handed.popleft() is not event.answer:
                pass
        self._move_position()

    def _move_position(self) -> None:
        """Keep as much as the application holds: all before the first answer that is still in its hands.

        While that is one from before a renumbering, or from a snapshot, the old position stays: a client that dies
        now would otherwise come back behind that answer and never see it.
        """
        if self._current is None:
            return
        applied_seq = self._seq
        if self._handed:
            first = self._handed[0]
            if first.seq is None or (first.session, first.epoch) != self._numbering():
                return
            applied_seq = first.seq - 1
        position = msgspec.structs.replace(self._current, last_seq=applied_seq)
        if position == self._position:
            return
        self._position = position
        self._out.append(steps.Keep(position))
        if applied_seq - self._acked_seq >= ACK_FRAMES:
            self._ack()
        elif applied_seq > self._acked_seq:
            self._ack_at_s = min(self._ack_at_s, self._now_s + ACK_S)

    def _on_finish(self, _event: steps.Finish) -> None:
        self._ack()
        if self._is_connected():
            self._out.append(steps.Disconnect(NORMAL.code))
        self._state = State.STOPPED

    # --- connecting -------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._state = State.CONNECTING
        self._out.append(steps.Connect())

    def _on_connected(self, _event: steps.Connected) -> None:
        if self._state is not State.CONNECTING:
            return
        self._state = State.GREETING
        self._heard_s = self._now_s
        resume = None
        if self._position:
            kept = self._position
            resume = Resume(session=kept.session, epoch=kept.epoch, last_seq=kept.last_seq, token=kept.resume_token)
        self._send(Hello(token=self._token, resume=resume, caps=self._caps))

    def _welcome(self, frame: Welcome) -> None:
        self._welcomed = frame
        self._state = State.SNAPSHOT
        if frame.resumed:
            self._open(frame)

    def _open(self, frame: Welcome) -> None:
        """Only now does the new numbering count: a snapshot that was cut off is asked for again."""
        self._state = State.OPEN
        self._take_numbering(frame)
        self._learn_limits(frame)
        self._hint_s = None
        self._move_position()
        for topic in self._topics:
            self._send(Subscribe(topic=topic))
        self._refetch()
        self._send_queued()
        for cid in self._cancels:
            self._send(Cancel(cid=cid))

    def _take_numbering(self, frame: Welcome) -> None:
        before, numbering = self._position, self._numbering()
        self._current = Position(session=frame.session, epoch=frame.epoch, last_seq=0, resume_token=frame.resume_token)
        if not frame.resumed:  # the snapshot stands for everything before next_seq
            self._seq = frame.next_seq - 1
            self._versions.clear()
        elif before is not None and self._numbering() != numbering:
            self._seq = before.last_seq
        self._acked_seq = before.last_seq if frame.resumed and before else frame.next_seq - 1
        self._ack_at_s = inf
        self._requeue(known_here=before is not None and before.session == frame.session)

    def _numbering(self) -> tuple[str, str] | None:
        """Within which numbers can be compared."""
        return (self._current.session, self._current.epoch) if self._current else None

    def _learn_limits(self, frame: Welcome) -> None:
        self._heartbeat_s = frame.heartbeat_ms / 1000
        self._max_inflight = frame.max_inflight
        rate, burst = frame.limits.get("frames_per_s", 50), frame.limits.get("frames_burst", 100)
        self._bucket = TokenBucket(rate, burst, self._now_s)
        self._paused_until_s = self._open_since_s = self._now_s

    def _requeue(self, *, known_here: bool) -> None:
        """Everything unanswered is sent again: a cid makes that safe, but only in the session that knows it."""
        self._queue.clear()
        self._open_asks = 0
        for cid, ask in self._asks.items():
            if ask.stage is not _Stage.ELSEWHERE:
                ask.stage = _Stage.ELSEWHERE if ask.sends and not known_here else _Stage.QUEUED
            if ask.stage is _Stage.QUEUED:
                self._queue[cid] = None

    # --- what another session began ---------------------------------------------------------------------------------

    def _refetch(self) -> None:
        elsewhere = tuple(cid for cid, ask in self._asks.items() if ask.stage is _Stage.ELSEWHERE)
        self._refetch_at_s = inf
        if elsewhere:
            self._out.append(steps.Refetch(elsewhere))

    def _on_refetched(self, event: steps.Refetched) -> None:
        found = {one.cid: one for one in event.found}
        for cid, ask in list(self._asks.items()):
            if cid in found and found[cid].state in FINAL_STATES:
                self._answer_from_state(found[cid])
            elif ask.stage is not _Stage.ELSEWHERE:
                continue
            elif cid not in found:
                ask.stage, ask.sends = _Stage.QUEUED, 0
                self._queue[cid] = None
            else:  # still under way: its frames go nowhere, so REST is asked until it is done
                self._refetch_at_s = self._now_s + REFETCH_S
        self._send_queued()

    # --- sending ----------------------------------------------------------------------------------------------------

    def _may_send_more(self) -> bool:
        return bool(self._queue) and self._state is State.OPEN and self._open_asks < self._max_inflight

    def _send_queued(self) -> None:
        while self._may_send_more() and self._now_s >= self._paused_until_s and self._bucket.take(self._now_s):
            cid = next(iter(self._queue))
            del self._queue[cid]
            ask = self._asks[cid]
            ask.stage, ask.sends = _Stage.SENT, ask.sends + 1
            self._open_asks += 1
            self._out.append(steps.SendText(ask.text))

    def _throttle(self, frame: Throttle) -> None:
        self._paused_until_s = max(self._paused_until_s, self._now_s + frame.retry_ms / 1000)
        ask = self._asks.get(frame.cid) if frame.cid else None
        if frame.cid and ask is not None and ask.stage is _Stage.SENT:
            self._back_to_queue(frame.cid, ask)

    def _back_to_queue(self, cid: str, ask: _Ask) -> None:
        ask.stage = _Stage.QUEUED
        self._open_asks -= 1
        self._queue[cid] = None

    def _send(self, frame: msgspec.Struct) -> None:
        self._out.append(steps.SendText(encode(frame)))

    def _ack(self) -> None:
        self._ack_at_s = inf
        if self._state is State.OPEN and self._position and self._position.last_seq > self._acked_seq:
            self._acked_seq = self._position.last_seq
            self._send(Ack(seq=self._acked_seq))

    # --- frames -----------------------------------------------------------------------------------------------------

    def _on_received(self, event: steps.Received) -> None:
        if not self._is_connected():
            return
        self._heard_s = self._now_s
        try:
            frame = decode_server(event.text)
        except (ValueError, RecursionError):
            self._close_for_bad_frame()
            return
        if frame is None:
            return
        rule = self._FRAMES.get(type(frame))
        if rule is not None:
            rule(self, frame)
        elif self._is_newest(frame):
            self._out.append(steps.Tell(frame))

    def _close_for_bad_frame(self) -> None:
        self._out.append(steps.Disconnect(BAD_FRAME.code))
        self._react(BAD_FRAME.code)

    def _pong(self, frame: ServerPing) -> None:
        self._send(Pong(t=frame.t))

    def _is_newest(self, frame: Any) -> bool:
        """Latest-wins values never go backwards; everything else is always news."""
        key, ver = getattr(frame, "key", None), getattr(frame, "ver", 0)
        if key is None:
            return True
        if ver <= self._versions.get(key, -1):
            return False
        self._versions.pop(key, None)
        self._versions[key] = ver
        if len(self._versions) > ANSWERED_MAX:
            del self._versions[next(iter(self._versions))]
        return True

    def _expiring(self, frame: AuthExpiring) -> None:
        self._out += (steps.Tell(frame), steps.RefreshCredential())

    def _draining(self, frame: Draining) -> None:
        self._hint_s = frame.reconnect_after_ms / 1000

    # --- answers ----------------------------------------------------------------------------------------------------

    def _accepted(self, frame: Accepted | AcceptedBatch) -> None:
        ask = self._asks.get(frame.cid)
        if ask is None or ask.stage is not _Stage.SENT:
            return
        ask.stage = _Stage.ACCEPTED
        self._out.append(steps.Tell(frame))
        if frame.duplicate and ask.sends == 1:  # somebody else sent it: its answer may have been given long ago
            self._out.append(steps.Refetch((frame.cid,)))

    def _rejected(self, frame: Rejected) -> None:
        ask = self._asks.get(frame.cid)
        if ask is None or ask.stage is _Stage.ACCEPTED:
            self._out.append(steps.Tell(frame))  # of a subscription or a cancel
        elif frame.retryable:
            self._paused_until_s = max(self._paused_until_s, self._now_s + (frame.retry_ms or 1000) / 1000)
            if ask.stage is _Stage.SENT:
                self._back_to_queue(frame.cid, ask)
        else:
            self._forget(frame.cid)
            self._out.append(steps.Tell(frame))
            self._send_queued()

    def _final(self, frame: Result | Failed) -> None:
        if frame.seq <= self._seq:
            return
        if frame.seq != self._seq + 1 or self._state is not State.OPEN:
            self._close_for_bad_frame()
            return
        self._seq = frame.seq
        revision = frame.revision if isinstance(frame, Result) else self._answered.get(frame.cid, 0) or 1
        if self._is_shown(frame.cid, revision):
            self._move_position()
            return
        answer = Answer(
            **self._here(),
            cid=frame.cid,
            analysis_id=frame.analysis_id,
            seq=frame.seq,
            frame=frame,
            state="failed" if isinstance(frame, Failed) else "done",
            result_url=frame.result_url if isinstance(frame, Result) else None,
        )
        self._show(answer, revision)

    def _snapshot(self, frame: Snapshot) -> None:
        if self._state is not State.SNAPSHOT or self._welcomed is None:
            self._close_for_bad_frame()
            return
        for one in frame.analyses:
            base = one.cid.partition("#")[0]
            if one.state in FINAL_STATES and base in self._asks:
                self._answer_from_state(one)
        if frame.part + 1 >= frame.parts:
            self._out.append(steps.Tell(frame))
            self._open(self._welcomed)

    def _answer_from_state(self, one: AnalysisState) -> None:
        if self._is_shown(one.cid, 1):
            return
        self._show(
            Answer(
                **self._here(),
                cid=one.cid,
                analysis_id=one.analysis_id,
                seq=None,
                frame=None,
                state=one.state,
                result_url=one.result_url,
            ),
            1,
        )

    def _here(self) -> dict[str, str]:
        assert self._welcomed is not None
        return {"session": self._welcomed.session, "epoch": self._welcomed.epoch}

    def _is_shown(self, cid: str, revision: int) -> bool:
        return self._answered.get(cid, 0) >= revision

    def _show(self, answer: Answer, revision: int) -> None:
        self._answered[answer.cid] = revision
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]
        base = answer.cid.partition("#")[0]
        ask = self._asks.get(base)
        self._handed.append(answer)
        self._out.append(steps.Deliver(answer))
        if ask is not None:
            ask.left -= 1
            if ask.left <= 0:
                self._forget(base)
                self._send_queued()

    def _forget(self, cid: str) -> None:
        ask = self._asks.pop(cid)
        self._queue.pop(cid, None)
        self._cancels.pop(cid, None)
        if ask.stage is _Stage.SENT or ask.stage is _Stage.ACCEPTED:
            self._open_asks -= 1

    # --- time -------------------------------------------------------------------------------------------------------

    def _on_tick(self, _event: steps.Tick) -> None:
        if self._state is State.WAITING:
            if self._now_s >= self._connect_at_s:
                self._connect()
            return
        if not self._is_connected():
            return
        if self._now_s - self._heard_s >= DEAD_INTERVALS * self._heartbeat_s:
            self._out.append(steps.Disconnect(GOING_AWAY.code))
            self._react(GOING_AWAY.code)
            return
        if self._now_s >= self._ack_at_s:
            self._ack()
        if self._state is State.OPEN and self._now_s >= self._refetch_at_s:
            self._refetch()
        self._send_queued()

    # --- when the connection ends -----------------------------------------------------------------------------------

    def _on_disconnected(self, event: steps.Disconnected) -> None:
        if self._state is State.CONNECTING or self._is_connected():
            self._react(event.code)

    def _react(self, code: int) -> None:
        """The table of `closing`, carried out. Every reaction has one method."""
        if self._state is State.OPEN and self._now_s - self._open_since_s >= HEALTHY_S:
            self._failures = 0
        self._ack_at_s = self._refetch_at_s = inf
        reaction = reaction_to(code)
        self._REACTIONS[reaction](self, code, reaction)

    def _connect_in(self, seconds: float) -> None:
        self._state = State.WAITING
        self._connect_at_s = self._now_s + seconds

    def _stop(self, code: int, reaction: Reaction) -> None:
        self._state = State.STOPPED
        self._out.append(steps.Stop(_REASONS.get(reaction, f"closed with {code}"), reaction))

    def _resume(self, _code: int, _reaction: Reaction) -> None:
        self._connect_in(self._next_backoff())

    def _resume_later(self, _code: int, _reaction: Reaction) -> None:
        self._connect_in(LATER_S + self._next_backoff())

    def _resume_after_hint(self, _code: int, _reaction: Reaction) -> None:
        hint, self._hint_s = self._hint_s, None
        self._connect_in(self._draw() * LATER_S if hint is None else hint)

    def _resume_once(self, code: int, reaction: Reaction) -> None:
        if self._now_s - self._bad_frame_s < ONCE_S:
            self._stop(code, reaction)
            return
        self._bad_frame_s = self._now_s
        self._connect_in(self._next_backoff())

    def _shrink(self, _code: int, _reaction: Reaction) -> None:
        """The server would not take a frame: it can only have been the largest that has no answer yet."""
        sent = [(ask.size, cid) for cid, ask in self._asks.items() if ask.stage is _Stage.SENT]
        if sent:
            _, cid = max(sent)
            self._forget(cid)
            self._reject_here(cid)
        self._connect_in(self._next_backoff())

    def _ask_for_credential(self, _code: int, _reaction: Reaction) -> None:
        self._state = State.ASKING
        self._out.append(steps.RefreshCredential())

    def _ask_why(self, _code: int, _reaction: Reaction) -> None:
        self._state = State.ASKING
        self._out.append(steps.AskSession())

    def _next_backoff(self) -> float:
        wait_s = backoff_s(self._failures, self._draw)
        self._failures += 1
        return wait_s

    def _on_session_asked(self, event: steps.SessionAsked) -> None:
        if self._state is not State.ASKING:
            return
        if event.status in {401, 403}:
            self._stop(event.status, Reaction.REFRESH if event.status == 401 else Reaction.STOP)
        else:
            self._connect_in(self._next_backoff())

    def _on_refreshed(self, event: steps.Refreshed) -> None:
        if event.token is not None:
            self._token = event.token
        if self._state is State.OPEN and event.token is not None:
            self._send(Auth(token=event.token))
        elif self._state is State.ASKING and event.token is None:
            self._stop(0, Reaction.REFRESH)
        elif self._state is State.ASKING or (self._state is State.STOPPED and event.token is not None):
            self._connect_in(self._next_backoff())

    def _on_take_back(self, _event: steps.TakeBack) -> None:
        if self._state is State.STOPPED:
            self._failures = 0
            self._connect_in(0.0)

    # --- which method has which rule --------------------------------------------------------------------------------

    _EVENTS: Final[Mapping[type, Callable[..., None]]] = {
        steps.Asked: _on_asked,
        steps.Restored: _on_restored,
        steps.Cancelled: _on_cancelled,
        steps.Watched: _on_watched,
        steps.Connected: _on_connected,
        steps.Received: _on_received,
        steps.Disconnected: _on_disconnected,
        steps.Applied: _on_applied,
        steps.SessionAsked: _on_session_asked,
        steps.Refreshed: _on_refreshed,
        steps.Refetched: _on_refetched,
        steps.TakeBack: _on_take_back,
        steps.Finish: _on_finish,
        steps.Tick: _on_tick,
    }
    _FRAMES: Final[Mapping[type, Callable[..., None]]] = {
        Welcome: _welcome,
        Snapshot: _snapshot,
        Accepted: _accepted,
        AcceptedBatch: _accepted,
        Rejected: _rejected,
        Result: _final,
        Failed: _final,
        Throttle: _throttle,
        ServerPing: _pong,
        AuthExpiring: _expiring,
        Draining: _draining,
    }
    _REACTIONS: Final[Mapping[Reaction, Callable[..., None]]] = {
        Reaction.NOTHING: _stop,
        Reaction.RESUME: _resume,
        Reaction.RESUME_LATER: _resume_later,
        Reaction.RESUME_AFTER_HINT: _resume_after_hint,
        Reaction.RESUME_ONCE: _resume_once,
        Reaction.SHRINK: _shrink,
        Reaction.REFRESH: _ask_for_credential,
        Reaction.STOP: _stop,
        Reaction.TAKE_BACK: _stop,
        Reaction.ASK: _ask_why,
    }


_REASONS: Final[Mapping[Reaction, str]] = {
    Reaction.NOTHING: "the conversation is over",
    Reaction.RESUME_ONCE: "two broken frames within a minute: a defect of this client or of the server; report it",
    Reaction.REFRESH: "log in again",
    Reaction.STOP: "not allowed, or no longer",
    Reaction.TAKE_BACK: "this session was opened elsewhere",
}


def _answers_of(frame: Submit | SubmitBatch) -> int:
    if isinstance(frame, Submit):
        return 1
    return frame.generate.count if frame.generate else len(frame.items)
