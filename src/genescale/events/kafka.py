"""The event log on Apache Kafka, for more than one machine.

A record is durable when every in-sync replica has it (at least two). Groups, rebalancing and retention are the
brokers' own. One promise differs from the other logs: **Kafka cannot refuse the late write of a member that lost its
partition.** `append` with a `fence` refuses what this process knows to be lost; what slips through carries the same
result id as the survivor's answer, and is dropped by it downstream.

librdkafka starts threads, so make a `KafkaLog` after any fork. Nothing here waits without a time-out.
"""

# The type stubs of confluent-kafka re-export without saying so, and leave futures and callbacks untyped.
# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from genescale.clock import Clock
from genescale.errors import Fatal, Fenced, GenescaleError, LogUnavailable, Permanent, TooLarge, UnknownTopic
from genescale.events import failpoint
from genescale.events.append_watch import watch_append
from genescale.events.kafka_settings import (
    BATCH_BYTES_MAX,
    ClientConfig,
    KafkaSettings,
    common_config,
    member_config,
    producer_config,
    reader_config,
    spec_from_config,
    topic_config,
)
from genescale.events.log import (
    AssignmentListener,
    Fence,
    Headers,
    MemberInfo,
    NewRecord,
    PartitionBounds,
    PartitionLag,
    Position,
    Record,
    TailStart,
    TopicPartition,
    TopicSpec,
    record_bytes,
)

_LOG = logging.getLogger("genescale.events.kafka")
_T = TypeVar("_T")

# How long one call into librdkafka may block: `wake` and signal handlers are heard between two calls. Ten calls a
# second cost an idle reader about 0.1 % of a core; a record that arrives ends the call at once.
_SLICE_S = 0.1

# A commit that meets a rebalance waits this long for it to end; the partitions are still ours meanwhile.
_COMMIT_PATIENCE_S = 3.0

# The brokers hear of a new topic or leader one after the other: only after this do we believe that there is none.
_PROPAGATION_S = 1.0

# How long `append` waits for room in a full queue before it says that the log is not keeping up.
_QUEUE_PATIENCE_S = 10.0

_GONE = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_MEMBER_EPOCH, KafkaError._ASSIGNMENT_LOST}  # noqa: SLF001 - codes of the library itself
)
_UNSETTLED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._NO_OFFSET,  # noqa: SLF001
    }
)
_EARLIEST, _LATEST = cast("OffsetSpec", OffsetSpec.earliest()), cast("OffsetSpec", OffsetSpec.latest())

_FATAL = frozenset({KafkaError._FATAL, KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID})  # noqa: SLF001
_UNKNOWN = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE})
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
    }
)
_UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._PURGE_QUEUE,  # noqa: SLF001
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
        KafkaError._DESTROY,  # noqa: SLF001
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,  # we, or the broker, have not heard of the newest election yet
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.KAFKA_STORAGE_ERROR,
    }
)
# Told on the side while the client recovers by itself; the rebalance that follows says what it means for us.
_RECOVERS = _UNREACHABLE | _GONE | _UNSETTLED | {KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF}  # noqa: SLF001


class _Denied(Permanent):
    """This user may not."""


class _AlreadyThere(Permanent):
    """Somebody else created the topic first."""


# Read from the top; what is in no row and not retriable is permanent.
_MEANINGS: tuple[tuple[frozenset[int], type[GenescaleError], str], ...] = (
    (_FATAL, Fatal, "this Kafka client cannot go on; a new process can"),
    (_GONE | _UNSETTLED, Fenced, "the partitions have moved or are moving: drop what is in hand and poll again"),
    (_DENIED, _Denied, "Kafka refuses this user: grant the ACL, or correct the user name and password"),
    (_UNKNOWN, UnknownTopic, "create the topic first"),
    (_TOO_LARGE, TooLarge, "store the payload as an object and send its reference"),
    (_UNREACHABLE, LogUnavailable, "are enough brokers up for min.insync.replicas?"),
)


def translate(error: KafkaError, what: str) -> GenescaleError:
    """Kafka's error as one of ours. `what` says what was tried, and names the topic or group."""
    said = f"{what}: {error.str()} ({error.name()})"
    for codes, kind, advice in _MEANINGS:
        if error.code() in codes:
            return kind(f"{said}; {advice}")
    return LogUnavailable(said) if error.retriable() else Permanent(said)


class _Topic(NamedTuple):
    """What `append` must know about a topic before it takes a record."""

    partitions: int
    record_bytes_max: int


