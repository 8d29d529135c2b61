import hashlib
import json

from genescale.protocol import frames
from genescale.protocol.closing import BAD_FRAME, FRAME_TOO_LARGE
from genescale.protocol.legacy import as_batch, decode_legacy


def test_a_burst_has_a_key_made_from_its_content():
    message = frames.BigDataProcessing(sequences=["ACGT", "TT"], timestamp="2026-11-21T10:00:00.000Z")
    batch = as_batch(message)

    assert batch.cid == "bdp-" + hashlib.sha256(b"2026-11-21T10:00:00.000Z\nACGT\nTT").hexdigest()[:32]
    assert (batch.mode, batch.project) == ("big-data", None)
    assert [json.loads(bytes(item)) for item in batch.items] == [{"sequence": "ACGT"}, {"sequence": "TT"}]
    again = frames.BigDataProcessing(sequences=["ACGT", "TT"], timestamp="2026-11-21T10:00:01.000Z")
    assert as_batch(again).cid != batch.cid


def test_a_raw_sequence_and_the_seeds_object_are_requests():
    raw = decode_legacy(" ACGT\nTTGA\n")
    assert isinstance(raw, frames.Submit)
    assert json.loads(bytes(raw.data)) == {"sequence": "ACGTTTGA"}
    one = decode_legacy('{"mode": "bigdata", "sequence": "ACGT", "timestamp": "1", "resourceProfile": "standard"}')
    two = decode_legacy('{"mode": "big-data", "sequence": "ACGT", "timestamp": "2"}')
    assert isinstance(one, frames.Submit)
    assert isinstance(two, frames.Submit)
    assert one.mode == "big-data"
    assert one.cid != two.cid


def test_frames_of_the_protocol_stay_what_they_are():
    assert decode_legacy('{"type":"ping","t":1}') == frames.Ping(t=1)


def test_nothing_else_is_guessed():
    for text in (
        "",
        "{}",
        "ACGT;DROP",
        '{"sequence": ""}',
        '{"sequence": "A", "sequence": "C"}',
        "\ud800",
        "[" * 9_999,
    ):
        answer = decode_legacy(text)
        assert isinstance(answer, frames.Fault)
        assert answer.closing is BAD_FRAME
    assert decode_legacy("A" * 300_000) == frames.Fault(FRAME_TOO_LARGE, "too large")
