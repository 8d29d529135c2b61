"""What a person may see of analyses: their state, their answers, their frames; and how one is stopped.

Who has no role in the project of an analysis is told that there is none: a foreign id and an invented one are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import Permanent
from genescale.events.analysis_data import AnalysisResult
from genescale.events.catalogue import new_event
from genescale.events.envelope import Event, ExtensionValue, derive_id, to_record
from genescale.events.log import EventLog
from genescale.events.topics import RESULTS
from genescale.gateway.admission import SOURCE, Refused, refusal_by_policy
from genescale.gateway.delivery import Delivery, head_of
from genescale.gateway.sessions import RESULT_PATH, Frame
from genescale.gateway.submitting import QUEUED, rows_of
from genescale.gateway.tables import ANALYSES
from genescale.protocol.frames import Failed, Result, encode
from genescale.protocol.server_steps import Final as FinalFrame
from genescale.security.policy import DataClass, decide
from genescale.security.principal import Principal
from genescale.store.object_port import ObjectReference, Objects
from genescale.store.tables import Condition, Row, Tables, Transaction

FRAME_DATA_BYTES_MAX: Final = 131_072
NOT_FINISHED: Final = Refused(
    code="not_finished",
    message="this analysis has no answer yet; ask again later",
    retryable=True,
    retry_ms=1_000,
    status=HTTPStatus.CONFLICT,
)
NOT_FOUND: Final = Refused(code="not_found", message="there is no such analysis", status=HTTPStatus.NOT_FOUND)

_APPEND_TIMEOUT_S: Final = 60.0
_WHOLE_BYTES_MAX: Final = 64 << 20
_CID_ROWS_MAX: Final = 10_000
_AT_ONCE: Final = 1_000
_ERRORS_SHOWN: Final = 10


class ObjectTooLarge(Permanent):
    """An answer that is too large to be held in memory."""


class Analysis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One analysis as `GET /api/v1/analyses/{id}` shows it."""

    analysis_id: str
    project: str
    cid: str
    mode: str
    priority: int
    state: str
    revision: int
    created_at: str
    finished_at: str | None = None
    cancel_asked_at: str | None = None
    result_url: str | None = None


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some analyses, the newest first. `next` asks for those behind them; absent at the end."""

    analyses: list[Analysis]
    next: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The whole answer to an analysis, in the clear."""

    analysis: Analysis
    data: bytes


