"""From a task to the bytes of its answer, and from those to the event that carries them.

The same input with the same versions gives the same bytes, but for `measured`, which is written last. An answer too
large for the log is stored as an object; the event then carries the counts and the reference.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from genescale import __version__
from genescale.clock import rfc3339
from genescale.events import analysis_data, catalogue
from genescale.events.analysis_data import AnalysisError, AnalysisResult, Measured
from genescale.events.envelope import JSON_TYPE, Event, ExtensionValue, derive_id
from genescale.security.sealing import Sealed, Sealer, bound_to
from genescale.store.object_port import Hash, ObjectReference, Objects
from genescale.worker.deps import ReferenceSet, WorkerDeps
from genescale.worker.task import Task

PIPELINE: Final = "analysis-1"  # the next number when the same input may give another answer
RESULT: Final = catalogue.CATALOGUE.latest("genetic.analysis.result")
OUTPUT_BOUND: Final = "genetic.analysis.result.output"  # what a sealed answer in the object store is bound to
NO_MODELS: Final = "none"

_ENCODER: Final = msgspec.json.Encoder()
# What the result says of its request, so that whoever reads it needs no look-up. `sealed` is its own.
_COPIED: Final = ("partitionkey", "projectid", "sessionid", "mode", "priority", "revision", "traceparent", "tracestate")


def result_of(task: Task, deps: WorkerDeps) -> AnalysisResult:
    """The answer without its measures."""
    problems = task.problems
    if task.untold:
        more = AnalysisError(code="MORE_PROBLEMS", message=f"{task.untold} more problems of this kind are not listed")
        problems = [*problems, more]
    wrong = any(one.severity == "error" for one in problems)
    status = ("partial" if task.answered and not task.over else "failed") if wrong else "success"
    return AnalysisResult(
        status=status,
        annotations=task.annotations,
        sequences=task.sequences,
        summary=task.summary,
        errors=problems,
        versions=versions_of(task.references, models_hash(deps)),
    )


def models_hash(deps: WorkerDeps) -> str:
    """The models that took part, as one word."""
    return "+".join(f"{name}:{digest}" for name, digest in sorted(deps.models.items())) or NO_MODELS


def versions_of(references: ReferenceSet | None, models: str) -> dict[str, str]:
    """All that decides what the answer is."""
    if references is None:
        return {"pipeline": PIPELINE, "code": __version__, "models": models}
    return _versions(references, models)


@lru_cache(maxsize=64)
def _versions(references: ReferenceSet, models: str) -> dict[str, str]:
    versions = {
        "pipeline": PIPELINE,
        "code": __version__,
        "bundle": references.name,
        "bundle_digest": references.digest,
        "models": models,
    }
    for one in references:
        versions |= {f"{source} in {one.name}": version for source, version in one.sources.items()}
    return versions


def encoded(result: AnalysisResult) -> bytes:
    """The bytes of an answer, without its measures: JSON that ends in a brace."""
    return _ENCODER.encode(result)


def with_measures(body: bytes, measured: Measured) -> bytes:
    """The whole `data`."""
    return body[:-1] + b',"measured":' + _ENCODER.encode(measured) + b"}"


def result_id(request: Event, references: ReferenceSet | None, models: str) -> str:
    """The same for every try and every worker of the same versions."""
    revision = str(request.extensions.get("revision", 1))
    digest = "none" if references is None else references.digest
    return derive_id(request.subject or request.id, revision, PIPELINE, digest, models)


def result_event(request: Event, identity: str, data: bytes, deps: WorkerDeps) -> Event:
    """The event of an answer, sealed when its request was."""
    given = request.extensions
    extensions: dict[str, ExtensionValue] = {name: given[name] for name in _COPIED if name in given}
    extensions["correlationid"] = request.id
    if "sealed" in given:
        sealed = seal(deps.sealer, str(given.get("projectid", "")), data, identity, RESULT.name)
        extensions["sealed"], data = sealed.key_id, sealed.data
    return Event(
        id=identity,
        source=deps.source,
        type=RESULT.name,
        subject=request.subject,
        time=rfc3339(deps.clock.wall_ms()),
        datacontenttype=JSON_TYPE,
        dataschema=RESULT.dataschema,
        extensions=extensions,
        data=data,
    )


def seal(sealer: Sealer | None, project: str, data: bytes, identity: str, purpose: str) -> Sealed:
    """Sealed for its project and for nothing but this record."""
    assert sealer is not None, "a sealed request was opened with it"
    return sealer.seal(project, data, bound_to(identity, purpose, project))


# ---- large answers ----


def by_reference(body: bytes, result: AnalysisResult, request: Event, identity: str, deps: WorkerDeps) -> bytes:
    """The answer as it travels: itself when it is small, else its counts and where the whole of it lies."""
    if len(body) <= deps.limits.answer_bytes or deps.objects is None:
        return body
    reference = _stored(body, request, identity, deps, deps.objects)
    listed = result.errors[:10]
    return encoded(msgspec.structs.replace(result, annotations=[], sequences=[], errors=listed, output=reference))


def _stored(
    body: bytes, request: Event, identity: str, deps: WorkerDeps, objects: Objects
) -> analysis_data.ObjectReference:
    if "sealed" not in request.extensions:
        return _as_payload(objects.put(body, content_type=JSON_TYPE), None)
    project = str(request.extensions.get("projectid", ""))
    sealed = seal(deps.sealer, project, body, identity, OUTPUT_BOUND)
    assert deps.sealer is not None
    sealer = deps.sealer
    stored = objects.put(sealed.data, content_type=JSON_TYPE, name_hash=lambda: _Blind(sealer, project))
    return _as_payload(stored, sealed.key_id)


def _as_payload(stored: ObjectReference, key_id: str | None) -> analysis_data.ObjectReference:
    return analysis_data.ObjectReference(
        name=stored.name,
        size_bytes=stored.size,
        checksum=f"sha256:{stored.sha256}",
        media_type=stored.content_type,
        sealed=key_id,
    )


class _Blind:
    """A name that tells nothing to who does not hold the project's key (`object_port.Hash`)."""

    def __init__(self, sealer: Sealer, project: str) -> None:
        self._sealer, self._project = sealer, project
        self._content: list[bytes] = []

    def update(self, data: bytes, /) -> None:
        self._content.append(data)

    def hexdigest(self) -> str:
        return self._sealer.blind(self._project, b"".join(self._content))


_: type[Hash] = _Blind  # checked where it is written


def failed_body(code: str, message: str, versions: dict[str, str]) -> dict[str, Any]:
    """The fields of an answer that says only why there is none."""
    return {"status": "failed", "errors": [AnalysisError(code=code, message=message)], "versions": versions}
