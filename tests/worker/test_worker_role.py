"""`genescale run worker` as a process of its own on a durable log: sealed in, sealed out, nothing to read between."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genescale import config, wiring
from genescale.clock import SystemClock
from genescale.events import envelope
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event, derive_id
from genescale.events.log import append_now
from genescale.events.topics import RESULTS, TOPICS
from genescale.genomics import mito
from genescale.security.sealing import Sealer, bound_to

pytestmark = pytest.mark.slow
PROJECT = "p1"
CANARY = mito.sequence()[4_000:4_400] + "TTTTGGGGTTTTGGGG" + mito.sequence()[4_400:4_800]


class World:
    """A data directory with a worker on it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.environment = {
            **os.environ,
            "GENESCALE_DATA_DIRECTORY": str(self.data),
            "GENESCALE_LOGGING_FORMAT": "json",
        }
        settings, clock = config.load(self.environment).settings, SystemClock()
        self.log = wiring.open_log(settings, clock)
        self.log.create_topics(TOPICS)
        self.sealer: Sealer = wiring.open_sealer(settings, clock)
        self.said: list[str] = []

    def worker(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "genescale", "run", "worker", *words]
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line)
            if '"working"' in line:
                return process
        raise AssertionError(f"the worker ended: {self.said}")

    def end(self, process: "subprocess.Popen[str]", number: int) -> int:
        """Send a signal and wait; what the process still said is kept."""
        process.send_signal(number)
        self.said += process.communicate(timeout=20)[1].splitlines()
        return process.returncode

    def ask(self, number: int, **data: Any) -> Event:
        analysis = derive_id("role", str(number))
        event = new_event(
            AnalysisRequest(**data),
            id=derive_id(analysis, "request"),
            source="/test",
            time="2026-11-21T10:00:00.000Z",
            subject=analysis,
        )
        closed = self.sealer.seal(PROJECT, event.data or b"", bound_to(event.id, event.type, PROJECT))
        extensions = {"partitionkey": analysis, "projectid": PROJECT, "revision": 1, "sealed": closed.key_id}
        sealed = msgspec.structs.replace(event, data=closed.data, extensions=extensions)
        append_now(self.log, [envelope.to_record(sealed, "genetic-data-raw")])
        return sealed

    def answers(self, count: int) -> dict[str, AnalysisResult]:
        """The results on the topic, opened, by analysis. A second one for an analysis must have the same id."""
        consumer = self.log.consumer(
            "test",
            (RESULTS,),
            outputs=(),
            on_assigned=lambda _: None,
            on_revoked=lambda _: None,
            on_lost=lambda _: None,
        )
        found: dict[str, tuple[str, AnalysisResult]] = {}
        until = time.monotonic() + 60
        while len(found) < count and time.monotonic() < until:
            for record in consumer.poll(100, 0.5):
                event = envelope.from_record(record)
                bound = bound_to(event.id, event.type, PROJECT)
                data = self.sealer.open(PROJECT, str(event.extensions["sealed"]), event.data or b"", bound)
                assert event.subject is not None
                assert found.get(event.subject, (event.id,))[0] == event.id
                found[event.subject] = (event.id, msgspec.json.decode(data, type=AnalysisResult))
        consumer.close()
        return {subject: result for subject, (_, result) in found.items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.log.close()


def test_a_worker_answers_stops_and_leaves_nothing_to_read(world: World) -> None:
    process = world.worker("--lane", "normal")
    asked = [world.ask(n, variants=["m.3243A>G"]) for n in range(20)]
    asked.append(world.ask(20, sequence=CANARY))
    found = world.answers(len(asked))
    assert {event.subject for event in asked} == set(found)
    assert all(one.status in {"success", "partial"} for one in found.values())
    assert world.end(process, signal.SIGTERM) == 0
    for place in [path for path in world.data.rglob("*") if path.is_file()]:
        content = place.read_bytes()
        assert CANARY[395:420].encode() not in content
        assert b"3243A" not in content
    assert not any("3243A" in line or CANARY[395:420] in line for line in world.said)


def test_a_killed_worker_loses_nothing(world: World) -> None:
    first = world.worker("--lane", "normal")
    asked = [world.ask(n, variants=["m.8993T>G"]) for n in range(200)]
    world.end(first, signal.SIGKILL)
    second = world.worker("--lane", "normal")
    found = world.answers(len(asked))
    world.end(second, signal.SIGKILL)
    assert {event.subject for event in asked} == set(found)
