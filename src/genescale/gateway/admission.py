"""Whether a request is taken in, and the event that it becomes. Decided here for every door, before anything is stored.

The answer never quotes what was sent. What is taken in is sealed with the key of its project at once, so nothing
behind this module holds it in the clear.
"""

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import InvalidEvent
from genescale.events.analysis_data import (
    AnalysisError,
    AnalysisRequest,
    AnalysisResult,
    ObjectReference,
    check_request,
)
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event, ExtensionValue, derive_id
from genescale.events.topics import LANES, RESULTS
from genescale.protocol.frames import Mode
from genescale.security.policy import decide
from genescale.security.principal import Principal
from genescale.security.sealing import Sealer, bound_to

SOURCE: Final = "/genescale/gateway"
REQUEST_BYTES_MAX: Final = 1_040_000  # what fits a record of the log beside its headers
URGENT: Final = 8

FindUpload = Callable[[str, str], ObjectReference | None]
"""`(project, upload id)` -> where the complete upload lies; None when this project has no such upload."""

_TOPIC_OF: Final = {lane.name: lane.topic for lane in LANES}
_ITEM_CODES: Final = frozenset({"invalid_sequence", "invalid_request", "too_large", "unknown_upload"})
_REQUEST: Final = msgspec.json.Decoder(AnalysisRequest)
_ENCODER: Final = msgspec.json.Encoder()


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One analysis that somebody asks for. `data` is the JSON of an `AnalysisRequest`; `batch` ties items together."""

    cid: str
    project: str
    data: bytes | msgspec.Raw
    mode: Mode = "normal"
    priority: int = 5
    session: str = ""  # empty: over REST, where the cid is the Idempotency-Key of a subject in a project
    batch: str = ""  # digest of a whole batch: the same items under another list are another payload
    traceparent: str | None = None


class Admitted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that may be appended. `payload` tells the same request from another one under the same cid."""

    analysis_id: str
    subject: str
    project: str
    session: str
    cid: str
    mode: str
    priority: int
    payload: str
    topic: str
    event: Event


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why not. `code` is for programs, `message` for people; neither quotes what was sent."""

    code: str
    message: str
    retryable: bool = False
    retry_ms: int | None = None
    status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY


def analysis_id_of(session: str, cid: str, *, project: str = "", subject: str = "") -> str:
    """The name of an analysis: the same on every gateway, so that a repeat is recognised anywhere."""
    return derive_id(session or f"{project}\x1f{subject}", cid)


class Admission:
    """Validation, policy, lane and sealing. Safe to use from several threads when the sealer is."""

    def __init__(self, clock: Clock, sealer: Sealer | None = None, find_upload: FindUpload | None = None) -> None:
        self._clock = clock
        self._sealer = sealer
        self._find_upload = find_upload

    def admit(self, principal: Principal, submission: Submission) -> Admitted | Refused:
        """The event for one request, or why there is none."""
        refusal = _may_submit(principal, submission)
        if refusal is not None:
            return refusal
        request = self._read(submission)
        if isinstance(request, Refused):
            return request
        refusal = _fits(principal, submission, request)
        if refusal is not None:
            return refusal
        return self._admitted(principal, submission, request)

    def admit_item(self, principal: Principal, submission: Submission) -> Admitted | Refused:
        """The same for one item of a batch: when its data are wrong, its answer says so and the others run.

        Refused only for what is wrong with every item: the rights, the project, the mode.
        """
        admitted = self.admit(principal, submission)
        if isinstance(admitted, Admitted) or admitted.code not in _ITEM_CODES:
            return admitted
        analysis_id = analysis_id_of(
            submission.session, submission.cid, project=submission.project, subject=principal.subject
        )
        error = AnalysisError(code=admitted.code.upper(), message=admitted.message)
        extensions = _extensions(submission, analysis_id)
        event = new_event(
            AnalysisResult(status="failed", errors=[error]),
            id=derive_id(analysis_id, "1", "refused"),
            source=SOURCE,
            time=rfc3339(self._clock.wall_ms()),
            subject=analysis_id,
            extensions={**extensions, "correlationid": derive_id(analysis_id, "request", "1")},
        )
        payload = self._digest(submission.project, _head(submission) + bytes(submission.data))
        return _admitted(principal, submission, analysis_id, payload, RESULTS, event)

    def _read(self, submission: Submission) -> AnalysisRequest | Refused:
        if len(bytes(submission.data)) > REQUEST_BYTES_MAX:
            return _too_large()
        try:
            request = _REQUEST.decode(submission.data)
            check_request(request)
        except InvalidEvent as error:  # its message is ours and quotes nothing
            return _not_true(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _invalid(_explain(error))
        if request.input is None:
            return request
        found = self._find_upload(submission.project, request.input.name) if self._find_upload else None
        if found is None:
            return Refused(code="unknown_upload", message="data.input.name: there is no complete upload of this id")
        # Only what this gateway knows of the object counts: a client cannot name somebody else's.
        return msgspec.structs.replace(request, input=found)

    def _admitted(self, principal: Principal, submission: Submission, request: AnalysisRequest) -> Admitted | Refused:
        project = submission.project
        analysis_id = analysis_id_of(submission.session, submission.cid, project=project, subject=principal.subject)
        extensions = _extensions(submission, analysis_id)
        event_id = derive_id(analysis_id, "request", "1")
        extensions["correlationid"] = event_id
        event = new_event(
            request,
            id=event_id,
            source=SOURCE,
            time=rfc3339(self._clock.wall_ms()),
            subject=analysis_id,
            extensions=extensions,
        )
        content = event.data or b""
        if len(content) > REQUEST_BYTES_MAX:
            return _too_large()
        if self._sealer is not None:
            sealed = self._sealer.seal(project, content, bound_to(event.id, event.type, project))
            event = msgspec.structs.replace(event, data=sealed.data, extensions={**extensions, "sealed": sealed.key_id})
        topic = _TOPIC_OF["urgent" if submission.priority >= URGENT else submission.mode]
        payload = self._digest(project, _head(submission) + content)
        return _admitted(principal, submission, analysis_id, payload, topic, event)

    def _digest(self, project: str, content: bytes) -> str:
        """Keyed where there are keys: a plain digest of a short sequence can be found by trying all of them."""
        if self._sealer is not None:
            return self._sealer.blind(project, content)
        return hashlib.sha256(content).hexdigest()


def _admitted(
    principal: Principal, submission: Submission, analysis_id: str, payload: str, topic: str, event: Event
) -> Admitted:
    return Admitted(
        analysis_id=analysis_id,
        subject=principal.subject,
        project=submission.project,
        session=submission.session,
        cid=submission.cid,
        mode=submission.mode,
        priority=submission.priority,
        payload=payload,
        topic=topic,
        event=event,
    )


def _extensions(submission: Submission, analysis_id: str) -> dict[str, ExtensionValue]:
    """What travels in the open beside a request and its answers."""
    extensions: dict[str, ExtensionValue] = {
        "partitionkey": analysis_id,
        "projectid": submission.project,
        "mode": submission.mode,
        "priority": submission.priority,
        "revision": 1,
    }
    if submission.session:
        extensions["sessionid"] = submission.session
    if submission.traceparent is not None:
        extensions["traceparent"] = submission.traceparent
    return extensions


def _head(submission: Submission) -> bytes:
    """What belongs to the payload beside the data."""
    parts = (submission.mode, submission.project, str(submission.priority), submission.batch, "")
    return "\x1f".join(parts).encode()


def _may_submit(principal: Principal, submission: Submission) -> Refused | None:
    actions = ("submit", "submit-urgent") if submission.priority >= URGENT else ("submit",)
    for action in actions:
        refusal = refusal_by_policy(principal, action, submission.project)
        if refusal is not None:
            return refusal
    if submission.priority >= URGENT and submission.mode != "normal":
        return Refused(
            code="invalid_priority",
            message=f"priority {URGENT} and above is for mode normal; send mode {submission.mode} with a lower one",
        )
    return None


def refusal_by_policy(principal: Principal, action: str, project: str) -> Refused | None:
    """None when the policy allows it. Who has no role in a project does not learn whether it exists."""
    decision = decide(principal, action, project)
    if decision.allowed:
        return None
    if not decision.known:
        return Refused(code="unknown_project", message="there is no such project", status=HTTPStatus.NOT_FOUND)
    return Refused(code="forbidden", message=f"{action}: {decision.reason}", status=HTTPStatus.FORBIDDEN)


def _fits(principal: Principal, submission: Submission, request: AnalysisRequest) -> Refused | None:
    if request.generate is not None:
        refusal = refusal_by_policy(principal, "generate", submission.project)
        if refusal is not None:
            return refusal
    if submission.priority >= URGENT and request.input is not None:
        return Refused(
            code="invalid_priority",
            message=f"an upload may have to be split; send it with a priority below {URGENT}",
        )
    return None


def _invalid(message: str) -> Refused:
    return Refused(code="invalid_request", message=message, status=HTTPStatus.BAD_REQUEST)


def _not_true(message: str) -> Refused:
    if message.startswith("data.sequence"):
        return Refused(code="invalid_sequence", message=message)
    return _invalid(message)


def _too_large() -> Refused:
    return Refused(
        code="too_large",
        message=f"a request holds at most {REQUEST_BYTES_MAX:,} bytes; upload the file and refer to it",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def _explain(error: Exception) -> str:
    """Which field is wrong. Never the words of the decoder about values, which may quote what was sent."""
    if isinstance(error, msgspec.ValidationError):
        message, _, path = str(error).partition(" - at `")
        place = "data" + path.removesuffix("`").removeprefix("$")
        return f"{place}: not one of the allowed values" if "enum" in message else f"{place}: {message.lower()}"
    return "data: nested too deeply" if isinstance(error, RecursionError) else "data: not JSON"
