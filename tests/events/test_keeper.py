"""The keeper: upkeep on a period, true lag, and patience with a log that does not answer."""

import threading

from genescale.clock import ManualClock
from genescale.errors import LogDamaged, LogUnavailable
from genescale.events.keeper import LAG_EVERY_S, UPKEEP_EVERY_S, Keeper
from genescale.events.log import NewRecord, TopicPartition, TopicSpec, append_now
from genescale.events.memory import MemoryLog
from genescale.observability import metrics


def made():
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create_topics([TopicSpec(name="t", partitions=2), TopicSpec(name="u", partitions=1)])
    return clock, log, Keeper(log, clock)


def lag_lines():
    return {line for line in metrics.render().decode().splitlines() if line.startswith("genescale_bus_lag{")}


def test_the_lag_of_every_group_is_shown_without_any_consumer_and_disappears_with_the_group():
    _, log, keeper = made()
    append_now(log, [NewRecord("t", None, b"x", partition=n % 2) for n in range(5)])
    append_now(log, [NewRecord("u", None, b"x")])
    log.set_positions("g", {TopicPartition("t", 0): 1, TopicPartition("t", 1): 0, TopicPartition("u", 0): 0})
    keeper.turn()
    assert lag_lines() == {
        'genescale_bus_lag{group="g",topic="t"} 4.0',
        'genescale_bus_lag{group="g",topic="u"} 1.0',
    }
    Keeper(MemoryLog(ManualClock()), ManualClock()).turn()
    assert lag_lines() == set()


def test_upkeep_is_done_at_once_and_then_on_its_period(monkeypatch):
    clock, log, keeper = made()
    turns = []
    monkeypatch.setattr(log, "maintain", lambda: turns.append(clock.monotonic_s()) or {})
    begun_s = clock.monotonic_s()
    for _ in range(int(2 * UPKEEP_EVERY_S / LAG_EVERY_S) + 1):
        keeper.turn()
        clock.advance(LAG_EVERY_S)
    assert [turn - begun_s for turn in turns] == [0, UPKEEP_EVERY_S, 2 * UPKEEP_EVERY_S]


def test_a_silent_log_makes_it_not_ready_until_it_answers(monkeypatch):
    clock, log, keeper = made()
    assert not keeper.ready().ok
    stop = threading.Event()
    seen = []

    def groups():
        seen.append(keeper.ready())
        if len(seen) == 1:
            raise LogUnavailable("no broker answers")
        if len(seen) == 3:
            stop.set()
        return []

    monkeypatch.setattr(log, "groups", groups)
    begun_s = clock.monotonic_s()
    keeper.run(stop)
    assert [state.ok for state in seen] == [False, False, True]
    assert seen[1].reasons == ("no broker answers",)
    assert clock.monotonic_s() - begun_s >= 2 * LAG_EVERY_S


def test_damage_is_told_and_the_lag_stays_true(monkeypatch):
    _, log, keeper = made()
    log.set_positions("g", {TopicPartition("t", 0): 0})
    append_now(log, [NewRecord("t", None, b"x", partition=0)])

    def maintain():
        raise LogDamaged("it is damaged", path="t.db", place="page 3")

    assert b"genescale_log_damaged 0.0" in metrics.render()
    monkeypatch.setattr(log, "maintain", maintain)
    keeper.turn()
    assert b"genescale_log_damaged 1.0" in metrics.render()
    assert 'genescale_bus_lag{group="g",topic="t"} 1.0' in lag_lines()
