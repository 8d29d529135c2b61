"""Partitions that nobody owns must find an owner, also when two members reach for the same ones at once."""

from genescale.clock import SystemClock
from genescale.events import sqlite_groups
from genescale.events.log import TopicSpec
from genescale.events.sqlite import SqliteLog, SqliteSettings


def test_a_member_whose_claim_came_too_late_looks_again(tmp_path, monkeypatch):
    settings = SqliteSettings(session_timeout_s=3.0, heartbeat_s=0.1)
    log = SqliteLog(tmp_path / "log", settings, SystemClock())
    log.create_topics([TopicSpec(name="requests", partitions=4)])
    claim, calls = sqlite_groups.claim, []

    def claim_nothing_at_first(db, me, seats):
        calls.append(list(seats))
        return {} if len(calls) == 1 else claim(db, me, seats)

    monkeypatch.setattr(sqlite_groups, "claim", claim_nothing_at_first)
    consumer = log.consumer("group", ["requests"])
    for _ in range(20):
        consumer.poll(10, 0.1)
        if consumer.assignment():
            break
    assert len(consumer.assignment()) == 4
    assert len(calls) == 2
    consumer.close()
    log.close()
