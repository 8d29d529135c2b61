"""The committed side of the catalogue: published schemas, and the golden corpus of every version ever written.

    docs/reference/events/<type>.v<major>.json      the schema as it is now
    docs/reference/events/asyncapi.json             all of them as one AsyncAPI document
    docs/reference/events.md                        a table between two marks, for people
    tests/events/golden/<type>.v<major>/<n>/        schema.json, event.json and record.json of the n-th form of a major

`check` says what is wrong with them, `write` brings them up to date and never touches what is in the corpus already.
Both work on a checkout of the source; an installed package has no corpus.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from genescale import __version__
from genescale.errors import InvalidEvent
from genescale.events.catalogue import CATALOGUE, Catalogue, EventType
from genescale.events.compatibility import breaking_changes, without_words
from genescale.events.envelope import Event, from_json, from_record, to_json, to_record
from genescale.events.log import Record
from genescale.events.loop_data import RecordCopy
from genescale.events.schema import asyncapi, example_event, file_name, json_schema, render

PUBLISHED = Path("docs/reference/events")
PAGE = Path("docs/reference/events.md")
CORPUS = Path("tests/events/golden")
MARKS = ("<!-- begin catalogue: made by `genescale events schemas --write` -->", "<!-- end catalogue -->")


class Golden(NamedTuple):
    """One form of one major, as it was committed."""

    place: Path
    type_name: str
    major: int
    schema: dict[str, Any]
    event: bytes
    record: Record


def published(catalogue: Catalogue = CATALOGUE) -> dict[str, str]:
    """File name and content of everything in `docs/reference/events/`."""
    files = {file_name(entry): render(json_schema(entry)) for entry in catalogue}
    return {**files, "asyncapi.json": render(asyncapi(__version__, catalogue))}


def table(catalogue: Catalogue = CATALOGUE) -> str:
    """The part of the reference page that follows the catalogue."""
    lines = ["| type | major | stability | stands on | record key | says |", "| --- | --- | --- | --- | --- | --- |"]
    for entry in catalogue:
        link = f"[`{entry.name}`](events/{file_name(entry)})"
        topics = "<br>".join(f"`{topic}`" for topic in entry.topics)
        lines.append(f"| {link} | {entry.major} | {entry.stability} | {topics} | {entry.key} | {entry.summary} |")
    return "\n".join(lines)


def page_with_table(text: str, catalogue: Catalogue = CATALOGUE) -> str:
    """The reference page with the part between its marks replaced."""
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise ValueError(f"{PAGE} has lost its marks {MARKS[0]!r} and {MARKS[1]!r}")
    return f"{before}{begin}\n{table(catalogue)}\n{end}{after}"


def corpus(root: Path) -> Iterator[Golden]:
    """Every golden form, oldest first within a type and major."""
    for schema_file in sorted((root / CORPUS).glob("*/*/schema.json"), key=_age):
        folder = schema_file.parent
        schema: dict[str, Any] = json.loads(schema_file.read_text(encoding="utf-8"))
        copy = msgspec.json.decode((folder / "record.json").read_bytes(), type=RecordCopy)
        yield Golden(
            folder.relative_to(root),
            schema["x-type"],
            schema["x-major"],
            schema,
            (folder / "event.json").read_bytes(),
            copy.record(),
        )


def check(root: Path, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """What is wrong, one line each; [] when the committed files agree with the catalogue and nothing breaks."""
    return [*_check_published(root, catalogue), *_check_corpus(root, catalogue)]


def write(root: Path, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Bring the committed files up to date; the names of what was written. Refuses a breaking change."""
    broken = [problem for golden in corpus(root) for problem in _breaks(golden, catalogue)]
    if broken:
        raise InvalidEvent("a breaking change needs a new major version:\n" + "\n".join(broken))
    wanted = {PUBLISHED / name: text for name, text in published(catalogue).items()}
    if (root / PAGE).exists():
        wanted[PAGE] = page_with_table((root / PAGE).read_text(encoding="utf-8"), catalogue)
    for entry in catalogue:
        folder, newest = _newest_form(root, entry)
        if newest is None or without_words(newest) != without_words(json_schema(entry)):
            wanted |= {folder / name: text for name, text in _golden_files(entry).items()}
    written: list[str] = []
    for path, text in wanted.items():
        target = root / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            written.append(str(path))
    return written


