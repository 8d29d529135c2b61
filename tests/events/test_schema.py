"""The published schemas and the golden corpus agree with the catalogue, and with what JSON Schema and AsyncAPI say."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidEvent
from genescale.events import schema_files
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult
from genescale.events.catalogue import CATALOGUE, Catalogue, EventType, new_event
from genescale.events.schema import EXTENSIONS, asyncapi, json_schema
from support.shared_data import shared_data

ROOT = Path(__file__).parents[2]
ENTRIES = pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: entry.name)


def test_what_is_committed_is_what_the_catalogue_says_and_nothing_breaks() -> None:
    assert schema_files.check(ROOT) == []


def test_every_attribute_of_ours_is_on_the_reference_page() -> None:
    page = (ROOT / schema_files.PAGE).read_text(encoding="utf-8")
    assert [name for name in EXTENSIONS if f"`{name}`" not in page] == []


def test_golden_corpus_loads() -> None:
    seen = set()
    for golden in schema_files.corpus(ROOT):
        seen.add((golden.type_name, golden.major))
    assert seen == {(entry.name, entry.major) for entry in CATALOGUE}


@ENTRIES
def test_schemas_are_valid_and_accept_their_example(entry: EventType) -> None:
    schema = json_schema(entry)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(msgspec.json.encode(entry.example)), schema)


_text = st.text(alphabet="ACGTNacgtn", min_size=0, max_size=5) | st.sampled_from(["", "AXG", "5"])
_requests = st.fixed_dictionaries(
    {},
    optional={
        "sequence": st.none() | _text,
        "variants": st.none() | st.lists(_text, max_size=2),
        "generate": st.none()
        | st.fixed_dictionaries({"seed": st.just(1), "index": st.just(0), "size": st.integers(0, 2)}),
        "species": _text | st.integers(0, 1),
        "more": st.integers(),
    },
)
_results = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "partial", "failed", "cancelled", "other"]),
        "errors": st.lists(
            st.fixed_dictionaries({"code": st.sampled_from(["A_B", "a"]), "message": st.just("m")}), max_size=1
        ),
        "measured": st.fixed_dictionaries({}, optional={"cpu_s": st.sampled_from([None, 0, -1, 0.5, "1"])}),
        "annotations": st.lists(st.just({"gene": "BRCA2"}) | st.just(1), max_size=1),
        "versions": st.dictionaries(st.just("pipeline"), st.just("1") | st.just(1), max_size=1),
    },
)


def _agree(data_type: type[msgspec.Struct], data: Any) -> None:
    entry = next(entry for entry in CATALOGUE if entry.data is data_type)
    made = new_event(entry.example, id="i", source="/s", time="2026-11-21T10:00:00Z")
    made = msgspec.structs.replace(made, data=json.dumps(data).encode())
    try:
        CATALOGUE.validate(made)
        ours = True
    except InvalidEvent:
        ours = False
    assert ours == jsonschema.Draft202012Validator(json_schema(entry)).is_valid(data)


@given(_requests)
def test_the_schema_of_a_request_says_what_validate_does(data: Any) -> None:
    _agree(AnalysisRequest, data)


@given(_results)
def test_the_schema_of_a_result_says_what_validate_does(data: Any) -> None:
    _agree(AnalysisResult, data)


def test_asyncapi_is_valid_and_every_reference_leads_somewhere() -> None:
    document = asyncapi("0.0.0")
    for reference in _references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    schema = json.loads(shared_data("specs/asyncapi/schemas/3.0.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**document, "info": {}})


def test_asyncapi_messages_carry_an_example_that_their_payload_accepts() -> None:
    document = asyncapi("0.0.0")
    components = document["components"]
    for message in components["messages"].values():
        for part, value in (("payload", "payload"), ("headers", "headers")):
            jsonschema.validate(message["examples"][0][value], {**message[part], "components": components})


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


# ---- the files, with a type of our own in a folder of our own ----


class Weight(msgspec.Struct):
    grams: int


class WeightWithUnit(msgspec.Struct):
    grams: int
    note: str = ""


class WeightAsText(msgspec.Struct):
    grams: str


def _catalogue(data: type[msgspec.Struct], example: msgspec.Struct, **more: Any) -> Catalogue:
    return Catalogue(
        [
            EventType(
                name="test.weight", major=1, summary="S.", data=data, topics=("t",), key="k", example=example, **more
            )
        ]
    )


FIRST = _catalogue(Weight, Weight(1))
WIDER = _catalogue(WeightWithUnit, WeightWithUnit(1, "n"))
BROKEN = _catalogue(WeightAsText, WeightAsText("1"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    page = tmp_path / schema_files.PAGE
    page.parent.mkdir(parents=True)
    page.write_text("\n".join(["before", *schema_files.MARKS, "after"]), encoding="utf-8")
    schema_files.write(tmp_path, FIRST)
    return tmp_path


def test_writing_twice_changes_nothing(checkout: Path) -> None:
    assert schema_files.check(checkout, FIRST) == []
    assert schema_files.write(checkout, FIRST) == []


def test_a_compatible_change_joins_the_corpus_and_the_old_form_stays(checkout: Path) -> None:
    assert any("not in the corpus" in problem for problem in schema_files.check(checkout, WIDER))
    written = schema_files.write(checkout, WIDER)
    assert "tests/events/golden/test.weight.v1/2/schema.json" in written
    assert not any("/1/" in name for name in written)
    assert schema_files.check(checkout, WIDER) == []


def test_a_breaking_change_is_refused_even_in_two_harmless_steps(checkout: Path) -> None:
    schema_files.write(checkout, WIDER)
    assert schema_files.check(checkout, FIRST) != []  # back to the first form: the note would be lost
    for problem in (BROKEN, FIRST):
        with pytest.raises(InvalidEvent, match="a breaking change needs a new major version"):
            schema_files.write(checkout, problem)


def test_a_type_may_not_leave_the_catalogue(checkout: Path) -> None:
    problems = schema_files.check(checkout, Catalogue(()))
    assert any("left the catalogue" in problem for problem in problems)
    assert any("delete it" in problem for problem in problems)


def test_a_draft_may_break_and_a_stable_type_may_not_become_one(tmp_path: Path, checkout: Path) -> None:
    folder = tmp_path / "other"
    schema_files.write(folder, _catalogue(Weight, Weight(1), stability="draft"))
    schema_files.write(folder, BROKEN)
    problems = schema_files.check(checkout, _catalogue(Weight, Weight(1), stability="draft"))
    assert any("stable became draft" in problem for problem in problems)


def _two_majors(upcast: Callable[[dict[str, Any]], dict[str, Any]]) -> Catalogue:
    (first,) = FIRST
    second = msgspec.structs.replace(first, major=2, data=WeightAsText, example=WeightAsText("2"), upcast=None)
    return Catalogue([msgspec.structs.replace(first, upcast=upcast), second])


def test_a_new_major_keeps_the_old_forms_and_reads_them_through_its_upcast(checkout: Path) -> None:
    good = _two_majors(lambda data: {**data, "grams": str(data["grams"])})
    assert "tests/events/golden/test.weight.v2/1/schema.json" in schema_files.write(checkout, good)
    assert schema_files.check(checkout, good) == []
    bad = _two_majors(lambda data: data)
    (problem,) = schema_files.check(checkout, bad)
    assert problem.startswith("tests/events/golden/test.weight.v1/1: ")
    assert "data.grams: expected `str`, got `int`" in problem


def test_a_golden_event_that_no_longer_loads_is_named(checkout: Path) -> None:
    place = checkout / "tests/events/golden/test.weight.v1/1/event.json"
    place.write_text(place.read_text(encoding="utf-8").replace('{"grams":1}', '{"grams":"1"}'), encoding="utf-8")
    (problem,) = schema_files.check(checkout, FIRST)
    assert "data.grams: expected `int`, got `str`" in problem
    assert "test.weight.v1/1" in problem


def test_the_two_written_forms_must_be_one_event(checkout: Path) -> None:
    place = checkout / "tests/events/golden/test.weight.v1/1/event.json"
    place.write_text(place.read_text(encoding="utf-8").replace('{"grams":1}', '{"grams":2}'), encoding="utf-8")
    (problem,) = schema_files.check(checkout, FIRST)
    assert "are not the same event" in problem


def test_a_hand_edited_or_missing_file_is_seen(checkout: Path) -> None:
    shutil.rmtree(checkout / schema_files.PUBLISHED)
    (checkout / schema_files.PAGE).write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="has lost its marks"):
        schema_files.check(checkout, FIRST)
