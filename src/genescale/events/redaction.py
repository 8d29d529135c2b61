"""An event as it may be shown to a person or a program that only watches.

The rule goes by type: a field is shown when its schema does not mark it `x-sensitive`. What no schema describes is
hidden: unknown types, unknown fields, free objects, sealed and broken payloads. A hidden value shows its length and a
digest that is equal for equal values within one command.
"""

import base64
import binascii
import json
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import inspect

from genescale.errors import InvalidEvent
from genescale.events.catalogue import CATALOGUE, SEALED
from genescale.events.envelope import Event, is_json, to_json
from genescale.observability import redact
from genescale.sensitive import digest

Shown: TypeAlias = dict[str, Any]


def shown(event: Event, *, reveal: bool = False) -> Shown:
    """The event as one JSON object. `reveal` shows it whole: every caller that can say so is a place to review."""
    document: Shown = json.loads(to_json(msgspec.structs.replace(event, data=None)))
    if reveal:
        return {**document, **_payload(event)}
    document = {name: redact.text(value) if isinstance(value, str) else value for name, value in document.items()}
    if event.data is not None:
        document["data"] = shown_data(event)
    return document


def _payload(event: Event) -> Shown:
    """As CloudEvents writes it, also for data that claim to be JSON and are not."""
    if event.data is None:
        return {}
    try:
        return {"data": json.loads(event.data)} if is_json(event.datacontenttype) else _base64(event.data)
    except (ValueError, RecursionError):
        return _base64(event.data)


def _base64(raw: bytes) -> Shown:
    return {"data_base64": base64.b64encode(raw).decode()}


def shown_data(event: Event) -> Any:
    """The payload of an event with everything sensitive hidden."""
    try:
        described = inspect.type_info(CATALOGUE.entry(event).data)
        if SEALED in event.extensions or event.data is None:
            return hidden(event.data or b"")
        return _redacted(json.loads(event.data), described)
    except (InvalidEvent, ValueError, RecursionError):
        return hidden(event.data or b"")


def hidden(value: Any) -> Shown:
    """What stands in the place of a value that is not shown."""
    length = len(cast("str", value)) if isinstance(value, str | bytes | list | dict) else 1
    return {"sensitive": True, "length": length, "digest": digest(cast("object", value))}


def _redacted(value: Any, described: inspect.Type) -> Any:
    """By the kind of the type that the schema gives to this place."""
    if value is None:
        return None
    match described:
        case inspect.Metadata():
            marks = cast("Shown", described.extra_json_schema or {})
            sensitive = marks.get("x-sensitive", False)
            shown_as = described.type
            found = hidden(_plain(value, shown_as)) if sensitive else _redacted(value, shown_as)
        case inspect.UnionType():
            rest = [kind for kind in described.types if not isinstance(kind, inspect.NoneType)]
            found = _redacted(value, rest[0]) if len(rest) == 1 else hidden(value)
        case inspect.StructType() if isinstance(value, dict):
            found = _fields(cast("Shown", value), described)
        case inspect.ListType() if isinstance(value, list):
            found = [_redacted(item, described.item_type) for item in cast("list[Any]", value)]
        case inspect.DictType() if isinstance(value, dict):
            given = cast("Shown", value)
            found = {redact.text(name): _redacted(item, described.value_type) for name, item in given.items()}
        case _:
            found = _scalar(value, described)
    return found


def _fields(given: Shown, described: inspect.StructType) -> Shown:
    known = {field.encode_name: field.type for field in described.fields}
    return {
        redact.text(name): _redacted(item, known[name]) if name in known else hidden(item)
        for name, item in given.items()
    }


_SHOWN_SCALARS = (
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.LiteralType,
    inspect.BytesType,
)


def _scalar(value: Any, described: inspect.Type) -> Any:
    if not isinstance(described, _SHOWN_SCALARS) or isinstance(value, list | dict):
        return hidden(value)
    return redact.text(value) if isinstance(value, str) else value


def _plain(value: Any, described: inspect.Type) -> Any:
    """Bytes travel as base64; their length is that of the bytes."""
    if isinstance(described, inspect.BytesType) and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return value
    return value
