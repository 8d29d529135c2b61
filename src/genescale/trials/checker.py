"""Judges the history of a delivery run: what was promised, what is in the log, what somebody saw.

Pure and linear in the length of the history. The words follow Jepsen's checker for Kafka: an *acked* send must be
seen, an *indefinite* one (sent, never answered) may or may not be there and is never counted as lost.
A checker that never fails proves nothing: `tests/trials/test_checker.py` holds one bad history per fault.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from genescale.events.log import Position, TopicPartition

Answer: TypeAlias = tuple[str, int]  # analysis id and revision: what a user asked for, once


class Submission(NamedTuple):
    """A producer was about to send this. `content` is what a right result must hold."""

    event_id: str
    answer: Answer
    content: str


class Acked(NamedTuple):
    """The log said: durable, here."""

    event_id: str
    position: Position


class Request(NamedTuple):
    """One record of the request topics, as it stands at the end. A duplicate delivery is a second one with one id."""

    position: Position
    event_id: str
    answer: Answer


class Final(NamedTuple):
    """One final record of the result topic, in log order. `content` None: a failure with a reason."""

    position: Position
    event_id: str
    answer: Answer
    content: str | None


class Sighting(NamedTuple):
    """One reader got this record, in the order of its polls. A restarted reader is a new reader."""

    reader: str
    position: Position
    event_id: str


class FencedWrite(NamedTuple):
    """The log took a write to `topic` on behalf of a partition, under this token, between two moments."""

    topic: str
    seat: TopicPartition
    token: int
    begin_s: float
    end_s: float


@dataclass(kw_only=True)
class History:
    """Everything that is known about a run that has come to rest."""

    submissions: list[Submission] = field(default_factory=list[Submission])
    acked: list[Acked] = field(default_factory=list[Acked])
    requests: list[Request] = field(default_factory=list[Request])
    finals: list[Final] = field(default_factory=list[Final])
    shown: list[Answer] = field(default_factory=list[Answer])  # what the user's client put on the screen, in order
    sightings: list[Sighting] = field(default_factory=list[Sighting])
    committed: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    writes: list[FencedWrite] = field(default_factory=list[FencedWrite])


@dataclass
class Findings:
    """What is wrong, one line per case; every list is empty when every promise was kept."""

    lost: list[str] = field(default_factory=list[str])
    unseen: list[str] = field(default_factory=list[str])
    visible_duplicates: list[str] = field(default_factory=list[str])
    order_violations: list[str] = field(default_factory=list[str])
    invented: list[str] = field(default_factory=list[str])
    nonmonotonic: list[str] = field(default_factory=list[str])
    inconsistent_offsets: list[str] = field(default_factory=list[str])
    committed_without_result: list[str] = field(default_factory=list[str])
    late_writes: list[str] = field(default_factory=list[str])

    def bad(self) -> dict[str, list[str]]:
        """The kinds that have at least one case."""
        return {name: cases for name, cases in vars(self).items() if cases}


def check(history: History) -> Findings:
    """Hold a whole history against every promise."""
    first_finals = _first_finals(history.finals)
    return Findings(
        lost=_lost(history, first_finals),
        unseen=_unseen(history),
        visible_duplicates=_shown_twice(history.shown),
        order_violations=[*_request_order(history), *_result_order(history, first_finals)],
        invented=_invented(history),
        nonmonotonic=_nonmonotonic(history.sightings),
        inconsistent_offsets=_inconsistent(history),
        committed_without_result=_committed_without_result(history, first_finals),
        late_writes=_late(history.writes),
    )


def _first_finals(finals: Iterable[Final]) -> dict[Answer, Final]:
    first: dict[Answer, Final] = {}
    for final in finals:
        first.setdefault(final.answer, final)
    return first


def _lost(history: History, finals: Mapping[Answer, Final]) -> list[str]:
    """Acked, and the user has no answer: neither a result nor a reason."""
    submitted = {one.event_id: one.answer for one in history.submissions}
    shown = set(history.shown)
    lost: list[str] = []
    for event_id, position in dict(history.acked).items():
        answer = submitted.get(event_id)
        if answer is None:
            continue  # acked but never submitted: `_invented` has it
        if answer not in finals:
            lost.append(f"{event_id} was acked at {position}, and there is no final event for {answer}")
        elif answer not in shown:
            lost.append(f"{event_id}: the final event of {answer} at {finals[answer].position} was never shown")
    return lost


def _unseen(history: History) -> list[str]:
    there = {one.position for one in history.requests}
    missing = (one for one in history.acked if one.position not in there)
    return [f"{one.event_id} was acked at {one.position}, which holds nothing" for one in missing]


def _shown_twice(shown: Iterable[Answer]) -> list[str]:
    seen: set[Answer] = set()
    twice: list[str] = []
    for answer in shown:
        if answer in seen:
            twice.append(f"{answer} was shown again")
        seen.add(answer)
    return twice


def _request_order(history: History) -> list[str]:
    """A producer sends the next revision of a key after the ack of the one before: the log must keep that order."""
    return _growing(((one.answer, one.position) for one in _first_requests(history.requests)), "accepted")


def _first_requests(requests: Iterable[Request]) -> list[Request]:
    first: dict[Answer, Request] = {}
    for one in requests:
        known = first.get(one.answer)
        if known is None or one.position < known.position:
            first[one.answer] = one
    return sorted(first.values(), key=lambda one: one.position)


def _result_order(history: History, finals: Mapping[Answer, Final]) -> list[str]:
    """The answers of one key become visible in the order in which its requests were accepted."""
    in_the_log = _growing(((final.answer, final.position) for final in finals.values()), "answered")
    return in_the_log + _growing(((answer, None) for answer in history.shown), "shown")


def _growing(answers: Iterable[tuple[Answer, Position | None]], what: str) -> list[str]:
    latest: dict[str, int] = defaultdict(int)
    wrong: list[str] = []
    for (key, revision), position in answers:
        if revision < latest[key]:
            place = f" at {position}" if position is not None else ""
            wrong.append(f"{key}: revision {revision} was {what} after revision {latest[key]}{place}")
        latest[key] = max(latest[key], revision)
    return wrong


def _invented(history: History) -> list[str]:
    """Something is there that nobody asked for, or with a content that nobody computes from the request."""
    content = {one.answer: one.content for one in history.submissions}
    submitted = {one.event_id for one in history.submissions}
    there: list[Request | Acked] = [*history.requests, *history.acked]
    strange = (one for one in there if one.event_id not in submitted)
    cases = [f"{one.event_id} at {one.position} was never submitted" for one in strange]
    for final in history.finals:
        if final.answer not in content:
            cases.append(f"{final.position} answers {final.answer}, which was never submitted")
        elif final.content is not None and final.content != content[final.answer]:
            cases.append(f"{final.position} answers {final.answer} with {final.content}, not {content[final.answer]}")
    finals = {final.answer for final in history.finals}
    return cases + [f"{answer} was shown and is not in the log" for answer in history.shown if answer not in finals]


def _nonmonotonic(sightings: Iterable[Sighting]) -> list[str]:
    latest: dict[tuple[str, str, int], int] = {}
    wrong: list[str] = []
    for reader, position, _ in sightings:
        place = (reader, position.topic, position.partition)
        before = latest.get(place, -1)
        if position.offset <= before:
            wrong.append(f"{reader} got {position} after offset {before}")
        latest[place] = position.offset
    return wrong


def _inconsistent(history: History) -> list[str]:
    """One place in the log, two contents or none: somebody saw or was promised what is not there any more."""
    records: list[Request | Final] = [*history.requests, *history.finals]
    holds = {one.position: one.event_id for one in records}
    wrong: list[str] = []
    for event_id, position in history.acked:
        if holds.get(position, event_id) != event_id:
            wrong.append(f"{position} was acked for {event_id} and holds {holds[position]}")
    for reader, position, event_id in history.sightings:
        held = holds.get(position, "nothing")
        if held != event_id:
            wrong.append(f"{reader} saw {event_id} at {position}, which holds {held}")
    return wrong


def _committed_without_result(history: History, finals: Mapping[Answer, Final]) -> list[str]:
    def is_done(one: Request) -> bool:
        topic, partition, offset = one.position
        return offset < history.committed.get(TopicPartition(topic, partition), 0)

    early = (one for one in history.requests if is_done(one) and one.answer not in finals)
    return [f"{one.event_id} at {one.position} is committed as done without a final event" for one in early]


def _late(writes: Iterable[FencedWrite]) -> list[str]:
    """Taken from a former owner after the new one had written: the fence did not hold.

    Two writes that overlap in time may have happened in either order, and accuse nobody.
    """
    by_place: dict[tuple[str, TopicPartition], list[FencedWrite]] = defaultdict(list)
    for write in writes:
        by_place[write.topic, write.seat].append(write)
    late: list[str] = []
    for (topic, seat), taken in by_place.items():
        ended = iter(sorted(taken, key=lambda write: write.end_s))
        earlier, newest = next(ended), 0
        for write in sorted(taken, key=lambda write: write.begin_s):
            while earlier.end_s < write.begin_s:
                newest = max(newest, earlier.token)
                earlier = next(ended)
            if write.token < newest:
                late.append(f"{topic} took a write for {seat} under token {write.token} after one under {newest}")
    return late