class _Batch:
    """One call of `append`: resolves its future when the last delivery report is in."""

    def __init__(
        self, future: "Future[list[Position]]", size: int, unavailable: Callable[[KafkaError, str], Exception]
    ):
        self._future, self._left = future, size
        self._positions: list[Position | None] = [None] * size
        self._unavailable = unavailable
        self._error: Exception | None = None
        self._lock = threading.Lock()

    def delivered(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of one record."""
        if error is None:
            # After an ambiguous retry a broker may confirm without saying where: safe, with offset -1.
            self._positions[index] = Position(message.topic() or "", message.partition() or 0, _offset(message))
        else:
            self._error = self._unavailable(error, f"append to {message.topic()!r}")
        self._count(1)

    def refuse(self, error: Exception, records: int) -> None:
        """The last `records` records could not even be queued."""
        self._error = error
        self._count(records)

    def _count(self, records: int) -> None:
        with self._lock:
            self._left -= records
            if self._left:
                return
        failpoint.hit("after_fsync_before_ack")
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result([position for position in self._positions if position is not None])


class _Sender:
    """One idempotent producer, and the thread that hears its delivery reports."""

    def __init__(self, settings: KafkaSettings, batch_bytes: int, on_error: Callable[[KafkaError], None], clock: Clock):
        config = _with_callback(producer_config(settings, batch_bytes), on_error)
        self._producer = confluent_kafka.Producer(config, logger=_LOG)
        self._clock = clock
        self._whole = settings.linger_ms == 0
        self._work = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._listen, name="kafka-delivery", daemon=True)
        self._thread.start()

    def send(self, record: NewRecord, on_delivery: Callable[[KafkaError | None, Message], None]) -> None:
        """Queue one record. Raises `LogUnavailable` when the queue stays full, `KafkaException` when it is refused."""
        deadline: float | None = None
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=-1 if record.partition is None else record.partition,
                    headers=list(record.headers),
                    timestamp=record.timestamp_ms or 0,
                    on_delivery=on_delivery,
                )
            except BufferError:
                now = self._clock.monotonic_s()
                deadline = deadline or now + _QUEUE_PATIENCE_S
                if now >= deadline:
                    raise LogUnavailable(
                        f"Kafka has not made room in the producer's queue for {_QUEUE_PATIENCE_S:.0f} s", after_s=1.0
                    ) from None
                self._clock.sleep(0.005)  # the listening thread makes room
            else:
                return

    def complete(self) -> None:
        """All records of an append are queued: let them go."""
        self._work.set()

    def close(self, timeout_s: float) -> None:
        """Wait for what was accepted; what is not acknowledged by then fails."""
        self._closing = True
        self._work.set()
        self._thread.join()
        if self._producer.flush(timeout_s) > 0:
            self._producer.purge()
            self._producer.flush(1.0)

    def _listen(self) -> None:
        """Serve delivery reports, and send each append when it is complete.

        Only a flush sends at once whatever the linger is. Without it the library would either send the first records
        of a batch one by one (a linger of 0 costs the brokers twice the work), or hold a single one back.
        """
        while not self._closing:
            self._work.wait(1.0)
            self._work.clear()
            if self._whole:
                while len(self._producer) and not self._closing:
                    self._producer.flush(0.2)
            else:
                while len(self._producer) and not self._closing:
                    self._producer.poll(0.2)
            self._producer.poll(0)


class KafkaLog:
    """See `EventLog`. `warm` at start keeps the first append from paying for connections and the producer's id."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self._trouble: KafkaError | None = None
        self._admin = AdminClient(_with_callback(common_config(settings), self.note_error), logger=_LOG)
        self._senders: dict[int, _Sender] = {}
        self.open_readers: set[KafkaConsumer | KafkaTail] = set()  # held, so that none is freed before it is closed
        self._known: dict[str, _Topic] = {}
        self._lock = threading.Lock()
        self._tokens = itertools.count(1)
        self._owners: dict[tuple[str, TopicPartition], int] = {}

    def warm(self, topics: Iterable[str] = ()) -> None:
        """Connect, get the producer's id (0.5 to 1 s the first time) and learn these topics."""
        self._sender(BATCH_BYTES_MAX)
        self._metadata()
        names = list(topics)
        if names:
            self._patiently(lambda: self._learn(names))

    # ---- topics ----

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See `EventLog`. A topic that exists gets the spec's settings; its partitions and copies stay."""
        wanted = {spec.name: spec for spec in specs}
        present = self._metadata()
        new = [spec for name, spec in wanted.items() if name not in present]
        asked = [
            NewTopic(s.name, s.partitions, self.settings.replication_factor, config=topic_config(self.settings, s))
            for s in new
        ]
        created = self._admin.create_topics(asked, request_timeout=self._timeout_s) if asked else {}
        for name, future in created.items():
            try:
                self._wait(future, f"create topic {name!r}")
            except _AlreadyThere:  # somebody else was faster, with the same table of topics
                continue
        self._align([spec for name, spec in wanted.items() if name in present])
        self._wait_for_leaders([spec.name for spec in new])

    def topics(self) -> dict[str, TopicSpec]:
        """See `EventLog`. Kafka's own topics (`__...`) are left out."""
        counts = {name: count for name, count in self._metadata().items() if not name.startswith("__")}
        configs = self._configs(counts)
        return {name: spec_from_config(self.settings, name, counts[name], found) for name, found in configs.items()}

    def _align(self, specs: Sequence[TopicSpec]) -> None:
        changes: list[ConfigResource] = []
        configs = self._configs([spec.name for spec in specs])
        for spec in specs:
            self._known.pop(spec.name, None)
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in topic_config(self.settings, spec).items()
                if configs[spec.name].get(key) != value
            ]
            if entries:
                changes.append(ConfigResource(ResourceType.TOPIC, spec.name, incremental_configs=entries))
        if changes:
            asked = self._admin.incremental_alter_configs(changes, request_timeout=self._timeout_s)
            for resource, future in asked.items():
                self._wait(future, f"change the settings of topic {resource.name!r}")

    def _configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        asked = self._admin.describe_configs(resources, request_timeout=self._timeout_s)
        return {
            resource.name: {
                key: entry.value
                for key, entry in self._wait(future, f"read the settings of topic {resource.name!r}").items()
            }
            for resource, future in asked.items()
        }

    def _metadata(self) -> dict[str, int]:
        """Every topic that this user may see, with its number of partitions. Asking for all creates none."""
        try:
            found = self._admin.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise self.explain(error.args[0], "list the topics") from None
        return {name: len(topic.partitions) for name, topic in found.items() if topic.partitions}

    def _wait_for_leaders(self, names: Sequence[str]) -> None:
        """Right after its creation a topic may show no partitions, or partitions without a leader."""
        deadline = self.clock.monotonic_s() + self._timeout_s
        while True:
            found = self._admin.list_topics(timeout=self._timeout_s).topics
            seen = [found[name].partitions.values() for name in names if name in found and found[name].partitions]
            if len(seen) == len(names) and all(p.leader >= 0 for partitions in seen for p in partitions):
                return
            if self.clock.monotonic_s() >= deadline:
                raise LogUnavailable(f"topics {', '.join(names)} got no leaders within {self._timeout_s:.0f} s")
            self.clock.sleep(0.05)

    def topic(self, name: str) -> _Topic:
        """What is known about a topic; asks the brokers the first time. Raises `UnknownTopic`."""
        known = self._known.get(name)
        return known if known is not None else self._patiently(lambda: self._learn([name]))[name]

    def _learn(self, names: list[str]) -> dict[str, _Topic]:
        asked = self._admin.describe_topics(TopicCollection(names), request_timeout=self._timeout_s)
        counts: dict[str, int] = {}
        for name, future in asked.items():
            counts[name] = len(self._wait(future, f"find topic {name!r}").partitions)
        for name in names:
            try:
                spec = spec_from_config(self.settings, name, counts[name], self._configs([name])[name])
                limit = spec.record_bytes_max
            except _Denied:  # a worker may write to a topic whose settings it may not read
                limit = self.settings.record_bytes_max
            self._known[name] = _Topic(counts[name], limit)
        return {name: self._known[name] for name in names}

    # ---- appending ----

    def append(self, records: Sequence[NewRecord], fence: Fence | None = None) -> "Future[list[Position]]":
        """See `EventLog`. Acknowledged by all in-sync replicas.

        Two limits of Kafka: records of one call become visible one partition after the other, and a fence is checked
        against what this process knows, not by the brokers. When an append fails, some of its records may be there.
        """
        future: Future[list[Position]] = Future()
        future.set_running_or_notify_cancel()  # what was handed to Kafka cannot be taken back
        if fence is not None and (stale := self._stale(fence)):
            future.set_exception(Fenced(f"group {fence.group!r}: {stale.topic}/{stale.partition} is not ours any more"))
            return future
        limits = {topic: self.topic(topic) for topic in {record.topic for record in records}}
        for record in records:
            if not _fits(record, limits[record.topic]):
                limits[record.topic] = self._refresh(record)  # somebody may have raised the limit meanwhile
        if not records:
            future.set_result([])
            return future
        failpoint.hit("before_append")
        watch_append((record.topic for record in records), future, self.clock)
        batch = _Batch(future, len(records), self.explain)
        senders = {name: self._sender(min(BATCH_BYTES_MAX, topic.record_bytes_max)) for name, topic in limits.items()}
        for index, record in enumerate(records):
            try:
                senders[record.topic].send(record, partial(batch.delivered, index))
            except KafkaException as error:
                batch.refuse(self.explain(error.args[0], f"append to {record.topic!r}"), len(records) - index)
                break
            except LogUnavailable as error:
                batch.refuse(error, len(records) - index)
                break
        for sender in senders.values():
            sender.complete()
        failpoint.hit("after_append_before_fsync")
        return future

    def _refresh(self, record: NewRecord) -> _Topic:
        topic = self._learn([record.topic])[record.topic]
        if not _fits(record, topic):
            if record.partition is not None and record.partition >= topic.partitions:
                raise UnknownTopic(
                    f"topic {record.topic!r} has {topic.partitions} partitions, none is {record.partition}"
                )
            raise TooLarge(
                f"a record of {record_bytes(record):,} bytes is above the {topic.record_bytes_max:,} bytes that topic "
                f"{record.topic!r} takes; store the payload as an object and send its reference"
            )
        return topic

    def _stale(self, fence: Fence) -> TopicPartition | None:
        for seat, token in fence.tokens.items():
            if self._owners.get((fence.group, seat)) != token:
                return seat
        return None

    def _sender(self, batch_bytes: int) -> _Sender:
        """The producer for topics of this limit: nearly always the one that all topics share."""
        sender = self._senders.get(batch_bytes)
        if sender is None:
            with self._lock:
                sender = self._senders.get(batch_bytes)
                if sender is None:
                    sender = _Sender(self.settings, batch_bytes, self.note_error, self.clock)
                    self._senders[batch_bytes] = sender
        return sender

    # ---- reading ----

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        outputs: Sequence[str] = (),  # noqa: ARG002 - Kafka cannot fence them; see the module's first words
        on_assigned: AssignmentListener | None = None,
        on_revoked: AssignmentListener | None = None,
        on_lost: AssignmentListener | None = None,
    ) -> "KafkaConsumer":
        """See `EventLog`."""
        for topic in topics:
            self.topic(topic)
        return KafkaConsumer(self, group, list(topics), on_assigned=on_assigned, on_revoked=on_revoked, on_lost=on_lost)

    def tail(self, topics: Sequence[str], start: TailStart = "latest") -> "KafkaTail":
        """See `EventLog`."""
        positions: dict[TopicPartition, int] = {}
        for topic in topics:
            for number, (first, end) in self.bounds(topic).items():
                seat = TopicPartition(topic, number)
                if isinstance(start, str):
                    positions[seat] = first if start == "earliest" else end
                else:
                    positions[seat] = max(first, start.get(seat, 0))
        return KafkaTail(self, positions)

    # ---- asking ----

    def bounds(self, topic: str) -> dict[int, PartitionBounds]:
        """See `EventLog`."""
        seats = [TopicPartition(topic, number) for number in range(self.topic(topic).partitions)]
        firsts = self._offsets(seats, _EARLIEST)
        ends = self._offsets(seats, _LATEST)
        return {seat.partition: PartitionBounds(firsts[seat], ends[seat]) for seat in seats}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """See `EventLog`."""
        seats = [TopicPartition(topic, number) for number in range(self.topic(topic).partitions)]
        found = self._offsets(seats, OffsetSpec.for_timestamp(timestamp_ms))
        ends = self._offsets(seats, _LATEST)
        return {seat.partition: found[seat] if found[seat] >= 0 else ends[seat] for seat in seats}

    def groups(self) -> list[str]:
        """See `EventLog`."""
        future = self._admin.list_consumer_groups(request_timeout=self._timeout_s)
        return sorted(listing.group_id for listing in self._wait(future, "list the groups").valid)

    def members(self, group: str) -> list[MemberInfo]:
        """See `EventLog`."""
        asked = self._admin.describe_consumer_groups([group], request_timeout=self._timeout_s)
        found = self._wait(asked[group], f"describe group {group!r}").members
        seats = {m.client_id: m.assignment.topic_partitions if m.assignment else () for m in found}
        return [MemberInfo(name, tuple(sorted(_seats(seats[name])))) for name in sorted(seats)]

    def lag(self, group: str) -> list[PartitionLag]:
        """See `EventLog`."""
        positions = self._positions(group)
        read = {seat.topic for seat in positions}
        read |= {seat.topic for member in self.members(group) for seat in member.partitions}
        counts = self._metadata()  # a topic that was deleted meanwhile is not in here
        seats = [TopicPartition(topic, n) for topic in sorted(read & counts.keys()) for n in range(counts[topic])]
        ends = self._offsets(seats, _LATEST)
        firsts = self._offsets([seat for seat in seats if seat not in positions], _EARLIEST)
        found: list[PartitionLag] = []
        for seat in seats:
            position = positions.get(seat)
            start = firsts[seat] if position is None else position
            found.append(PartitionLag(*seat, position, ends[seat], max(0, ends[seat] - start)))
        return found

    def set_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """See `EventLog`."""
        for seat in positions:
            self.topic(seat.topic)
        live = self.members(group)
        if live:
            raise Permanent(f"group {group!r} has {len(live)} live members; stop them before moving its positions")
        wanted = [confluent_kafka.TopicPartition(*seat, offset) for seat, offset in positions.items()]
        request = confluent_kafka.ConsumerGroupTopicPartitions(group, wanted)
        asked = self._admin.alter_consumer_group_offsets([request], request_timeout=self._timeout_s)
        for done in self._wait(asked[group], f"move the positions of group {group!r}").topic_partitions:
            if done.error is not None and done.error.code() in _GONE:
                raise Permanent(f"group {group!r} has live members; stop them before moving its positions")
            if done.error is not None:
                raise self.explain(done.error, f"move the position of group {group!r} in {done.topic}/{done.partition}")

    def maintain(self) -> dict[str, int]:
        """The brokers do retention and compaction by themselves: there is nothing to do here."""
        return {}

    def close(self) -> None:
        """See `EventLog`. Waits at most 30 s. Readers that nobody closed are closed first.

        One that is forgotten instead, and freed by the garbage collector, would stop the whole process: its destructor
        waits for a thread of the library that waits for the interpreter.
        """
        for reader in tuple(self.open_readers):
            reader.close()
        with self._lock:
            senders = list(self._senders.values())
            self._senders.clear()
        for sender in senders:
            sender.close(30.0)

    def _positions(self, group: str) -> dict[TopicPartition, int]:
        request = confluent_kafka.ConsumerGroupTopicPartitions(group)
        asked = self._admin.list_consumer_group_offsets([request], request_timeout=self._timeout_s)
        found = self._wait(asked[group], f"read the positions of group {group!r}").topic_partitions
        return {TopicPartition(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def _offsets(self, seats: Sequence[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        if not seats:
            return {}
        request = {confluent_kafka.TopicPartition(*seat): spec for seat in seats}

        def ask() -> dict[TopicPartition, int]:
            asked = self._admin.list_offsets(request, request_timeout=self._timeout_s)
            return {
                TopicPartition(p.topic, p.partition): self._wait(
                    found, f"find offsets of {p.topic}/{p.partition}"
                ).offset
                for p, found in asked.items()
            }

        return self._patiently(ask)

    # ---- errors, and what the readers below use ----

    @property
    def _timeout_s(self) -> float:
        return self.settings.request_timeout_s

    def _wait(self, future: "Future[_T]", what: str) -> _T:
        try:
            return future.result(self._timeout_s + 5.0)  # librdkafka's own time-out comes first and says more
        except TimeoutError:
            raise LogUnavailable(f"{what}: no answer from Kafka within {self._timeout_s:.0f} s") from None
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                raise _AlreadyThere(what) from None
            raise self.explain(error.args[0], what) from None

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        deadline = self.clock.monotonic_s() + _PROPAGATION_S
        while True:
            try:
                return ask()
            except (UnknownTopic, LogUnavailable):  # no such topic, or no leader, says a broker that may be behind
                if self.clock.monotonic_s() >= deadline:
                    raise
                self.clock.sleep(0.1)

    def note_error(self, error: KafkaError) -> None:
        """Remember what the library says on the side: a later time-out means little without it."""
        self._trouble = error

    def explain(self, error: KafkaError, what: str) -> GenescaleError:
        """As `translate`; a mere time-out is explained by what was heard before, above all a refused password."""
        trouble = self._trouble
        if error.code() in _UNREACHABLE and trouble is not None:
            if trouble.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001
                return translate(trouble, what)
            return LogUnavailable(f"{translate(error, what)} (before: {trouble.str()})")
        if error.code() in _UNKNOWN:
            self._known.clear()
        return translate(error, what)

    def own(self, group: str, seats: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """New tokens for partitions that a consumer of this log was given."""
        tokens = {seat: next(self._tokens) for seat in seats}
        self._owners.update({(group, seat): token for seat, token in tokens.items()})
        return tokens

    def disown(self, group: str, tokens: Mapping[TopicPartition, int]) -> None:
        """The consumer lost them; another one of this process may have them already."""
        for seat, token in tokens.items():
            if self._owners.get((group, seat)) == token:
                del self._owners[group, seat]


class KafkaConsumer:
    """See `Consumer`. Made by `KafkaLog.consumer`."""

    def __init__(
        self,
        log: KafkaLog,
        group: str,
        topics: list[str],
        *,
        on_assigned: AssignmentListener | None,
        on_revoked: AssignmentListener | None,
        on_lost: AssignmentListener | None,
    ) -> None:
        self._log, self._group, self._topics = log, group, topics
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        # Chosen by us, since Kafka's own member ids change at every rejoin and are unknown before the first.
        self._member = f"{log.settings.client_id}-{socket.gethostname()}-{os.getpid()}-{next(_MEMBERS)}"
        config = member_config(log.settings, group, self._member)
        self._consumer = confluent_kafka.Consumer(_with_callback(config, log.note_error), logger=_LOG)
        log.open_readers.add(self)
        self._joined = False
        self._woken = False
        self._tokens: dict[TopicPartition, int] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._unsure: set[TopicPartition] = set()
        self._held: list[Record] = []
        self._paused: set[TopicPartition] = set()
        self._moved = False
        self._gone = False
        self._polled_s = log.clock.monotonic_s()
        self._failure: BaseException | None = None

    @property
    def member(self) -> str:
        """See `Consumer`. On the brokers' side this is the client id."""
        return self._member

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Consumer`. What a listener raises is raised from here."""
        if not self._joined:
            self._joined = True
            self._consumer.subscribe(
                self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._were_lost
            )
        if self._unsure:
            self._reread()
        clock = self._log.clock
        now = clock.monotonic_s()
        if now - self._polled_s > self._log.settings.poll_interval_max_s:
            self._expelled()
        deadline = now + timeout_s
        while True:
            left = deadline - clock.monotonic_s()
            found = self._take(records_max, max(0.0, min(left, _SLICE_S)))
            if found or self._woken or left <= 0:
                self._woken, self._polled_s = False, clock.monotonic_s()
                return found

    def _take(self, records_max: int, timeout_s: float) -> list[Record]:
        if self._held:
            found = self._take_held(records_max)
            if found:
                return found
        self._moved = False
        found, error = _read(self._consumer, records_max, timeout_s)
        if self._moved or self._gone:  # a rebalance in the middle of the call: some of these may be somebody else's now
            found = [record for record in found if (record.topic, record.partition) in self._tokens]
        if error is not None and error.code() not in _RECOVERS:
            self._failure = self._failure or self._log.explain(error, f"read {self._topics} for group {self._group!r}")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._held += found  # the library counts them as read: they must not be lost with the error
            raise failure
        self._note(found)
        return found

    def _take_held(self, records_max: int) -> list[Record]:
        mine = [r for r in self._held if (r.topic, r.partition) in self._tokens]
        ready = [r for r in mine if (r.topic, r.partition) not in self._paused][:records_max]
        taken = {record.position for record in ready}
        self._held = [record for record in mine if record.position not in taken]
        self._note(ready)
        return ready

    def _note(self, found: list[Record]) -> None:
        last = self._last
        for record in found:
            last[record.topic, record.partition] = record.offset

    # ---- the group changes: called by the library from within poll and close ----

    def _assigned(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._moved, self._gone = True, False
        seats = _seats(partitions)
        consumer.incremental_assign(partitions)  # before the listener, so that it may seek
        self._forget(seats)
        self._tokens.update(self._log.own(self._group, seats))
        self._tell(self._on_assigned, seats)

    def _revoked(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        if self._gone:  # asked for while we still were a member, heard when it is too late
            self._were_lost(consumer, partitions)
            return
        self._moved = True
        seats = _seats(partitions)
        self._tell(self._on_revoked, seats)
        self._forget(seats)
        consumer.incremental_unassign(partitions)

    def _were_lost(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._moved = True
        seats = _seats(partitions)
        self._forget(seats)
        self._tell(self._on_lost, seats)
        consumer.incremental_unassign(partitions)

    def _tell(self, listener: AssignmentListener | None, seats: list[TopicPartition]) -> None:
        if listener is None or not seats:
            return
        try:
            listener(seats)
        except BaseException as error:  # noqa: BLE001 - raised from poll, once the library's own work is done
            self._failure = self._failure or error

    def _expelled(self) -> None:
        """The group has gone on without us. The library will say so in a later poll; nothing is ours until then."""
        self._gone = True
        self._forget(list(self._tokens))

    def _forget(self, seats: list[TopicPartition]) -> None:
        gone = {seat: self._tokens.pop(seat) for seat in seats if seat in self._tokens}
        self._log.disown(self._group, gone)
        for seat in seats:
            self._last.pop(seat, None)
        self._paused.difference_update(seats)
        self._unsure.difference_update(seats)

    # ---- positions ----

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Consumer`. A rebalance in progress is waited for; `Fenced` means that they are, or may be, lost."""
        if not positions:
            return
        self._demand(positions)
        offsets = [
            confluent_kafka.TopicPartition(*seat, self._behind_markers(seat, at)) for seat, at in positions.items()
        ]
        deadline = self._log.clock.monotonic_s() + _COMMIT_PATIENCE_S
        while True:
            error = self._commit_once(offsets)
            if error is None:
                return
            if error.code() not in _UNSETTLED or self._log.clock.monotonic_s() >= deadline:
                break
            self._log.clock.sleep(0.05)
        if error.code() in _GONE:
            self._expelled()
        elif error.code() in _UNSETTLED:
            # Perhaps they stay ours. The caller drops what it has in hand, so it must see those records again.
            self._unsure.update(positions)
        raise self._log.explain(error, f"commit positions of group {self._group!r}")

    def _commit_once(self, offsets: list[confluent_kafka.TopicPartition]) -> KafkaError | None:
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            return error.args[0]
        return next((p.error for p in done or () if p.error is not None), None)

    def _behind_markers(self, seat: TopicPartition, offset: int) -> int:
        """After the last record that was handed out: the place behind transaction markers, which we never see.

        Without it a foreign producer's transaction would leave a lag of one for ever, and a scaler awake with it.
        """
        if self._last.get(seat) != offset - 1:
            return offset
        [found] = self._consumer.position([confluent_kafka.TopicPartition(*seat)])
        return max(offset, found.offset)

    def _reread(self) -> None:
        seats = [seat for seat in self._unsure if seat in self._tokens]
        self._unsure.clear()
        for seat, offset in self.committed(seats).items():
            self.seek(seat, confluent_kafka.OFFSET_BEGINNING if offset is None else offset)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `Consumer`."""
        wanted = [confluent_kafka.TopicPartition(*seat) for seat in partitions]
        what = f"read the positions of group {self._group!r}"
        try:
            found = self._consumer.committed(wanted, timeout=self._log.settings.request_timeout_s) if wanted else []
        except KafkaException as error:
            raise self._log.explain(error.args[0], what) from None
        positions: dict[TopicPartition, int | None] = {}
        for place in found:
            if place.error is not None:
                raise self._log.explain(place.error, what)
            positions[TopicPartition(place.topic, place.partition)] = place.offset if place.offset >= 0 else None
        return positions

    def assignment(self) -> frozenset[TopicPartition]:
        """See `Consumer`."""
        return frozenset(self._tokens)

    def fence(self, partitions: Iterable[TopicPartition]) -> Fence:
        """See `Consumer`. It holds within this process only: the brokers cannot refuse a late write."""
        wanted = list(partitions)
        self._demand(wanted)
        return Fence(self._group, {seat: self._tokens[seat] for seat in wanted})

    def _demand(self, seats: Iterable[TopicPartition]) -> None:
        for seat in seats:
            if seat not in self._tokens:
                raise Fenced(f"group {self._group!r}: {seat.topic}/{seat.partition} is not owned by this member")

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        seats = [seat for seat in partitions if seat in self._tokens and seat not in self._paused]
        self._paused.update(seats)
        self._consumer.pause([confluent_kafka.TopicPartition(*seat) for seat in seats])

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        seats = [seat for seat in partitions if seat in self._paused]
        self._paused.difference_update(seats)
        self._consumer.resume([confluent_kafka.TopicPartition(*seat) for seat in seats])

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Consumer`."""
        self._demand([partition])
        self._held = [record for record in self._held if (record.topic, record.partition) != partition]
        self._last.pop(partition, None)
        deadline = self._log.clock.monotonic_s() + self._log.settings.request_timeout_s
        while True:
            try:
                self._consumer.seek(confluent_kafka.TopicPartition(*partition, offset))
            except KafkaException as error:
                code = error.args[0].code()
                # Just assigned: the library is still asking for the position, and takes no other meanwhile.
                if code != KafkaError._STATE or self._log.clock.monotonic_s() >= deadline:  # noqa: SLF001
                    raise self._log.explain(error.args[0], f"seek in {partition.topic}/{partition.partition}") from None
                self._log.clock.sleep(0.02)
            else:
                return

    def wake(self) -> None:
        """See `Consumer`. Heard within 100 ms."""
        self._woken = True

    def close(self) -> None:
        """See `Consumer`."""
        if self not in self._log.open_readers:
            return
        self._log.open_readers.discard(self)
        self._consumer.close()
        self._forget(list(self._tokens))
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


class KafkaTail:
    """See `Tail`. Made by `KafkaLog.tail`."""

    def __init__(self, log: KafkaLog, positions: dict[TopicPartition, int]) -> None:
        self._log, self._next = log, positions
        self._woken = False
        # The library wants a group name even for a reader that never joins; the brokers never hear of it.
        config = reader_config(log.settings, f"{log.settings.client_id}-tail")
        self._consumer = confluent_kafka.Consumer(_with_callback(config, log.note_error), logger=_LOG)
        log.open_readers.add(self)
        self._consumer.assign([confluent_kafka.TopicPartition(*seat, offset) for seat, offset in positions.items()])

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Tail`."""
        clock = self._log.clock
        deadline = clock.monotonic_s() + timeout_s
        while True:
            left = deadline - clock.monotonic_s()
            found, error = _read(self._consumer, records_max, max(0.0, min(left, _SLICE_S)))
            for record in found:
                self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
            # It belongs to no group, so that it may not join one is no error.
            quiet = _RECOVERS | {KafkaError.GROUP_AUTHORIZATION_FAILED}
            if error is not None and not found and error.code() not in quiet:
                raise self._log.explain(error, "read as a tail")
            if found or self._woken or left <= 0:
                self._woken = False
                return found

    def positions(self) -> dict[TopicPartition, int]:
        """See `Tail`."""
        return dict(self._next)

    def wake(self) -> None:
        """See `Tail`. Heard within 100 ms."""
        self._woken = True

    def close(self) -> None:
        """See `Tail`."""
        if self in self._log.open_readers:
            self._log.open_readers.discard(self)
            self._consumer.close()


_MEMBERS = itertools.count(1)
_VALUE = itemgetter(1)


def _read(
    consumer: confluent_kafka.Consumer, records_max: int, timeout_s: float
) -> tuple[list[Record], KafkaError | None]:
    """Wait for one record, then take what has already arrived.

    `consume(n, timeout)` alone would hold a single record back until `n` are there or the time is over.
    """
    first = consumer.poll(timeout_s)
    if first is None:
        return [], None
    messages = [first]
    if records_max > 1:
        messages += consumer.consume(records_max - 1, 0)
    found: list[Record] = []
    trouble: KafkaError | None = None
    for message in messages:
        error = message.error()
        if error is not None:
            trouble = error
            continue
        found.append(
            Record(
                message.topic() or "",
                message.partition() or 0,
                _offset(message),
                message.timestamp()[1],
                message.key(),  # pyright: ignore[reportArgumentType] - bytes, as no deserializer is set
                message.value(),  # pyright: ignore[reportArgumentType]
                _headers(cast("list[tuple[str, bytes]] | None", message.headers())),
            )
        )
    return found, trouble


def _with_callback(config: ClientConfig, on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
    return {**config, "error_cb": on_error}


def _headers(found: list[tuple[str, bytes]] | None) -> Headers:
    if not found:
        return ()
    if None in map(_VALUE, found):  # Kafka knows headers without a value; ours are bytes
        return tuple([(name, value or b"") for name, value in found])
    return tuple(found)  # the usual case, four times as fast


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _seats(partitions: Iterable[confluent_kafka.TopicPartition]) -> list[TopicPartition]:
    return sorted(TopicPartition(place.topic, place.partition) for place in partitions)


def _fits(record: NewRecord, topic: _Topic) -> bool:
    if record.partition is not None and record.partition >= topic.partitions:
        return False
    return record_bytes(record) <= topic.record_bytes_max
