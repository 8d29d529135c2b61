"""The logs that the contract suite runs against. A *world* is one log that several processes could share."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from genescale.clock import SystemClock
from genescale.events.log import EventLog, TopicSpec
from genescale.events.memory import MemoryLog
from genescale.events.sqlite import SqliteLog, SqliteSettings
from support.kafka import KafkaWorld

SESSION_S = 3.0


class World(Protocol):
    """One log, opened as often as a test wants, each time as another process would."""

    refuses_late_writes: bool
    session_s: float

    def open(self) -> EventLog: ...


class MemoryWorld:
    refuses_late_writes = True
    session_s = SESSION_S

    def __init__(self) -> None:
        self._log = MemoryLog(SystemClock(), session_timeout_s=SESSION_S)

    def open(self) -> EventLog:
        return self._log

    def close(self) -> None:
        self._log.close()


class SqliteWorld:
    refuses_late_writes = True
    session_s = SESSION_S

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: list[EventLog] = []

    def open(self) -> EventLog:
        settings = SqliteSettings(session_timeout_s=SESSION_S, heartbeat_s=0.2, poll_interval_max_s=SESSION_S)
        log = SqliteLog(self._directory, settings, SystemClock())
        self._opened.append(log)
        return log

    def close(self) -> None:
        for log in self._opened:
            log.close()


WORLDS = [
    "memory",
    "sqlite",
    pytest.param("kafka-classic", marks=pytest.mark.kafka),
    pytest.param("kafka-consumer", marks=pytest.mark.kafka),
]


def make_world(name: str, directory: Path) -> MemoryWorld | SqliteWorld | KafkaWorld:
    if name == "memory":
        return MemoryWorld()
    if name == "sqlite":
        return SqliteWorld(directory / "log")
    return KafkaWorld(name.removeprefix("kafka-"))


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = make_world(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def log(world: World) -> EventLog:
    return world.open()


@pytest.fixture
def topic(log: EventLog) -> str:
    """A fresh topic of four partitions."""
    return make_topic(log)


def make_topic(log: EventLog, *, partitions: int = 4, **spec: object) -> str:
    name = f"contract-{uuid.uuid4().hex[:12]}"  # on Kafka all tests share one cluster
    log.create_topics([TopicSpec(name=name, partitions=partitions, **spec)])  # pyright: ignore[reportArgumentType]
    return name
