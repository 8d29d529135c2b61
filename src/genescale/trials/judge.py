"""The end of a delivery run: the history from the log itself and from the journals, and what the checker says of it."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from genescale.events import envelope
from genescale.events.analysis_data import AnalysisResult
from genescale.events.catalogue import CATALOGUE
from genescale.events.log import EventLog, Position, Record, TopicPartition
from genescale.events.loop_data import RecordDeadlettered
from genescale.events.topics import DEAD_LETTERS, RESULTS
from genescale.trials import journal
from genescale.trials.checker import Acked, FencedWrite, Final, History, Request, Sighting, Submission, check
from genescale.trials.roles import LANE, Part, answer_of, id_of
from genescale.trials.workload import Workload

_SHOWN_CASES = 20


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a run: counts for the report, and the first cases of everything that is wrong."""

    accepted: int
    requests: int  # records, repeats included
    finals: int  # records, repeats included
    failed: int  # visible answers that are a reason
    dead_lettered: dict[str, int]  # by the name of the error
    wrong: dict[str, int]
    cases: dict[str, list[str]]


def judge(part: Part, path: Path) -> None:
    """Read everything, check it, write the verdict to `path`."""
    log = part.open_log()
    try:
        refuses = part.settings.log.kind != "kafka"
        history = collect(log, part.workload, part.journals, refuses_late_writes=refuses)
        letters = {id_of(record): _error(record) for record in _all_records(log, DEAD_LETTERS)}
    finally:
        log.close()
    bad = check(history).bad()
    first: dict[Any, Final] = {}
    for final in history.finals:
        first.setdefault(final.answer, final)
    verdict = Verdict(
        accepted=len({one.event_id for one in history.acked}),
        requests=len(history.requests),
        finals=len(history.finals),
        failed=Counter(final.content is None for final in first.values())[True],
        dead_lettered=dict(Counter(letters.values())),
        wrong={name: len(cases) for name, cases in bad.items()},
        cases={name: cases[:_SHOWN_CASES] for name, cases in bad.items()},
    )
    path.write_bytes(msgspec.json.encode(verdict))


def collect(log: EventLog, workload: Workload, journals: Path, *, refuses_late_writes: bool) -> History:
    """Everything that is known about the run. Kafka cannot refuse a late write; there it must only not be seen."""
    resumed = CATALOGUE.latest("genescale.events.lane.resumed").name.encode()
    history = History()
    strangers: set[Position] = set()
    for record in _all_records(log, LANE.topic):
        if dict(record.headers).get("ce_type") == resumed:
            strangers.add(record.position)  # the loop's own word to wake a worker, no request
        else:
            history.requests.append(Request(record.position, id_of(record), answer_of(record)))
    history.finals = [_final(record) for record in _all_records(log, RESULTS)]
    for lag in log.lag(LANE.group):
        if lag.position is not None:
            history.committed[TopicPartition(lag.topic, lag.partition)] = lag.position
    _add_producers(history, workload, journals)
    _add_readers(history, journals, strangers)
    if refuses_late_writes:
        _add_writes(history, journals)
    return history


def _all_records(log: EventLog, topic: str) -> list[Record]:
    ends = {TopicPartition(topic, number): bounds.end for number, bounds in log.bounds(topic).items()}
    tail = log.tail([topic], "earliest")
    found: list[Record] = []
    while any(tail.positions().get(seat, 0) < end for seat, end in ends.items()):
        found += tail.poll(5_000, 5.0)
    tail.close()
    return found


def _final(record: Record) -> Final:
    data = CATALOGUE.read(envelope.from_record(record), AnalysisResult)
    content = str(data.predictions.get("content")) if data.status == "success" else None
    return Final(record.position, id_of(record), answer_of(record), content)


def _error(record: Record) -> str:
    event = envelope.from_record(record)
    return CATALOGUE.read(event, RecordDeadlettered).failure.error


def _add_producers(history: History, workload: Workload, journals: Path) -> None:
    for producer in range(workload.producers):
        known = 0
        for book in journal.all_of(journals, f"producer{producer}"):
            for what, first, rest in journal.read(book):
                if what == "submitted":
                    for number in range(max(first, known), rest):
                        name, answer = workload.event_id(producer, number), workload.answer(producer, number)
                        history.submissions.append(Submission(name, answer, workload.content(producer, number)))
                    known = max(known, rest)
                else:
                    for number, (partition, offset) in enumerate(rest, start=first):
                        position = Position(LANE.topic, partition, offset)
                        history.acked.append(Acked(workload.event_id(producer, number), position))


def _add_readers(history: History, journals: Path, strangers: set[Position]) -> None:
    for book in journal.all_of(journals, "reader"):
        for seen, new in journal.read(book):
            for is_result, partition, offset, event_id in seen:
                position = Position(RESULTS if is_result else LANE.topic, partition, offset)
                if position not in strangers:
                    history.sightings.append(Sighting(book.stem, position, event_id))
            history.shown += ((analysis, revision) for analysis, revision in new)


def _add_writes(history: History, journals: Path) -> None:
    for book in journal.all_of(journals, "consumer"):
        for topics, seats, begin_s, end_s in journal.read(book):
            for to, (topic, partition, token) in itertools.product(topics, seats):
                history.writes.append(FencedWrite(to, TopicPartition(topic, partition), token, begin_s, end_s))
