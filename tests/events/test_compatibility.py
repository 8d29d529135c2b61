"""The checker is tried on schemas that were broken on purpose: a checker that never fails proves nothing."""

import copy
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.events.analysis_data import AnalysisRequest
from genescale.events.catalogue import CATALOGUE, EventType
from genescale.events.compatibility import breaking_changes, without_words
from genescale.events.schema import json_schema

OLD: dict[str, Any] = {
    "type": "object",
    "x-stability": "stable",
    "x-topics": ["a", "b"],
    "required": ["name", "status"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 10, "x-sensitive": True},
        "status": {"enum": ["good", "bad"]},
        "count": {"type": "number", "minimum": 0, "default": 1},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "raw": {"type": "string", "contentEncoding": "base64"},
        "either": {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
    },
    "$defs": {
        "Part": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "integer"}, "next": {"$ref": "#/$defs/Part"}},
        }
    },
}


def edited(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    edit(new)
    return new


def field(name: str, **keywords: Any) -> Callable[[dict[str, Any]], object]:
    return lambda schema: schema["properties"][name].update(keywords)


def part(name: str, **keywords: Any) -> Callable[[dict[str, Any]], object]:
    return lambda schema: schema["$defs"]["Part"]["properties"][name].update(keywords)


BREAKING: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "field removed": (lambda s: s["properties"].pop("count"), "data.count: removed or renamed"),
    "field renamed": (
        lambda s: s["properties"].update(title=s["properties"].pop("name")),
        "data.name: removed or renamed",
    ),
    "new required field": (
        lambda s: (s["properties"].update(extra={"type": "string"}), s["required"].append("extra")),
        "data.extra: new and required",
    ),
    "optional became required": (lambda s: s["required"].append("count"), "data.count: became required"),
    "type narrowed": (field("count", type="integer"), "data.count: type number is not accepted"),
    "type changed": (field("name", type="array"), "data.name: type string is not accepted"),
    "null refused": (lambda s: s["properties"].update(note={"type": "string"}), "data.note: null fits no alternative"),
    "alternative narrowed": (
        lambda s: s["properties"]["note"]["anyOf"][0].update(maxLength=4),
        "data.note: string fits no alternative any more (data.note: maxLength tightened from 5 to 4)",
    ),
    "enum value removed": (field("status", enum=["good"]), "data.status: the value 'bad' is not allowed any more"),
    "enum added": (field("name", enum=["x"]), "data.name: only ['x'] is allowed now"),
    "const instead of enum": (
        lambda s: s["properties"].update(status={"const": "good"}),
        "data.status: the value 'bad'",
    ),
    "minimum raised": (field("count", minimum=1), "data.count: minimum tightened from 0 to 1"),
    "maximum added": (field("count", maximum=9), "data.count: maximum tightened from none to 9"),
    "length shortened": (field("name", maxLength=9), "data.name: maxLength tightened from 10 to 9"),
    "min length raised": (field("name", minLength=2), "data.name: minLength tightened"),
    "pattern added": (field("name", pattern="^a"), "data.name: pattern was added or changed"),
    "format added": (field("name", format="uuid"), "data.name: format was added or changed"),
    "unknown keyword added": (field("name", wobble=1), "data.name: wobble was added"),
    "encoding taken away": (lambda s: s["properties"]["raw"].pop("contentEncoding"), "data.raw: contentEncoding"),
    "default changed": (field("count", default=2), "data.count: default changed from 1 to 2"),
    "no longer sensitive": (lambda s: s["properties"]["name"].pop("x-sensitive"), "data.name: no longer marked"),
    "inner type narrowed": (part("id", type="string"), "data.parts[].id: type integer is not accepted"),
    "inner field required": (lambda s: s["$defs"]["Part"]["required"].append("next"), "data.parts[].next: became"),
    "values of a map narrowed": (
        field("labels", additionalProperties={"type": "string", "maxLength": 3}),
        "data.labels.*: maxLength tightened",
    ),
    "map closed": (field("labels", additionalProperties=False), "data.labels.*: nothing is allowed here any more"),
    "object closed": (lambda s: s.update(additionalProperties=False), "data.*: nothing is allowed"),
    "list limited": (field("parts", maxItems=3), "data.parts: maxItems tightened"),
    "oneOf alternative dropped": (
        lambda s: s["properties"]["either"]["oneOf"].pop(),
        "data.either: the alternative {'required': ['y']} was dropped",
    ),
    "oneOf added": (lambda s: s.update(oneOf=[{"required": ["count"]}]), "data: oneOf is new"),
    "condition added": (lambda s: s.update(**{"if": {}, "then": {"required": ["count"]}}), "data: if was added"),
    "topic left": (lambda s: s["x-topics"].remove("b"), "x-topics: b is not allowed any more"),
    "check switched off": (lambda s: s.update({"x-stability": "draft"}), "x-stability: stable became draft"),
}

