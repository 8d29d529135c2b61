"""The one consume loop: read a batch, handle it, append the outputs, commit the positions.

Every role that consumes events runs this loop with its own `Subscription`; there is no second one. The order of the
four steps is the whole guarantee: outputs are durable before the position moves, so a crash anywhere means that work
is done again, never that it is lost. Ids of outputs derive from the ids of inputs, so doing it again is invisible.

What can go wrong with one event, and what happens:

    Retryable            the record is *parked*: copied to the loop's state, retried later with back-off; records of the
                         same key queue behind it, everybody else in the partition goes on
    Permanent            the subscription's `failed` makes the answer for whoever asked; the record is a dead letter
    any other exception  like Retryable: what nobody foresaw may be temporary; tries and age are bounded
    death of the process counted before it happens (see `crash_guard`); the third with the same record in hand makes it
                         a dead letter
    Fenced               somebody else owns the partition: what is in hand is dropped, they do it
    Fatal                the loop ends with it; a new process recovers
"""

import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Generic, NamedTuple, TypeVar

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import Fatal, Fenced, InvalidEvent, Permanent, Retryable
from genescale.events import envelope, loop_data
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.events.crash_guard import CrashGuard
from genescale.events.deadletter import letter_record
from genescale.events.envelope import Event
from genescale.events.failpoint import hit
from genescale.events.failure import crashed, failure_of
from genescale.events.log import EventLog, Fence, NewRecord, Position, Record, TopicPartition
from genescale.events.loop_state import LoopState
from genescale.events.parking import Parking, Waiting
from genescale.events.retry import RetryBudget, RetryPolicy
from genescale.events.topics import DEAD_LETTERS, LOOP_STATE
from genescale.events.watch import LoopWatch

DepsT = TypeVar("DepsT")

_SOURCE = "/genescale/loop"
_REST_S = 0.1  # how soon a loop that waits for the log notices that it shall stop
_NO_CREDIT_S = 1.0  # a retry without budget looks again after this long
_RESUMED = "genescale.events.lane.resumed"


class Subscription(msgspec.Struct, Generic[DepsT], frozen=True, kw_only=True):
    """What one role reads, what it makes of it, and where that goes. `handle` is the only shape of handler there is."""

    group: str
    topics: tuple[str, ...]
    outputs: tuple[str, ...]
    handle: Callable[[Sequence[Event], DepsT], list[Event]]
    failed: Callable[[Event, loop_data.Failure, DepsT], list[Event]]
    route: Callable[[Event], str]
    deps: DepsT
    wake_when_drained: bool = False  # for lanes that scale to zero: parked records leave lag behind


class LoopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be set; `config` documents each field for users."""

    batch_records_max: int = 500
    crashes_max: int = 3
    parked_records_max: int = 10_000  # per loop; above it the partitions with parked records are paused
    poll_s: float = 1.0
    append_timeout_s: float = 120.0
    retry: RetryPolicy = RetryPolicy()


class Counts(msgspec.Struct):
    """What the loop has done since it started. Read by metrics and tests."""

    handled: int = 0
    outputs: int = 0
    parked: int = 0
    retried: int = 0
    dead_lettered: int = 0
    fenced: int = 0
    batches: int = 0


class _Work(msgspec.Struct, frozen=True, gc=False):
    """A record and the event in it."""

    record: Record
    event: Event


class _Outcome(msgspec.Struct):
    """What came of some events, not yet written."""

    outputs: list[Event] = []
    letters: list[NewRecord] = []
    waiting: list[Waiting] = []


class _InFlight(NamedTuple):
    """A batch that was handled and is being appended; its positions are not committed yet."""

    spans: dict[TopicPartition, tuple[int, int]]
    fence: Fence
    written: list[NewRecord]
    appended: "Future[list[Position]]"
    began_s: float


class Runner(Generic[DepsT]):
    """One loop in one thread. `stop` may be called from a signal handler; `run` then drains and returns."""

    def __init__(
        self,
        log: EventLog,
        subscription: Subscription[DepsT],
        settings: LoopSettings,
        clock: Clock,
        *,
        version: str,
        seed: int,
        watch: LoopWatch | None = None,
    ) -> None:
        self._log, self._subscription, self._settings, self._clock = log, subscription, settings, clock
        self._version = version
        self._watch = watch or LoopWatch(subscription.group)
        self._draw = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._budget = RetryBudget(settings.retry)
        self._guard = CrashGuard(settings.batch_records_max, settings.crashes_max)
        self._state = LoopState(log, subscription.group, clock)
        self._parking = Parking()
        self._positions: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._in_flight: _InFlight | None = None
        # A plain flag: `threading.Event` holds a lock while it is set; a second signal in that moment would wait for
        # the lock that its own thread holds.
        self._stop_asked = False
        self.counts = Counts()
        self._consumer = log.consumer(
            subscription.group,
            subscription.topics,
            outputs=(*subscription.outputs, DEAD_LETTERS, LOOP_STATE),
            on_assigned=self._take_over,
            on_revoked=self._hand_back,
            on_lost=self._forget,
        )

    # ---- the loop ----

    def run(self) -> None:
        """Until `stop`: then finish what is in hand, hand everything back clean, leave the group."""
        while not self._stop_asked:
            self.step(self._settings.poll_s)
        # Only an orderly end gets here. Whatever else ends the loop is not handed back clean, so that it is counted.
        self.close()

    def stop(self) -> None:
        """End soon. Safe from a signal handler."""
        self._stop_asked = True
        self._consumer.wake()

    def step(self, timeout_s: float) -> int:
        """One turn: retries that are due, then batches as long as there are any. Returns how many records were read."""
        try:
            return self._turn(timeout_s)
        except Fenced:
            self.counts.fenced += 1
            self._read_again()
        except Retryable as error:
            self._rest(error.after_s or 1.0)
            self._read_again()
        except CancelledError:
            self._in_flight = None  # asked to stop while the log took nothing; what was in hand stays uncommitted
        return 0

    def _turn(self, timeout_s: float) -> int:
        began_s = self._clock.monotonic_s()
        self._retry_due()
        due_s = self._parking.next_due_s(default=began_s + timeout_s)
        wait_s = max(0.0, min(timeout_s, due_s - self._clock.monotonic_s()))
        records = self._consumer.poll(self._settings.batch_records_max, wait_s)
        self._budget.refill(self._clock.monotonic_s() - began_s)
        read = 0
        while records:
            read += len(records)
            self._process(records)
            if self._stop_asked or self._parking.next_due_s(default=due_s) <= self._clock.monotonic_s():
                break
            # While the disk takes the outputs of this batch, the next one is read and handled.
            records = self._consumer.poll(self._settings.batch_records_max, 0.0)
        self._finish()
        return read

    def close(self) -> None:
        """Hand everything back and leave the group, so that nobody waits for the session to end."""
        self._stop_asked = True
        self._consumer.close()
        self._state.close()

    def _process(self, records: list[Record]) -> None:
        """Suspected records first and apart (they stand before the others in their partitions), then the rest."""
        if self._guard.calm:
            self._batch(records, 0)
            return
        by_level: dict[int, list[Record]] = {}
        for record in records:
            level = self._guard.level(TopicPartition(record.topic, record.partition), record.offset)
            by_level.setdefault(min(level, self._settings.crashes_max), []).append(record)
        for level in sorted(by_level, reverse=True):
            size = self._guard.batch_max(level)
            batch = by_level[level]
            for start in range(0, len(batch), size):
                self._batch(batch[start : start + size], level)
                self._finish()  # under suspicion one thing at a time, so that a death has one culprit

    def _batch(self, records: list[Record], level: int) -> None:
        """Note and handle; then commit the batch before, and append this one."""
        began_s = self._clock.monotonic_s()
        spans = _spans(records)
        fence = self._consumer.fence(spans)
        self._note(spans, fence)
        if level >= self._settings.crashes_max:
            outcome = self._give_up_crashed(records)
        else:
            outcome = self._handle(self._readable(records))
        for waiting in outcome.waiting:
            self._parking.add(waiting)
            self._watch.parked(waiting.data.record.record())
        written = self._written(outcome)
        before = self._settle()  # its outputs are on disk before ours are handed in, so that a key keeps its order
        self._in_flight = _InFlight(spans, fence, written, self._log.append(written, fence), began_s)
        self._commit(before)
        self.counts.outputs += len(outcome.outputs)
        self.counts.parked += len(outcome.waiting)
        self._hold_back()

    def _finish(self) -> None:
        """Nothing is in flight any more: what was handled is durable, and its positions are committed."""
        self._commit(self._settle())

    def _settle(self) -> _InFlight | None:
        """Wait until the outputs of the batch in flight are durable."""
        batch, self._in_flight = self._in_flight, None
        if batch is not None:
            self._make_durable(batch.written, batch.fence, batch.appended)
            hit("after_result_before_commit")
        return batch

    def _commit(self, batch: _InFlight | None) -> None:
        """Its outputs are durable: move the positions."""
        if batch is None:
            return
        positions = {seat: upto for seat, (_, upto) in batch.spans.items()}
        self._persist(lambda: self._consumer.commit(positions))
        self._positions.update(positions)
        self.counts.batches += 1
        self._watch.batch(batch.spans, self._clock.monotonic_s() - batch.began_s)

    def _note(self, spans: dict[TopicPartition, tuple[int, int]], fence: Fence) -> None:
        notes: list[NewRecord] = []
        for seat, (start, upto) in spans.items():
            note = self._guard.note(seat, start, upto)
            if note is not None:
                data = loop_data.BatchStarted(
                    group=self._subscription.group,
                    topic=seat.topic,
                    partition=seat.partition,
                    start=note.start,
                    upto=note.upto,
                    crashes=note.crashes,
                )
                notes.append(self._state.started_record(data))
        self._append(notes, fence)

    # ---- handling ----

    def _readable(self, records: Iterable[Record]) -> tuple[list[_Work], _Outcome]:
        """Decode; what is no event becomes a dead letter, what has a parked key waits behind it."""
        outcome = _Outcome()
        work: list[_Work] = []
        parked = len(self._parking) > 0
        for record in records:
            try:
                event = _decode(record)
            except InvalidEvent as error:
                outcome.letters.append(self._letter(record, failure_of(error), attempts=0))
                continue
            if event.type == _RESUMED:
                continue  # it only made lag; the parked records came with the partition
            if parked and self._parking.has(record):
                continue  # parked by a former owner that did not come to commit: it waits with its tries counted
            if parked and self._parking.holds(record):
                outcome.waiting.append(self._wait_behind(record))
                continue
            work.append(_Work(record, event))
        return work, outcome

    def _handle(self, readable: tuple[list[_Work], _Outcome]) -> _Outcome:
        work, outcome = readable
        self._budget.earn(len(work))
        hit("mid_handling")
        if work:
            self._try(work, outcome)
        self.counts.handled += len(work)
        return outcome

    def _try(self, work: list[_Work], outcome: _Outcome) -> None:
        """The whole batch at once; when that fails, each alone, so that one bad event does not fail its neighbours."""
        events = [item.event for item in work]
        try:
            with self._watch.handling(events):
                outcome.outputs += self._subscription.handle(events, self._subscription.deps)
        except (Fatal, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes an answer
            if len(work) == 1:
                self._fail(work[0], error, outcome)
                return
            blocked: set[bytes | None] = set()
            for item in work:
                if item.record.key is not None and item.record.key in blocked:
                    outcome.waiting.append(self._wait_behind(item.record))
                    continue
                before = len(outcome.waiting)
                self._try([item], outcome)
                if len(outcome.waiting) > before:
                    blocked.add(item.record.key)

    def _fail(self, item: _Work, error: Exception, outcome: _Outcome) -> None:
        failure = failure_of(error)
        permanent = isinstance(error, Permanent)
        reason = "permanent" if permanent else "retryable"
        self._watch.failed(item.record, item.event, failure, reason, retried=not permanent)
        if permanent:
            self._give_up(item, failure, 1, outcome)
            return
        now_ms = self._clock.wall_ms()
        delay_s = self._delay_s(1, error)
        data = loop_data.RecordParked(
            group=self._subscription.group,
            record=loop_data.RecordCopy.of(item.record),
            attempt=1,
            due_ms=now_ms + int(delay_s * 1000),
            since_ms=now_ms,
            first_failure=failure,
        )
        outcome.waiting.append(Waiting(data, self._clock.monotonic_s() + delay_s))

    def _wait_behind(self, record: Record) -> Waiting:
        now_ms = self._clock.wall_ms()
        data = loop_data.RecordParked(
            group=self._subscription.group,
            record=loop_data.RecordCopy.of(record),
            attempt=0,
            due_ms=now_ms,
            since_ms=now_ms,
        )
        return Waiting(data, self._clock.monotonic_s())

    def _delay_s(self, attempt: int, error: Exception) -> float:
        after_s = error.after_s if isinstance(error, Retryable) else None
        return self._settings.retry.delay_s(attempt, after_s, self._draw)

    def _give_up(
        self,
        item: _Work,
        failure: loop_data.Failure,
        attempts: int,
        outcome: _Outcome,
        parked: loop_data.RecordParked | None = None,
    ) -> None:
        """The failure is the answer; the record itself is kept."""
        try:
            outcome.outputs += self._subscription.failed(item.event, failure, self._subscription.deps)
        except (Fatal, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - a defect there must not keep the record from the dead letters
            message = f"{failure.message} (no answer could be made of it: {type(error).__name__})"
            failure = msgspec.structs.replace(failure, message=message)
        outcome.letters.append(self._letter(item.record, failure, attempts=attempts, parked=parked))

    def _give_up_crashed(self, records: Iterable[Record]) -> _Outcome:
        work, outcome = self._readable(records)
        failure = crashed(self._settings.crashes_max)
        for item in work:
            self._watch.failed(item.record, item.event, failure, "crash", retried=False)
            self._give_up(item, failure, self._settings.crashes_max, outcome)
        return outcome

    def _letter(
        self,
        record: Record,
        failure: loop_data.Failure,
        *,
        attempts: int,
        parked: loop_data.RecordParked | None = None,
    ) -> NewRecord:
        self.counts.dead_lettered += 1
        return letter_record(
            record,
            failure,
            attempts=attempts,
            group=self._subscription.group,
            consumer_version=self._version,
            wall_ms=self._clock.wall_ms(),
            first_failure=parked.first_failure if parked else None,
            first_failed_ms=parked.since_ms if parked else None,
        )

    # ---- retries ----

    def _retry_due(self) -> None:
        """Try again what is due, one record at a time. Each try is counted before it is made."""
        for waiting in self._parking.due(self._clock.monotonic_s()):
            if self._stop_asked:
                return
            if self._budget.spend():
                self._retry(waiting)
            else:
                self._parking.put_back(Waiting(waiting.data, self._clock.monotonic_s() + _NO_CREDIT_S))
        self._hold_back()

    def _retry(self, waiting: Waiting) -> None:
        record = waiting.data.record.record()
        seat = TopicPartition(record.topic, record.partition)
        fence = self._consumer.fence([seat])
        attempt = waiting.data.attempt + 1
        delay_s = self._delay_s(attempt, Retryable(""))
        tried = msgspec.structs.replace(
            waiting.data, attempt=attempt, due_ms=self._clock.wall_ms() + int(delay_s * 1000)
        )
        self._append([self._state.parked_record(tried)], fence)
        outcome = _Outcome()
        try:
            item = _Work(record, _numbered(_decode(record), attempt))
        except InvalidEvent as error:  # parked by a newer program that knew its schema
            outcome.letters.append(self._letter(record, failure_of(error), attempts=attempt, parked=tried))
        else:
            again = self._try_again(item, tried, outcome)
            if again is not None:
                self._parking.put_back(again)
                return
        self._append(self._written(outcome), fence)
        self.counts.outputs += len(outcome.outputs)
        self._append(self._state.unparked_records([tried]), fence)
        self._parking.done(waiting, self._clock.monotonic_s())

    def _try_again(self, item: _Work, tried: loop_data.RecordParked, outcome: _Outcome) -> Waiting | None:
        """One more try. None: it is settled, one way or the other; else when the next try is due."""
        hit("mid_handling")
        self.counts.retried += 1
        try:
            with self._watch.handling([item.event]):
                outcome.outputs += self._subscription.handle([item.event], self._subscription.deps)
        except (Fatal, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - as in `_try`
            age_s = (self._clock.wall_ms() - tried.since_ms) / 1000
            failure = failure_of(error)
            if not isinstance(error, Permanent) and not self._settings.retry.exhausted(tried.attempt, age_s):
                self._watch.failed(item.record, item.event, failure, "retryable", retried=True)
                if tried.first_failure is None:
                    tried = msgspec.structs.replace(tried, first_failure=failure)
                return Waiting(tried, self._clock.monotonic_s() + self._delay_s(tried.attempt, error))
            reason = "permanent" if isinstance(error, Permanent) else "retryable"
            self._watch.failed(item.record, item.event, failure, reason, retried=False)
            self._give_up(item, failure, tried.attempt, outcome, parked=tried)
        return None

    def _hold_back(self) -> None:
        """Too much is parked: read no more from partitions that only add to it."""
        if len(self._parking) >= self._settings.parked_records_max:
            self._held = self._parking.seats() & self._consumer.assignment()
            self._consumer.pause(self._held)
        elif self._held:
            self._consumer.resume(self._held & self._consumer.assignment())
            self._held = set()

    # ---- writing ----

    def _written(self, outcome: _Outcome) -> list[NewRecord]:
        """The outcome as records: answers, dead letters, and what is parked."""
        records = [envelope.to_record(event, self._subscription.route(event)) for event in outcome.outputs]
        records += outcome.letters
        return records + [self._state.parked_record(waiting.data) for waiting in outcome.waiting]

    def _append(self, records: list[NewRecord], fence: Fence) -> None:
        """Durable on return."""
        if records:
            self._make_durable(records, fence, None)

    def _make_durable(self, records: list[NewRecord], fence: Fence, appended: "Future[list[Position]] | None") -> None:
        """Wait for an append, and make it again when it failed. One that is only slow is waited for: it may succeed."""
        under_way = appended

        def attempt() -> None:
            nonlocal under_way
            under_way = under_way or self._log.append(records, fence)
            try:
                under_way.result(self._settings.append_timeout_s)
            except Retryable:
                under_way = None
                raise

        self._persist(attempt)

    def _persist(self, write: Callable[[], object]) -> None:
        """A full or absent log is waited for: the batch stays in hand, nothing is skipped."""
        while True:
            try:
                write()
            except (Retryable, TimeoutError) as error:
                self._pause(error)
            else:
                return

    def _pause(self, error: Exception) -> None:
        """Before the next attempt of a write. Asked to stop, it gives up: the work stays uncommitted."""
        after_s = error.after_s if isinstance(error, Retryable) else None
        self._rest(after_s or 1.0)
        if self._stop_asked:
            raise CancelledError from error

    def _rest(self, seconds: float) -> None:
        """Wait, but not longer than it takes to notice that the loop shall stop."""
        until_s = self._clock.monotonic_s() + seconds
        while not self._stop_asked and (left := until_s - self._clock.monotonic_s()) > 0:
            self._clock.sleep(min(left, _REST_S))

    # ---- partitions come and go ----

    def _take_over(self, seats: Iterable[TopicPartition]) -> None:
        """Read what the former owner left: its crash count and its parked records."""
        taken = list(seats)
        self._state.refresh()
        now_ms, now_s = self._clock.wall_ms(), self._clock.monotonic_s()
        for seat, position in self._consumer.committed(taken).items():
            self._guard.take_over(seat, position or 0, self._state.started(seat))
            self._positions[seat] = position or 0
            for data in self._state.parked(seat):
                # The wall may have jumped since: a wait is never longer than the policy allows.
                wait_s = min(max(0.0, (data.due_ms - now_ms) / 1000), self._settings.retry.cap_s)
                self._parking.add(Waiting(data, now_s + wait_s))

    def _hand_back(self, seats: Iterable[TopicPartition]) -> None:
        """Called while the partitions are still ours: whoever comes next finds no crash, and a lane that wakes it."""
        leaving = list(seats)
        with contextlib.suppress(Fenced, CancelledError):  # then the next owner does it again
            self._finish()
        notes: list[NewRecord] = []
        for seat in leaving:
            position = self._positions.get(seat, 0)
            data = loop_data.BatchStarted(
                group=self._subscription.group,
                topic=seat.topic,
                partition=seat.partition,
                start=position,
                upto=position,
                clean=True,
            )
            notes.append(self._state.started_record(data))
            parked = self._parking.waiting(seat)
            if parked and self._stop_asked and self._subscription.wake_when_drained:
                notes.append(self._wake_up(seat, parked))
        try:
            self._log.append(notes, self._consumer.fence(leaving)).result(self._settings.append_timeout_s)
        except (Fenced, Retryable):
            self.counts.fenced += 1  # lost already, or no log: the next owner counts a crash that was none
        self._forget(leaving)

    def _wake_up(self, seat: TopicPartition, parked: list[Waiting]) -> NewRecord:
        group = self._subscription.group
        data = loop_data.LaneResumed(
            group=group,
            topic=seat.topic,
            partition=seat.partition,
            parked=len(parked),
            due_ms=min(waiting.data.due_ms for waiting in parked),
        )
        now = rfc3339(self._clock.wall_ms())
        subject = f"{group}/{seat.topic}/{seat.partition}"
        event = new_event(data, id=envelope.derive_id(subject, now), source=_SOURCE, time=now, subject=subject)
        return envelope.to_record(event, seat.topic, partition=seat.partition)

    def _forget(self, seats: Iterable[TopicPartition]) -> None:
        for seat in seats:
            self._guard.give_back(seat)
            self._parking.drop(seat)
            self._positions.pop(seat, None)

    def _read_again(self) -> None:
        """What is in hand was dropped: what we still own is read again from its committed position."""
        self._in_flight = None
        owned = self._consumer.assignment()
        for seat, position in self._consumer.committed(owned).items():
            if seat in self._positions:
                self._consumer.seek(seat, position or 0)
                self._parking.drop(seat, read_again_from=position or 0)


def _decode(record: Record) -> Event:
    """The event in the newest major that this program knows."""
    return CATALOGUE.upcast(envelope.from_record(record))


def _numbered(event: Event, attempt: int) -> Event:
    """The event with the number of this try, so that the handler can say which one its processor time belongs to."""
    if attempt < 2:
        return event
    return msgspec.structs.replace(event, extensions={**event.extensions, "attempt": attempt})


def _spans(records: Iterable[Record]) -> dict[TopicPartition, tuple[int, int]]:
    """Per partition the first offset of the batch and the one after the last."""
    spans: dict[TopicPartition, tuple[int, int]] = {}
    for record in records:
        seat = TopicPartition(record.topic, record.partition)
        start, upto = spans.get(seat, (record.offset, record.offset))
        spans[seat] = (min(start, record.offset), max(upto, record.offset + 1))
    return spans
