"""Replay: handling a stretch of the log once more, in a group of its own, without telling the world.

A replay is a consumer group whose name begins with `replay-`. `prepare` sets its positions and needs no worker;
`as_replay` turns a role's subscription into one that works for that group. A replay has no side effects:

* every event carries the extension `replay` with the group's name, and whatever a handler is given for the outside
  world (a push, a charge, a table that is not its own) must do nothing for such an event: `is_replay(event)` asks;
* what the handler returns is thrown away, answers to failures too. A replay that cannot handle a record still writes
  a dead letter, under its own group, so that a failure is seen.

Whoever wants the effects asks for them by name: in a group whose name begins with `redeliver-` events are not marked
and outputs are appended like on the first day. Because their ids derive from the ids of the events, outputs that were
visible before stay the only visible ones. The name says it and nothing else does, so that no process can disagree.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from genescale.errors import InvalidEvent, Permanent
from genescale.events import envelope
from genescale.events.envelope import Event
from genescale.events.log import EventLog, Position, Record, TopicPartition
from genescale.events.loop_data import Failure
from genescale.events.runner import Subscription
from genescale.events.scan import ends_of, scan

DepsT = TypeVar("DepsT")

EXTENSION = "replay"
PREFIX = "replay-"
DELIVER_PREFIX = "redeliver-"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")


class Plan(NamedTuple):
    """Where a replay group starts, and where the log ended when that was decided."""

    group: str
    positions: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def records(self) -> int:
        """How many records lie between; retention and compaction may have taken some."""
        return sum(max(0, self.ends[seat] - position) for seat, position in self.positions.items())


def group_name(name: str, *, deliver: bool = False) -> str:
    """The group of a replay. Raises `Permanent` for a name that no log takes."""
    if not _NAME.match(name):
        raise Permanent(f"{name!r} cannot name a replay: letters, digits, dot, dash and underscore only")
    return (DELIVER_PREFIX if deliver else PREFIX) + name.removeprefix(PREFIX).removeprefix(DELIVER_PREFIX)


# ---- from where ----


def from_start(log: EventLog, topics: Sequence[str], group: str) -> Plan:
    """Everything that is still there."""
    firsts = {TopicPartition(topic, n): bounds.first for topic in topics for n, bounds in log.bounds(topic).items()}
    return Plan(group, firsts, ends_of(log, topics))


def from_time(log: EventLog, topics: Sequence[str], group: str, timestamp_ms: int) -> Plan:
    """Every record whose timestamp is at or after this one."""
    positions = {
        TopicPartition(topic, number): offset
        for topic in topics
        for number, offset in log.offsets_at(topic, timestamp_ms).items()
    }
    return Plan(group, positions, ends_of(log, topics))


def from_offset(log: EventLog, group: str, position: Position) -> Plan:
    """One partition from this offset on; the other partitions of the topic are left out."""
    bounds = log.bounds(position.topic)
    if position.partition not in bounds:
        raise Permanent(f"{position.topic} has partitions 0 to {len(bounds) - 1}, and no {position.partition}")
    first, end = bounds[position.partition]
    if not first <= position.offset <= end:
        raise Permanent(
            f"{position}: partition {position.partition} holds the offsets {first} to {end - 1}; "
            "older ones were removed by retention"
        )
    ends = ends_of(log, [position.topic])
    seat = TopicPartition(position.topic, position.partition)
    return Plan(group, {**ends, seat: position.offset}, ends)


def from_event(log: EventLog, topics: Sequence[str], group: str, event_id: str) -> Plan:
    """This event and all that came after it: exactly so in its partition, by timestamp in the others."""
    for record in scan(log, topics):
        if holds_event(record, event_id):
            plan = from_time(log, topics, group, record.timestamp_ms)
            plan.positions[TopicPartition(record.topic, record.partition)] = record.offset
            return plan
    raise Permanent(f"no event {event_id!r} on {', '.join(topics)}; retention may have removed it")


def holds_event(record: Record, event_id: str) -> bool:
    """True when this record is the event with this id, in either content mode."""
    wanted = event_id.encode()
    for name, value in record.headers:
        if name == "ce_id":
            return value == wanted
        if name == "content-type" and value.startswith(envelope.STRUCTURED_TYPE.encode()):
            try:
                return envelope.from_record(record).id == event_id
            except InvalidEvent:
                return False  # it has no id that anybody could have asked for
    return False


def prepare(log: EventLog, plan: Plan) -> None:
    """Set the positions of the group. Raises `Permanent` while somebody consumes in it."""
    log.set_positions(plan.group, plan.positions)


# ---- in the loop ----


def as_replay(subscription: Subscription[DepsT], group: str) -> Subscription[DepsT]:
    """The same role, working for a replay group. Raises `Permanent` when the group is none."""
    if group.startswith(DELIVER_PREFIX):
        return msgspec.structs.replace(subscription, group=group)
    if not group.startswith(PREFIX):
        raise Permanent(f"{group!r} is no replay group; its name must begin with {PREFIX} or {DELIVER_PREFIX}")

    def handle(events: Sequence[Event], deps: DepsT) -> list[Event]:
        subscription.handle([marked(event, group) for event in events], deps)
        return []

    def failed(event: Event, failure: Failure, deps: DepsT) -> list[Event]:  # noqa: ARG001 - the shape of a handler
        return []

    return msgspec.structs.replace(
        subscription, group=group, handle=handle, failed=failed, outputs=(), wake_when_drained=False
    )


def marked(event: Event, group: str) -> Event:
    """The event as a replay shows it to handlers."""
    return envelope.with_extensions(event, {EXTENSION: group})


def is_replay(event: Event) -> bool:
    """True when handling this event must have no effect outside."""
    return EXTENSION in event.extensions
