import json
from typing import Any

import jsonschema
import pytest

from genescale.protocol import frames, rest
from genescale.protocol.closing import CLOSINGS
from genescale.protocol.stream_document import CLIENT_EXAMPLES, SERVER_EXAMPLES, document

DOCUMENT = json.loads(json.dumps(document("0.0.0")))


def test_every_frame_type_is_a_message_of_the_stream_and_every_reference_leads_somewhere():
    messages = DOCUMENT["channels"]["stream"]["messages"]
    assert {name.removeprefix("client.") for name in messages if name.startswith("client.")} == frames.CLIENT_TYPES
    assert {name.removeprefix("server.") for name in messages if name.startswith("server.")} == frames.SERVER_TYPES
    for reference in _references(DOCUMENT):
        place = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_event_topics_are_in_the_same_document():
    assert "genetic-data-raw" in DOCUMENT["channels"]


def test_the_close_codes_are_those_of_the_table():
    assert [one["code"] for one in DOCUMENT["channels"]["stream"]["x-close-codes"]] == list(CLOSINGS)


@pytest.mark.parametrize("name", sorted(DOCUMENT["channels"]["stream"]["messages"]))
def test_an_example_keeps_its_own_schema(name: str):
    message = DOCUMENT["components"]["messages"][name]
    schema = {**message["payload"], "components": DOCUMENT["components"]}

    jsonschema.validate(message["examples"][0]["payload"], schema)


def test_the_examples_are_frames():
    assert [frames.decode_client(frames.encode(one)) for one in CLIENT_EXAMPLES] == list(CLIENT_EXAMPLES)
    assert [frames.decode_server(frames.encode(one)) for one in SERVER_EXAMPLES] == list(SERVER_EXAMPLES)


def test_a_refusal_in_the_words_of_the_original_plan():
    body = rest.seed_error("invalid_sequence", "not DNA", status=422, timestamp="t", request_id="r")

    assert body["error"]["code"] == "INVALID_SEQUENCE"
    assert (
        rest.seed_error("not_found", "", status=404, timestamp="", request_id="")["error"]["code"]
        == "SESSION_NOT_FOUND"
    )


def _references(value: Any):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
