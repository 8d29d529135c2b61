"""Records and dead letters as one line each, or as JSON. Nothing sensitive is printed unless `reveal` says so."""

import json
from typing import Any, cast

from genescale.clock import rfc3339
from genescale.errors import InvalidEvent
from genescale.events.deadletter import Letter
from genescale.events.envelope import from_record
from genescale.events.log import Record
from genescale.events.redaction import shown
from genescale.observability import redact

_SUMMARY_MAX = 100


def record_json(record: Record, *, reveal: bool) -> dict[str, Any]:
    """Where a record lies and the event in it; `error` instead of the event when there is none."""
    document: dict[str, Any] = {"position": str(record.position), "timestamp_ms": record.timestamp_ms}
    if record.value is None and not record.headers:
        return {**document, "key": _key(record.key), "tombstone": True}
    try:
        return {**document, "event": shown(from_record(record), reveal=reveal)}
    except InvalidEvent as error:
        return {**document, "error": redact.text(str(error))}


def record_line(record: Record, *, reveal: bool) -> str:
    """`time  topic/partition/offset  type  id  what is in it`."""
    start = f"{rfc3339(record.timestamp_ms)}  {record.position}"
    document = record_json(record, reveal=reveal)
    if "tombstone" in document:
        return f"{start}  (tombstone)  {document['key']}"
    if "error" in document:
        return f"{start}  UNREADABLE  {document['error']}"
    event = document["event"]
    return f"{start}  {event['type']}  {event['id']}  {_summary(event.get('data'), reveal=reveal)}".rstrip()


def letter_json(letter: Letter) -> dict[str, Any]:
    """What a list of letters says about one."""
    data = letter.data
    settled = letter.settled
    return {
        "id": letter.id,
        "position": str(letter.position),
        "time": letter.time,
        "record": str(data.record.record().position),
        "key": _key(data.record.key),
        "group": data.group,
        "error": data.failure.error,
        "message": redact.text(data.failure.message),
        "stack_hash": data.failure.stack_hash,
        "attempts": data.attempts,
        "consumer_version": data.consumer_version,
        "state": settled.outcome if settled else "open",
        "actor": settled.actor if settled else None,
        "reason": settled.reason if settled else None,
        "redrive": settled.redrive if settled else None,
        "revision": settled.revision if settled else None,
    }


def letter_line(letter: Letter) -> str:
    """`id  state  time  record  error  message`."""
    row = letter_json(letter)
    message = _cut(row["message"])
    return f"{row['id'][:13]}  {row['state']:<9}  {row['time']}  {row['record']}  {row['error']}: {message}"


def pretty(document: object) -> str:
    """JSON for a person."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def compact(document: object) -> str:
    """JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _summary(data: Any, *, reveal: bool) -> str:
    """The payload in a few words; `show` prints all of it."""
    if not isinstance(data, dict):
        return "" if data is None else _cut(compact(cast("object", data)))
    fields = cast("dict[str, Any]", data)
    if fields.get("sensitive") is True:
        return _hidden(fields)
    words = [f"{name}={_word(value)}" for name, value in fields.items()]
    return " ".join(words) if reveal else _cut(" ".join(words))


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return _hidden(fields) if fields.get("sensitive") is True else compact(cast("object", value))


def _hidden(value: dict[str, Any]) -> str:
    return f"<{value['length']} long, {value['digest']}>"


def _key(key: bytes | None) -> str | None:
    return None if key is None else redact.text(key.decode("utf-8", "backslashreplace"))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SUMMARY_MAX else line[: _SUMMARY_MAX - 3] + "..."