def _check_published(root: Path, catalogue: Catalogue) -> Iterator[str]:
    wanted = published(catalogue)
    folder = root / PUBLISHED
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in wanted:
            yield f"{PUBLISHED / name}: describes a type that is not in the catalogue; delete it"
        elif found.get(name) != wanted[name]:
            yield f"{PUBLISHED / name}: differs from the catalogue; run `genescale events schemas --write`"
    page = root / PAGE
    if page.exists():
        text = page.read_text(encoding="utf-8")
        if page_with_table(text, catalogue) != text:
            yield f"{PAGE}: the table differs from the catalogue; run `genescale events schemas --write`"


def _check_corpus(root: Path, catalogue: Catalogue) -> Iterator[str]:
    for golden in corpus(root):
        yield from _breaks(golden, catalogue)
        yield from _loads(golden, catalogue)
    for entry in catalogue:
        folder, newest = _newest_form(root, entry)
        if newest is None or without_words(newest) != without_words(json_schema(entry)):
            yield f"{folder}: this form of {entry.name} is not in the corpus; run `genescale events schemas --write`"


def _breaks(golden: Golden, catalogue: Catalogue) -> list[str]:
    if golden.schema["x-stability"] == "draft":
        return []
    entry = next((item for item in catalogue if (item.name, item.major) == (golden.type_name, golden.major)), None)
    if entry is None:
        return [f"{golden.place}: {golden.type_name} v{golden.major} left the catalogue; old events could not be read"]
    return [f"{golden.place}: {problem}" for problem in breaking_changes(golden.schema, json_schema(entry))]


def _loads(golden: Golden, catalogue: Catalogue) -> Iterator[str]:
    try:
        structured, binary = from_json(golden.event), from_record(golden.record)
        for event in (structured, binary):
            catalogue.validate(event)
            _check_newest(catalogue, catalogue.upcast(event))
    except InvalidEvent as error:
        yield f"{golden.place}: {error}"
    else:
        if structured != binary:
            yield f"{golden.place}: event.json and record.json are not the same event"


def _check_newest(catalogue: Catalogue, event: Event) -> None:
    catalogue.validate(event)
    newest = catalogue.latest(event.type)
    if event.dataschema != newest.dataschema:
        raise InvalidEvent(f"event {event.id}: upcast stopped at {event.dataschema}, not {newest.dataschema}")


def _newest_form(root: Path, entry: EventType) -> tuple[Path, dict[str, Any] | None]:
    """Where the next form would go, and the schema of the last one."""
    folder = CORPUS / f"{entry.name}.v{entry.major}"
    forms = sorted((root / folder).glob("*/schema.json"), key=_age)
    newest = json.loads(forms[-1].read_text(encoding="utf-8")) if forms else None
    return folder / str(len(forms) + 1), newest


def _age(schema_file: Path) -> tuple[str, int]:
    return schema_file.parent.parent.name, int(schema_file.parent.name)


def _golden_files(entry: EventType) -> dict[str, str]:
    event = example_event(entry)
    new = to_record(event, entry.topics[0])
    record = Record(
        topic=new.topic,
        partition=0,
        offset=0,
        timestamp_ms=1_795_255_200_000,
        key=new.key,
        value=new.value,
        headers=new.headers,
    )
    return {
        "schema.json": render(json_schema(entry)),
        "event.json": to_json(event).decode() + "\n",
        "record.json": msgspec.json.format(msgspec.json.encode(RecordCopy.of(record)), indent=2).decode() + "\n",
    }
