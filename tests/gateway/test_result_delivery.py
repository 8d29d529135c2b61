"""From the topic of results to numbered frames: once each, whoever projects, and readable again later."""

import threading

import msgspec
import pytest

from genescale.errors import DiskFull, Permanent
from genescale.events.analysis_data import AnalysisResult
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event, to_record
from genescale.events.log import NewRecord, append_now
from genescale.events.memory import MemoryLog
from genescale.events.topics import RESULTS, TOPICS
from genescale.gateway.delivery import Delivery
from genescale.gateway.results import Refused
from genescale.gateway.tables import ANALYSES
from genescale.protocol.frames import decode_server
from support.gateway_rooms import ANALYST, CLINICIAN, STRANGER

S = "session"


@pytest.fixture
def side(rooms):
    return rooms.side()


@pytest.fixture
def session(side):
    return side.index.open("ana", "p1", "h1").session


def frames(side, session, who=CLINICIAN, after=0):
    return [decode_server(final.text) for final in side.results.finals(who, side.index.frames(session, after, 100))]


def test_a_result_becomes_a_frame_and_the_state_of_its_analysis(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    ref = rooms.answer(taken.group_id, summary={"variants": 1})
    side.deliver()
    assert side.told == {session: 1}
    (frame,) = frames(side, session)
    assert (frame.seq, frame.cid, frame.ref, frame.revision) == (1, "c1", str(ref), 1)
    assert msgspec.json.decode(frame.data)["summary"] == {"variants": 1}
    analysis = side.results.find(ANALYST, taken.group_id)
    assert (analysis.state, analysis.revision) == ("success", 1)


def test_a_redelivered_result_gets_no_second_number(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    for _ in range(2):
        rooms.answer(taken.group_id, identity="worker-1")
    side.deliver()
    rooms.answer(taken.group_id, status="failed", identity="worker-2")
    side.deliver()
    assert [frame.seq for frame in frames(side, session)] == [1]
    assert side.results.find(ANALYST, taken.group_id).state == "success"
    assert side.delivery.counts.repeated == 2


def test_it_stays_once_after_its_frame_was_forgotten(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    side.deliver()
    rooms.clock.advance(1_000)
    side.index.prune()
    rooms.answer(taken.group_id)
    side.deliver()
    assert side.index.ends([session]) == {session: 1}


def test_a_later_revision_is_told_as_well(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id, status="failed")
    rooms.answer(taken.group_id, revision=2)
    side.deliver()
    first, second = frames(side, session)
    assert (first.code, second.revision, second.seq) == ("BAD", 2, 2)


def test_results_of_nobody_and_what_is_no_result_move_the_position_and_nothing_else(rooms, side, session):
    rooms.answer("00000000-0000-5000-8000-000000000000")
    append_now(rooms.log, [NewRecord(RESULTS, b"k", b"garbage"), NewRecord(RESULTS, b"k", None)])
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    side.deliver()
    assert (side.delivery.counts.unknown, side.delivery.counts.unreadable) == (1, 2)
    assert side.told == {session: 1}


@pytest.mark.parametrize("project", ["p2", None])
def test_a_result_of_another_project_or_of_none_is_not_believed(rooms, side, session, project):
    taken = rooms.submit(side, "c1", session)
    event = new_event(
        AnalysisResult(status="success"),
        id="x",
        source="/x",
        time="2026-01-01T00:00:00Z",
        subject=taken.group_id,
        extensions={"revision": 1} if project is None else {"projectid": project, "revision": 1},
    )
    append_now(rooms.log, [to_record(event, RESULTS)])
    side.deliver()
    assert side.results.find(ANALYST, taken.group_id).state == "queued"
    assert side.delivery.counts.unknown == 1


@pytest.mark.parametrize(("subject", "status"), [("", None), ("a\x00b", "x\x00y"), ("x" * 5_000, "odd")])
def test_no_record_can_stop_delivery(rooms, side, session, subject, status):
    taken = rooms.submit(side, "c1", session)
    told = {"projectid": "p1"} if status is None else {"projectid": "p1", "status": status}
    for number, name in enumerate((subject, taken.group_id)):
        event = Event(
            id=f"e{number}", source="/x", type="genetic.analysis.result", subject=name, extensions=told, data=b"{{"
        )
        append_now(rooms.log, [to_record(event, RESULTS)])
    side.deliver()
    assert side.results.find(ANALYST, taken.group_id).state == "failed"
    (final,) = side.results.finals(CLINICIAN, side.index.frames(session, 0, 9))
    assert decode_server(final.text).code == "RESULT_UNREADABLE"


def test_of_two_gateways_one_numbers_and_both_tell(rooms, side, session):
    other = rooms.side("g2")
    other.held.add(session)
    taken = [rooms.submit(side, f"c{n}", session) for n in range(20)]
    for one in taken[:10]:
        rooms.answer(one.group_id)
    side.deliver()
    for one in taken[10:]:
        rooms.answer(one.group_id)
    other.deliver()
    assert (side.delivery.counts.projected, other.delivery.counts.projected) == (10, 10)
    side.deliver()
    assert [frame.seq for frame in side.index.frames(session, 0, 100)] == list(range(1, 21))
    assert other.told == {session: 20}


def test_a_gateway_that_only_follows_tells_its_own_sessions(rooms, side, session):
    other = rooms.side("g2")
    other.held.add(session)
    # The worker says which session it answers, so the follower knows where to look.
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id, session=session)
    side.deliver()
    other.deliver()
    assert other.told == {session: 1}
    other.held.clear()
    other.told.clear()
    rooms.answer(taken.group_id, session=session)
    other.deliver()
    assert other.told == {}


def test_another_gateway_reads_missed_frames_again_from_the_log(rooms, side, session):
    taken = [rooms.submit(side, f"c{n}", session) for n in range(30)]
    for one in taken:
        rooms.answer(one.group_id, summary={"id": one.group_id})
    side.deliver()
    fresh = rooms.side("g2")  # begins where the projection stands: it has seen none of these records
    assert fresh.delivery.step() == 0
    found = frames(fresh, session, after=3)
    assert [frame.seq for frame in found] == list(range(4, 31))
    assert {msgspec.json.decode(frame.data)["summary"]["id"] for frame in found} <= {one.group_id for one in taken}


def test_a_gateway_that_dies_between_reading_and_writing_leaves_it_to_the_next(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    side.delivery._tail.poll(100, 0)  # read, and killed
    fresh = rooms.side("g2")
    fresh.deliver()
    assert [frame.seq for frame in frames(fresh, session)] == [1]


def test_what_could_not_be_written_is_projected_when_it_can(rooms, side, session, monkeypatch):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    stop, tries = threading.Event(), []
    run = rooms.tables.run

    def full(work):
        tries.append(1)
        if len(tries) < 3:
            raise DiskFull("no space", after_s=0.01)
        stop.set()
        return run(work)

    monkeypatch.setattr(rooms.tables, "run", full)
    side.delivery.run(stop)
    assert [frame.seq for frame in frames(side, session)] == [1]
    assert len(tries) == 3


def test_a_log_that_was_made_anew_has_another_epoch(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    side.deliver()
    before = side.delivery.epoch
    assert rooms.side("g2").delivery.epoch == before
    rooms.log = MemoryLog(rooms.clock)
    rooms.log.create_topics(TOPICS)
    fresh = rooms.side("g3")
    assert fresh.delivery.epoch != before
    rooms.answer(taken.group_id)
    records = fresh.delivery._tail.poll(10, 0)
    with pytest.raises(Permanent, match="restart"):
        side.delivery.project(records)


def test_a_place_in_an_older_log_is_not_mistaken_for_one_in_this(rooms, side, session):
    mine, other = rooms.submit(side, "c1", session), rooms.submit(side, "c2", session)
    rooms.answer(mine.group_id)
    side.deliver()
    with rooms.tables.snapshot() as snapshot:
        rows = {row["cid"]: row for row in snapshot.select(ANALYSES)}
    with rooms.tables.transaction() as tx:  # as if the log were new, and another answer lay at the same place
        where = [("analysis_id", "=", other.group_id)]
        tx.update(ANALYSES, where, {"result_ref": rows["c1"]["result_ref"], "revision": 1})
    assert side.results.result(CLINICIAN, other.group_id).status == 410


def test_who_may_not_read_hears_that_there_is_an_answer_and_not_what_it_says(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id, summary={"secret": 1})
    side.deliver()
    (final,) = side.results.finals(ANALYST, side.index.frames(session, 0, 9))
    assert "secret" not in final.text
    assert decode_server(final.text).result_url == f"/api/v1/analyses/{taken.group_id}/result"
    refused = side.results.result(ANALYST, taken.group_id)
    assert isinstance(refused, Refused)
    assert refused.status == 403
    assert side.results.result(STRANGER, taken.group_id).status == 404


def test_a_large_result_comes_as_its_summary_and_a_link(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id, summary={"n": 2}, annotations=[{"text": "x" * 150_000}])
    side.deliver()
    (frame,) = frames(side, session)
    assert frame.result_url == f"/api/v1/analyses/{taken.group_id}/result"
    assert msgspec.json.decode(frame.data)["summary"] == {"n": 2}
    assert len(side.results.result(CLINICIAN, taken.group_id).data) > 150_000


def test_a_large_answer_of_another_shape_comes_as_a_link(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    data = b'{"status":"success","annotations":7,"rest":"' + b"x" * 200_000 + b'","output":0}'
    event = Event(
        id="e",
        source="/x",
        type="genetic.analysis.result",
        subject=taken.group_id,
        extensions={"projectid": "p1"},
        data=data,
    )
    append_now(rooms.log, [to_record(event, RESULTS)])
    side.deliver()
    (frame,) = frames(side, session)
    assert frame.result_url
    assert frame.data is msgspec.UNSET
    assert side.results.result(CLINICIAN, taken.group_id).data == data


def test_an_answer_whose_key_is_gone_still_ends_its_analysis(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    blind = Delivery(rooms.log, rooms.tables, side.index, rooms.clock)
    rooms.answer(taken.group_id)
    blind.step()
    blind.close()
    assert side.results.find(ANALYST, taken.group_id).state == "failed"
    assert side.index.ends([session]) == {session: 1}


def test_cancelled_twice_is_one_answer(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    first = side.results.cancel(ANALYST, taken.group_id)
    again = rooms.side("g2").results.cancel(ANALYST, taken.group_id)
    assert first.state == again.state == "cancelling"
    side.deliver()
    rooms.answer(taken.group_id)  # the worker had not heard of it
    side.deliver()
    (frame,) = frames(side, session)
    assert frame.code == "CANCELLED"
    assert side.results.find(ANALYST, taken.group_id).state == "cancelled"
    late = side.results.cancel(ANALYST, taken.group_id)
    assert isinstance(late, Refused)
    assert (late.code, late.status) == ("already_finished", 409)


def test_a_whole_batch_is_stopped_by_one_append(rooms, side, session, monkeypatch):
    taken = [rooms.submit(side, f"b#{n}", session).group_id for n in range(5)]
    rooms.answer(taken[2])
    side.deliver()
    appends = []
    append = rooms.log.append
    monkeypatch.setattr(rooms.log, "append", lambda records: appends.append(records) or append(records))
    answers = side.results.cancel_all(ANALYST, [*side.results.identities(session, "b"), "invented"])
    assert sorted(getattr(answer, "code", "cancelling") for answer in answers) == [
        "already_finished",
        *["cancelling"] * 4,
        "not_found",
    ]
    assert [len(records) for records in appends] == [4]
    side.deliver()
    assert side.index.ends([session]) == {session: 5}


def test_a_cancellation_that_comes_too_late_changes_nothing(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    rooms.answer(taken.group_id)
    side.results.cancel(ANALYST, taken.group_id)  # before anybody projected the answer
    side.deliver()
    assert side.results.find(ANALYST, taken.group_id).state == "success"
    assert [frame.seq for frame in frames(side, session)] == [1]


def test_nobody_stops_or_sees_the_analysis_of_another_project(rooms, side, session):
    taken = rooms.submit(side, "c1", session)
    for answer in (
        side.results.cancel(STRANGER, taken.group_id),
        side.results.find(STRANGER, taken.group_id),
        side.results.find(STRANGER, "invented"),
    ):
        assert isinstance(answer, Refused)
        assert (answer.code, answer.status) == ("not_found", 404)
