"""Both machines in a simulated world that may break anywhere: section 12 of the protocol, rules and invariants.

The checks of every step are in `support.session_world`; this file decides what happens and when it is quiet again.
A failure prints the last lines of the world's trace and, from hypothesis, the program that leads there.
"""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from genescale.protocol import server
from genescale.protocol.conversation import Conversation
from genescale.protocol.server import ServerSession, snapshot_parts
from support.session_world import Store, World, chaos

WHO, WHICH = st.integers(0, 7), st.integers(0, 1000)


def project_twice(self: Store) -> None:
    """A projection that forgets that the first final event wins."""
    for analysis_id, outcome in self.finals[self.tail :]:
        self.analyses[analysis_id].final = outcome
        self.sessions[self.analyses[analysis_id].session].rows.append(analysis_id)
    self.tail = len(self.finals)


class Sessions(RuleBasedStateMachine):
    """Clients, two gateways, a log and workers."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = World(seed)
        self.world.new_client("ann")
        self.world.new_client("bob")

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.check_end()

    def client(self, who: int):
        return self.world.clients[who % len(self.world.clients)]

    def gateway(self, who: int):
        return self.world.gateways[who % 2]

    @rule(who=WHO, items=st.integers(0, 6))
    def ask(self, who: int, items: int) -> None:
        self.world.ask(self.client(who), items)

    @rule(who=WHO)
    def ask_for_somebody_elses_project(self, who: int) -> None:
        self.world.ask(self.client(who), project="q")

    @rule(who=WHO)
    def ask_with_another_payload(self, who: int) -> None:
        self.world.ask_otherwise(self.client(who))

    @rule(who=WHO)
    def cancel(self, who: int) -> None:
        self.world.cancel(self.client(who))

    @rule(who=WHO)
    def watch(self, who: int) -> None:
        self.world.watch(self.client(who))

    @rule(who=WHO, count=st.integers(1, 4))
    def frames_go_up(self, who: int, count: int) -> None:
        for _ in range(count):
            self.world.carry_up(self.client(who))

    @rule(who=WHO, count=st.integers(1, 4))
    def frames_go_down(self, who: int, count: int) -> None:
        for _ in range(count):
            self.world.carry_down(self.client(who))

    @rule(who=WHO)
    def application_takes(self, who: int) -> None:
        self.world.apply(self.client(who))

    @rule(who=WHO)
    def errand(self, who: int) -> None:
        self.world.errand(self.client(who))

    @rule(who=WHO, which=WHICH, count=st.integers(1, 4))
    def gateway_works(self, who: int, which: int, count: int) -> None:
        for _ in range(count):
            self.world.do_work(self.gateway(who), which)

    @rule(who=WHO)
    def socket_takes(self, who: int) -> None:
        for link in list(self.gateway(who).links):
            self.world.write(link)

    @rule(who=WHO)
    def tail(self, who: int) -> None:
        self.world.tail(self.gateway(who))

    @rule(which=WHICH, outcome=st.sampled_from(["success", "failed"]))
    def worker_finishes(self, which: int, outcome: str) -> None:
        self.world.finish(which, outcome)

    @rule()
    def publish(self) -> None:
        self.world.publish()

    @rule(who=WHO)
    def cut(self, who: int) -> None:
        self.world.cut(self.client(who))

    @rule(who=WHO)
    def reload(self, who: int) -> None:
        self.world.reload(self.client(who))

    @precondition(lambda self: len(self.world.clients) < 4)
    @rule(who=WHO)
    def second_tab(self, who: int) -> None:
        if self.client(who).kept:
            self.world.second_tab(self.client(who))

    @rule(who=WHO)
    def take_back(self, who: int) -> None:
        self.world.take_back(self.client(who))

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        self.world.crash(self.gateway(who))

    @rule(who=WHO)
    def drain(self, who: int) -> None:
        self.world.drain(self.gateway(who))

    @rule(who=WHO)
    def drain_deadline(self, who: int) -> None:
        self.world.drain_deadline(self.gateway(who))

    @rule(who=WHO)
    def expire(self, who: int) -> None:
        self.world.expire(self.client(who))

    @rule()
    def revoke(self) -> None:
        self.world.revoke("bob")

    @rule()
    def new_epoch(self) -> None:
        self.world.new_epoch()

    @rule()
    def window_passes(self) -> None:
        self.world.window_passes()

    @rule(who=WHO)
    def stop_or_start_reading(self, who: int) -> None:
        client = self.client(who)
        client.reads = not client.reads

    @rule(hours=st.integers(-2, 2))
    def wall_jumps(self, hours: int) -> None:
        self.world.jump_wall(hours * 3600)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 12.0, 50.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)


Sessions.TestCase.settings = settings(max_examples=40, stateful_step_count=60)
TestSessions = Sessions.TestCase


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_every_answer_is_seen_once_whatever_breaks(first: int):
    for seed in range(first, first + 10):
        chaos(seed, 800)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2_000, 100))
def test_every_answer_is_seen_once_in_long_runs(first: int):
    for seed in range(first, first + 100):
        chaos(seed, 2_000)


def test_the_same_seed_gives_the_same_trace():
    one, two, other = chaos(7, 1_000), chaos(7, 1_000), chaos(8, 1_000)

    assert one.trace == two.trace
    assert one.trace != other.trace


def test_runs_reach_what_they_are_meant_to_reach():
    worlds = [chaos(seed, 1_500) for seed in range(30)]
    codes = {code for world in worlds for code in world.closings}
    lines = "\n".join(line for world in worlds for line in world.trace)

    assert {1012, 4401, 4403, 4408, 4409, 4429, 4503} <= codes
    for seen in ('"resumed":true', '"resumed":false', '"duplicate":true', "cid_conflict", '"draining"', "e2"):
        assert seen in lines


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (server, "snapshot_parts", lambda _states, _live, seq: snapshot_parts((), {}, seq)),
        (ServerSession, "_finish_one", lambda *_: None),
        (Conversation, "_is_shown", lambda *_: False),
        (Conversation, "_requeue", lambda *_, **__: None),
        (Store, "project", project_twice),
    ],
)
def test_planted_faults_are_found(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fault: Any):
    monkeypatch.setattr(owner, name, fault)

    with pytest.raises(AssertionError):
        all(chaos(seed, 1_500) for seed in range(60))
