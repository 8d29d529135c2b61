"""What the worker does with a batch of requests: open, run the stages, measure, answer.

`subscription` is all that the consume loop needs. Bad input never raises: it is a `failed` or `partial` answer. What
raises is what the loop must know: a store that does not answer (try again), ciphertext that cannot be opened (a dead
letter, and a `failed` answer for whoever asked).
"""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from genescale.errors import InvalidEvent, Permanent
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult, Measured, check_request
from genescale.events.analysis_data import ObjectReference as Given
from genescale.events.catalogue import CATALOGUE
from genescale.events.envelope import Event
from genescale.events.loop_data import Failure
from genescale.events.runner import Subscription
from genescale.events.topics import LANES, RESULTS, Lane
from genescale.security.keys import KeyDestroyed, KeyUnknown
from genescale.security.sealing import bound_to
from genescale.store.object_port import ObjectDamaged, ObjectMissing, ObjectReference
from genescale.worker import answer
from genescale.worker.deps import WorkerDeps
from genescale.worker.stages import STAGES, Stage
from genescale.worker.task import Task

REQUEST: Final = "genetic.analysis.request"
INPUT_BOUND: Final = "genetic.analysis.request.input"  # what a sealed input in the object store is bound to
METHOD: Final = "cpu-stage-v1"
_DECODER: Final = msgspec.json.Decoder(AnalysisRequest)


def subscription(lane: Lane | str, deps: WorkerDeps) -> Subscription[WorkerDeps]:
    """One lane, as the consume loop reads it."""
    chosen = lane if isinstance(lane, Lane) else next(one for one in LANES if one.name == lane)
    return Subscription(
        group=chosen.group,
        topics=(chosen.topic,),
        outputs=(RESULTS,),
        handle=handle,
        failed=failed,
        route=lambda _: RESULTS,
        deps=deps,
        wake_when_drained=True,
    )


def handle(events: Sequence[Event], deps: WorkerDeps) -> list[Event]:
    """One result for each request, in order."""
    meter = _Meter(len(events))
    tasks = [_opened(event, deps) for event in events]
    meter.lap("open", [1_000.0 + len(event.data or b"") for event in events])
    for name, stage in STAGES:
        meter.run(name, stage, tasks, deps)
    results = [answer.result_of(task, deps) for task in tasks]
    bodies = [answer.encoded(result) for result in results]
    meter.lap("answer", [500.0 + len(body) for body in bodies])
    models = answer.models_hash(deps)
    events_out: list[Event] = []
    for event, task, result, body, cpu_s in zip(events, tasks, results, bodies, meter.cpu_s(), strict=True):
        identity = answer.result_id(event, task.references, models)
        travels = answer.by_reference(body, result, event, identity, deps)
        measured = msgspec.structs.replace(meter.shared, cpu_s=cpu_s, attempt=_attempt(event))
        events_out.append(answer.result_event(event, identity, answer.with_measures(travels, measured), deps))
    return events_out


def failed(event: Event, failure: Failure, deps: WorkerDeps) -> list[Event]:
    """The answer for a request that could not be handled at all. It holds nothing of what was sent."""
    if event.type != REQUEST:
        return []
    models = answer.models_hash(deps)
    code = "CRASHED" if failure.error == "Crashed" else "NOT_HANDLED"
    trace = failure.stack_hash or "no trace"
    message = f"it could not be done ({failure.error}, {trace}); it is kept, and an operator can send it again"
    result = AnalysisResult(**answer.failed_body(code, message, answer.versions_of(None, models)))
    identity = answer.result_id(event, None, models)
    data = answer.with_measures(answer.encoded(result), Measured(attempt=_attempt(event)))
    try:
        return [answer.result_event(event, identity, data, deps)]
    except (KeyDestroyed, KeyUnknown):
        # Nothing can be sealed for a project without a key. The answer is these two sentences, so it may be read.
        open_extensions = {name: value for name, value in event.extensions.items() if name != "sealed"}
        return [answer.result_event(msgspec.structs.replace(event, extensions=open_extensions), identity, data, deps)]


# ---- opening ----


