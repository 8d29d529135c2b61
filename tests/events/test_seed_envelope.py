"""The original envelope becomes a CloudEvent by the table of the reference page, and back."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidEvent
from genescale.events.catalogue import CATALOGUE
from genescale.events.envelope import from_json, to_json, to_record
from genescale.events.seed_envelope import from_seed, is_seed_envelope, to_seed

REQUEST: dict[str, Any] = {
    "eventType": "genetic.analysis.request",
    "eventId": "evt-12345",
    "timestamp": "2024-01-15T10:30:00Z",
    "source": "websocket-service",
    "data": {"sequence": "ATCGATCGATCG", "sessionId": "ws-session-12345", "mode": "normal", "priority": 5},
}
RESULT: dict[str, Any] = {
    "eventType": "genetic.analysis.result",
    "eventId": "evt-67890",
    "timestamp": "2024-01-15T10:30:45Z",
    "source": "vep-service",
    "correlationId": "evt-12345",
    "data": {
        "sessionId": "ws-session-12345",
        "vepAnnotations": [{"gene": "BRCA2"}],
        "mlPredictions": {"risk": 0.5},
        "status": "success",
        "processingTime": 2500,
    },
}


def read(document: Any) -> Any:
    return from_seed(json.dumps(document).encode())


def changed(document: dict[str, Any], data: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    made = {**document, **top}
    if data is not None:
        made["data"] = {**document["data"], **data}
    return {name: value for name, value in made.items() if value is not ...}


def test_a_request_goes_where_the_table_says() -> None:
    event = read(REQUEST)
    assert (event.id, event.source, event.type) == ("evt-12345", "websocket-service", "genetic.analysis.request")
    assert event.time == "2024-01-15T10:30:00Z"
    assert event.dataschema == "urn:genescale:schema:genetic.analysis.request:1"
    assert event.data_object() == {"sequence": "ATCGATCGATCG"}
    assert event.subject == event.key == event.extensions["partitionkey"]
    assert uuid.UUID(event.subject).version == 5
    assert {name: event.extensions[name] for name in ("sessionid", "mode", "priority", "revision")} == {
        "sessionid": "ws-session-12345",
        "mode": "normal",
        "priority": 5,
        "revision": 1,
    }


def test_a_result_goes_where_the_table_says_and_meets_its_request() -> None:
    event = read(RESULT)
    assert event.extensions["correlationid"] == "evt-12345"
    assert event.subject == read(REQUEST).subject
    assert event.data_object() == {
        "annotations": [{"gene": "BRCA2"}],
        "predictions": {"risk": 0.5},
        "status": "success",
        "measured": {"processing_ms": 2500},
    }
    record = to_record(event, "genetic-data-annotated")
    assert record.key == event.subject.encode()
    assert dict(record.headers)["ce_correlationid"] == b"evt-12345"


def test_equal_ids_of_two_sessions_are_two_analyses() -> None:
    assert read(REQUEST).subject != read(changed(REQUEST, {"sessionId": "another"})).subject


def test_an_error_becomes_a_failure_with_a_reason() -> None:
    data = read(changed(RESULT, {"status": "error"})).data_object()
    assert data["status"] == "failed"
    assert data["errors"] == [{"code": "UNSPECIFIED", "message": "the sender gave no reason"}]


@pytest.mark.parametrize(
    ("alias", "mode"), [("bigdata", "big-data"), ("nodescale", "node-scale"), ("kafka-lag", "kafka-lag")]
)
def test_old_names_of_modes(alias: str, mode: str) -> None:
    assert read(changed(REQUEST, {"mode": alias})).extensions["mode"] == mode


def test_unknown_keys_are_kept_in_data() -> None:
    event = read(changed(REQUEST, {"resourceProfile": "large"}, tenant={"a": 1}))
    assert event.data_object() == {"sequence": "ATCGATCGATCG", "resourceProfile": "large", "tenant": {"a": 1}}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (changed(REQUEST, timestamp="2024-01-15T10:30:00"), r"timestamp: .*has no zone; write Z for UTC"),
        (changed(REQUEST, timestamp="yesterday"), "timestamp: .*is not RFC 3339"),
        (changed(REQUEST, timestamp=...), "timestamp is missing"),
        (changed(REQUEST, eventId=""), "eventId must be text that is not empty"),
        (changed(REQUEST, eventId=5), "eventId must be text"),
        (changed(REQUEST, source=None), "source is missing"),
        (changed(REQUEST, eventType="genetic.other"), "eventType 'genetic.other' is not known"),
        (changed(REQUEST, data=None) | {"data": []}, "data must be an object"),
        (changed(REQUEST, {"mode": "turbo"}), "data.mode must be one of normal"),
        (changed(REQUEST, {"mode": ["normal"]}), "data.mode must be one of normal"),
        (changed(REQUEST, {"priority": 11}), "data.priority"),
        (changed(REQUEST, {"priority": True}), "data.priority"),
        (changed(REQUEST, {"priority": "5"}), "data.priority"),
        (changed(REQUEST, {"sessionId": 7}), "data.sessionId"),
        (changed(REQUEST, {"sequence": "XYZ"}), "data.sequence: the letter at place 1"),
        (changed(REQUEST, sequence="A"), "'sequence' stands beside data and in it"),
        (changed(RESULT, correlationId=...), "correlationId is missing"),
        (changed(RESULT, {"annotations": []}), "data.vepAnnotations and data.annotations mean the same"),
        (changed(RESULT, {"processingTime": "long"}), r"data\.measured\.processing_ms: expected `float"),
        (changed(RESULT, {"status": "unsure"}), "data.status"),
        ({"specversion": "1.0"}, "eventType is missing"),
        ([], "eventType is missing"),
    ],
)
def test_what_does_not_fit_the_table_is_refused_by_name(document: Any, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        read(document)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b'{"eventType":1,"eventType":2}', b'{"eventType":NaN,"data":{}}'],
)
def test_broken_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidEvent):
        from_seed(raw)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_end_in_an_event_or_a_clear_refusal(raw: bytes) -> None:
    with pytest.raises(InvalidEvent):
        from_seed(raw)


_names = st.text(alphabet="abcXYZ019-_", min_size=1, max_size=12)
_times = st.sampled_from(["2024-01-15T10:30:00Z", "2024-01-15T10:30:00.123+02:00"])
_requests = st.fixed_dictionaries(
    {
        "eventType": st.just("genetic.analysis.request"),
        "eventId": _names | st.uuids().map(str),
        "timestamp": _times,
        "source": _names,
        "data": st.fixed_dictionaries(
            {"sequence": st.text(alphabet="ACGTN", min_size=1, max_size=20)},
            optional={
                "sessionId": _names,
                "mode": st.sampled_from(["normal", "big-data", "node-scale", "kafka-lag"]),
                "priority": st.integers(1, 10),
                "size": st.integers(0, 9),
                "resourceProfile": _names,
            },
        ),
    },
    optional={"correlationId": _names},
)
_results = st.fixed_dictionaries(
    {
        "eventType": st.just("genetic.analysis.result"),
        "eventId": _names,
        "timestamp": _times,
        "source": _names,
        "correlationId": _names,
        "data": st.fixed_dictionaries(
            {"status": st.sampled_from(["success", "cancelled"])},
            optional={
                "sessionId": _names,
                "vepAnnotations": st.lists(st.dictionaries(_names, st.integers(), max_size=2), max_size=2),
                "mlPredictions": st.dictionaries(_names, st.integers(), max_size=2),
                "processingTime": st.integers(0, 9999),
                "tool": _names,
            },
        ),
    }
)


@given(_requests | _results)
def test_there_and_back_keeps_everything(document: dict[str, Any]) -> None:
    event = read(document)
    assert CATALOGUE.validate(event) is not None
    assert from_json(to_json(event)) == event
    assert to_seed(event) == document


def test_back_names_a_failure_the_old_way() -> None:
    assert to_seed(read(changed(RESULT, {"status": "error"})))["data"]["status"] == "error"
    assert is_seed_envelope(to_seed(read(REQUEST)))
