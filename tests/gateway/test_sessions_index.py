"""Numbers of a session: dense, given once, and given again to whoever missed them."""

import pytest

from genescale.gateway.sessions import NewFrame
from genescale.gateway.tables import SESSIONS
from genescale.store.tables import Conflict


def opened(side, holder="h1"):
    return side.index.open("ana", "p1", holder).session


def add(rooms, side, session, *names, at_ms=None):
    frames = [NewFrame(session, f"t/0/{name}", f"c{name}", f"a{name}", 1) for name in names]
    with rooms.tables.transaction() as tx:
        return side.index.add(tx, frames, rooms.clock.wall_ms() if at_ms is None else at_ms)


def resume(side, session, last_seq, holder="h2", same_epoch=True):
    return side.index.resume(session, "ana", "p1", holder, last_seq=last_seq, same_epoch=same_epoch)


def test_numbers_are_dense_and_each_session_has_its_own(rooms):
    side = rooms.side()
    one, other = opened(side), opened(side)
    assert add(rooms, side, one, 1, 2) == {one: 2}
    assert add(rooms, side, other, 3) == {other: 1}
    assert add(rooms, side, one, 4) == {one: 3}
    assert [(frame.seq, frame.cid) for frame in side.index.frames(one, 0, 10)] == [(1, "c1"), (2, "c2"), (3, "c4")]
    assert [frame.seq for frame in side.index.frames(one, 1, 1)] == [2]


def test_one_answer_never_gets_two_numbers(rooms):
    side = rooms.side()
    session = opened(side)
    add(rooms, side, session, 1)
    with pytest.raises(Conflict):
        add(rooms, side, session, 1)
    assert side.index.ends([session]) == {session: 1}


def test_a_resume_inside_the_window_goes_on_behind_the_client(rooms):
    side = rooms.side()
    session = opened(side)
    add(rooms, side, session, 1, 2, 3)
    found = resume(rooms.side("g2"), session, 1)
    assert (found.session, found.resumed, found.position, found.last_seq) == (session, True, 1, 3)


@pytest.mark.parametrize("last_seq", [0, 3])
def test_a_client_that_missed_nothing_resumes_however_late(rooms, last_seq):
    side = rooms.side()
    session = opened(side)
    add(rooms, side, session, *range(1, last_seq + 1))
    rooms.clock.advance(3_600)
    side.index.prune()
    assert resume(side, session, last_seq).resumed


def test_a_forged_position_an_old_epoch_and_a_passed_window_begin_anew_with_a_snapshot(rooms):
    side = rooms.side()
    session = opened(side)
    rooms.submit(side, "c1", session)
    add(rooms, side, session, 1, 2)
    assert resume(side, session, 3).why == "ahead"
    assert resume(side, session, 1, same_epoch=False).why == "epoch"
    rooms.clock.advance(901)
    found = resume(side, session, 1)
    assert (found.why, found.resumed, found.position, found.session) == ("window", False, 2, session)
    assert [one.cid for one in found.snapshot] == ["c1"]
    assert found.unfinished == {"c1": 1}
    assert side.index.prune() == 2
    assert resume(side, session, 1).why == "window"


def test_more_missed_frames_than_the_window_holds_begin_anew(rooms):
    side = rooms.side(window_frames=5)
    session = opened(side)
    add(rooms, side, session, *range(8))
    assert resume(side, session, 3).resumed
    assert resume(side, session, 2).why == "window"


def test_a_forgotten_session_begins_anew_under_its_name_and_its_cids_keep_their_meaning(rooms):
    side = rooms.side()
    session = opened(side)
    taken = rooms.submit(side, "c1", session)
    rooms.clock.advance(25 * 3600)
    side.index.prune()
    found = resume(side, session, 0)
    assert (found.session, found.why, found.last_seq) == (session, "forgotten", 0)
    assert rooms.submit(side, "c1", session).group_id == taken.group_id


def test_the_newest_connection_holds_the_session_and_the_older_one_learns_it(rooms):
    one, other = rooms.side("g1"), rooms.side("g2")
    session = opened(one, "h1")
    assert one.index.lost({session: "h1"}) == []
    resume(other, session, 0, holder="h2")
    assert one.index.lost({session: "h1"}) == [session]
    assert other.index.lost({session: "h2"}) == []


def test_acks_only_grow_and_never_pass_the_end(rooms):
    side = rooms.side()
    session = opened(side)
    add(rooms, side, session, 1, 2, 3)
    for seq in (2, 1, 9):
        side.index.ack({session: seq})
    side.index.ack({})
    with rooms.tables.snapshot() as snapshot:
        assert snapshot.get(SESSIONS, {"session": session})["acked_seq"] == 2


def test_items_of_a_batch_count_under_its_cid(rooms):
    side = rooms.side()
    session = opened(side)
    for cid in ("b#0", "b#1", "c1"):
        rooms.submit(side, cid, session)
    assert resume(side, session, 0).unfinished == {"b": 2, "c1": 1}
