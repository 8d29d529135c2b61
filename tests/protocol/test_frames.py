import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.protocol import closing, frames
from genescale.protocol.closing import BAD_FRAME, FRAME_TOO_LARGE, Reaction, reaction_to
from genescale.protocol.frames import Fault, decode_client, decode_server, encode

SUBMIT: dict[str, Any] = {"type": "submit", "cid": "a-1", "project": "p", "data": {"sequence": "ACGT"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_frame_keeps_its_data_as_it_came():
    frame = decode_client(json.dumps(SUBMIT))

    assert isinstance(frame, frames.Submit)
    assert (frame.cid, frame.mode, frame.priority) == ("a-1", "normal", 5)
    assert msgspec.json.decode(frame.data) == {"sequence": "ACGT"}


def test_unknown_fields_are_ignored_and_unknown_types_refused():
    assert isinstance(decode_client(json.dumps(SUBMIT | {"colour": "blue"})), frames.Submit)
    assert decode_client('{"type": "sing"}') == Fault(BAD_FRAME, "ValidationError")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ACGT",
        "[]",
        "null",
        '{"type": "submit"}',
        '{"type": "submit", "cid": "a", "cid": "b", "data": {}}',
        '{"type": "submit", "cid": "a", "data": {"x": 1, "x": 2}}',
        '{"type": "submit", "cid": "a", "data": NaN}',
        '{"type": "submit", "cid": "a b", "data": {}}',
        '{"type": "submit", "cid": "' + "a" * 65 + '", "data": {}}',
        '{"type": "submit", "cid": "a", "mode": "turbo", "data": {}}',
        '{"type": "submit", "cid": "a", "priority": 11, "data": {}}',
        '{"type": "ack", "seq": -1}',
        "[" * 10_000,
        '{"type":"submit","cid":"a","data":' + "[" * 33 + "]" * 33 + "}",
        '"\ud800"',
        b"\xff\xfe",
    ],
)
def test_what_the_protocol_does_not_have_ends_the_connection(text: str | bytes):
    answer = decode_client(text)

    assert isinstance(answer, Fault)
    assert answer.closing is BAD_FRAME


def test_a_frame_over_the_limit_is_refused_before_it_is_read():
    assert decode_client(b"[" * (frames.FRAME_BYTES_MAX + 1)) == Fault(FRAME_TOO_LARGE, "too large")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_frame_or_a_fault(data: bytes):
    assert decode_client(data) is not None


@given(JSON)
def test_any_json_is_a_frame_or_a_fault(value: Any):
    assert decode_client(json.dumps(value)) is not None


def test_a_thousand_sequences_of_259_bases_fit_one_frame():
    burst = {"type": "BIG_DATA_PROCESSING", "sequences": ["A" * 259] * 1_000, "timestamp": "2026-11-21T10:00:00.000Z"}

    assert isinstance(decode_client(json.dumps(burst, separators=(",", ":"))), frames.BigDataProcessing)


def test_a_client_reads_past_what_it_does_not_know_but_not_past_what_is_broken():
    assert decode_server('{"type": "horoscope"}') is None
    accepted = frames.Accepted(cid="a", analysis_id="b", ref="t/0/1", duplicate=False)
    assert decode_server(encode(accepted)[:-1] + ', "more": 1}') == accepted
    with pytest.raises(msgspec.ValidationError):
        decode_server('{"type": "accepted"}')


def test_every_close_code_has_one_reaction_and_a_short_reason():
    assert len({one.name for one in closing.CLOSINGS.values()}) == len(closing.CLOSINGS)
    assert all(len(one.reason.encode()) <= 123 for one in closing.CLOSINGS.values())  # RFC 6455, 5.5.1
    assert reaction_to(4409) is Reaction.TAKE_BACK
    assert reaction_to(3999) is Reaction.RESUME