class Results:
    """Reading for who may read. Every call blocks for tables or log."""

    def __init__(
        self,
        log: EventLog,
        tables: Tables,
        delivery: Delivery,
        clock: Clock,
        *,
        objects: Objects | None = None,
        data_class: Callable[[str], DataClass] = lambda _project: "phi",
    ) -> None:
        self._log = log
        self._tables = tables
        self._delivery = delivery
        self._clock = clock
        self._objects = objects
        self._data_class = data_class

    def find(self, principal: Principal, analysis_id: str) -> Analysis | Refused:
        """The state of one analysis."""
        row = self._row(principal, "list", analysis_id)
        return row if isinstance(row, Refused) else _shown(row)

    def listed(
        self,
        principal: Principal,
        project: str,
        *,
        state: str = "",
        session: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Page | Refused:
        """One page of the analyses of a project. `after` is the `next` of the page before."""
        refusal = refusal_by_policy(principal, "list", project)
        if refusal is not None:
            return refusal
        where: list[Condition] = [("project", "=", project)]
        for name, value in (("state", state), ("session", session)):
            if value:
                where.append((name, "=", value))
        created, _, identity = after.partition(".")
        if after and not (created.isdecimal() and len(created) < 16 and identity):
            return Refused(code="invalid_request", message="after: use the `next` of the page before, unchanged")
        behind = {"created_ms": int(created), "analysis_id": identity} if after else None
        with self._tables.snapshot() as snapshot:
            rows = snapshot.select(ANALYSES, where, order_by=["created_ms"], descending=True, after=behind, limit=limit)
        last = rows[-1] if len(rows) == limit else None
        behind_last = f"{last['created_ms']}.{last['analysis_id']}" if last else None
        return Page([_shown(row) for row in rows], behind_last)

    def of_cids(self, principal: Principal, cids: Sequence[str]) -> Page:
        """What this subject asked for under these cids, in whatever session: before a client repeats any of them."""
        rows: list[Row] = []
        with self._tables.snapshot() as snapshot:
            for cid in dict.fromkeys(cids):
                mine: Condition = ("subject", "=", principal.subject)
                found = snapshot.select(ANALYSES, [("cid", "=", cid), mine], limit=_CID_ROWS_MAX)
                rows += found or snapshot.select(ANALYSES, [*_items_of(cid), mine], limit=_CID_ROWS_MAX)
        seen = [row for row in rows if decide(principal, "list", row["project"]).allowed]
        return Page([_shown(row) for row in seen])

    def result(self, principal: Principal, analysis_id: str) -> Answer | Refused:
        """The newest answer, opened."""
        row = self._row(principal, "list", analysis_id)
        if isinstance(row, Refused):
            return row
        if not self._may_read(principal, row["project"]):
            return Refused(code="forbidden", message="you may not read answers here", status=HTTPStatus.FORBIDDEN)
        if row["result_ref"] is None:
            return NOT_FINISHED
        event = self._delivery.events_at([row["result_ref"]]).get(row["result_ref"])
        if event is None or event.subject != analysis_id:  # a log that was made anew has other records there
            return Refused(code="gone", message="the answer is older than answers are kept", status=HTTPStatus.GONE)
        return self._opened(_shown(row), event)

    def _opened(self, analysis: Analysis, event: Event) -> Answer | Refused:
        try:
            return Answer(analysis, self._whole(event))
        except ObjectTooLarge:
            return Refused(
                code="too_large",
                message="this answer is too large to be given in one piece",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        except Permanent:
            return Refused(
                code="not_openable", message="the key of this answer is not there any more", status=HTTPStatus.GONE
            )

    def _whole(self, event: Event) -> bytes:
        """The data of an answer; where it lies in the object store, the whole of it from there."""
        data = self._delivery.open_data(event)
        if b'"output":' not in data:
            return data
        result = _result_in(data)
        output = None if result is None else result.output
        if output is None:
            return data
        if self._objects is None:
            raise Permanent("this gateway has no object store")
        if output.size_bytes > _WHOLE_BYTES_MAX:
            raise ObjectTooLarge
        checksum = output.checksum.removeprefix("sha256:")
        reference = ObjectReference(
            name=output.name, size=output.size_bytes, sha256=checksum, content_type=output.media_type
        )
        content = self._objects.get(reference)
        return content if output.sealed is None else self._delivery.open_output(event, output.sealed, content)

    def finals(self, principal: Principal, frames: Sequence[Frame]) -> tuple[FinalFrame, ...]:
        """Frames as they travel, read from the log if need be. An answer that is gone comes as an error."""
        events = self._delivery.events_at(frame.ref for frame in frames)
        return tuple(
            FinalFrame(frame.seq, frame.cid, self._text(principal, frame, events.get(frame.ref))) for frame in frames
        )

    def cancel(self, principal: Principal, analysis_id: str) -> Analysis | Refused:
        """Ask to stop. The final `cancelled` is an answer like any other: the first one counts, whoever wrote it."""
        return self.cancel_all(principal, [analysis_id])[0]

    def cancel_all(self, principal: Principal, identities: Sequence[str]) -> list[Analysis | Refused]:
        """The same for many at the price of one: a batch is stopped by one transaction and one append."""
        with self._tables.snapshot() as snapshot:
            rows = rows_of(snapshot, identities)
        answers = [_may_cancel(principal, rows.get(identity)) for identity in identities]
        stopped = [row for row in answers if not isinstance(row, Refused)]
        now_ms = self._clock.wall_ms()
        fresh = [row["analysis_id"] for row in stopped if row["cancel_ms"] is None]
        if fresh:
            self._tables.run(lambda tx: _record_wish(tx, fresh, now_ms))
        if stopped:
            # Asked again it is appended again: the gateway that recorded the wish may have died before it appended.
            events = [cancelled_event(row, rfc3339(now_ms)) for row in stopped]
            self._log.append([to_record(event, RESULTS) for event in events]).result(_APPEND_TIMEOUT_S)
        return [row if isinstance(row, Refused) else _shown(_asked(row, now_ms)) for row in answers]

    def identities(self, session: str, cid: str) -> list[str]:
        """The analyses under a cid of a session: one, or all items of a batch."""
        with self._tables.snapshot() as snapshot:
            mine: Condition = ("session", "=", session)
            rows = snapshot.select(ANALYSES, [mine, ("cid", "=", cid)])
            rows = rows or snapshot.select(ANALYSES, [mine, *_items_of(cid)])
        return [row["analysis_id"] for row in rows]

    def _row(self, principal: Principal, action: str, analysis_id: str) -> Row | Refused:
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(ANALYSES, {"analysis_id": analysis_id})
        if row is None or not decide(principal, action, row["project"]).known:
            return NOT_FOUND
        return refusal_by_policy(principal, action, row["project"]) or row

    def _may_read(self, principal: Principal, project: str) -> bool:
        return decide(principal, "read", project, self._data_class(project)).allowed

    def _text(self, principal: Principal, frame: Frame, event: Event | None) -> str:
        data = self._data(event) if event is not None and event.subject == frame.analysis_id else None
        if data is None:
            return encode(_failed(frame, "RESULT_GONE", "the answer is not kept any more, or its key was destroyed"))
        head = head_of(data)
        if head is None:
            return encode(_failed(frame, "RESULT_UNREADABLE", "the answer is no answer; ask for the analysis again"))
        if head.status in ("failed", "cancelled"):
            why = head.errors[0] if head.errors else None
            code = why.code if why else head.status.upper()
            return encode(_failed(frame, code, why.message if why else head.status))
        project = str(event.extensions.get("projectid", "")) if event else ""
        may_read = self._may_read(principal, project)
        return encode(_result(frame, data if may_read else None))

    def _data(self, event: Event) -> bytes | None:
        try:
            return self._delivery.open_data(event)
        except Permanent:
            return None


def _may_cancel(principal: Principal, row: Row | None) -> Row | Refused:
    if row is None or not decide(principal, "cancel", row["project"]).known:
        return NOT_FOUND
    refusal = refusal_by_policy(principal, "cancel", row["project"])
    if refusal is not None:
        return refusal
    if row["revision"] > 0:
        return Refused(
            code="already_finished", message="this analysis has its answer already", status=HTTPStatus.CONFLICT
        )
    return row


def _record_wish(tx: Transaction, identities: Sequence[str], now_ms: int) -> None:
    for start in range(0, len(identities), _AT_ONCE):
        some = identities[start : start + _AT_ONCE]
        tx.update(ANALYSES, [("analysis_id", "in", some), ("cancel_ms", "=", None)], {"cancel_ms": now_ms})


def _asked(row: Row, now_ms: int) -> Row:
    return row if row["cancel_ms"] is not None else {**row, "cancel_ms": now_ms}


def cancelled_event(row: Mapping[str, object], time: str) -> Event:
    """The answer of an analysis that somebody stopped. It holds nothing of what was sent, so it is not sealed."""
    analysis_id = str(row["analysis_id"])
    extensions: dict[str, ExtensionValue] = {
        "partitionkey": analysis_id,
        "projectid": str(row["project"]),
        "revision": 1,
        "correlationid": derive_id(analysis_id, "request", "1"),
    }
    if row["session"]:
        extensions["sessionid"] = str(row["session"])
    return new_event(
        AnalysisResult(status="cancelled"),
        id=derive_id(analysis_id, "1", "cancelled"),
        source=SOURCE,
        time=time,
        subject=analysis_id,
        extensions=extensions,
    )


def _items_of(cid: str) -> tuple[Condition, Condition]:
    """The cids of all items of a batch: those that begin with `cid#`."""
    return ("cid", ">", cid + "#"), ("cid", "<", cid + chr(ord("#") + 1))


def _shown(row: Row) -> Analysis:
    finished = row["finished_ms"]
    asked = row["cancel_ms"]
    stopping = asked is not None and row["state"] == QUEUED
    return Analysis(
        analysis_id=row["analysis_id"],
        project=row["project"],
        cid=row["cid"],
        mode=row["mode"],
        priority=row["priority"],
        state="cancelling" if stopping else row["state"],
        revision=row["revision"],
        created_at=rfc3339(row["created_ms"]),
        finished_at=None if finished is None else rfc3339(finished),
        cancel_asked_at=None if asked is None else rfc3339(asked),
        result_url=RESULT_PATH.format(row["analysis_id"]) if row["revision"] > 0 else None,
    )


def _failed(frame: Frame, code: str, message: str) -> Failed:
    return Failed(
        seq=frame.seq,
        ref=frame.ref,
        cid=frame.cid,
        analysis_id=frame.analysis_id,
        code=code,
        message=message,
        retryable=False,
    )


def _result(frame: Frame, data: bytes | None) -> Result:
    """`data` None: this reader may see that there is an answer, and not what it says."""
    url = None
    if data is None or len(data) > FRAME_DATA_BYTES_MAX or b'"output":' in data:
        url = RESULT_PATH.format(frame.analysis_id)
    if data is not None and len(data) > FRAME_DATA_BYTES_MAX:
        data = _short(data)
    return Result(
        seq=frame.seq,
        ref=frame.ref,
        cid=frame.cid,
        analysis_id=frame.analysis_id,
        revision=frame.revision,
        data=msgspec.UNSET if data is None else msgspec.Raw(data),
        result_url=url,
    )


def _short(data: bytes) -> bytes | None:
    """What of a large answer fits a frame: all but the annotations."""
    whole = _result_in(data)
    if whole is None:
        return None
    return msgspec.json.encode(
        msgspec.structs.replace(whole, annotations=[], sequences=[], errors=whole.errors[:_ERRORS_SHOWN])
    )


def _result_in(data: bytes) -> AnalysisResult | None:
    """None when a producer that is not ours wrote something else."""
    try:
        return msgspec.json.decode(data, type=AnalysisResult)
    except (msgspec.DecodeError, RecursionError):
        return None
