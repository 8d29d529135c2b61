"""What a delivery run sends and what a right answer is, computed from numbers alone.

Event `n` of producer `p` is a request for one revision of one analysis. The producers share no analysis, and send its
revisions in order; the answer is a hash that everybody can compute, so that an invented one is seen.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from genescale.clock import Clock, rfc3339
from genescale.events.analysis_data import AnalysisRequest, SyntheticSequence
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event

ANALYSES_IN_TURN = 40
REVISIONS = 10


class Workload(NamedTuple):
    """`marks` names the inputs that are faults themselves, by producer and number."""

    name: str
    seed: int
    events: int
    producers: int
    marks: Mapping[tuple[int, int], str]

    def count(self, producer: int) -> int:
        """How many of the events this producer sends."""
        return (self.events - producer + self.producers - 1) // self.producers

    def share(self, producer: int, events: int) -> int:
        """How many of the first `events` events are this producer's."""
        return max(0, min(self.count(producer), (events - producer + self.producers - 1) // self.producers))

    def answer(self, producer: int, number: int) -> tuple[str, int]:
        """The analysis and the revision that this event asks for."""
        turn, place = divmod(number, ANALYSES_IN_TURN * REVISIONS)
        revision, analysis = divmod(place, ANALYSES_IN_TURN)
        return f"{self.name}-{producer}-{turn * ANALYSES_IN_TURN + analysis}", revision + 1

    def event_id(self, producer: int, number: int) -> str:
        """The id of this event, the same however often it is sent."""
        return f"{self.name}-{self.seed}-{producer}-{number}"

    def event(self, producer: int, number: int, clock: Clock) -> Event:
        """The request itself."""
        analysis, revision = self.answer(producer, number)
        data = AnalysisRequest(
            generate=SyntheticSequence(seed=self.seed, index=producer * 10**9 + number, size=1 + number % 1000),
            description=self.marks.get((producer, number)),
        )
        return new_event(
            data,
            id=self.event_id(producer, number),
            source="/genescale/trials/producer",
            time=rfc3339(clock.wall_ms()),
            subject=analysis,
            extensions={"revision": revision},
        )

    def content(self, producer: int, number: int) -> str:
        """What a right answer to this event holds."""
        return content_of(SyntheticSequence(seed=self.seed, index=producer * 10**9 + number, size=1 + number % 1000))


def content_of(asked: SyntheticSequence) -> str:
    """The one right answer to a request."""
    return hashlib.sha256(f"{asked.seed}/{asked.index}/{asked.size}".encode()).hexdigest()[:24]


def marked(planned: Mapping[int, str], producers: int) -> dict[tuple[int, int], str]:
    """Event numbers of the whole run as producer and number."""
    return {(at % producers, at // producers): kind for at, kind in planned.items()}
