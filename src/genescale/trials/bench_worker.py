"""How many analyses the worker's handler does in a second of one processor, with no log and no network around it.

What `bench pipeline` measures end to end cannot be faster than this. Requests are sealed, as they are on the road.
"""

import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.events.analysis_data import AnalysisRequest
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event, derive_id
from genescale.genomics import mito
from genescale.genomics.references import References
from genescale.security.keys import FileKeys
from genescale.security.sealing import ProjectSealer, bound_to
from genescale.trials.report import Report, Row, make_report, row
from genescale.trials.scratch import scratch
from genescale.worker import synthesise
from genescale.worker.deps import OpenReferences, ReferenceSet, WorkerDeps
from genescale.worker.handler import handle

_PROJECT = "bench"
_BATCH = 500  # as many as the consume loop takes at once
_SEQUENCES = 60
_RUNS = 5


def run(seed: int, kafka: bool, clock: Clock) -> Report:  # noqa: ARG001 - the worker is the same on every log
    """All rows of the area."""
    return make_report("worker", seed, rows(seed, clock))


def rows(seed: int, clock: Clock) -> list[Row]:
    """The rates of the handler."""
    with scratch() as folder:
        deps = worker_deps(folder, clock)
        dice = random.Random(seed)  # noqa: S311 - made to be repeated
        variants = synthesise.variants(dice, _BATCH)
        nuclear = _panel_variants(dice, deps.references.set_of(None), _BATCH)
        sequences = [synthesise.sequence(dice, mito.LENGTH) for _ in range(_SEQUENCES)]
        note = "per second of processor time, sealed, one thread"
        return [
            _rate("handler_single_variant_rate", _requests(deps, variants), deps, 10_000, f"mitochondrial; {note}"),
            _rate("handler_nuclear_variant_rate", _requests(deps, nuclear), deps, None, f"clinical panel; {note}"),
            _rate("handler_mtdna_rate", _requests(deps, sequences), deps, 400, f"whole genomes aligned; {note}"),
            _alone(_requests(deps, variants), deps),
        ]


def worker_deps(folder: Path, clock: Clock) -> WorkerDeps:
    """A worker on the embedded references, with keys of its own."""
    sealer = ProjectSealer(FileKeys(folder / "keys", clock))
    return WorkerDeps(OpenReferences(References(folder / "references")), clock, sealer)


def _panel_variants(dice: random.Random, references: ReferenceSet, count: int) -> list[str]:
    """Single bases changed somewhere in the regions of the clinical panel."""
    resident = references.of("clinical-panel")
    bundle, contigs = resident.bundle, [contig.name for contig in resident.bundle.contigs]
    names = ("segment_contig", "segment_start", "segment_end")
    columns: list[list[int]] = [bundle.array(name).tolist() for name in names]
    places = list(zip(*columns, strict=True))
    found: list[str] = []
    while len(found) < count:
        contig, start, end = dice.choice(places)
        position = dice.randrange(start + 1, end + 1)
        base = resident.base(contig, position)
        if base in set("ACGT"):
            other = dice.choice([one for one in "ACGT" if one != base])
            found.append(f"chr{contigs[contig]}-{position}-{base}-{other}")
    return found


def _requests(deps: WorkerDeps, inputs: Sequence[str]) -> list[Event]:
    now = rfc3339(deps.clock.wall_ms())
    return [_request(deps, text, number, now) for number, text in enumerate(inputs)]


def _request(deps: WorkerDeps, text: str, number: int, now: str) -> Event:
    analysis = derive_id("bench worker", str(number))
    data = AnalysisRequest(sequence=text) if len(text) > 1_000 else AnalysisRequest(variants=[text])
    event = new_event(data, id=derive_id(analysis, "request"), source="/bench", time=now, subject=analysis)
    assert deps.sealer is not None
    closed = deps.sealer.seal(_PROJECT, event.data or b"", bound_to(event.id, event.type, _PROJECT))
    extensions = {"partitionkey": analysis, "projectid": _PROJECT, "revision": 1, "sealed": closed.key_id}
    return msgspec.structs.replace(event, data=closed.data, extensions=extensions)


def _rate(name: str, events: list[Event], deps: WorkerDeps, goal: int | None, note: str) -> Row:
    handle(events, deps)
    rates: list[int] = []
    for _ in range(_RUNS):
        began = time.thread_time()
        handle(events, deps)
        rates.append(round(len(events) / (time.thread_time() - began)))
    middle = round(statistics.median(rates))
    return row(name, middle, "analyses/s", "higher", goal=goal, samples=rates, note=note)


def _alone(events: list[Event], deps: WorkerDeps) -> Row:
    """One request in a batch of its own, as an idle platform sees it."""
    taken: list[float] = []
    for event in events:
        began = time.thread_time()
        handle([event], deps)
        taken.append((time.thread_time() - began) * 1_000)
    middle = round(statistics.median(taken), 3)
    return row("handler_alone_ms", middle, "ms", "lower", note=f"median of {len(taken)} batches of one request")
