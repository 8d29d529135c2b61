"""The CloudEvents 1.0 envelope, and its two written forms: one JSON object, or a log record with headers.

Producers and consumers of every room pass `Event`s; the log and the wire see only what this module writes. It is on
the hot path (about 3 us each way), therefore the official SDK (60-117 us) serves only as an oracle in the tests.

Rules beyond the specification: `time` needs a zone, names of extensions are lower-case letters and digits, and an
extension that nobody knows is carried on unchanged.
"""

import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from genescale.errors import InvalidEvent
from genescale.events.log import NewRecord, Record

ExtensionValue: TypeAlias = str | int | bool

JSON_TYPE = "application/json"
STRUCTURED_TYPE = "application/cloudevents+json"
_STRUCTURED = STRUCTURED_TYPE.encode()

# Kafka headers are text; these extensions of ours are numbers again after reading.
INTEGER_EXTENSIONS = frozenset({"priority", "revision", "attempt", "sampledrate"})

_KNOWN_EXTENSIONS = frozenset(
    [
        "correlationid",
        "sessionid",
        "priority",
        "mode",
        "partitionkey",
        "projectid",
        "traceparent",
        "tracestate",
        "revision",
        "chunk",
        "attempt",
        "sealed",
        "replay",
    ]
)  # names that need no second look
_EXTENSION_NAME = re.compile(r"[a-z0-9]+\Z")
_RESERVED = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"})
_ENCODER = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SCALAR = msgspec.json.Decoder(str | int | bool | None)
_INT32 = range(-(2**31), 2**31)


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that happened. `data` holds the bytes of the payload; the catalogue knows their schema."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: dict[str, ExtensionValue] = {}
    data: bytes | None = None

    @property
    def key(self) -> str | None:
        """What keeps its order: the extension `partitionkey`, else the subject."""
        partition_key = self.extensions.get("partitionkey")
        return str(partition_key) if partition_key is not None else self.subject

    def data_object(self) -> Any:
        """The payload as Python values. Raises `InvalidEvent` when it is not JSON."""
        if self.data is None:
            return None
        try:
            return msgspec.json.decode(self.data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidEvent(f"event {self.id}: data is not JSON: {error}") from None


def derive_id(parent: str, *parts: str) -> str:
    """A name-based id (uuid5): the same parent and parts give the same id on every machine and in every run."""
    try:
        namespace = bytes.fromhex(parent.replace("-", ""))
    except ValueError:
        namespace = b""
    if len(namespace) != 16:
        namespace = uuid.uuid5(uuid.NAMESPACE_URL, parent).bytes
    # RFC 9562 section 5.5, written out: the standard library's class costs three times as much on the hot path.
    digest = hashlib.sha1(namespace + "\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


# ---- a log record (Kafka protocol binding, binary content mode) ----


def to_record(event: Event, topic: str, *, partition: int | None = None) -> NewRecord:
    """Attributes become `ce_` headers, the payload becomes the value, the partition key becomes the record key."""
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
    ]
    if event.subject is not None:
        headers.append(("ce_subject", event.subject.encode()))
    if event.time is not None:
        headers.append(("ce_time", event.time.encode()))
    if event.dataschema is not None:
        headers.append(("ce_dataschema", event.dataschema.encode()))
    if event.datacontenttype is not None:
        headers.append(("content-type", event.datacontenttype.encode()))
    for name, value in event.extensions.items():
        headers.append(("ce_" + name, _text(value).encode()))
    key = event.key
    return NewRecord(
        topic=topic,
        key=None if key is None else key.encode(),
        value=event.data,
        headers=tuple(headers),
        partition=partition,
    )


def from_record(record: Record) -> Event:
    """Read a record of either content mode. Raises `InvalidEvent` with the position of the record."""
    try:
        return _from_headers(record)
    except InvalidEvent as error:
        raise InvalidEvent(f"{record.position}: {error}") from None
    except UnicodeDecodeError:
        raise InvalidEvent(f"{record.position}: a header is not UTF-8 text") from None


def _from_headers(record: Record) -> Event:
    headers = dict(record.headers)
    content_type = headers.pop("content-type", None)
    if content_type is not None and content_type.lower().startswith(_STRUCTURED):
        return from_json(record.value or b"")
    take = headers.pop
    try:
        version = take("ce_specversion")
        identity, source, kind = take("ce_id").decode(), take("ce_source").decode(), take("ce_type").decode()
    except KeyError as missing:
        raise InvalidEvent(
            f"the header {missing.args[0]} is missing; every CloudEvent needs ce_specversion, ce_id, ce_source, ce_type"
        ) from None
    subject, time, dataschema = take("ce_subject", None), take("ce_time", None), take("ce_dataschema", None)
    extensions: dict[str, ExtensionValue] = {}
    for name, raw in headers.items():
        if name.startswith("ce_"):
            name, text = name[3:], raw.decode()  # noqa: PLW2901 - the same name without its prefix
            extensions[name] = _integer(name, text) if name in INTEGER_EXTENSIONS else text
    event = Event(
        id=identity,
        source=source,
        type=kind,
        subject=None if subject is None else subject.decode(),
        time=None if time is None else time.decode(),
        datacontenttype=None if content_type is None else content_type.decode(),
        dataschema=None if dataschema is None else dataschema.decode(),
        extensions=extensions,
        data=record.value,
    )
    _check(event, version.decode())
    return event


# ---- one JSON object (structured content mode) ----


def to_json(event: Event) -> bytes:
    """The event as one JSON object; a payload that is not JSON goes as `data_base64`."""
    document: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in ("subject", "time", "datacontenttype", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            document[name] = value
    document.update(event.extensions)
    if event.data is not None:
        if is_json(event.datacontenttype) and _is_sound_json(event.data):
            document["data"] = msgspec.Raw(event.data)
        else:
            document["data_base64"] = base64.b64encode(event.data).decode()
    return _ENCODER.encode(document)


def _is_sound_json(data: bytes) -> bool:
    """Data that only claim to be JSON would break the object around them; they travel as base64, unchanged."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def from_json(raw: bytes, *, refuse_duplicate_keys: bool = False) -> Event:
    """Read one JSON object. Raises `InvalidEvent` that names the attribute.

    `refuse_duplicate_keys` is for the edge, where strangers write: JSON parsers disagree on which of two equal keys
    counts, and what is checked must be what is used.
    """
    try:
        if refuse_duplicate_keys:
            json.loads(raw, object_pairs_hook=_unique)
        fields = _OBJECT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidEvent(f"not a CloudEvent in JSON: {error}") from None
    except RecursionError:
        raise InvalidEvent("not a CloudEvent in JSON: nested too deeply") from None
    data = _payload(fields)
    scalars = {name: _scalar(name, value) for name, value in fields.items()}
    attributes = {name: value for name, value in scalars.items() if value is not None}
    known: dict[str, str] = {}
    for name in _RESERVED & attributes.keys():
        value = attributes.pop(name)
        if not isinstance(value, str):
            raise InvalidEvent(f"attribute {name!r} must be text, not {value!r}")
        known[name] = value
    for name in ("specversion", "id", "source", "type"):
        if name not in known:
            raise InvalidEvent(f"attribute {name!r} is missing; every CloudEvent needs specversion, id, source, type")
    version = known.pop("specversion")
    event = Event(**known, extensions=attributes, data=data)
    _check(event, version)
    if event.time is not None:
        check_time(event.time)
    return event


def is_json(content_type: str | None) -> bool:
    """CloudEvents: no content type means JSON."""
    if content_type is None:
        return True
    essence = content_type.split(";", 1)[0].strip().lower()
    return essence == JSON_TYPE or essence.endswith("+json") or essence == "text/json"


def check_time(text: str) -> None:
    """RFC 3339 with a zone, or `InvalidEvent`: a time without a zone means another moment on another machine."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidEvent(f"time {text!r} is not RFC 3339, for example 2026-11-21T10:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidEvent(f"time {text!r} has no zone; write Z for UTC or an offset such as +02:00")


def _payload(fields: dict[str, msgspec.Raw]) -> bytes | None:
    raw, encoded = fields.pop("data", None), fields.pop("data_base64", None)
    if raw is not None and encoded is not None:
        raise InvalidEvent("data and data_base64 cannot stand together")
    if encoded is not None:
        try:
            return base64.b64decode(msgspec.json.decode(encoded, type=str), validate=True)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            raise InvalidEvent("data_base64 is not base64 text") from None
    if raw is None:
        return None
    content_type = fields.get("datacontenttype")
    text = bytes(raw)
    if content_type is not None and text[:1] == b'"' and not is_json(_as_text(content_type)):
        return msgspec.json.decode(text, type=str).encode()  # text/plain and friends travel as a JSON string
    return text


def _as_text(raw: msgspec.Raw) -> str | None:
    value = _scalar("datacontenttype", raw)
    return value if isinstance(value, str) else None


def _scalar(name: str, raw: msgspec.Raw) -> ExtensionValue | None:
    try:
        return _SCALAR.decode(raw)
    except msgspec.DecodeError:
        raise InvalidEvent(f"attribute {name!r} must be text, a whole number, true or false") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidEvent(f"the key {name!r} stands twice in one object")
        found[name] = value
    return found


def _check(event: Event, version: str) -> None:
    if version != "1.0":
        raise InvalidEvent(f"specversion {version!r} is not supported; send 1.0")
    if not (event.id and event.source and event.type):
        raise InvalidEvent("id, source and type must not be empty")
    for name, value in event.extensions.items():
        if name not in _KNOWN_EXTENSIONS and not _EXTENSION_NAME.match(name):
            raise InvalidEvent(f"extension {name!r}: names are lower-case letters and digits only")
        if type(value) is int and value not in _INT32:
            raise InvalidEvent(f"extension {name!r}: {value} does not fit 32 bits")


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidEvent(f"extension {name!r} must be a whole number, not {text!r}") from None


def _text(value: ExtensionValue) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def with_extensions(event: Event, extra: Mapping[str, ExtensionValue]) -> Event:
    """The same event with some extensions added or replaced."""
    return msgspec.structs.replace(event, extensions={**event.extensions, **extra})
