from hypothesis import given
from hypothesis import strategies as st

from genescale.events import failpoint
from genescale.trials.fault_plan import KINDS, NAMED, make_plan, shares
from genescale.trials.workload import Workload, marked

ALL = list(KINDS)


@given(st.integers(0, 1000))
def test_the_shares_add_up(faults):
    assert sum(shares(faults, ALL).values()) == faults


@given(st.integers(len(ALL), 1000))
def test_every_kind_gets_its_share(faults):
    assert set(shares(faults, ALL)) == set(NAMED)
    assert min(shares(faults, ALL).values()) >= 1


def test_every_failpoint_is_a_kind():
    assert {f"sigkill_{name}" for name in failpoint.NAMES} <= set(NAMED)


def test_the_same_seed_gives_the_same_plan():
    assert make_plan("1", 1000, 50, ALL) == make_plan("1", 1000, 50, ALL)
    assert make_plan("1", 1000, 50, ALL) != make_plan("2", 1000, 50, ALL)


@given(st.integers(100, 100_000), st.integers(0, 500))
def test_faults_lie_inside_the_run(events, faults):
    plan = make_plan("x", events, faults, ALL)
    assert len(plan) == faults
    assert all(0 <= fault.at < events for fault in plan)


# ---- what is sent ----


@given(st.integers(1, 5000), st.integers(1, 4))
def test_the_producers_send_every_event_once(events, producers):
    load = Workload("w", 1, events, producers, {})
    numbers = [(p, n) for p in range(producers) for n in range(load.count(p))]
    assert len(numbers) == events
    assert len({load.answer(*number) for number in numbers}) == events
    assert len({load.event_id(*number) for number in numbers}) == events
    assert sum(load.share(p, events) for p in range(producers)) == events


@given(st.integers(1, 3000))
def test_revisions_of_one_analysis_are_sent_in_order(events):
    load = Workload("w", 1, events, 1, {})
    latest = {}
    for number in range(load.count(0)):
        analysis, revision = load.answer(0, number)
        assert revision == latest.get(analysis, 0) + 1
        latest[analysis] = revision


def test_marks_fall_on_the_event_they_were_planned_for():
    assert marked({0: "poison", 7: "permanent"}, 2) == {(0, 0): "poison", (1, 3): "permanent"}
