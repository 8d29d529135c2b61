"""The rules of one connection, one at a time: limits, close codes, pulling, draining, expiry."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.protocol import frames
from genescale.protocol import server_steps as s
from genescale.protocol.closing import CLOSINGS, FORBIDDEN, TAKEN_OVER, UNAUTHENTICATED
from genescale.protocol.server import Limits, ServerSession, State, snapshot_parts

WALL_MS = 1_800_000_000_000


class Line:
    """A session under test with its own time."""

    def __init__(self, limits: Limits | None = None, *, legacy: bool = False) -> None:
        self.machine = ServerSession(limits)
        self.now_s, self.wall_ms = 100.0, WALL_MS
        self.do(s.Opened(legacy))

    def do(self, event: s.Event) -> list[s.Action]:
        return self.machine.step(event, self.now_s, self.wall_ms)

    def say(self, frame: msgspec.Struct | str | bytes) -> list[s.Action]:
        return self.do(s.Arrived(frame if isinstance(frame, str | bytes) else frames.encode(frame)))

    def wait(self, seconds: float) -> list[s.Action]:
        self.now_s += seconds
        self.wall_ms += int(seconds * 1000)
        return self.do(s.Tick())

    def write_all(self) -> list[s.Action]:
        return self.do(s.Written(self.machine.unwritten)) if self.machine.unwritten else []


def opened(limits: Limits | None = None, **more: Any) -> Line:
    line = Line(limits)
    line.say(frames.Hello(token="t"))
    facts: dict[str, Any] = {"resumed": False, "position": 0, "last_seq": 0, **more}
    line.do(s.SessionOpened(session="s", epoch="e", resume_token="r", **facts))
    line.write_all()
    return line


def sent(actions: list[s.Action]) -> list[dict[str, Any]]:
    return [json.loads(action.text) for action in actions if isinstance(action, s.Send)]


def code(actions: list[s.Action]) -> int | None:
    return next((action.closing.code for action in actions if isinstance(action, s.Close)), None)


def submit(cid: str) -> frames.Submit:
    return frames.Submit(cid=cid, data=msgspec.Raw(b'{"sequence":"ACGT"}'))


def finals(first: int, last: int, cid: str = "x") -> s.Fetched:
    return s.Fetched(tuple(s.Final(seq, cid, f'{{"type":"result","seq":{seq}}}') for seq in range(first, last + 1)))


def test_nothing_is_asked_for_before_hello():
    line = Line()

    assert code(line.say(submit("a"))) == 4400
    assert line.machine.state is State.CLOSED
    assert line.say(frames.Hello()) == []


def test_hello_has_five_seconds_and_16_kib():
    assert code(Line().wait(4.9)) is None
    assert code(Line().wait(5.0)) == 4408
    assert code(Line().say(frames.Hello(token="x" * 17_000))) == 4413
    line = Line()
    line.say(frames.Hello())
    assert code(line.say(frames.Ping())) == 4400  # exactly one frame before the welcome


def test_a_new_session_gets_a_welcome_and_a_snapshot_before_anything_else():
    line = Line()
    line.say(frames.Hello())
    state = frames.AnalysisState(cid="a", analysis_id="1", state="success")
    actions = line.do(
        s.SessionOpened(
            session="s", epoch="e", resumed=False, position=3, last_seq=3, resume_token="r", snapshot=(state,)
        )
    )

    assert [frame["type"] for frame in sent(actions)] == ["welcome", "snapshot"]
    assert sent(actions)[0]["next_seq"] == 4
    assert sent(actions)[1]["analyses"][0]["cid"] == "a"


def test_a_resumed_session_pulls_from_where_the_client_stopped():
    line = Line()
    line.say(frames.Hello())
    actions = line.do(s.SessionOpened(session="s", epoch="e", resumed=True, position=3, last_seq=9, resume_token="r"))

    assert [frame["type"] for frame in sent(actions)] == ["welcome"]
    assert sent(actions)[0]["replay_from"] == 4
    assert s.Fetch(3, 256) in actions


def test_a_refused_hello_ends_with_its_code():
    for closing in (UNAUTHENTICATED, FORBIDDEN):
        line = Line()
        line.say(frames.Hello())
        assert code(line.do(s.HelloRefused(closing))) == closing.code


def test_fifty_frames_a_second_and_a_burst_of_a_hundred():
    line = opened()
    answers = [sent(line.say(frames.Ping(t=i)))[0]["type"] for i in range(101)]

    assert answers == ["pong"] * 100 + ["throttle"]
    line.now_s += 1
    assert [sent(line.say(frames.Ping()))[0]["type"] for _ in range(51)] == ["pong"] * 50 + ["throttle"]


def test_a_flood_ends_the_connection_and_a_throttle_names_its_frame():
    line = opened()
    for _ in range(100):
        line.say(frames.Ping())
        line.write_all()
    assert sent(line.say(submit("a")))[0]["cid"] == "a"
    codes = [code(line.say(frames.Ping())) for _ in range(300)]
    assert 4429 in codes


def test_acks_that_move_forward_are_free_and_stored_once_a_second():
    line = opened()
    line.do(s.Available(400))
    line.do(finals(1, 256))
    stored = [action for seq in range(1, 257) for action in line.say(frames.Ack(seq=seq))]

    assert [action for action in stored if isinstance(action, s.StoreAck)] == [s.StoreAck(1)]
    assert s.StoreAck(256) in line.wait(1.0)


def test_an_ack_of_what_was_never_sent_is_a_broken_frame():
    assert code(opened().say(frames.Ack(seq=1))) == 4400


def test_the_last_ack_is_stored_when_the_connection_ends():
    line = opened()
    line.do(s.Available(2))
    line.do(finals(1, 2))
    line.say(frames.Ack(seq=1))
    line.say(frames.Ack(seq=2))

    assert line.do(s.Lost()) == [s.StoreAck(2)]


def test_max_inflight_counts_unfinished_analyses_and_not_repeats():
    line = opened(Limits(inflight_max=2))
    for cid in ("a", "b"):
        assert s.Admit in [type(action) for action in line.say(submit(cid))]
        line.do(s.SubmitAnswered(frames.Accepted(cid=cid, analysis_id=cid, ref="", duplicate=False), 1))
    assert sent(line.say(submit("c")))[0]["scope"] == "inflight"
    assert s.Admit in [type(action) for action in line.say(submit("a"))]  # a repeat
    line.do(s.SubmitAnswered(frames.Accepted(cid="a", analysis_id="a", ref="", duplicate=True), 1))

    line.do(s.Available(1))
    line.do(finals(1, 1, cid="a"))
    assert s.Admit in [type(action) for action in line.say(submit("c"))]


def test_a_result_may_overtake_its_acceptance():
    line = opened(Limits(inflight_max=1))
    line.say(submit("a"))
    line.do(s.Available(1))
    line.do(finals(1, 1, cid="a"))
    line.do(s.SubmitAnswered(frames.Accepted(cid="a", analysis_id="a", ref="", duplicate=False), 1))

    assert s.Admit in [type(action) for action in line.say(submit("b"))]


def test_a_batch_counts_as_one_until_its_last_answer():
    line = opened(Limits(inflight_max=1))
    line.say(frames.SubmitBatch(cid="a", items=[msgspec.Raw(b"{}")] * 2))
    line.do(s.SubmitAnswered(frames.AcceptedBatch(cid="a", batch_id="a", count=2, ref="", duplicate=False), 2))
    line.do(s.Available(2))
    line.do(finals(1, 1, cid="a#0"))
    assert sent(line.say(submit("b")))[0]["type"] == "throttle"
    line.do(finals(2, 2, cid="a#1"))
    assert s.Admit in [type(action) for action in line.say(submit("b"))]


def test_the_outbox_is_pulled_and_bounded_and_a_stopped_reader_is_dropped_after_ten_seconds():
    line = opened(Limits(outbox_max=10, fetch_max=4))
    actions = line.do(s.Available(1_000))
    while any(isinstance(action, s.Fetch) for action in actions):
        fetch = next(action for action in actions if isinstance(action, s.Fetch))
        actions = line.do(finals(fetch.after + 1, fetch.after + fetch.limit))
        assert line.machine.unwritten <= 10

    assert code(line.wait(9.9)) is None
    assert code(line.wait(0.2)) == 4429


def test_a_slow_reader_that_reads_is_kept():
    line = opened(Limits(outbox_max=10, fetch_max=4))
    line.do(s.Available(8))
    line.do(finals(1, 4))
    for _ in range(4):
        assert code(line.wait(8.0)) is None
        line.do(s.Written())


def test_live_values_are_coalesced_and_never_go_back():
    line = opened()
    line.say(frames.Subscribe(topic="metrics"))
    out = [sent(line.do(s.Live("metrics", "m", ver, f'{{"ver":{ver}}}'))) for ver in (1, 2, 4, 3)]
    line.write_all()

    assert out == [[{"ver": 1}], [], [], []]
    assert sent(line.wait(0.5)) == [{"ver": 4}]
    assert sent(line.do(s.Live("cost", "c", 1, "{}"))) == []  # not subscribed


def test_a_stopped_reader_holds_one_live_value_per_key():
    line = opened()
    line.say(frames.Subscribe(topic="metrics"))
    for ver in range(1, 10_000):
        line.do(s.Live("metrics", "m", ver, "{}"))
    assert line.machine.unwritten <= 1


def test_thirty_two_subscriptions():
    line = opened()
    for i in range(32):
        line.say(frames.Subscribe(topic=f"analysis:{i}"))
    assert sent(line.say(frames.Subscribe(topic="metrics")))[0]["code"] == "too_many_subscriptions"
    assert s.Unfollow("analysis:3") in line.say(frames.Unsubscribe(topic="analysis:3"))
    assert s.Follow("metrics") in line.say(frames.Subscribe(topic="metrics"))
    assert sent(line.do(s.FollowAnswered("metrics", "not for you")))[0]["code"] == "forbidden"


def test_a_heartbeat_every_twenty_seconds_and_4401_after_a_quarter_of_an_hour_without_the_user():
    line = opened()
    assert line.machine.wake_at_s == line.now_s + 20
    assert sent(line.wait(20))[0]["type"] == "ping"
    for _ in range(43):
        line.write_all()
        assert code(line.wait(20)) is None
        line.say(frames.Pong())
    line.write_all()
    assert code(line.wait(20)) == 4401


def test_a_credential_is_announced_a_minute_ahead_renewed_or_ended():
    line = opened(expires_ms=WALL_MS + 100_000)
    assert line.machine.wake_at_s == line.now_s + 20
    line.wait(30)
    line.write_all()
    assert [one["type"] for one in sent(line.wait(10))] == ["auth_expiring"]
    assert s.Reauthenticate("new") in line.say(frames.Auth(token="new"))
    line.do(s.CredentialRenewed(line.wall_ms + 70_000))
    line.write_all()
    assert "auth_expiring" in [one["type"] for one in sent(line.wait(11))]
    line.write_all()
    line.wall_ms += 3_600_000  # the wall jumps
    assert code(line.wait(1)) == 4401


def test_draining_finishes_what_was_begun_refuses_what_is_new_and_leaves():
    line = opened()
    line.say(submit("a"))
    actions = line.do(s.Drain(1_234))
    assert sent(actions) == [{"type": "draining", "reconnect_after_ms": 1_234}]
    refused = sent(line.say(submit("b")))[0]
    assert (refused["code"], refused["retryable"], refused["retry_ms"]) == ("draining", True, 1_234)
    assert code(line.write_all()) is None  # the commit of "a" is not answered yet
    line.do(s.SubmitAnswered(frames.Accepted(cid="a", analysis_id="a", ref="", duplicate=False), 1))
    assert code(line.write_all()) == 1012


def test_draining_ends_at_its_deadline_whoever_reads_and_turns_away_the_late():
    line = opened()
    line.do(s.Drain(0))
    assert code(line.do(s.DrainDeadline())) == 1012
    assert code(Line().do(s.Drain(0))) == 4503


def test_takeover_and_revocation_have_their_codes():
    assert code(opened().do(s.TakenOver())) == TAKEN_OVER.code
    assert code(opened().do(s.CredentialRefused(FORBIDDEN))) == 4403


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ACGTACGT\n", frames.Submit),
        ('{"mode": "bigdata", "sequence": "ACGT", "sessionId": "mine", "size": 3}', frames.Submit),
        ('{"type": "BIG_DATA_PROCESSING", "sequences": ["A", "C"], "timestamp": "t"}', frames.SubmitBatch),
    ],
)
def test_a_client_of_the_first_plan_needs_no_hello(text: str, kind: type):
    line = Line(legacy=True)
    assert code(line.wait(60)) is None
    assert line.say(text) == [s.Authenticate(frames.Hello(), legacy=True)]
    actions = line.do(s.SessionOpened(session="s", epoch="e", resumed=False, position=0, last_seq=0, resume_token="r"))
    admitted = next(action for action in actions if isinstance(action, s.Admit))
    assert isinstance(admitted.frame, kind)


@pytest.mark.parametrize("text", ["", "ACGT 123", '{"sequence": "ACGT", "mode": "turbo"}', "[]", '{"hello": 1}'])
def test_no_other_legacy_shape_is_guessed(text: str):
    assert code(Line(legacy=True).say(text)) == 4400


def test_a_snapshot_comes_in_parts_below_the_frame_limit():
    states = tuple(frames.AnalysisState(cid=f"c{i}", analysis_id="x" * 36, state="success") for i in range(10_000))
    parts = [json.loads(part) for part in snapshot_parts(states, {"k": 1}, 5)]

    assert len(parts) > 1
    assert all(len(part) < frames.FRAME_BYTES_MAX for part in snapshot_parts(states, {}, 5))
    assert sum(len(part["analyses"]) for part in parts) == 10_000
    assert [part.get("live") for part in parts] == [None] * (len(parts) - 1) + [{"k": 1}]


ANY_TEXT = st.text(max_size=200) | st.binary(max_size=200)
SOME_FRAME = st.sampled_from(
    [
        frames.encode(frame)
        for frame in (
            frames.Hello(),
            submit("a"),
            frames.SubmitBatch(cid="b"),
            frames.Cancel(cid="a"),
            frames.Ack(seq=1),
            frames.Subscribe(topic="metrics"),
            frames.Unsubscribe(topic="metrics"),
            frames.Ping(),
            frames.Pong(),
            frames.Auth(token="t"),
            frames.BigDataProcessing(sequences=["A"], timestamp="t"),
        )
    ]
    + ["[" * 5_000, '{"type":"submit","cid":"a","data":' + "[" * 2_000, "{}", "\ud800", '{"type":"ack","seq":1e400}']
)


@given(st.lists(SOME_FRAME | ANY_TEXT, max_size=8), st.booleans(), st.booleans())
def test_any_bytes_first_or_later_are_served_or_end_with_a_defined_code(
    messages: list[str | bytes], legacy: bool, is_open: bool
):
    line = Line(legacy=legacy)
    if is_open:
        line.say(frames.Hello())
        line.do(s.SessionOpened(session="s", epoch="e", resumed=False, position=0, last_seq=0, resume_token="r"))
    for message in messages:
        ended = code(line.say(message))
        assert ended is None or ended in CLOSINGS
        assert (ended is not None) == (line.machine.state is State.CLOSED) or ended is None
