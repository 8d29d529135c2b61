"""Dead letters: records that could not be processed, and what a person did with them.

The topic `genetic-dead-letter` is only ever appended to. A letter is one `record.deadlettered` event; it is *settled*
by one `deadletter.settled` event that follows it in the same partition, and the first of those counts. So the state of
all letters is a fold over the topic, and nothing is lost when a command dies half-way:

    retry     the event goes back to its topic, then the letter is settled as `retried`
    discard   the letter is settled as `discarded`, with the reason

A retry that dies between its two appends is simply retried: the copy it makes has the same id as the first one, and
whoever handles it sees one event. A request goes back with the next revision, because its failure was already shown as
the answer to this one; anything else goes back unchanged, so that consumers that had no trouble with it drop it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import InvalidEvent, Permanent
from genescale.events import envelope
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.events.envelope import Event
from genescale.events.log import EventLog, NewRecord, Position, Record, append_now
from genescale.events.loop_data import DeadletterSettled, Failure, RecordCopy, RecordDeadlettered
from genescale.events.scan import scan
from genescale.events.topics import DEAD_LETTERS, LANES

_LOOP = "/genescale/loop"
_OPERATOR = "/genescale/operator"
_LANE_TOPICS = frozenset(lane.topic for lane in LANES)
_HANDLE_MIN = 6  # characters of an id that are enough to ask for it


class Letter(NamedTuple):
    """A dead letter and what became of it. `settled` None: it is open."""

    id: str
    position: Position
    key: bytes | None
    time: str | None
    data: RecordDeadlettered
    settled: DeadletterSettled | None = None
    settled_time: str | None = None


class Unreadable(NamedTuple):
    """A record on the dead-letter topic that is no dead letter."""

    position: Position
    reason: str


Letters: TypeAlias = "dict[str, Letter]"


# ---- writing one: the loop ----


def letter_record(
    record: Record,
    failure: Failure,
    *,
    attempts: int,
    group: str,
    consumer_version: str,
    wall_ms: int,
    versions: Mapping[str, str] | None = None,
    first_failure: Failure | None = None,
    first_failed_ms: int | None = None,
) -> NewRecord:
    """The dead letter of a record, with its bytes untouched. The same record and group always give the same id."""
    data = RecordDeadlettered(
        record=RecordCopy.of(record),
        failure=failure,
        attempts=attempts,
        group=group,
        consumer_version=consumer_version,
        versions=dict(versions or {}),
        first_failure=first_failure,
        first_failed_ms=first_failed_ms,
    )
    identity = envelope.derive_id(group, str(record.position))
    event = new_event(
        data,
        id=identity,
        source=_LOOP,
        time=rfc3339(wall_ms),
        subject=identity,
        extensions={"partitionkey": (record.key or identity.encode()).decode("utf-8", "backslashreplace")},
    )
    return envelope.to_record(event, DEAD_LETTERS)


# ---- reading them ----


def read_letters(log: EventLog) -> tuple[Letters, list[Unreadable]]:
    """All dead letters by id, oldest first per partition, and whatever else stands on their topic."""
    return fold(scan(log, [DEAD_LETTERS]))


def fold(records: Iterable[Record]) -> tuple[Letters, list[Unreadable]]:
    """The state that a sequence of records amounts to. A letter written twice is one letter."""
    letters: Letters = {}
    unreadable: list[Unreadable] = []
    for record in records:
        try:
            event = envelope.from_record(record)
            data = CATALOGUE.validate(CATALOGUE.upcast(event), topic=DEAD_LETTERS)
        except InvalidEvent as error:
            unreadable.append(Unreadable(record.position, str(error)))
            continue
        if isinstance(data, RecordDeadlettered):
            letters.setdefault(event.id, Letter(event.id, record.position, record.key, event.time, data))
        elif isinstance(data, DeadletterSettled):
            letter = letters.get(data.letter)
            if letter is not None and letter.settled is None:
                letters[data.letter] = letter._replace(settled=data, settled_time=event.time)
        else:
            unreadable.append(Unreadable(record.position, f"event {event.id}: sealed, and no dead letter is"))
    return letters, unreadable


def find(letters: Letters, handle: str) -> Letter:
    """The letter with this id, the start of it, or this position. Raises `Permanent` when it is not exactly one."""
    if handle in letters:
        return letters[handle]
    found = [
        letter
        for letter in letters.values()
        if str(letter.position) == handle or (len(handle) >= _HANDLE_MIN and letter.id.startswith(handle))
    ]
    if len(found) != 1:
        what = f"{len(found)} dead letters match" if found else "no dead letter has"
        raise Permanent(f"{what} {handle!r}; `genescale events dlq list --all` shows ids and positions")
    return found[0]


# ---- settling them: a person ----


def redriven(letter: Letter, revision: int | None = None) -> NewRecord:
    """The record that goes back to the topic of the letter. The same letter always gives the same record.

    `revision` is for a caller who knows that the next number is taken, for example by a reanalysis. Raises
    `InvalidEvent` when the letter holds no readable event: sending that again would fail again.
    """
    copy = letter.data.record
    event = envelope.from_record(copy.record())
    extensions = {name: value for name, value in event.extensions.items() if name != "attempt"}
    extensions["redriveof"] = letter.id
    if copy.topic in _LANE_TOPICS:
        number = revision or _revision(event) + 1
        extensions["revision"] = number
        event = msgspec.structs.replace(event, id=envelope.derive_id(event.id, "revision", str(number)))
    elif revision is not None:
        raise Permanent(f"{copy.topic} carries no requests; only a request goes back with another revision")
    event = msgspec.structs.replace(event, extensions=extensions)
    return msgspec.structs.replace(envelope.to_record(event, copy.topic), key=copy.key)


def retry(
    log: EventLog, letter: Letter, clock: Clock, *, actor: str, reason: str = "", revision: int | None = None
) -> DeadletterSettled:
    """Send the event of a letter back to its topic. A letter that was retried before is left as it is.

    Raises `Permanent` when the letter was discarded, `InvalidEvent` when it holds no readable event.
    """
    if letter.settled is not None:
        if letter.settled.outcome == "retried":
            return letter.settled
        raise Permanent(f"dead letter {letter.id} was discarded by {letter.settled.actor}: {letter.settled.reason}")
    again = redriven(letter, revision)
    headers = dict(again.headers)
    sent_revision = int(headers["ce_revision"]) if is_request(letter) else None
    append_now(log, [again])
    return _settle(
        log,
        letter,
        clock,
        DeadletterSettled(
            letter=letter.id,
            outcome="retried",
            reason=reason,
            actor=actor,
            redrive=headers["ce_id"].decode(),
            revision=sent_revision,
        ),
    )


def discard(log: EventLog, letter: Letter, clock: Clock, *, actor: str, reason: str) -> DeadletterSettled:
    """Close a letter for good. The reason is demanded, because somebody will ask for it.

    Raises `Permanent` when there is none, or when the event was already sent back.
    """
    if not reason.strip():
        raise Permanent("a dead letter is discarded with a reason; say it in a few words")
    if letter.settled is not None:
        if letter.settled.outcome == "discarded":
            return letter.settled
        raise Permanent(f"dead letter {letter.id} was already retried by {letter.settled.actor}")
    settled = DeadletterSettled(letter=letter.id, outcome="discarded", reason=reason, actor=actor)
    return _settle(log, letter, clock, settled)


def is_request(letter: Letter) -> bool:
    """True when the letter came from a lane, where requests stand."""
    return letter.data.record.topic in _LANE_TOPICS


def _settle(log: EventLog, letter: Letter, clock: Clock, data: DeadletterSettled) -> DeadletterSettled:
    event = new_event(
        data,
        id=envelope.derive_id(letter.id, "settled", data.outcome),
        source=_OPERATOR,
        time=rfc3339(clock.wall_ms()),
        subject=letter.id,
    )
    record = envelope.to_record(event, DEAD_LETTERS)
    # Key and partition of the letter itself: only there is "follows it" a fact.
    append_now(log, [msgspec.structs.replace(record, key=letter.key, partition=letter.position.partition)])
    return data


def _revision(event: Event) -> int:
    revision = event.extensions.get("revision", 1)
    return revision if isinstance(revision, int) else 1
