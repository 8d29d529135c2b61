"""The envelope of the original design, accepted at the edge and turned into a CloudEvent.

    {"eventType": "genetic.analysis.request", "eventId": "evt-12345", "timestamp": "2024-01-15T10:30:00Z",
     "source": "websocket-service", "correlationId": "...", "data": {"sequence": "ACGT", "sessionId": "...", ...}}

It never reaches the log. What goes where is the table of `docs/reference/events.md`. Three choices beside the table:

* `eventId` stays the event's id as it is: CloudEvents ids are any text, and `correlationId` refers to it.
* The original has no analysis id. It is derived from session and request id (a request's `eventId`, a result's
  `correlationId`), so a request and its result meet under one key, on every machine and in every run.
* A key that the table does not name is kept, in `data`.
"""

import json
from typing import Any, NoReturn

import msgspec

from genescale.errors import InvalidEvent
from genescale.events.catalogue import CATALOGUE, schema_uri
from genescale.events.envelope import JSON_TYPE, Event, ExtensionValue, check_time, derive_id

REQUEST = "genetic.analysis.request"
RESULT = "genetic.analysis.result"

MODES = ("normal", "big-data", "node-scale", "kafka-lag")
MODE_ALIASES = {"bigdata": "big-data", "nodescale": "node-scale", "kafkalag": "kafka-lag"}

_ENVELOPE = ("eventType", "eventId", "timestamp", "source", "correlationId", "data")
_RENAMED = {"vepAnnotations": "annotations", "mlPredictions": "predictions"}
_UNSPECIFIED = {"code": "UNSPECIFIED", "message": "the sender gave no reason"}


def is_seed_envelope(document: object) -> bool:
    """True for an object with `eventType`, which no CloudEvent has."""
    return isinstance(document, dict) and "eventType" in document and "specversion" not in document


def from_seed(raw: bytes) -> Event:
    """Read an original event. Raises `InvalidEvent` that names the key; nothing is guessed.

    Only requests and results are known in this form. The event that comes back is valid by the catalogue.
    """
    document = _object(raw)
    kind = _text(document, "eventType")
    if kind not in (REQUEST, RESULT):
        raise InvalidEvent(f"eventType {kind!r} is not known in the original form; send {REQUEST} or a CloudEvent")
    identity, source, time = _text(document, "eventId"), _text(document, "source"), _text(document, "timestamp")
    _check_timestamp(time)
    data = _data(document)
    extensions: dict[str, ExtensionValue] = {}
    request_id = identity
    if document.get("correlationId") is not None:
        request_id = extensions["correlationid"] = _text(document, "correlationId")
    elif kind == RESULT:
        raise InvalidEvent("correlationId is missing; a result must say which request it answers")
    session = data.pop("sessionId", None)
    if session is not None:
        extensions["sessionid"] = _nonempty("data.sessionId", session)
    _take_mode_and_priority(data, extensions)
    analysis_id = derive_id(str(session or ""), identity if kind == REQUEST else request_id)
    extensions |= {"partitionkey": analysis_id, "revision": 1}
    event = Event(
        id=identity,
        source=source,
        type=kind,
        subject=analysis_id,
        time=time,
        datacontenttype=JSON_TYPE,
        dataschema=schema_uri(kind, 1),
        extensions=extensions,
        data=msgspec.json.encode(data if kind == REQUEST else _result_data(data)),
    )
    CATALOGUE.validate(event)
    return event


def to_seed(event: Event) -> dict[str, Any]:
    """The original form of a request or result, for clients that know no other. `failed` is called `error` there."""
    if event.type not in (REQUEST, RESULT):
        raise InvalidEvent(f"event {event.id}: {event.type} has no original form")
    event = CATALOGUE.upcast(event)
    data: dict[str, Any] = dict(event.data_object())
    for extension, name in (("sessionid", "sessionId"), ("mode", "mode"), ("priority", "priority")):
        if extension in event.extensions:
            data[name] = event.extensions[extension]
    if event.type == RESULT:
        data = {_OLD_NAMES.get(name, name): value for name, value in data.items()}
        measured = data.pop("measured", {})
        if measured.get("processing_ms") is not None:
            data["processingTime"] = measured["processing_ms"]
        if data["status"] == "failed":
            data["status"] = "error"
    document: dict[str, Any] = {"eventType": event.type, "eventId": event.id, "timestamp": event.time}
    document["source"] = event.source
    if "correlationid" in event.extensions:
        document["correlationId"] = event.extensions["correlationid"]
    return {**document, "data": data}


_OLD_NAMES = {new: old for old, new in _RENAMED.items()}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise InvalidEvent("not an event: the bytes are no JSON object") from None
    if not is_seed_envelope(document):
        raise InvalidEvent("not an event in the original form: eventType is missing")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidEvent("not an event: a key stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidEvent(f"not an event: {name} is no JSON number")


def _text(document: dict[str, Any], name: str) -> str:
    if document.get(name) is None:
        raise InvalidEvent(f"{name} is missing; the original form needs eventType, eventId, timestamp, source and data")
    return _nonempty(name, document[name])


def _nonempty(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidEvent(f"{name} must be text that is not empty")
    return value


def _check_timestamp(time: str) -> None:
    try:
        check_time(time)
    except InvalidEvent as error:
        raise InvalidEvent(f"timestamp: {error}") from None


def _data(document: dict[str, Any]) -> dict[str, Any]:
    given = document.get("data")
    if not isinstance(given, dict):
        raise InvalidEvent("data must be an object")
    data: dict[str, Any] = dict(given)  # pyright: ignore[reportUnknownArgumentType]
    for name, value in document.items():
        if name in _ENVELOPE:
            continue
        if name in data:
            raise InvalidEvent(f"{name!r} stands beside data and in it; send it once")
        data[name] = value
    return data


def _take_mode_and_priority(data: dict[str, Any], extensions: dict[str, ExtensionValue]) -> None:
    mode = data.pop("mode", None)
    if mode is not None:
        name = MODE_ALIASES.get(str(mode), str(mode))
        if name not in MODES:
            raise InvalidEvent(f"data.mode must be one of {', '.join(MODES)}")
        extensions["mode"] = name
    priority = data.pop("priority", None)
    if priority is not None:
        if type(priority) is not int or not 1 <= priority <= 10:
            raise InvalidEvent("data.priority must be a whole number from 1 to 10")
        extensions["priority"] = priority


def _result_data(data: dict[str, Any]) -> dict[str, Any]:
    for old, new in (*_RENAMED.items(), ("processingTime", "measured")):
        if old in data and new in data:
            raise InvalidEvent(f"data.{old} and data.{new} mean the same; send one of them")
    renamed = {_RENAMED.get(name, name): value for name, value in data.items()}
    processing_ms = renamed.pop("processingTime", None)
    if processing_ms is not None:
        renamed["measured"] = {"processing_ms": processing_ms}
    if renamed.get("status") == "error":
        renamed["status"] = "failed"
    if renamed.get("status") in ("failed", "partial") and "errors" not in renamed:
        renamed["errors"] = [_UNSPECIFIED]
    return renamed
