"""The rules of the client, one at a time: reactions to close codes, gaps, acks, back-off, what is kept."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.protocol import client_steps as c
from genescale.protocol import frames
from genescale.protocol.closing import CLOSINGS, Reaction, reaction_to
from genescale.protocol.conversation import Conversation, State


class Side:
    """A client under test with its own time."""

    def __init__(self, seed: int = 1, position: c.Position | None = None) -> None:
        self.machine = Conversation(random.Random(seed).random, token="t", position=position)
        self.now_s = 100.0

    def do(self, event: c.Event) -> list[c.Action]:
        return self.machine.step(event, self.now_s)

    def hear(self, frame: msgspec.Struct | str) -> list[c.Action]:
        return self.do(c.Received(frame if isinstance(frame, str) else frames.encode(frame)))

    def wait(self, seconds: float) -> list[c.Action]:
        self.now_s += seconds
        return self.do(c.Tick())


def connected(side: Side | None = None, **welcome: Any) -> Side:
    side = side or Side()
    side.do(c.Tick())
    side.do(c.Connected())
    side.hear(welcome_frame(**welcome))
    if not welcome.get("resumed"):
        side.hear(frames.Snapshot(part=0, parts=1, next_seq=welcome.get("next_seq", 1)))
    return side


def welcome_frame(**changes: Any) -> frames.Welcome:
    facts: dict[str, Any] = {
        "session": "s",
        "epoch": "e",
        "resumed": False,
        "replay_from": 1,
        "next_seq": 1,
        "resume_token": "r",
        "heartbeat_ms": 20_000,
        "max_inflight": 64,
        "limits": {"frames_per_s": 50, "frames_burst": 100},
        "server": {},
        "server_time": "",
    }
    return frames.Welcome(**(facts | changes))


def result(seq: int, cid: str = "x") -> frames.Result:
    return frames.Result(seq=seq, ref="", cid=f"{cid}{seq}", analysis_id="i", revision=1, data=msgspec.Raw(b"{}"))


def submit(cid: str) -> frames.Submit:
    return frames.Submit(cid=cid, data=msgspec.Raw(b"{}"))


def sent(actions: list[c.Action]) -> list[Any]:
    return [frames.decode_client(action.text) for action in actions if isinstance(action, c.SendText)]


def of(actions: list[c.Action], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


@pytest.mark.parametrize("code", sorted(CLOSINGS))
def test_every_close_code_has_its_one_reaction(code: int):
    side = connected()
    actions = side.do(c.Disconnected(code))
    later = side.wait(60.0)

    match reaction_to(code):
        case Reaction.STOP | Reaction.TAKE_BACK | Reaction.NOTHING:
            assert side.machine.state is State.STOPPED
            assert of(actions, c.Stop)
            assert later == []
        case Reaction.REFRESH:
            assert actions == [c.RefreshCredential()]
            assert later == []
        case Reaction.ASK:
            assert actions == [c.AskSession()]
            assert later == []
        case _:
            assert later == [c.Connect()]


def test_a_second_broken_frame_within_a_minute_is_a_defect():
    side = connected()
    side.do(c.Disconnected(4400))
    side.now_s += 1
    connected(side, resumed=True)
    assert of(side.do(c.Disconnected(4400)), c.Stop)


def test_login_and_takeover_begin_again_only_when_somebody_says_so():
    side = connected()
    side.do(c.Disconnected(4401))
    assert of(side.do(c.Refreshed(None)), c.Stop)
    side.do(c.Refreshed("new"))
    assert side.wait(1.0) == [c.Connect()]
    assert sent(side.do(c.Connected()))[0].token == "new"

    side = connected()
    side.do(c.Disconnected(4409))
    side.do(c.TakeBack())
    assert side.wait(0.0) == [c.Connect()]


@pytest.mark.parametrize(("status", "stops"), [(401, True), (403, True), (200, False), (None, False)])
def test_a_refused_handshake_asks_why(status: int | None, stops: bool):
    side = Side()
    side.do(c.Tick())
    assert side.do(c.Disconnected(1006)) == [c.AskSession()]
    assert bool(of(side.do(c.SessionAsked(status)), c.Stop)) == stops


def test_back_off_doubles_with_full_jitter_and_resets_after_half_a_minute_of_health():
    side = Side()
    waits: list[float] = []
    for _ in range(12):
        side.do(c.Tick())
        side.do(c.Disconnected(1001))
        waits.append(side.machine.wake_at_s - side.now_s)
        side.now_s = side.machine.wake_at_s
    assert all(wait <= min(30.0, 0.5 * 2**n) for n, wait in enumerate(waits))
    assert max(waits) > 8
    connected(side)
    side.now_s += 31
    side.do(c.Disconnected(1001))
    assert side.machine.wake_at_s - side.now_s <= 0.5


def test_a_restart_spreads_a_thousand_clients_over_the_window():
    waits: list[float] = []
    for seed in range(1_000):
        side = connected(Side(seed))
        side.do(c.Disconnected(1012))
        waits.append(side.machine.wake_at_s - side.now_s)
    seconds = [sum(second <= wait < second + 1 for wait in waits) for second in range(5)]
    assert sum(seconds) == 1_000
    assert min(seconds) > 150

    side = connected()
    side.hear(frames.Draining(reconnect_after_ms=1_234))
    side.do(c.Disconnected(1012))
    assert side.machine.wake_at_s - side.now_s == pytest.approx(1.234)


def test_a_gap_closes_with_4400_and_resumes_and_a_repeat_is_ignored():
    side = connected()
    answer = of(side.hear(result(1)), c.Deliver)[0].answer
    side.do(c.Applied(answer))
    assert side.hear(result(1)) == []
    assert c.Disconnect(4400) in side.hear(result(3))
    assert c.Connect() in side.wait(1.0)
    hello = sent(side.do(c.Connected()))[0]
    assert (hello.resume.session, hello.resume.last_seq) == ("s", 1)


def test_what_the_application_does_not_hold_is_neither_kept_nor_acknowledged():
    side = connected()
    first, second = (of(side.hear(result(seq)), c.Deliver)[0].answer for seq in (1, 2))
    assert not of(side.wait(2.0), c.SendText)
    assert of(side.do(c.Applied(first)), c.Keep)[0].position.last_seq == 1
    assert [frame.seq for frame in sent(side.wait(1.0))] == [1]
    side.do(c.Applied(second))
    assert [frame.seq for frame in sent(side.wait(1.0))] == [2]


def test_an_ack_after_32_frames():
    side = connected()
    acks: list[Any] = []
    for seq in range(1, 65):
        answer = of(side.hear(result(seq)), c.Deliver)[0].answer
        acks += sent(side.do(c.Applied(answer)))
    assert [frame.seq for frame in acks] == [32, 64]


def test_a_snapshot_moves_the_position_only_when_it_is_whole_and_applied():
    side = Side(position=c.Position(session="s", epoch="e", last_seq=3, resume_token="r"))
    side.do(c.Restored((submit("a"),)))
    side.do(c.Tick())
    side.do(c.Connected())
    assert side.hear(welcome_frame(next_seq=10)) == []
    state = frames.AnalysisState(cid="a", analysis_id="i", state="success")
    answer = of(side.hear(frames.Snapshot(part=0, parts=2, analyses=[state], next_seq=10)), c.Deliver)[0].answer
    assert not of(side.hear(frames.Snapshot(part=1, parts=2, next_seq=10)), c.Keep)
    assert of(side.do(c.Applied(answer)), c.Keep)[0].position.last_seq == 9


def test_live_frames_before_the_end_of_the_snapshot_are_a_broken_stream():
    side = Side()
    side.do(c.Tick())
    side.do(c.Connected())
    side.hear(welcome_frame())
    assert c.Disconnect(4400) in side.hear(result(1))


def test_a_silent_server_is_left_after_two_and_a_quarter_heartbeats():
    side = connected()
    assert side.wait(44.9) == []
    assert c.Disconnect(1001) in side.wait(0.2)


def test_unanswered_requests_go_out_again_and_only_in_the_session_that_knows_them():
    side = connected()
    side.do(c.Asked(submit("a")))
    side.do(c.Disconnected(1001))
    side.do(c.Asked(submit("b")))
    side.wait(1.0)
    side.do(c.Connected())
    assert [frame.cid for frame in sent(side.hear(welcome_frame(resumed=True)))] == ["a", "b"]
    side.do(c.Disconnected(1001))
    side.wait(2.0)
    side.do(c.Connected())
    side.hear(welcome_frame(session="another"))
    actions = side.hear(frames.Snapshot(part=0, parts=1, next_seq=1))
    assert of(actions, c.Refetch) == [c.Refetch(("a", "b"))]
    assert sent(actions) == []
    done = frames.AnalysisState(cid="a", analysis_id="i", state="success")
    actions = side.do(c.Refetched((done,)))
    assert [one.answer.cid for one in of(actions, c.Deliver)] == ["a"]
    assert [frame.cid for frame in sent(actions)] == ["b"]


def test_a_throttled_request_waits_and_goes_out_again():
    side = connected()
    side.do(c.Asked(submit("a")))
    side.hear(frames.Throttle(retry_ms=500, scope="inflight", cid="a"))
    assert sent(side.do(c.Tick())) == []
    assert [frame.cid for frame in sent(side.wait(0.5))] == ["a"]


def test_no_more_than_max_inflight_and_no_faster_than_the_limit():
    side = connected(max_inflight=3)
    out = [frame for i in range(5) for frame in sent(side.do(c.Asked(submit(f"k{i}"))))]
    assert len(out) == 3
    side = connected(max_inflight=1_000)
    out = [frame for i in range(200) for frame in sent(side.do(c.Asked(submit(f"k{i}"))))]
    assert len(out) == 100
    assert len(sent(side.wait(1.0))) == 50


def test_a_frame_that_is_too_large_never_goes_out_and_one_that_was_refused_not_again():
    side = connected()
    big = frames.Submit(cid="big", data=msgspec.Raw(b'"' + b"A" * 300_000 + b'"'))
    told = of(side.do(c.Asked(big)), c.Tell)
    assert told[0].frame.code == "too_large"
    side.do(c.Asked(submit("a")))
    told = of(side.do(c.Disconnected(4413)), c.Tell)
    assert (told[0].frame.cid, told[0].frame.code) == ("a", "too_large")
    assert not side.machine.is_waiting("a")


def test_cancelling_what_never_left_needs_no_server():
    side = Side()
    side.do(c.Asked(submit("a")))
    assert of(side.do(c.Cancelled("a")), c.Tell)[0].frame.code == "cancelled"
    side = connected()
    side.do(c.Asked(submit("a")))
    assert sent(side.do(c.Cancelled("a"))) == [frames.Cancel(cid="a")]


def test_newer_servers_may_say_more_and_broken_ones_may_not():
    side = connected()
    assert side.hear('{"type":"horoscope","sign":"lion"}') == []
    assert side.hear(frames.ServerPing(t=7, server_time="")) == [c.SendText('{"type":"pong","t":7}')]
    assert c.Disconnect(4400) in side.hear('{"type":"result"}')


@given(
    st.text(max_size=200)
    | st.sampled_from(['{"type":', "[]", "1", "[" * 100_000, '{"type": 3}', '{"type": []}', '{"a":"\\ud800"}'])
)
def test_any_text_from_a_server_is_read_ignored_or_ends_the_connection(text: str):
    side = connected()
    side.hear(text)
    assert side.machine.state in {State.OPEN, State.WAITING}
