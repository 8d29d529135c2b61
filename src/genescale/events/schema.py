"""The catalogue in two published forms: a JSON Schema per type and major, and one AsyncAPI 3.0 document.

Both are made from the structs and never written by hand. `genescale events schemas` prints them,
`docs/reference/events/` holds the committed copies, and a test compares the two.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from genescale.events.catalogue import CATALOGUE, Catalogue, EventType
from genescale.events.envelope import INTEGER_EXTENSIONS, JSON_TYPE, Event, to_json
from genescale.events.log import TopicSpec
from genescale.events.topics import TOPICS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXAMPLE_TIME = "2026-11-21T10:00:00.000Z"

# Extensions of ours: what they mean. CloudEvents lets anybody add more; those are carried on unchanged.
EXTENSIONS: dict[str, str] = {
    "partitionkey": "Key of the record; order is kept per key",
    "correlationid": "Id of the request that a result answers",
    "sessionid": "Session that asked; an identifier, never a credential",
    "projectid": "Project that pays",
    "mode": "normal, big-data, node-scale or kafka-lag",
    "priority": "1 to 10; 8 and more go to the urgent lane",
    "revision": "1 for the first answer, higher for a redrive or a reanalysis",
    "attempt": "Which try this is",
    "chunk": "n/of: part of a large analysis",
    "sealed": "Id of the key that sealed the data; the schema describes the opened data",
    "redriveof": "Id of the dead letter that was sent back",
    "replay": "Name of the replay group; the handler must have no effect outside its result",
    "traceparent": "W3C trace context",
    "tracestate": "W3C trace context",
}


def render(document: Mapping[str, Any]) -> str:
    """A document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def file_name(entry: EventType) -> str:
    """`genetic.analysis.request.v1.json`."""
    return f"{entry.name}.v{entry.major}.json"


def json_schema(entry: EventType) -> dict[str, Any]:
    """JSON Schema (2020-12) of the data of one type and major."""
    schema = msgspec.json.schema(entry.data)
    definitions: dict[str, Any] = schema["$defs"]
    root = definitions.pop(schema["$ref"].removeprefix("#/$defs/"))
    document: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": entry.dataschema,
        "x-type": entry.name,
        "x-major": entry.major,
        "x-stability": entry.stability,
        "x-topics": list(entry.topics),
        "x-key": entry.key,
        **root,
        **entry.rules,
    }
    if definitions:
        document["$defs"] = definitions
    return document


def example_event(entry: EventType) -> Event:
    """The entry's example in an envelope: the same bytes each time."""
    return Event(
        id=f"example-{entry.name}-{entry.major}",
        source="/genescale/example",
        type=entry.name,
        subject="8f8a0a5e-4a0e-5f3c-9b1a-2f6f3b0d9c11",
        time=_EXAMPLE_TIME,
        datacontenttype=JSON_TYPE,
        dataschema=entry.dataschema,
        extensions={"partitionkey": "8f8a0a5e-4a0e-5f3c-9b1a-2f6f3b0d9c11", "revision": 1},
        data=msgspec.json.encode(entry.example),
    )


def asyncapi(
    version: str, catalogue: Catalogue = CATALOGUE, topics: Iterable[TopicSpec] = TOPICS, replicas: int = 3
) -> dict[str, Any]:
    """The event topics as an AsyncAPI 3.0 document: one channel per topic, one message per type and major."""
    entries = list(catalogue)
    used = {topic for entry in entries for topic in entry.topics}
    _, schemas = msgspec.json.schema_components(
        [entry.data for entry in entries], ref_template="#/components/schemas/{name}"
    )
    for entry in entries:
        schemas[entry.data.__name__] |= entry.rules
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for spec in sorted(topics, key=lambda spec: spec.name):
        if spec.name not in used:
            continue  # the types of this topic come with their issue
        names = [message_name(entry) for entry in entries if spec.name in entry.topics]
        channels[spec.name] = _channel(spec, names, replicas)
        for action in ("send", "receive"):
            operations[f"{action}.{spec.name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{spec.name}"},
                "messages": [{"$ref": f"#/channels/{spec.name}/messages/{name}"} for name in names],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Genescale events",
            "version": version,
            "description": "CloudEvents 1.0 on the event log, binary content mode. Made by "
            "`genescale events schemas --asyncapi`; do not edit.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {message_name(entry): _message(entry) for entry in entries},
            "schemas": dict(sorted({**schemas, "CloudEventHeaders": _headers()}.items())),
        },
    }


def message_name(entry: EventType) -> str:
    """`genetic.analysis.request.v1`, the name of a message in the AsyncAPI document."""
    return f"{entry.name}.v{entry.major}"


def _channel(spec: TopicSpec, names: list[str], replicas: int) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "cleanup.policy": [spec.cleanup],
        "retention.ms": -1 if spec.retention_s is None else spec.retention_s * 1000,
        "max.message.bytes": spec.record_bytes_max,
    }
    return {
        "address": spec.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "partitions": spec.partitions,
                "replicas": replicas,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(entry: EventType) -> dict[str, Any]:
    example = json.loads(to_json(example_event(entry)))
    payload = example.pop("data")
    content_type = example.pop("datacontenttype")
    headers = {"ce_" + name: value if isinstance(value, str) else str(value) for name, value in example.items()}
    return {
        "name": message_name(entry),
        "title": entry.name,
        "summary": entry.summary,
        "contentType": JSON_TYPE,
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {"$ref": f"#/components/schemas/{entry.data.__name__}"},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {"kafka": {"key": {"type": "string", "description": entry.key}, "bindingVersion": "0.5.0"}},
        "examples": [
            {"name": "example", "headers": {**headers, "content-type": content_type}, "payload": payload},
        ],
        "x-stability": entry.stability,
        "x-dataschema": entry.dataschema,
    }


def _headers() -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    properties: dict[str, Any] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": text,
        "ce_source": {**text, "format": "uri-reference"},
        "ce_type": text,
        "ce_subject": text,
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_dataschema": {**text, "format": "uri"},
        "content-type": text,
    }
    for name, meaning in EXTENSIONS.items():
        rule = {"pattern": "^-?[0-9]+$"} if name in INTEGER_EXTENSIONS else {}
        properties["ce_" + name] = {"type": "string", **rule, "description": meaning}
    return {
        "title": "CloudEventHeaders",
        "description": "CloudEvents attributes as record headers (Kafka protocol binding, binary content mode)",
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
        "properties": properties,
    }
