"""What the processes of a delivery run do. Each runs the product's own code on the product's own log.

    producer   sends its events in order, sends again what was not acked, sends some twice when told
    consumer   the real loop with a small handler
    reader     the user's end: reads live, shows each answer once, and resumes where its journal stopped
    keeper     the log's upkeep, again and again

They end by SIGTERM, or by a fault; a new process of the same role then goes on from the journals and the log.
"""

import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.config import Settings
from genescale.errors import Permanent, Retryable
from genescale.events import envelope, failpoint
from genescale.events.analysis_data import AnalysisError, AnalysisRequest, AnalysisResult
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event
from genescale.events.log import EventLog, Fence, NewRecord, Position, Record, TopicPartition
from genescale.events.loop_data import Failure
from genescale.events.retry import RetryPolicy
from genescale.events.runner import LoopSettings, Runner, Subscription
from genescale.events.topics import DEAD_LETTERS, LANES, LOOP_STATE, RESULTS, TOPICS
from genescale.trials import journal
from genescale.trials.board import POISON, Board, JumpingClock
from genescale.trials.journal import Journal
from genescale.trials.workload import Workload, content_of
from genescale.wiring import open_log

LANE = next(lane for lane in LANES if lane.name == "normal")
TOPICS_USED = tuple(spec for spec in TOPICS if spec.name in {LANE.topic, RESULTS, DEAD_LETTERS, LOOP_STATE})
BATCH_MAX = 100
LOOP = LoopSettings(
    batch_records_max=200,
    poll_s=0.5,
    # Waits of seconds would only make the run longer; the budget stays as in the product.
    retry=RetryPolicy(base_s=0.05, cap_s=1.0, attempts_max=6),
)


class Part(NamedTuple):
    """What one process needs to know about the run it is part of."""

    workload: Workload
    settings: Settings
    journals: Path
    board: Board
    slot: int
    number: int  # of the process, growing over the run
    producer: int = 0

    def open_log(self) -> EventLog:
        """The product's log, on the clock that jumps."""
        return open_log(self.settings, JumpingClock(self.board))

    def journal(self, role: str) -> Journal:
        """This process's own journal."""
        return Journal(self.journals / f"{role}-{self.number}.jsonl")


def create_topics(part: Part) -> None:
    """Before anybody else starts."""
    log = part.open_log()
    log.create_topics(TOPICS_USED)
    log.close()


def describe(part: Part) -> None:
    """Who owns what, and who is behind: for the file of a run that does not come to rest."""
    log = part.open_log()
    for member in log.members(LANE.group):
        sys.stdout.write(f"{member.member}: {sorted(seat.partition for seat in member.partitions)}\n")
    for lag in log.lag(LANE.group):
        if lag.lag:
            sys.stdout.write(f"{lag}\n")
    log.close()


def _stopping() -> threading.Event:
    stop = threading.Event()

    def handler(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handler)
    return stop


def _until_it_works(part: Part, stop: threading.Event, act: Callable[[], Any]) -> Any:
    """What every caller of the log must do: wait and try again while it says that this helps."""
    clock = JumpingClock(part.board)
    while True:
        try:
            return act()
        except Retryable as error:
            if clock.wait(stop, min(0.2, error.after_s or 0.1)):
                raise


# ---- producer ----


def produce(part: Part) -> None:
    """Send this producer's share, as far as the conductor allows."""
    failpoint.arm(part.board.death_at(part.slot))
    stop, clock, me = _stopping(), JumpingClock(part.board), part.producer
    chance = random.Random(f"{part.workload.seed}/{part.number}")  # noqa: S311 - repeatable on purpose
    role = f"producer{me}"
    done = _acked_before(journal.all_of(part.journals, role))
    part.board.put_producer(me, "acked", done)
    book = part.journal(role)
    log = part.open_log()
    total = part.workload.count(me)
    while not stop.is_set():
        if part.board.of_producer(me, "duplicates_sent") < part.board.of_producer(me, "duplicates_wanted") and done:
            first = chance.randrange(done)
            _send(part, log, stop, first, min(done, first + chance.randint(1, 20)))
            part.board.put_producer(me, "duplicates_sent", part.board.of_producer(me, "duplicates_sent") + 1)
        allowed = part.workload.share(me, part.board.get("allowed"))
        end = min(done + chance.randint(1, BATCH_MAX), allowed)
        if end <= done:
            if done == total and part.board.get("producers_stop"):
                break
            clock.wait(stop, 0.005)
            continue
        book.write("submitted", done, end)
        positions = _send(part, log, stop, done, end)
        book.write("acked", done, [[one.partition, one.offset] for one in positions])
        done = end
        part.board.put_producer(me, "acked", done)
    log.close()


def _acked_before(books: Iterable[Path]) -> int:
    """Up to where the earlier processes of this producer were told that all is safe."""
    return max(
        (line[1] + len(line[2]) for book in books for line in journal.read(book) if line[0] == "acked"), default=0
    )


def _send(part: Part, log: EventLog, stop: threading.Event, first: int, end: int) -> list[Position]:
    """Append until acked: the same ids each time, so that nobody downstream sees the difference."""
    clock = JumpingClock(part.board)
    events = (part.workload.event(part.producer, number, clock) for number in range(first, end))
    records = [envelope.to_record(event, LANE.topic) for event in events]
    return _until_it_works(part, stop, lambda: log.append(records).result(60))


# ---- consumer ----


class Deps(NamedTuple):
    """What the handler of a run works with."""

    part: Part
    failed_once: set[str]
    clock: JumpingClock


