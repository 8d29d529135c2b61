"""The catalogue: what it refuses, how it names the field, and how old versions are read."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidEvent
from genescale.events.analysis_data import NUCLEOTIDES, AnalysisRequest, AnalysisResult, Measured
from genescale.events.catalogue import CATALOGUE, Catalogue, EventType, new_event, schema_uri
from genescale.events.envelope import Event, from_json, to_json
from genescale.events.loop_data import BatchStarted
from genescale.events.topics import RESULTS, TOPICS

REQUEST = "genetic.analysis.request"
RESULT = "genetic.analysis.result"


def event(type_name: str, data: object, **attributes: Any) -> Event:
    attributes.setdefault("dataschema", schema_uri(type_name, 1))
    raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
    return Event(id="e1", source="/test", type=type_name, data=raw, **attributes)


@pytest.mark.parametrize(
    ("type_name", "data", "says"),
    [
        (REQUEST, {}, "exactly one of sequence, variants, generate and input must be given, not 0"),
        (REQUEST, {"sequence": "A", "variants": ["rs1"]}, "not 2"),
        (REQUEST, {"sequence": ""}, "data.sequence: expected `str` of length >= 1"),
        (REQUEST, {"sequence": "A" * 1_000_001}, "data.sequence: expected `str` of length <= 1000000"),
        (REQUEST, {"sequence": "ACGTXACGT"}, "data.sequence: the letter at place 5 of 9"),
        (REQUEST, {"sequence": "AC-GT"}, "place 3 of 5"),
        (REQUEST, {"sequence": "ACÀGT"}, "place 3 of 5"),
        (REQUEST, {"sequence": 5}, "data.sequence: expected `str | null`, got `int`"),
        (REQUEST, {"variants": ["rs1", ""]}, "data.variants[1]: expected `str` of length >= 1"),
        (REQUEST, {"generate": {"seed": 1, "index": 0, "size": 0}}, "data.generate.size: expected `int` >= 1"),
        (REQUEST, b"{", "data is not JSON"),
        (REQUEST, b'"\xff"', "data"),
        (REQUEST, b"[" * 5000 + b"]" * 5000, "data"),
        (REQUEST, b'{"species":' + b"[" * 5000 + b"]" * 5000 + b"}", "data"),
        (RESULT, {}, "object missing required field `status`"),
        (RESULT, {"status": "perfect"}, "data.status: not one of the allowed values"),
        (RESULT, {"status": "failed"}, "data.errors: a result with status 'failed' must carry at least one error"),
        (RESULT, {"status": "success", "measured": {"cpu_s": -1}}, "data.measured.cpu_s: expected `float` >= 0"),
        (RESULT, {"status": "failed", "errors": [{"code": "no", "message": "x"}]}, "data.errors[0].code"),
    ],
)
def test_bad_data_is_refused_by_the_path_of_its_field(type_name: str, data: object, says: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        CATALOGUE.validate(event(type_name, data))
    assert says in str(caught.value)
    assert "e1" in str(caught.value)


@given(st.text(min_size=1, max_size=40))
def test_a_sequence_is_never_quoted_in_the_refusal(text: str) -> None:
    secret = "GATTACA" + text
    good = set(secret) <= set(NUCLEOTIDES + NUCLEOTIDES.lower())
    sent = event(REQUEST, {"sequence": secret})
    if good:
        CATALOGUE.validate(sent)
        return
    with pytest.raises(InvalidEvent) as caught:
        CATALOGUE.validate(sent)
    assert "GATTACA" not in str(caught.value)


def test_unknown_types_pass_only_where_the_caller_lets_them() -> None:
    stranger = event("com.example.thing", {}, dataschema=None)
    assert CATALOGUE.validate(stranger, allow_unknown=True) is None
    with pytest.raises(InvalidEvent, match=r"'com.example.thing' is not in the catalogue"):
        CATALOGUE.validate(stranger)


def test_an_unknown_major_of_a_known_type_never_passes() -> None:
    newer = event(REQUEST, {"sequence": "A"}, dataschema=schema_uri(REQUEST, 2))
    with pytest.raises(InvalidEvent, match=r"no known version.*request:1'.*upgrade"):
        CATALOGUE.validate(newer, allow_unknown=True)


def test_an_event_without_dataschema_is_the_first_major() -> None:
    assert CATALOGUE.validate(event(REQUEST, {"sequence": "A"}, dataschema=None)) == AnalysisRequest(sequence="A")


def test_a_type_stands_only_on_its_topics() -> None:
    result = event(RESULT, {"status": "success"})
    CATALOGUE.validate(result, topic=RESULTS)
    with pytest.raises(InvalidEvent, match="must not stand on genetic-data-raw, only on genetic-data-annotated"):
        CATALOGUE.validate(result, topic="genetic-data-raw")


def test_data_of_another_content_type_and_missing_data_are_refused() -> None:
    with pytest.raises(InvalidEvent, match="is JSON, not 'text/plain'"):
        CATALOGUE.validate(event(REQUEST, b"x", datacontenttype="text/plain"))
    with pytest.raises(InvalidEvent, match="needs data"):
        CATALOGUE.validate(Event(id="e1", source="/test", type=REQUEST))


def test_a_sealed_payload_is_left_to_whoever_opens_it() -> None:
    sealed = event(RESULT, b"\x00\x01", datacontenttype="application/octet-stream", extensions={"sealed": "key-7"})
    assert CATALOGUE.validate(sealed) is None
    assert CATALOGUE.upcast(sealed) is sealed
    with pytest.raises(InvalidEvent, match="holds sealed data, not AnalysisResult"):
        CATALOGUE.read(sealed, AnalysisResult)


def test_unknown_fields_are_ignored_and_kept() -> None:
    raw = event(REQUEST, {"sequence": "ACGT", "resourceProfile": "large"})
    assert CATALOGUE.validate(raw) == AnalysisRequest(sequence="ACGT")
    assert b"resourceProfile" in (CATALOGUE.upcast(raw).data or b"")


def test_new_event_names_its_schema_and_leaves_out_defaults() -> None:
    made = new_event(AnalysisRequest(sequence="ACGT"), id="i", source="/s", time="2026-11-21T10:00:00Z", subject="a")
    assert (made.type, made.dataschema, made.data) == (REQUEST, schema_uri(REQUEST, 1), b'{"sequence":"ACGT"}')
    assert CATALOGUE.read(from_json(to_json(made)), AnalysisRequest) == AnalysisRequest(sequence="ACGT")
    with pytest.raises(InvalidEvent, match="holds AnalysisRequest, not AnalysisResult"):
        CATALOGUE.read(made, AnalysisResult)


def test_the_first_offset_of_a_batch_is_called_from() -> None:
    data = BatchStarted(group="g", topic="t", partition=0, start=5, upto=9)
    assert msgspec.json.decode(msgspec.json.encode(data))["from"] == 5


@pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: f"{entry.name}.v{entry.major}")
def test_every_entry_is_complete(entry: EventType) -> None:
    assert set(entry.topics) <= {topic.name for topic in TOPICS}
    assert entry.topics
    assert entry.summary.endswith(".")
    assert not any(character.isupper() or character.isdigit() for character in entry.name)
    assert isinstance(entry.example, entry.data)
    made = new_event(entry.example, id="i", source="/s", time="2026-11-21T10:00:00Z")
    assert CATALOGUE.validate(made, topic=entry.topics[0]) == entry.example


# ---- an artificial type with three majors ----


class CountOne(msgspec.Struct):
    amount: int


class CountTwo(msgspec.Struct):
    amount_total: int


class CountThree(msgspec.Struct):
    amount_total: int
    unit: str


def _entry(major: int, data: type[msgspec.Struct], example: msgspec.Struct, upcast: Any = None) -> EventType:
    return EventType(
        name="test.count", major=major, summary="S.", data=data, topics=("t",), key="k", example=example, upcast=upcast
    )


def _rename(data: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in data.items() if name != "amount"}, "amount_total": data["amount"]}


ONE = _entry(1, CountOne, CountOne(1), _rename)
TWO = _entry(2, CountTwo, CountTwo(1), lambda data: {**data, "unit": "pieces"})
THREE = _entry(3, CountThree, CountThree(1, "x"))


def test_old_majors_are_brought_to_the_newest_step_by_step() -> None:
    catalogue = Catalogue((ONE, TWO, THREE))
    old = event("test.count", {"amount": 3, "extra": True}, dataschema=None, extensions={"mode": "normal"})
    new = catalogue.upcast(old)
    assert new.data_object() == {"amount_total": 3, "unit": "pieces", "extra": True}
    assert new.dataschema == schema_uri("test.count", 3)
    assert (new.id, new.extensions) == (old.id, old.extensions)
    assert catalogue.upcast(new) is new
    assert catalogue.read(old, CountThree) == CountThree(3, "pieces")
    assert catalogue.latest("test.count").major == 3


def test_an_old_event_is_checked_by_its_own_schema_before_it_is_upcast() -> None:
    with pytest.raises(InvalidEvent, match=r"data\.amount: expected `int`"):
        Catalogue((ONE, TWO, THREE)).upcast(event("test.count", {"amount": "three"}))


def test_a_catalogue_with_a_gap_or_without_upcast_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="without a gap"):
        Catalogue((ONE, THREE))
    with pytest.raises(ValueError, match="needs an upcast"):
        Catalogue((_entry(1, CountOne, CountOne(1)), _entry(2, CountTwo, CountTwo(1))))
    with pytest.raises(ValueError, match="stands twice"):
        Catalogue((ONE, ONE))


def test_measured_may_say_that_nothing_was_measured() -> None:
    assert AnalysisResult(status="cancelled", measured=Measured(attempt=0)).measured.cpu_s is None
