"""One request in, one result out: through the handler, and through the consume loop on a log in memory."""

from collections.abc import Iterator
from typing import Any

import pytest

from genescale.clock import ManualClock
from genescale.events import envelope
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.events.envelope import Event, derive_id
from genescale.events.log import append_now
from genescale.events.memory import MemoryLog
from genescale.events.runner import LoopSettings, Runner
from genescale.events.topics import RESULTS, TOPICS
from genescale.genomics.references import References
from genescale.worker.deps import OpenReferences, WorkerDeps
from genescale.worker.handler import handle, subscription

TOPIC = "genetic-data-raw"
NOW = "2026-11-21T10:00:00.000Z"


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> OpenReferences:
    return OpenReferences(References(tmp_path_factory.mktemp("none")))


@pytest.fixture
def deps(references: OpenReferences) -> WorkerDeps:
    return WorkerDeps(references, ManualClock())


def request(number: int = 1, **data: Any) -> Event:
    analysis = derive_id("test", str(number))
    extensions = {
        "partitionkey": analysis,
        "projectid": "p1",
        "sessionid": "s1",
        "revision": 1,
        "priority": 5,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    }
    wanted = AnalysisRequest(**data)
    return new_event(
        wanted, id=derive_id(analysis, "request"), source="/test", time=NOW, subject=analysis, extensions=extensions
    )


def result(event: Event) -> AnalysisResult:
    CATALOGUE.validate(event, topic=RESULTS)
    return CATALOGUE.read(event, AnalysisResult)


def answer(deps: WorkerDeps, **data: Any) -> AnalysisResult:
    return result(handle([request(**data)], deps)[0])


def test_one_variant_through_the_loop(deps: WorkerDeps) -> None:
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create_topics(TOPICS)
    asked = request(variants=["m.3243A>G"])
    append_now(log, [envelope.to_record(asked, TOPIC)])
    runner = Runner(log, subscription("normal", deps), LoopSettings(), clock, version="test", seed=1)
    for _ in range(3):
        runner.step(0.0)
    runner.close()
    records = list(read_all(log))
    assert len(records) == 1
    event = envelope.from_record(records[0])
    assert event.subject == asked.subject
    assert event.extensions["correlationid"] == asked.id
    found = result(event)
    assert found.status == "success"
    one = found.annotations[0]
    assert one["variant"]["hgvsg"] == "NC_012920.1:m.3243A>G"
    assert one["known"]["clinvar"]["significance"] == "Pathogenic"


def read_all(log: MemoryLog) -> Iterator[Any]:
    consumer = log.consumer(
        "reader", (RESULTS,), outputs=(), on_assigned=lambda _: None, on_revoked=lambda _: None, on_lost=lambda _: None
    )
    for _ in range(5):
        yield from consumer.poll(100, 0.0)
    consumer.close()