def consume(part: Part) -> None:
    """The real loop, until SIGTERM."""
    failpoint.arm(part.board.death_at(part.slot))
    clock = JumpingClock(part.board)
    log = part.open_log()
    witness: Any = Witness(log, part.journal("consumer"), clock)
    subscription = Subscription(
        group=LANE.group,
        topics=(LANE.topic,),
        outputs=(RESULTS,),
        handle=handle,
        failed=failed,
        route=lambda _event: RESULTS,
        deps=Deps(part, set(), clock),
        wake_when_drained=True,
    )
    runner = Runner(witness, subscription, LOOP, clock, version="trial", seed=part.number)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: runner.stop())
    runner.run()
    log.close()


class Witness:
    """The log as the loop sees it; notes under which tokens it took writes."""

    def __init__(self, log: EventLog, book: Journal, clock: Clock) -> None:
        self._log, self._book, self._clock = log, book, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, records: Sequence[NewRecord], fence: Fence | None = None) -> "Future[list[Position]]":
        """See `EventLog`."""
        begin_s = self._clock.monotonic_s()
        future = self._log.append(records, fence)
        if fence is not None:
            topics = sorted({record.topic for record in records})
            seats = [[*seat, token] for seat, token in fence.tokens.items()]
            future.add_done_callback(lambda done: self._note(done, topics, seats, begin_s))
        return future

    def _note(self, done: "Future[list[Position]]", topics: list[str], seats: list[list[Any]], begin_s: float) -> None:
        if not done.cancelled() and done.exception() is None:
            self._book.write(topics, seats, begin_s, self._clock.monotonic_s())


def handle(events: Sequence[Event], deps: Deps) -> list[Event]:
    """One answer per request, or the fault that the request carries."""
    return [_result(event, _computed(event, deps), deps) for event in events]


def _computed(event: Event, deps: Deps) -> AnalysisResult:
    request = msgspec.json.decode(event.data or b"", type=AnalysisRequest)
    board, slot = deps.part.board, deps.part.slot
    match request.description:
        case "poison":
            board.die(slot, POISON)
        case "permanent":
            board.put_slot(slot, "permanent", board.of_slot(slot, "permanent") + 1)
            raise Permanent("this input can never be handled")
        case "retryable" if event.id not in deps.failed_once:
            deps.failed_once.add(event.id)
            board.put_slot(slot, "retryable", board.of_slot(slot, "retryable") + 1)
            raise Retryable("this input fails the first time")
        case _:
            pass
    assert request.generate is not None
    return AnalysisResult(status="success", predictions={"content": content_of(request.generate)})


def failed(event: Event, failure: Failure, deps: Deps) -> list[Event]:
    """The reason as the answer."""
    error = AnalysisError(code="GIVEN_UP", message=failure.error)
    return [_result(event, AnalysisResult(status="failed", errors=[error]), deps)]


def _result(event: Event, data: AnalysisResult, deps: Deps) -> Event:
    """Whatever comes of a request has one id, so that doing it twice shows."""
    revision = event.extensions["revision"]
    return new_event(
        data,
        id=envelope.derive_id(event.subject or "", str(revision), "trial"),
        source="/genescale/trials/consumer",
        time=rfc3339(deps.clock.wall_ms()),
        subject=event.subject,
        extensions={"revision": revision},
    )


# ---- reader ----


def read(part: Part) -> None:
    """Show the first final event of every answer, once, across restarts; note everything that was seen."""
    stop = _stopping()
    places, shown = _shown_before(journal.all_of(part.journals, "reader"))
    part.board.put("shown", len(shown))
    book = part.journal("reader")
    log = part.open_log()
    tail = log.tail([LANE.topic, RESULTS], places or "earliest")
    while not stop.is_set():
        records: list[Record] = _until_it_works(part, stop, lambda: tail.poll(2_000, 0.2))
        if not records:
            continue
        new: list[tuple[str, int]] = []
        for record in records:
            if record.topic == RESULTS and (answer := answer_of(record)) not in shown:
                shown.add(answer)
                new.append(answer)
        seen = [[record.topic == RESULTS, record.partition, record.offset, id_of(record)] for record in records]
        book.write(seen, new)
        part.board.put("shown", len(shown))
    tail.close()
    log.close()


def _shown_before(books: Iterable[Path]) -> tuple[dict[TopicPartition, int], set[tuple[str, int]]]:
    """The cursor and the answers that the earlier processes left. One line holds both, so they cannot disagree."""
    places: dict[TopicPartition, int] = {}
    shown: set[tuple[str, int]] = set()
    for book in books:
        for seen, new in journal.read(book):
            for is_result, partition, offset, _ in seen:
                places[TopicPartition(RESULTS if is_result else LANE.topic, partition)] = offset + 1
            shown.update((analysis, revision) for analysis, revision in new)
    return places, shown


def id_of(record: Record) -> str:
    """The event id of a record, without reading the rest."""
    return next(value.decode() for name, value in record.headers if name == "ce_id")


def answer_of(record: Record) -> tuple[str, int]:
    """What a request asks for, or a result answers."""
    headers = dict(record.headers)
    return headers["ce_subject"].decode(), int(headers["ce_revision"])


# ---- keeper ----


def keep(part: Part) -> None:
    """Retention, compaction and checkpoints, far more often than in the product."""
    stop, clock = _stopping(), JumpingClock(part.board)
    log = part.open_log()
    while not clock.wait(stop, 0.5):
        _until_it_works(part, stop, log.maintain)
    log.close()
