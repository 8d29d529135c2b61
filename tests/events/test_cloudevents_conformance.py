"""The official CloudEvents SDK as an oracle: both written forms, in both directions.

The SDK is too slow for the hot path and serves here only. Where it departs from the specification (a boolean written as
`True`) the specification rules, and the test says so.
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidEvent
from genescale.events.envelope import INTEGER_EXTENSIONS, Event, from_json, from_record, to_json, to_record
from genescale.events.log import Record

FORMAT = JSONFormat()
ATTRIBUTES = ("id", "source", "type", "subject", "dataschema", "datacontenttype")

# Printable text: control characters are not allowed in attributes (CloudEvents, section "Type System").
_text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1, max_size=12)
_uri = st.from_regex(r"(urn:[a-z]{2,5}:)?/?[a-z0-9/._-]{1,12}", fullmatch=True)
_names = st.from_regex(r"x[a-z0-9]{1,8}", fullmatch=True)
_zones = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5, minutes=-30))])
_times = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=_zones)  # noqa: DTZ001
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=5,
)
_objects = st.dictionaries(_text, _json, min_size=1, max_size=3)
_payloads = st.one_of(
    st.tuples(
        st.sampled_from(
            [None, "application/json", "application/json; charset=utf-8", "text/json", "application/x+json"]
        ),
        _objects,
    ),
    st.tuples(st.just("text/plain"), st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)),
    st.tuples(st.just("application/octet-stream"), st.binary(min_size=1, max_size=12)),
    st.tuples(st.none(), st.none()),
)
_extensions = st.dictionaries(_names, _text | st.integers(-(2**31), 2**31 - 1) | st.booleans(), max_size=3)
_numbers = st.dictionaries(st.sampled_from(sorted(INTEGER_EXTENSIONS)), st.integers(-(2**31), 2**31 - 1), max_size=2)
_keys = st.dictionaries(st.just("partitionkey"), _text, max_size=1)


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """Attributes as the SDK wants them, and the payload as a Python value."""
    content_type, payload = draw(_payloads)
    attributes: dict[str, Any] = {"specversion": "1.0", "id": draw(_text), "source": draw(_uri), "type": draw(_uri)}
    attributes["time"] = draw(_times)  # the SDK adds the present where there is none
    optional = {
        "subject": draw(st.none() | _text),
        "dataschema": draw(st.none() | _uri),
        "datacontenttype": content_type,
    }
    attributes |= {name: value for name, value in optional.items() if value is not None}
    return {**attributes, **draw(_extensions), **draw(_numbers), **draw(_keys)}, payload


def ours(attributes: dict[str, Any], payload: Any) -> Event:
    known = {name: attributes.get(name) for name in ATTRIBUTES}
    rest = {name: v for name, v in attributes.items() if name not in (*ATTRIBUTES, "specversion", "time")}
    return Event(**known, time=attributes["time"].isoformat(), extensions=rest, data=_bytes(payload))


def _bytes(payload: Any) -> bytes | None:
    if payload is None or isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def check_sdk(event: Any, attributes: dict[str, Any], payload: Any, *, text: bool) -> None:
    """The SDK read from our bytes what we wrote. `text`: in record headers every extension is text."""
    wanted = {name: _header(value) if text else value for name, value in attributes.items()}
    assert {name: event.get_attributes()[name] for name in wanted} == wanted
    assert not event.get_attributes().keys() - wanted.keys() - {"partitionkey"}
    data = event.get_data()
    assert (data.encode() if isinstance(data, str) and isinstance(payload, bytes) else data) == (
        payload.encode() if isinstance(payload, str) and isinstance(data, bytes) else payload
    )


def check_ours(event: Event, attributes: dict[str, Any], payload: Any, *, text: bool) -> None:
    """We read from the SDK's bytes what it wrote."""
    assert {name: getattr(event, name) for name in ATTRIBUTES} == {name: attributes.get(name) for name in ATTRIBUTES}
    assert event.time is not None
    assert datetime.fromisoformat(event.time) == attributes["time"]
    rest = {name: v for name, v in attributes.items() if name not in (*ATTRIBUTES, "specversion", "time")}
    if text:
        rest = {name: v if name in INTEGER_EXTENSIONS else str(v) for name, v in rest.items()}
    assert event.extensions == rest
    if isinstance(payload, dict):
        assert event.data_object() == payload
    else:
        assert (event.data or None) == _bytes(payload)  # the SDK writes no payload as an empty one


def _header(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


def record_of(headers: dict[str, bytes], key: Any, value: bytes | None) -> Record:
    raw = key.encode() if isinstance(key, str) else key
    return Record("t", 0, 0, 0, raw, value, tuple(headers.items()))


@given(documents())
def test_the_sdk_reads_our_json(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    check_sdk(FORMAT.read(None, to_json(ours(attributes, payload))), attributes, payload, text=False)


@given(documents())
def test_we_read_the_json_of_the_sdk(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    check_ours(from_json(FORMAT.write(CloudEvent(dict(attributes), payload))), attributes, payload, text=False)


@given(documents())
def test_the_sdk_reads_our_records(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    made = to_record(ours(attributes, payload), "t")
    message = kafka.KafkaMessage(headers=dict(made.headers), key=made.key, value=made.value or b"")
    event = kafka.from_kafka(message, FORMAT)
    check_sdk(event, attributes, payload, text=True)
    key = attributes.get("partitionkey", attributes.get("subject"))
    assert event.get_extension("partitionkey") == key


@given(documents())
def test_we_read_the_records_of_the_sdk(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    message = kafka.to_binary(CloudEvent(dict(attributes), payload), FORMAT)
    check_ours(from_record(record_of(message.headers, message.key, message.value)), attributes, payload, text=True)


@given(documents())
def test_we_read_the_structured_records_of_the_sdk(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    message = kafka.to_structured(CloudEvent(dict(attributes), payload), FORMAT)
    check_ours(from_record(record_of(message.headers, message.key, message.value)), attributes, payload, text=False)


@given(documents())
def test_our_own_two_forms_lose_nothing(document: tuple[dict[str, Any], Any]) -> None:
    attributes, payload = document
    event = ours(attributes, payload)
    read = from_json(to_json(event))
    if isinstance(payload, dict):
        assert read.data_object() == event.data_object()
    else:
        assert read.data == event.data
    assert {**_fields(read), "data": None} == {**_fields(event), "data": None}
    made = to_record(event, "t")
    again = from_record(record_of(dict(made.headers), made.key, made.value))
    texts = {name: v if name in INTEGER_EXTENSIONS else _header(v) for name, v in event.extensions.items()}
    assert _fields(again) == {**_fields(event), "extensions": texts}


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in (*ATTRIBUTES, "time", "extensions", "data")}


@given(st.binary(max_size=80) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_end_in_an_event_or_a_clear_refusal(raw: bytes) -> None:
    for refuse in (False, True):
        with pytest.raises(InvalidEvent):
            from_json(raw, refuse_duplicate_keys=refuse)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_priority", "ce_X", "content-type"]),
            st.sampled_from([b"1.0", b"5", b"", b"\xff", b"x", b"application/cloudevents+json"]),
        ),
        max_size=7,
    ),
    st.none() | st.binary(max_size=10),
)
def test_any_headers_end_in_an_event_or_a_refusal_with_the_place(
    headers: list[tuple[str, bytes]], value: bytes | None
) -> None:
    try:
        from_record(Record("lane", 3, 77, 0, None, value, tuple(headers)))
    except InvalidEvent as error:
        assert str(error).startswith("lane/3/77: ")  # noqa: PT017 - both outcomes are fine, the third is not
