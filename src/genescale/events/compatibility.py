"""Does a changed schema still read everything that was written under the old one?

`breaking_changes(old, new)` compares two JSON Schemas of one type and major and lists, in words, what would break. It
is called for every schema that was ever committed (backward, transitive), so that a field cannot be dropped in two
harmless-looking steps. The rule on doubt is to refuse: a keyword that this module does not know must not change.

Removing a field counts as breaking even when it was optional: readers ignore unknown fields, so the data in old events
would vanish without a word; a rename looks just like that. The way out of every finding is a new major version with an
upcast, see `docs/how-to/add-an-event-type.md`.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

# Larger is narrower, and smaller is narrower.
_LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_WORDS_ONLY = frozenset({"title", "description", "examples", "$comment", "$schema", "$id", "$defs", "deprecated"})
_COMPARED = frozenset(
    {
        *_LOWER_LIMITS,
        *_UPPER_LIMITS,
        *_WORDS_ONLY,
        "$ref",
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "default",
        "x-sensitive",
        "x-stability",
        "x-topics",
        "x-key",
    }
)
_BESIDE_ANY_OF = _WORDS_ONLY | {"anyOf", "default", "x-sensitive", "x-stability", "x-topics", "x-key"}
_ALL_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """What the new schema would refuse, lose or read differently; [] when every old event is read as before."""
    left = sorted(set(old.get("x-topics", [])) - set(new.get("x-topics", old.get("x-topics", []))))
    found = [f"x-topics: {topic} is not allowed any more, and old events stand there" for topic in left]
    if old.get("x-stability", "stable") == "stable" and new.get("x-stability") == "draft":
        found.append("x-stability: stable became draft, which would switch this check off")
    return found + _Comparison(old, new).compare(old, new, "data")


def without_words(schema: Any) -> Any:
    """A schema less its descriptions: two that are equal here mean the same to a program."""
    if isinstance(schema, Mapping):
        return {  # pyright: ignore[reportUnknownVariableType]
            name: without_words(value)
            for name, value in schema.items()  # pyright: ignore[reportUnknownVariableType]
            if not (name in ("title", "description", "examples", "$comment") and not isinstance(value, Mapping))
        }
    if isinstance(schema, list):
        return [without_words(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    return schema


class _Comparison:
    """Two documents, whose `$ref`s are followed, each pair once."""

    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._open: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> list[str]:
        references = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if all(references):
            if references in self._open:
                return []  # a type that contains itself
            self._open.add(references)
        old, new = _follow(old, self._old_root), _follow(new, self._new_root)
        found = self._branches(old, new, path)
        self._open.discard(references)
        return found

    def _branches(self, old: Schema, new: Schema, path: str) -> list[str]:
        """Every shape that the old schema let in must fit one shape of the new one."""
        outer = _annotations(old, new, path)
        if "anyOf" not in old and "anyOf" not in new:
            return outer + self._one(old, new, path)
        if "anyOf" in new:
            outer += _unjudged(old, new, path, judged=_BESIDE_ANY_OF)
        for branch in old.get("anyOf", [old]):
            tries = [self.compare(branch, other, path) for other in new.get("anyOf", [new])]
            if all(tries):
                shape = _shape_name(_follow(branch, self._old_root))
                likely = min(tries, key=len)
                outer.append(f"{path}: {shape} fits no alternative any more ({'; '.join(likely)})")
        return outer

    def _one(self, old: Schema, new: Schema, path: str) -> list[str]:
        found = _types(old, new, path) + _values(old, new, path) + _limits(old, new, path) + _unjudged(old, new, path)
        if "properties" in old or "properties" in new or "required" in new:
            found += self._properties(old, new, path)
        found += self._rest(old, new, "additionalProperties", f"{path}.*")
        found += self._rest(old, new, "items", f"{path}[]")
        return found + _alternatives(old, new, path)

    def _properties(self, old: Schema, new: Schema, path: str) -> list[str]:
        found: list[str] = []
        old_fields: dict[str, Schema] = old.get("properties", {})
        new_fields: dict[str, Schema] = new.get("properties", {})
        for name, field in old_fields.items():
            if name in new_fields:
                found += self.compare(field, new_fields[name], f"{path}.{name}")
            else:
                found.append(f"{path}.{name}: removed or renamed; what old events say there would be lost")
        rest = old.get("additionalProperties")
        if isinstance(rest, Mapping):  # a map gets a field of its own: what stood under that name must still fit
            for name in new_fields.keys() - old_fields.keys():
                found += self.compare(rest, new_fields[name], f"{path}.{name}")  # pyright: ignore[reportUnknownArgumentType]
        for name in new.get("required", []):
            if name not in old.get("required", []):
                kind = "became required" if name in old_fields else "new and required"
                found.append(f"{path}.{name}: {kind}; old events may lack it")
        return found

    def _rest(self, old: Schema, new: Schema, keyword: str, path: str) -> list[str]:
        """`items` and `additionalProperties`: absent and true let everything in, false nothing."""
        was, now = old.get(keyword, True), new.get(keyword, True)
        if now is True or was is False:
            return []
        if now is False:
            return [f"{path}: nothing is allowed here any more"]
        return self.compare({} if was is True else was, now, path)


def _follow(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        node: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            node = node[part]
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**node, **beside}
    return schema


def _shape_name(schema: Schema) -> str:
    return str(schema.get("type", "a value"))


def _annotations(old: Schema, new: Schema, path: str) -> list[str]:
    found: list[str] = []
    if "default" in old and old["default"] != new.get("default", old["default"]):
        found.append(
            f"{path}: default changed from {old['default']!r} to {new['default']!r}; "
            "old events that leave it out would change their meaning"
        )
    if old.get("x-sensitive") and not _sensitive_anywhere(new):
        found.append(f"{path}: no longer marked x-sensitive; it would be printed")
    return found


def _sensitive_anywhere(schema: Schema) -> bool:
    return bool(schema.get("x-sensitive")) or any(branch.get("x-sensitive") for branch in schema.get("anyOf", []))


def _type_set(schema: Schema) -> frozenset[str]:
    kinds = schema.get("type")
    if kinds is None:
        return _ALL_TYPES | {"integer"}
    return frozenset({kinds} if isinstance(kinds, str) else kinds)


def _types(old: Schema, new: Schema, path: str) -> list[str]:
    was, now = _type_set(old), _type_set(new)
    accepted = now | ({"integer"} if "number" in now else frozenset[str]())
    lost = sorted(was - accepted)
    return [f"{path}: type {kind} is not accepted any more" for kind in lost]


def _values(old: Schema, new: Schema, path: str) -> list[str]:
    was, now = _allowed(old), _allowed(new)
    if now is None:
        return []
    if was is None:
        return [f"{path}: only {now!r} is allowed now"]
    kept = {_identity(value) for value in now}
    return [f"{path}: the value {value!r} is not allowed any more" for value in was if _identity(value) not in kept]


def _identity(value: Any) -> str:
    """In JSON 1 and true differ, and 1 and 1.0 do not; in Python it is the other way round."""
    number = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if number else value, sort_keys=True)


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def _limits(old: Schema, new: Schema, path: str) -> list[str]:
    tightened = [name for name in _LOWER_LIMITS if name in new and (name not in old or new[name] > old[name])]
    tightened += [name for name in _UPPER_LIMITS if name in new and (name not in old or new[name] < old[name])]
    return [f"{path}: {name} tightened from {old.get(name, 'none')} to {new[name]}" for name in tightened]


def _alternatives(old: Schema, new: Schema, path: str) -> list[str]:
    """`oneOf`: another alternative may be added, none may be dropped."""
    if "oneOf" not in new:
        return []
    if "oneOf" not in old:
        return [f"{path}: oneOf is new and may refuse old events"]
    return [f"{path}: the alternative {branch!r} was dropped" for branch in old["oneOf"] if branch not in new["oneOf"]]


def _unjudged(old: Schema, new: Schema, path: str, judged: frozenset[str] = _COMPARED) -> list[str]:
    """Anything else (pattern, format, if/then, ...) may be taken away, but not added or changed."""
    changed = {name for name in new if name not in judged and new[name] != old.get(name)}
    if old.get("contentEncoding") != new.get("contentEncoding"):
        changed.add("contentEncoding")  # taking it away would read the base64 text as the value
    return [f"{path}: {name} was added or changed, which may refuse old events" for name in sorted(changed)]
