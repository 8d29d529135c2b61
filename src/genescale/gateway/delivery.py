"""Delivery: from the topic of results to the session index, and from the index to frames.

Every gateway tails the results and offers each batch to the same projection. One of them moves the projection's
position, in the transaction that also numbers the frames; the others find it moved and only tell their connections.
So a number is given once, and no gateway is special: when one dies, the next batch of another goes on behind it.

The first answer of an analysis and revision counts. What comes again, from a worker that ran twice or from a
cancellation that came too late, moves the position and nothing else.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec

from genescale.clock import Clock
from genescale.errors import GenescaleError, InvalidEvent, Permanent, Retryable
from genescale.events.analysis_data import OUTPUT_BOUND
from genescale.events.envelope import Event, from_record
from genescale.events.log import EventLog, Record, Tail, TopicPartition
from genescale.events.scan import ends_of, scan
from genescale.events.topics import RESULTS
from genescale.gateway.sessions import NewFrame, SessionIndex
from genescale.gateway.submitting import rows_of
from genescale.gateway.tables import ANALYSES, TAIL_POSITIONS
from genescale.observability.logs import get_logger
from genescale.security.sealing import Sealer, bound_to
from genescale.store.tables import Row, Tables, Transaction

RESULT_TYPE: Final = "genetic.analysis.result"
UNREADABLE: Final = "failed"  # the state of an analysis whose answer cannot be opened any more

_log = get_logger(__name__)

OnFrames = Callable[[Mapping[str, int]], None]
"""Told, from the delivery's thread, which sessions now end at which number."""

_AGAIN_S: Final = 0.5
_PROJECTION: Final = "results"
_IDENTITY: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_STATUSES: Final = frozenset({"success", "partial", "failed", "cancelled"})
_RECORDS_MAX: Final = 2_000
_CACHE_BYTES: Final = 32 << 20
_GAP_MAX: Final = 500  # records between two wanted ones that are read along; more begins another reading


class Counts(msgspec.Struct):
    """What the delivery has done since it started."""

    projected: int = 0
    repeated: int = 0
    unknown: int = 0
    unreadable: int = 0


class _Final(NamedTuple):
    """A record that is an answer to something."""

    record: Record
    ref: str
    event: Event
    analysis_id: str
    revision: int


