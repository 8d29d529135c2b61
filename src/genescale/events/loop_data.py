"""The payloads of `genescale.events.*`: what the consume loop writes about its own work.

Two of them are the loop's memory in the compacted topic `genescale-loop-state` (`batch.started`, `record.parked`), one
stands in the lanes themselves (`lane.resumed`), two in the dead letters (`record.deadlettered`, `deadletter.settled`).
All carry records as they were, byte for byte.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from genescale.events.log import NewRecord, Record

_SENSITIVE: dict[str, Any] = {"x-sensitive": True}
_TOPIC = Meta(min_length=1, max_length=249, description="Name of the topic")
_GROUP = Meta(min_length=1, max_length=249, description="Name of the consumer group")
_PARTITION = Meta(ge=0, description="Number of the partition")


class Header(msgspec.Struct, frozen=True):
    """One header of a record."""

    name: str
    value: Annotated[bytes, Meta(description="Base64")]


class RecordCopy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record as it was: nothing is decoded, so that what cannot be read can still be kept."""

    topic: Annotated[str, _TOPIC]
    partition: Annotated[int, _PARTITION]
    offset: Annotated[int, Meta(ge=0, description="Offset in the partition")]
    timestamp_ms: Annotated[int, Meta(description="Timestamp of the record, milliseconds since 1970 UTC")]
    key: Annotated[bytes, Meta(description="Base64; null: the record has no key")] | None = None
    value: Annotated[bytes, Meta(description="Base64; null: a tombstone", extra_json_schema=_SENSITIVE)] | None = None
    headers: list[Header] = []

    @classmethod
    def of(cls, record: Record) -> "RecordCopy":
        """Copy a record that was read."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=[Header(name, value) for name, value in record.headers],
        )

    def record(self) -> Record:
        """The record as it was read."""
        return Record(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            timestamp_ms=self.timestamp_ms,
            key=self.key,
            value=self.value,
            headers=self._headers(),
        )

    def new_record(self) -> NewRecord:
        """The same bytes, to be appended again; the key chooses the partition."""
        return NewRecord(topic=self.topic, key=self.key, value=self.value, headers=self._headers())

    def _headers(self) -> tuple[tuple[str, bytes], ...]:
        return tuple((header.name, header.value) for header in self.headers)


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a handling failed, without anything that could quote the input."""

    error: Annotated[str, Meta(min_length=1, max_length=256, description="Name of the error class")]
    message: Annotated[str, Meta(max_length=2_000, description="For the person who reads it; quotes no input")]
    stack: Annotated[list[str], Meta(max_length=50, description="Frames, innermost last: module:line function")] = []
    stack_hash: Annotated[str, Meta(max_length=64, description="Equal for failures of the same kind and place")] = ""


class BatchStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch is about to be handled. Written first, so that a death while handling can be counted."""

    group: Annotated[str, _GROUP]
    topic: Annotated[str, _TOPIC]
    partition: Annotated[int, _PARTITION]
    start: Annotated[int, Meta(ge=0, description="First offset of the batch")] = msgspec.field(name="from")
    upto: Annotated[int, Meta(ge=0, description="Offset after the last of the batch")]
    crashes: Annotated[int, Meta(ge=0, description="Deaths so far with `from` as the first open offset")] = 0
    clean: Annotated[bool, Meta(description="The batch was finished or handed back; the next start is no crash")] = (
        False
    )


class RecordParked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that waits for its next try outside its partition, so that the partition goes on."""

    group: Annotated[str, _GROUP]
    record: RecordCopy
    attempt: Annotated[int, Meta(ge=0, description="Tries so far; 0: it only waits behind an earlier one of its key")]
    due_ms: Annotated[int, Meta(description="Next try, milliseconds since 1970 UTC")]
    since_ms: Annotated[int, Meta(description="When the first try failed, milliseconds since 1970 UTC")]
    first_failure: Failure | None = None


class LaneResumed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A drained worker leaves this in its lane: its lag wakes the next worker, which finds the parked records."""

    group: Annotated[str, _GROUP]
    topic: Annotated[str, _TOPIC]
    partition: Annotated[int, _PARTITION]
    parked: Annotated[int, Meta(ge=0, description="Records that wait")]
    due_ms: Annotated[int, Meta(description="Earliest next try, milliseconds since 1970 UTC")] | None = None


class RecordDeadlettered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that could not be processed: its bytes, why, and who tried."""

    record: RecordCopy
    failure: Failure
    attempts: Annotated[int, Meta(ge=0, description="Tries in all; 0: refused before the first")]
    group: Annotated[str, _GROUP]
    consumer_version: Annotated[
        str, Meta(min_length=1, max_length=128, description="Version of the consumer's program")
    ]
    versions: Annotated[
        dict[str, str], Meta(description="Other versions in play: pipeline, bundle, models, by name")
    ] = {}
    first_failure: Failure | None = None
    first_failed_ms: Annotated[int, Meta(description="First failure, milliseconds since 1970 UTC")] | None = None


class DeadletterSettled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person did with a dead letter. It follows the letter in the same partition; the first one counts."""

    letter: Annotated[str, Meta(min_length=1, max_length=256, description="Id of the dead letter")]
    outcome: Literal["retried", "discarded"]
    reason: Annotated[str, Meta(max_length=2_000, description="Why, in the words of the person")] = ""
    actor: Annotated[str, Meta(min_length=1, max_length=256, description="Who did it")]
    redrive: Annotated[str, Meta(description="Id of the event that went back to its topic")] | None = None
    revision: Annotated[int, Meta(ge=1, description="Revision of that event")] | None = None