HARMLESS: dict[str, Callable[[dict[str, Any]], object]] = {
    "nothing": lambda s: None,
    "new optional field": lambda s: s["properties"].update(extra={"type": "string"}),
    "required became optional": lambda s: s["required"].remove("status"),
    "type widened": part("id", type="number"),
    "types widened": field("name", type=["string", "integer"]),
    "null allowed": lambda s: s["properties"].update(name={"anyOf": [OLD["properties"]["name"], {"type": "null"}]}),
    "enum value added": field("status", enum=["good", "bad", "ugly"]),
    "limit lifted": lambda s: s["properties"]["name"].pop("maxLength"),
    "limit widened": field("name", maxLength=20),
    "other words": field("count", description="how many", title="Count"),
    "default given": field("name", default="x"),
    "more sensitive": lambda s: s["properties"]["count"].update({"x-sensitive": True}),
    "another topic": lambda s: s["x-topics"].append("c"),
    "another alternative": lambda s: s["properties"]["either"]["oneOf"].append({"required": ["z"]}),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found_and_named(name: str) -> None:
    edit, says = BREAKING[name]
    found = breaking_changes(OLD, edited(edit))
    assert any(says in problem for problem in found), found
    assert len(found) == (2 if name == "condition added" else 1), found


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_change_passes(name: str) -> None:
    assert breaking_changes(OLD, edited(HARMLESS[name])) == []


@pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: entry.name)
def test_every_schema_agrees_with_itself(entry: EventType) -> None:
    schema = json_schema(entry)
    assert breaking_changes(schema, schema) == []


def test_words_do_not_count_but_a_field_called_description_does() -> None:
    entry = next(entry for entry in CATALOGUE if entry.data is AnalysisRequest)
    bare = without_words(json_schema(entry))
    assert "description" in bare["properties"]
    assert "description" not in bare["properties"]["species"]


# ---- against an oracle: what the checker lets pass must never refuse an old document ----

_scalars = st.sampled_from([None, True, 0, 1, 5, 2.5, "", "a", "abc", "abcdef"])
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
_leaves = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "null", ["string", "null"]])},
        optional={"minLength": st.integers(0, 3), "maxLength": st.integers(0, 5)},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number", "boolean"])},
        optional={"minimum": st.integers(0, 3), "maximum": st.integers(2, 5)},
    ),
    st.fixed_dictionaries({"enum": st.lists(_scalars, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"const": _scalars}),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"maxItems": st.integers(0, 3)}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)},
            optional={
                "required": st.lists(st.sampled_from("ab"), unique=True, max_size=2),
                "additionalProperties": st.booleans() | inner,
            },
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
    )


_schemas = st.recursive(_leaves, _nested, max_leaves=5)


def _closed(schema: Any) -> Any:
    """Unknown fields are ignored by readers, so a new optional field is harmless although it may refuse them."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("additionalProperties", True) is True:
        closed["additionalProperties"] = False
    return closed


def _accepts(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@given(_schemas, _schemas, _values)
def test_what_passes_still_reads_every_old_document(old: Any, new: Any, value: Any) -> None:
    if breaking_changes(old, new) == [] and _accepts(_closed(old), value) and not _one_of(old, new):
        assert _accepts(new, value)


@given(_schemas)
def test_a_schema_is_compatible_with_itself(schema: Any) -> None:
    assert breaking_changes(schema, schema) == []


def _one_of(old: Any, new: Any) -> bool:
    """A further alternative of a oneOf may overlap with another; which it may not is for its author to see."""
    return "oneOf" in repr(new) and old != new