class Delivery:
    """The tail of one gateway. `run` belongs to one thread; the reading methods are safe from any."""

    def __init__(
        self,
        log: EventLog,
        tables: Tables,
        index: SessionIndex,
        clock: Clock,
        *,
        sealer: Sealer | None = None,
        held: Callable[[], Collection[str]] = tuple,
        on_frames: OnFrames = lambda _ends: None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._log = log
        self._tables = tables
        self._index = index
        self._clock = clock
        self._sealer = sealer
        self._held = held
        self._on_frames = on_frames
        self._recent = _Recent(_CACHE_BYTES)
        self.counts = Counts()
        self.epoch, positions = self._begin(new_id)
        self._tail: Tail = log.tail([RESULTS], positions)
        self._unprojected: Sequence[Record] = ()

    def _begin(self, new_id: Callable[[], str]) -> tuple[str, dict[TopicPartition, int]]:
        """Where to go on, and the name of the log's numbering. A log that is shorter than it was is another log."""
        bounds = {TopicPartition(RESULTS, number): bound for number, bound in self._log.bounds(RESULTS).items()}

        def look(tx: Transaction) -> tuple[str, dict[TopicPartition, int]]:
            row = tx.get(TAIL_POSITIONS, {"projection": _PROJECTION})
            stored: dict[str, int] = {} if row is None else row["positions"]
            if row is not None and all(stored.get(_text(seat), 0) <= bound.end for seat, bound in bounds.items()):
                return row["epoch"], {seat: stored.get(_text(seat), bound.first) for seat, bound in bounds.items()}
            epoch, positions = new_id(), {seat: bound.first for seat, bound in bounds.items()}
            _store(tx, epoch, positions)
            return epoch, positions

        return self._tables.run(look)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; `wake` makes it look. What cannot be written now is tried again; the rest is raised."""
        while not stop.is_set():
            try:
                self.step(1.0)
            except Retryable as error:
                _log.warning("delivery waits", reason=str(error))
                self._clock.wait(stop, error.after_s or _AGAIN_S)

    def wake(self) -> None:
        """Make a waiting `run` look at its `stop` now."""
        self._tail.wake()

    def close(self) -> None:
        """Let go of the tail."""
        self._tail.close()

    def step(self, timeout_s: float = 0.0) -> int:
        """Read one batch, project it, tell the sessions. How many records there were."""
        # What could not be projected is kept: the next batch would move the position beyond it.
        records = self._unprojected or self._tail.poll(_RECORDS_MAX, timeout_s)
        if records:
            self._unprojected = records
            ends = self.project(records)
            self._unprojected = ()
            if ends:
                self._on_frames(ends)
        return len(records)

    # ---- the projection ----

    def project(self, records: Sequence[Record]) -> dict[str, int]:
        """Number what is new, in one transaction. The new ends of sessions: all that moved, and all that are held."""
        finals = [final for record in records if (final := self._read(record)) is not None]
        # Opened before the transaction, which everybody waits for; what another gateway has done is not opened at all.
        statuses = {final.ref: self._status(final) for final in self._not_projected(finals)}

        read = {_seat(record): record.offset + 1 for record in records}  # in order, so the last one counts

        def work(tx: Transaction) -> tuple[dict[str, int], Counts]:
            counts = Counts()
            row = tx.get(TAIL_POSITIONS, {"projection": _PROJECTION})
            if row is None or row["epoch"] != self.epoch:
                raise Permanent("the numbering of the log has changed under this gateway; restart it")
            stored: dict[str, int] = row["positions"]
            positions = {seat: stored.get(_text(seat), 0) for seat in read}
            moved = {_text(seat): end for seat, end in read.items() if end > positions[seat]}
            if not moved:
                return {}, counts
            fresh = [one for one in finals if one.record.offset >= positions[_seat(one.record)]]
            ends = self._number(tx, fresh, statuses, counts)
            tx.update(TAIL_POSITIONS, [("projection", "=", _PROJECTION)], {"positions": {**stored, **moved}})
            return ends, counts

        ends, counts = self._tables.run(work)
        for name in counts.__struct_fields__:
            setattr(self.counts, name, getattr(self.counts, name) + getattr(counts, name))
        for final in finals:
            self._recent.keep(final.ref, final.record)
        return ends | self._told_elsewhere(finals, ends)

    def _not_projected(self, finals: Sequence[_Final]) -> list[_Final]:
        """Those behind the position as it stands now; it only grows."""
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(TAIL_POSITIONS, {"projection": _PROJECTION})
        stored: dict[str, int] = {} if row is None else row["positions"]
        positions = {seat: stored.get(_text(seat), 0) for seat in {_seat(final.record) for final in finals}}
        return [final for final in finals if final.record.offset >= positions[_seat(final.record)]]

    def _number(
        self, tx: Transaction, finals: Sequence[_Final], statuses: Mapping[str, str], counts: Counts
    ) -> dict[str, int]:
        rows = rows_of(tx, (final.analysis_id for final in finals))
        now_ms = self._clock.wall_ms()
        frames: list[NewFrame] = []
        for final in finals:
            row = rows.get(final.analysis_id)
            if row is None or row["project"] != final.event.extensions.get("projectid"):
                counts.unknown += 1
                continue
            if final.revision <= row["revision"]:
                counts.repeated += 1
                continue
            changes = {
                "state": statuses[final.ref],
                "revision": final.revision,
                "result_ref": final.ref,
                "finished_ms": now_ms,
            }
            tx.update(ANALYSES, [("analysis_id", "=", final.analysis_id)], changes)
            row.update(changes)
            counts.projected += 1
            if row["session"]:
                frames.append(NewFrame(row["session"], final.ref, row["cid"], final.analysis_id, final.revision))
        return self._index.add(tx, frames, now_ms) if frames else {}

    def _told_elsewhere(self, finals: Iterable[_Final], told: Mapping[str, int]) -> dict[str, int]:
        """Sessions held here whose frames another gateway numbered."""
        held = self._held()
        missing = {str(final.event.extensions.get("sessionid", "")) for final in finals} - told.keys()
        missing.intersection_update(held)
        return self._index.ends(missing) if missing else {}

    def _read(self, record: Record) -> _Final | None:
        """None for what is no answer: readers of a topic must live with whatever stands there."""
        try:
            event = from_record(record)
        except InvalidEvent:
            self.counts.unreadable += 1
            return None
        revision = event.extensions.get("revision", 1)
        if event.type != RESULT_TYPE or not isinstance(revision, int) or revision < 1:
            return None
        if event.subject is None or not _IDENTITY.fullmatch(event.subject):  # no row could hold just any text
            self.counts.unknown += 1
            return None
        ref = f"{record.topic}/{record.partition}/{record.offset}"
        return _Final(record, ref, event, event.subject, revision)

    def _status(self, final: _Final) -> str:
        told = final.event.extensions.get("status")
        if told is None:
            try:
                head = head_of(self.open_data(final.event))
            except GenescaleError:
                return UNREADABLE
            told = head.status if head is not None else None
        return str(told) if told in _STATUSES else UNREADABLE

    # ---- reading ----

    def open_data(self, event: Event) -> bytes:
        """The payload in the clear. Raises `Permanent` when the key is gone or the ciphertext is not its own."""
        key_id = event.extensions.get("sealed")
        if key_id is None:
            return event.data or b""
        if self._sealer is None:
            raise Permanent("this gateway has no keys, and the answer is sealed")
        project = str(event.extensions.get("projectid", ""))
        return self._sealer.open(project, str(key_id), event.data or b"", bound_to(event.id, event.type, project))

    def open_output(self, event: Event, key_id: str, content: bytes) -> bytes:
        """The content of the object that a sealed answer refers to. Raises as `open_data`."""
        if self._sealer is None:
            raise Permanent("this gateway has no keys, and the answer is sealed")
        project = str(event.extensions.get("projectid", ""))
        return self._sealer.open(project, key_id, content, bound_to(event.id, OUTPUT_BOUND, project))

    def events_at(self, refs: Iterable[str]) -> dict[str, Event]:
        """The events that lie at these places; what retention has removed is missing."""
        found: dict[str, Event] = {}
        wanted: list[tuple[TopicPartition, int]] = []
        for ref in dict.fromkeys(refs):
            record = self._recent.get(ref)
            if record is not None:
                found[ref] = from_record(record)
            else:
                topic, partition, offset = ref.rsplit("/", 2)
                wanted.append((TopicPartition(topic, int(partition)), int(offset)))
        for record in _records_at(self._log, wanted) if wanted else ():
            found[str(record.position)] = from_record(record)
        return found


class Head(msgspec.Struct, frozen=True):
    """The part of a result that says how it ended; the rest is skipped when it is read."""

    status: str
    errors: list["HeadError"] = []


class HeadError(msgspec.Struct, frozen=True):
    """Why."""

    code: str
    message: str


_HEAD: Final = msgspec.json.Decoder(Head)


def head_of(data: bytes) -> Head | None:
    """How an answer ended; None when these bytes are none."""
    try:
        return _HEAD.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


class _Recent:
    """The newest records by their ref, up to a number of bytes: what is delivered live is never read twice."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, ref: str, record: Record) -> None:
        """Remember this one, and forget the oldest."""
        with self._lock:
            self._records[ref] = record
            self._bytes += _size(record)
            while self._bytes > self._bytes_max:
                self._bytes -= _size(self._records.popitem(last=False)[1])

    def get(self, ref: str) -> Record | None:
        """The record, while it is remembered."""
        with self._lock:
            return self._records.get(ref)


def _size(record: Record) -> int:
    return len(record.value or b"") + 1_000  # the headers, about, and the objects themselves


def _records_at(log: EventLog, wanted: Sequence[tuple[TopicPartition, int]]) -> Iterable[Record]:
    """Read single records: neighbours in one reading, and one reading for all partitions at a time."""
    runs: dict[TopicPartition, list[list[int]]] = {}
    for seat, offset in sorted(set(wanted)):
        mine = runs.setdefault(seat, [])
        if mine and offset - mine[-1][-1] <= _GAP_MAX:
            mine[-1].append(offset)
        else:
            mine.append([offset])
    topics = sorted({seat.topic for seat in runs})
    ends = ends_of(log, topics)
    for number in range(max(len(mine) for mine in runs.values())):
        turn = {seat: mine[number] for seat, mine in runs.items() if number < len(mine)}
        start = {seat: turn[seat][0] if seat in turn else end for seat, end in ends.items()}
        until = {seat: min(offsets[-1] + 1, ends.get(seat, 0)) for seat, offsets in turn.items()}
        for record in scan(log, topics, start, until=until):
            if record.offset in turn.get(_seat(record), ()):
                yield record


def _store(tx: Transaction, epoch: str, positions: Mapping[TopicPartition, int]) -> None:
    row: Row = {
        "projection": _PROJECTION,
        "epoch": epoch,
        "positions": {_text(seat): offset for seat, offset in positions.items()},
    }
    tx.upsert(TAIL_POSITIONS, row)


def _seat(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def _text(seat: TopicPartition) -> str:
    return f"{seat.topic}/{seat.partition}"