def _opened(event: Event, deps: WorkerDeps) -> Task:
    """The request in an event. Raises what the loop must know, and nothing about what is asked."""
    if event.type != REQUEST:
        raise Permanent(f"event {event.id}: this worker answers {REQUEST} and knows nothing of {event.type}")
    data = event.data or b""
    key_id = event.extensions.get("sealed")
    project = str(event.extensions.get("projectid", ""))
    if key_id is not None:
        if deps.sealer is None:
            raise Permanent(f"event {event.id} is sealed, and this worker was started without keys")
        data = deps.sealer.open(project, str(key_id), data, bound_to(event.id, event.type, project))
    CATALOGUE.entry(event)  # raises for a version of a newer program
    try:
        request = _DECODER.decode(data)
        check_request(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidEvent) as error:
        return _refused(error)
    task = Task(request)
    if request.input is not None:
        _fetch(task, request.input, event, deps)
    return task


def _refused(error: Exception) -> Task:
    task = Task(AnalysisRequest())
    told = str(error) if isinstance(error, InvalidEvent) else "data: not what the schema of a request says"
    task.refuse("INVALID_REQUEST", told)
    return task


def _fetch(task: Task, given: Given, event: Event, deps: WorkerDeps) -> None:
    """The object that a request refers to, when it is small enough to be handled whole."""
    if given.size_bytes > deps.limits.input_bytes:
        message = f"unavailable: inputs above {deps.limits.input_bytes:,} bytes must be split; splitting arrives"
        task.refuse("UNAVAILABLE", message)
        return
    if deps.objects is None:
        task.refuse("UNAVAILABLE", "unavailable: this worker was started without an object store")
        return
    algorithm, _, digest = given.checksum.partition(":")
    if algorithm != "sha256":
        task.refuse("INVALID_REQUEST", "data.input.checksum: it must be sha256: and 64 hex digits")
        return
    try:
        reference = msgspec.convert(
            {"name": given.name, "size": given.size_bytes, "sha256": digest, "content_type": given.media_type},
            ObjectReference,
        )
        content = deps.objects.get(reference)
    except (msgspec.ValidationError, ObjectMissing):
        task.refuse("INPUT_MISSING", "there is no uploaded object of this name; upload it again")
        return
    except ObjectDamaged:
        task.refuse("INPUT_DAMAGED", "the uploaded object is not what its checksum says; upload it again")
        return
    if given.sealed is not None:
        # The request names the checksum of this ciphertext and is sealed itself: that ties the two together.
        if deps.sealer is None:
            raise Permanent(f"the input of event {event.id} is sealed, and this worker was started without keys")
        project = str(event.extensions.get("projectid", ""))
        content = deps.sealer.open(project, given.sealed, content, bound_to("", INPUT_BOUND, project))
    task.input = content


def _attempt(event: Event) -> int:
    attempt = event.extensions.get("attempt", 1)
    return attempt if isinstance(attempt, int) else 1


# ---- measuring ----


class _Meter:
    """Processor time of this thread, shared out by the work that each request caused (`docs/explanation`)."""

    def __init__(self, requests: int) -> None:
        self._shares = [0.0] * requests
        self._stages_ms: dict[str, float] = {}
        self._began_ns = self._wall_ns = time.perf_counter_ns()
        self._cpu_ns = time.thread_time_ns()

    def run(self, name: str, stage: Stage, tasks: Sequence[Task], deps: WorkerDeps) -> None:
        """Run a stage over the batch and note what it took."""
        self.lap(name, stage(tasks, deps))

    def lap(self, name: str, units: Sequence[float]) -> None:
        """A stage ends here: its time goes to the requests in proportion to their units."""
        cpu_ns, wall_ns = time.thread_time_ns(), time.perf_counter_ns()
        each = (cpu_ns - self._cpu_ns) / (sum(units) or 1.0)
        self._shares = [share + each * one for share, one in zip(self._shares, units, strict=True)]
        self._stages_ms[name] = round((wall_ns - self._wall_ns) / 1e6, 3)
        self._cpu_ns, self._wall_ns = cpu_ns, wall_ns

    def cpu_s(self) -> list[float]:
        """Seconds of each request."""
        return [round(share / 1e9, 9) for share in self._shares]

    @property
    def shared(self) -> Measured:
        """What is the same for all requests of the batch."""
        return Measured(
            processing_ms=round((self._wall_ns - self._began_ns) / 1e6, 3),
            method=METHOD,
            batch=max(1, len(self._shares)),
            stages_ms=self._stages_ms,
        )
