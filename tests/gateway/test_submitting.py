"""Idempotent, durable, and one answer for one key, whatever dies when."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from genescale.errors import DiskFull, LogUnavailable
from genescale.gateway.admission import Refused, Submission
from genescale.gateway.submitting import CID_CONFLICT, Group, GroupCommit, Submitting, Taken, single
from genescale.protocol.frames import decode_server
from genescale.store.tables import TablesUnavailable
from support.gateway_rooms import ANALYST, STRANGER

TOPIC = "genetic-data-raw"
S = "5d9f9b1e-8b0b-4d7e-9d53-000000000001"


class Log:
    """A log whose appends fail as they are told."""

    def __init__(self, log):
        self.log = log
        self.fail = None
        self.calls = 0

    def append(self, records, fence=None):
        self.calls += 1
        if self.fail == "before":
            raise LogUnavailable("not there")
        future = self.log.append(records, fence)
        if self.fail == "after":
            lost = Future()
            lost.set_exception(LogUnavailable("no answer"))
            return lost
        return future


def test_a_repeat_is_a_duplicate_with_the_same_id_and_ref_and_one_record(rooms):
    side = rooms.side()
    first = rooms.submit(side, "c1", S)
    again = rooms.submit(side, "c1", S)
    assert not first.duplicate
    assert again == Taken(first.group_id, first.ref, duplicate=True, unfinished=1)
    assert len(rooms.on_topic(TOPIC)) == 1


def test_the_same_key_for_something_else_is_a_conflict_and_nothing_is_appended(rooms):
    side = rooms.side()
    rooms.submit(side, "c1", S)
    assert rooms.submit(side, "c1", S, data=b'{"variants":["rs2"]}') == CID_CONFLICT
    assert rooms.submit(rooms.side("g2"), "c1", S, priority=6) == CID_CONFLICT
    assert len(rooms.on_topic(TOPIC)) == 1


def test_another_gateway_knows_the_key_once_the_append_is_noted(rooms):
    one, other = rooms.side("g1"), rooms.side("g2")
    first = rooms.submit(one, "c1", S)
    one.submitting.flush()
    again = rooms.submit(other, "c1", S)
    assert (again.group_id, again.ref, again.duplicate) == (first.group_id, first.ref, True)
    assert len(rooms.on_topic(TOPIC)) == 1


def test_two_gateways_that_race_on_a_key_append_one_event_id(rooms):
    one, other = rooms.side("g1"), rooms.side("g2")
    first, second = rooms.submit(one, "c1", S), rooms.submit(other, "c1", S)  # g1 died before it noted its append
    assert first.group_id == second.group_id
    assert second.duplicate
    assert len({event.id for event in rooms.on_topic(TOPIC)}) == 1
    one.submitting.flush()
    other.submitting.flush()
    assert rooms.submit(rooms.side("g3"), "c1", S).ref == second.ref
    assert len(rooms.on_topic(TOPIC)) == 2


@pytest.mark.parametrize(("when", "records"), [("before", 1), ("after", 2)])
def test_a_crash_around_the_append_leaves_a_safe_resend(rooms, when, records):
    log = Log(rooms.log)
    dying = Submitting(log, rooms.tables, rooms.clock)
    log.fail = when
    item = rooms.admitted("c1", S)
    with pytest.raises(LogUnavailable):
        dying.submit([single(item)])
    answer = rooms.side("g2").submitting.submit([single(rooms.admitted("c1", S))])[0]
    assert isinstance(answer, Taken)
    assert answer.group_id == item.analysis_id
    events = rooms.on_topic(TOPIC)
    assert len(events) == records
    assert len({event.id for event in events}) == 1


def test_nothing_is_appended_when_the_tables_refuse(rooms):
    class Broken:
        def run(self, work):
            raise TablesUnavailable("busy")

    log = Log(rooms.log)
    with pytest.raises(TablesUnavailable):
        Submitting(log, Broken(), rooms.clock).submit([single(rooms.admitted())])
    assert log.calls == 0


def test_many_submissions_are_one_append_and_conflicts_stay_alone(rooms):
    log = Log(rooms.log)
    submitting = Submitting(log, rooms.tables, rooms.clock)
    submitting.submit([single(rooms.admitted("c0", S))])
    items = [rooms.admitted(f"c{n}", S, data=b'{"variants":["rs%d"]}' % (n + 1)) for n in range(50)]
    items[0] = rooms.admitted("c0", S, data=b'{"variants":["rs99"]}')
    answers = submitting.submit([single(item) for item in [*items, items[7]]])
    assert log.calls == 2
    assert answers[0] == CID_CONFLICT
    assert all(isinstance(answer, Taken) and not answer.duplicate for answer in answers[1:50])
    assert answers[50].group_id == answers[7].group_id
    assert len(rooms.on_topic(TOPIC)) == 50


def test_two_payloads_under_one_new_key_in_one_commit_leave_the_first(rooms):
    one = rooms.admitted("c1", S)
    other = rooms.admitted("c1", S, data=b'{"variants":["rs2"]}')
    answers = rooms.side().submitting.submit([single(one), single(other)])
    assert isinstance(answers[0], Taken)
    assert answers[1] == CID_CONFLICT
    assert len(rooms.on_topic(TOPIC)) == 1


def test_a_batch_is_taken_or_refused_as_a_whole(rooms):
    side = rooms.side()

    def batch(tie, count):
        return Group("b", tuple(rooms.admitted(f"b#{n}", S, batch=tie, mode="big-data") for n in range(count)))

    first = side.submitting.submit([batch("one", 3)])[0]
    assert (first.group_id, first.duplicate, first.unfinished) == ("b", False, 3)
    assert side.submitting.submit([batch("one", 3)])[0].duplicate
    assert side.submitting.submit([batch("two", 4)])[0] == CID_CONFLICT  # other items under the same key
    assert len(rooms.on_topic("genetic-bigdata-raw")) == 3
    with rooms.tables.snapshot() as snapshot:
        assert len(rooms.side("g2").results.identities(S, "b")) == 3
        assert snapshot is not None


def test_a_bad_item_of_a_batch_is_answered_and_the_others_run(rooms):
    side = rooms.side()
    session = side.index.open("ana", "p1", "h1").session
    datas = [b'{"sequence":"ACGT"}', b'{"sequence":""}', b'{"sequence":"AXQ"}', b'{"sequence":"TTTT"}']
    items = [
        rooms.admission.admit_item(ANALYST, Submission(cid=f"b#{n}", session=session, project="p1", data=data))
        for n, data in enumerate(datas)
    ]
    for _ in range(2):  # the batch again: no second answer
        side.submitting.submit([Group("b", tuple(items))])
        side.deliver()
    assert len(rooms.on_topic(TOPIC)) == 2
    frames = side.results.finals(ANALYST, side.index.frames(session, 0, 10))
    found = [(frame.cid, frame.code) for frame in (decode_server(final.text) for final in frames)]
    assert sorted(found) == [("b#1", "INVALID_REQUEST"), ("b#2", "INVALID_SEQUENCE")]
    refused = rooms.admission.admit_item(STRANGER, Submission(cid="b#0", project="p1", data=datas[0]))
    assert isinstance(refused, Refused)  # what is wrong with all of them refuses the batch


def test_finished_analyses_are_not_appended_again(rooms):
    side = rooms.side()
    taken = rooms.submit(side, "c1", S)
    ref = rooms.answer(taken.group_id)
    side.deliver()
    again = rooms.submit(rooms.side("g2"), "c1", S)  # its append was never noted, and its answer proves it
    assert (again.ref, again.duplicate, again.unfinished) == (str(ref), True, 0)
    assert len(rooms.on_topic(TOPIC)) == 1


def test_proofs_are_forgotten_after_a_day(rooms):
    side = rooms.side()
    rooms.submit(side)
    side.submitting.flush()
    assert side.submitting.prune() == 0
    rooms.clock.advance(90_000)
    assert side.submitting.prune() == 1


def test_what_comes_in_during_a_commit_goes_into_the_next_one(rooms):
    log = Log(rooms.log)
    submitting = Submitting(log, rooms.tables, rooms.clock)
    items = [rooms.admitted(f"c{n}", S) for n in range(100)]

    async def main():
        with ThreadPoolExecutor(1) as executor:
            commit = GroupCommit(submitting, executor)
            return await asyncio.gather(*(commit.submit(single(item)) for item in items))

    answers = asyncio.run(main())
    assert [answer.group_id for answer in answers] == [item.analysis_id for item in items]
    assert log.calls <= 3
    assert rooms.submit(rooms.side("g2"), "c7", S).ref == answers[7].ref  # the quiet after it noted the appends


def test_everybody_who_waits_hears_that_it_failed_and_may_repeat(rooms):
    class Full(Log):
        def append(self, records, fence=None):
            if self.fail:
                raise DiskFull("no space")
            return self.log.append(records, fence)

    log = Full(rooms.log)
    log.fail = "full"
    items = [rooms.admitted(f"c{n}", S) for n in range(5)]

    async def main():
        with ThreadPoolExecutor(1) as executor:
            commit = GroupCommit(Submitting(log, rooms.tables, rooms.clock), executor)
            failed = await asyncio.gather(*(commit.submit(single(one)) for one in items), return_exceptions=True)
            log.fail = None
            return failed, await asyncio.gather(*(commit.submit(single(one)) for one in items))

    failed, answers = asyncio.run(main())
    assert all(isinstance(error, DiskFull) for error in failed)
    assert all(isinstance(answer, Taken) for answer in answers)
    assert len(rooms.on_topic(TOPIC)) == 5
