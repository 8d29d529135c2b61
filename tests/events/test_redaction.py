"""Whatever is not known to be harmless is hidden."""

import base64
import json
from typing import Any

import msgspec
import pytest

from genescale.events.catalogue import CATALOGUE, EventType, schema_uri
from genescale.events.envelope import Event
from genescale.events.redaction import shown, shown_data
from genescale.events.schema import example_event

SECRET = "GATTACAGATTACA"
REQUEST = "genetic.analysis.request"


def event(data: Any, type_name: str = REQUEST, **more: Any) -> Event:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Event(id="i", source="/s", type=type_name, data=raw, **more)


@pytest.mark.parametrize(
    "hidden",
    [
        event({"sequence": SECRET}),
        event({"variants": [SECRET]}),
        event({"sequence": "A", "free": {"deep": [SECRET]}}),
        event({"species": [SECRET]}),
        event({"generate": {"seed": 1, "index": 0, "size": 1, "note": SECRET}}),
        event({"generate": SECRET}),
        event([SECRET]),
        event(SECRET.encode()),
        event(b"\xff" + SECRET.encode()),
        event({"dna": SECRET}, "com.example.unknown"),
        event({"sequence": SECRET}, dataschema=schema_uri(REQUEST, 99)),
        event({"species": SECRET}, extensions={"sealed": "key-1"}),
        event({"status": "success", "annotations": [{"hgvs": SECRET}]}, "genetic.analysis.result"),
        event({"status": "success", "predictions": {"m": {"seq": SECRET}}}, "genetic.analysis.result"),
    ],
)
def test_it_stays_hidden(hidden: Event) -> None:
    assert SECRET not in json.dumps(shown(hidden))


def test_what_is_harmless_is_shown() -> None:
    data = {"sequence": SECRET, "species": "homo_sapiens", "assembly": None, "generate": {"size": 5}}
    found = shown_data(event(data))
    assert (found["species"], found["assembly"], found["generate"]) == ("homo_sapiens", None, {"size": 5})
    assert found["sequence"]["length"] == len(SECRET)
    assert (
        found["sequence"]["digest"] == shown_data(event({"variants": SECRET, "sequence": SECRET}))["sequence"]["digest"]
    )


@pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: entry.name)
def test_every_field_marked_sensitive_is_hidden(entry: EventType) -> None:
    made = example_event(entry)
    text = json.dumps(shown(made))
    for marked in _marked(json.loads(made.data or b""), msgspec.inspect.type_info(entry.data)):
        assert json.dumps(marked) not in text


def _marked(value: Any, described: Any) -> list[Any]:
    if isinstance(described, msgspec.inspect.Metadata):
        if (described.extra_json_schema or {}).get("x-sensitive"):
            return [value] if value not in (None, [], {}) else []
        return _marked(value, described.type)
    if isinstance(described, msgspec.inspect.UnionType):
        return [item for kind in described.types for item in _marked(value, kind)]
    if isinstance(described, msgspec.inspect.StructType) and isinstance(value, dict):
        fields = ((field.encode_name, field.type) for field in described.fields)
        return [item for name, kind in fields if name in value for item in _marked(value[name], kind)]
    return []


def test_the_original_of_a_dead_letter_is_measured_in_its_own_bytes() -> None:
    entry = next(entry for entry in CATALOGUE if entry.name == "genescale.events.record.deadlettered")
    found = shown_data(example_event(entry))
    assert found["record"]["value"]["length"] == len(entry.example.record.value)  # type: ignore[attr-defined]
    assert found["failure"]["error"] == "Crashed"


@pytest.mark.parametrize("raw", [b"no json", b"\xff\x00", b"[" * 100_000])
def test_data_that_are_no_json_can_still_be_revealed(raw: bytes) -> None:
    assert base64.b64decode(shown(event(raw), reveal=True)["data_base64"]) == raw
