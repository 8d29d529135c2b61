"""The supervisor's decisions, with time as an argument: an hour of back-off costs nothing."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genescale.clock import ManualClock
from genescale.cluster import supervise
from genescale.cluster.supervise import CANNOT_START, Kill, Policy, Start, Terminate, begin, decide

POLICY = Policy(first_delay_s=0.5, delay_max_s=8.0, trusted_after_s=60.0, crash_loop_after=4, grace_s=10.0)


def running(name="a", pid=10, now_s=0.0):
    platform = supervise.started(begin([name], now_s, POLICY), name, pid, now_s)
    return supervise.ready(platform, name, now_s)


def test_every_role_is_started_at_once():
    assert decide(begin(["a", "b"], 5.0), 5.0) == [Start("a"), Start("b")]


def test_a_crash_is_mended_after_the_first_delay():
    platform = supervise.exited(running(), "a", -9, 1.0)
    role = platform.role("a")
    assert (role.phase, role.pid, role.last_exit) == ("backing-off", None, "signal 9")
    assert decide(platform, 1.49) == []
    assert decide(platform, 1.5) == [Start("a")]
    assert supervise.started(platform, "a", 11, 1.5).role("a").restarts == 1


def test_delays_double_up_to_the_maximum_and_a_loop_is_called_one():
    platform, now_s, delays = running(), 0.0, []
    for pid in range(11, 18):
        platform = supervise.exited(platform, "a", 1, now_s)
        delays.append(platform.role("a").next_start_s - now_s)
        now_s = platform.role("a").next_start_s
        platform = supervise.started(platform, "a", pid, now_s)
    assert delays == [0.5, 1, 2, 4, 8, 8, 8]
    assert supervise.crash_looping(platform, "a")


def test_a_role_that_ran_long_enough_is_trusted_again():
    platform = supervise.exited(running(), "a", 1, 1.0)
    platform = supervise.ready(supervise.started(platform, "a", 11, 2.0), "a", 2.0)
    platform = supervise.exited(platform, "a", 1, 62.0)
    assert platform.role("a").failures_in_a_row == 1


def test_a_clean_exit_nobody_asked_for_is_a_crash_too():
    assert supervise.exited(running(), "a", 0, 1.0).role("a").phase == "backing-off"


def test_a_role_that_cannot_run_at_its_first_start_ends_the_platform():
    platform = supervise.started(begin(["a", "b"], 0.0, POLICY), "a", 10, 0.0)
    platform = supervise.started(platform, "b", 11, 0.0)
    platform = supervise.exited(platform, "a", CANNOT_START, 0.1)
    assert platform.given_up == "a"
    assert decide(platform, 0.1) == [Terminate("b", 11)]


def test_a_role_that_worked_before_is_tried_again_whatever_it_says():
    assert supervise.exited(running(), "a", CANNOT_START, 1.0).given_up is None


def test_stopping_asks_once_waits_and_then_insists():
    platform = supervise.stop(running(), 100.0)
    (action,) = decide(platform, 100.0)
    assert action == Terminate("a", 10)
    platform = supervise.told(platform, action)
    assert decide(platform, 109.9) == []
    assert supervise.next_decision_s(platform) == 110.0
    (action,) = decide(platform, 110.0)
    assert action == Kill("a", 10)
    platform = supervise.told(platform, action)
    assert decide(platform, 200.0) == []
    assert supervise.exited(platform, "a", -9, 110.1).finished


def test_the_echo_of_a_stop_is_not_a_second_wish() -> None:
    """`uv run` passes on the Ctrl-C that the terminal has sent to us as well, a moment later."""
    once = supervise.stop(running(), 100.0)
    assert supervise.stop(once, 100.2) is once


def test_a_second_request_to_stop_ends_the_patience():
    platform = supervise.stop(supervise.stop(running(), 100.0), 101.0)
    assert decide(platform, 101.0) == [Kill("a", 10)]


def test_a_process_that_cannot_be_made_is_tried_later():
    platform = supervise.not_started(begin(["a"], 0.0, POLICY), "a", "no memory", 0.0)
    assert decide(platform, 0.0) == []
    assert platform.role("a").last_exit == "no memory"


class Life(RuleBasedStateMachine):
    """Any order of crashes, pauses and stops, carried out the way `local` does."""

    @initialize(names=st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    def start(self, names):
        self.clock = ManualClock()
        self.platform = begin(names, self.clock.monotonic_s(), POLICY)
        self.alive: dict[int, str] = {}
        self.signals: list[object] = []
        self.next_pid = 100

    def now(self):
        return self.clock.monotonic_s()

    @rule()
    def carry_out(self):
        for action in decide(self.platform, self.now()):
            if isinstance(action, Start):
                assert action.role not in self.alive.values(), "two processes of one role"
                assert self.platform.stopping_since_s is None, "a start while stopping"
                self.next_pid += 1
                self.alive[self.next_pid] = action.role
                self.platform = supervise.started(self.platform, action.role, self.next_pid, self.now())
            else:
                assert action.pid in self.alive, "a signal to a stranger"
                assert action not in self.signals, "the same signal twice"
                self.signals.append(action)
                self.platform = supervise.told(self.platform, action)
        assert decide(self.platform, self.now()) == []

    @rule(seconds=st.floats(0.01, 100))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def wait_for_the_next_decision(self):
        due = supervise.next_decision_s(self.platform)
        if due is not None and due > self.now():
            self.clock.advance(due - self.now() + 1e-6)
            self.carry_out()

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), status=st.sampled_from([0, 1, 2, -9, -15]))
    def end(self, data, status):
        pid = data.draw(st.sampled_from(sorted(self.alive)))
        self.platform = supervise.exited(self.platform, self.alive.pop(pid), status, self.now())

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def become_ready(self, data):
        role = self.alive[data.draw(st.sampled_from(sorted(self.alive)))]
        self.platform = supervise.ready(self.platform, role, self.now())

    @rule()
    def stop(self):
        self.platform = supervise.stop(self.platform, self.now())

    @invariant()
    def the_picture_is_true(self):
        if not hasattr(self, "platform"):
            return
        assert {role.pid: role.name for role in self.platform.roles if role.pid is not None} == self.alive
        for role in self.platform.roles:
            assert (role.pid is None) == (role.phase in {"backing-off", "stopped"}) or self.platform.stopping_since_s
            if role.phase == "backing-off":
                assert role.next_start_s - self.now() <= POLICY.delay_max_s
        if self.platform.finished:
            assert not self.alive

    def teardown(self):
        """Whatever happened, stopping ends: after the grace everybody alive has got a SIGKILL."""
        if not hasattr(self, "platform"):
            return
        self.platform = supervise.stop(self.platform, self.now())
        self.carry_out()
        self.clock.advance(POLICY.grace_s)
        self.carry_out()
        assert {action.pid for action in self.signals if isinstance(action, Kill)} >= set(self.alive)
        for pid, role in list(self.alive.items()):
            self.platform = supervise.exited(self.platform, role, -9, self.now())
            del self.alive[pid]
        assert self.platform.finished


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("crashes", [1, 3, 50, 5000])
def test_no_number_of_crashes_makes_a_delay_without_end(crashes):
    role = running().role("a")
    many = supervise.structs.replace(role, failures_in_a_row=crashes)
    platform = supervise.exited(supervise.structs.replace(running(), roles=(many,)), "a", 1, 1.0)
    assert platform.role("a").next_start_s - 1.0 <= POLICY.delay_max_s
