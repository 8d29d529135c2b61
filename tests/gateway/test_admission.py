"""What is taken in, and what is refused with which code."""

import pytest

from genescale.clock import ManualClock
from genescale.events.analysis_data import AnalysisRequest, ObjectReference
from genescale.events.catalogue import CATALOGUE
from genescale.gateway.admission import Admission, Admitted, Refused, Submission
from genescale.security.sealing import bound_to
from support.gateway_rooms import ANALYST, STRANGER, VIEWER

SECRET = "ACGTACGTTTGACA"


def ask(principal=ANALYST, admission=None, **fields):
    fields = {"cid": "c1", "project": "p1", "data": b'{"sequence":"ACGT"}', **fields}
    return (admission or Admission(ManualClock())).admit(principal, Submission(**fields))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_request"),
        (b"\xff", "invalid_request"),
        (b"[]", "invalid_request"),
        (b'{"sequence": "ACGTQ"}', "invalid_sequence"),
        ('{"sequence": "ACGTß"}'.encode(), "invalid_sequence"),
        (b'{"sequence": 7}', "invalid_request"),
        (b"{}", "invalid_request"),
        (b'{"sequence": "A", "variants": ["rs1"]}', "invalid_request"),
        (b'{"variants": []}', "invalid_request"),
        (b'{"sequence": ' + b"[" * 5_000, "invalid_request"),
        (b'{"input": {"name": "other", "size_bytes": 1, "checksum": "x"}}', "unknown_upload"),
        (b'{"sequence": "' + b"A" * 1_100_000 + b'"}', "too_large"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_code(data, code):
    answer = ask(data=data)
    assert isinstance(answer, Refused)
    assert answer.code == code
    assert not answer.retryable


@pytest.mark.parametrize("data", [b'{"sequence": "%sQ"}', b'{"sequence": 1, "species": "%s"}', b'{"variants": ["%s"'])
def test_a_refusal_never_quotes_what_was_sent(data):
    answer = ask(data=data % SECRET.encode())
    assert isinstance(answer, Refused)
    assert SECRET not in answer.message


def test_who_has_no_role_in_a_project_does_not_learn_whether_it_exists():
    foreign, invented = ask(STRANGER), ask(STRANGER, project="nowhere")
    assert isinstance(foreign, Refused)
    assert foreign == invented
    assert foreign.status == 404


def test_a_viewer_is_forbidden():
    answer = ask(VIEWER)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.status) == ("forbidden", 403)


@pytest.mark.parametrize(
    ("mode", "priority", "topic"),
    [
        ("normal", 1, "genetic-data-raw"),
        ("normal", 7, "genetic-data-raw"),
        ("normal", 8, "genetic-urgent-raw"),
        ("big-data", 7, "genetic-bigdata-raw"),
        ("node-scale", 5, "genetic-nodescale-raw"),
        ("kafka-lag", 5, "genetic-lag-demo-raw"),
    ],
)
def test_mode_and_priority_choose_the_lane(mode, priority, topic):
    answer = ask(mode=mode, priority=priority)
    assert isinstance(answer, Admitted)
    assert answer.topic == topic
    CATALOGUE.validate(answer.event, topic=topic)


@pytest.mark.parametrize("mode", ["big-data", "node-scale", "kafka-lag"])
def test_urgent_is_for_the_normal_mode_only(mode):
    answer = ask(mode=mode, priority=8)
    assert isinstance(answer, Refused)
    assert answer.code == "invalid_priority"


def test_an_upload_is_named_by_its_id_and_never_by_what_the_client_says_of_it():
    mine = ObjectReference(name="real", size_bytes=9, checksum="sha256:aa", sealed="k1")
    uploads = {("p1", "u1"): mine}
    admission = Admission(ManualClock(), find_upload=lambda project, name: uploads.get((project, name)))
    data = b'{"input": {"name": "u1", "size_bytes": 1, "checksum": "x", "sealed": "k9"}}'
    answer = ask(admission=admission, data=data)
    assert isinstance(answer, Admitted)
    assert CATALOGUE.read(answer.event, AnalysisRequest).input == mine
    urgent = ask(admission=admission, data=data, priority=9)
    assert isinstance(urgent, Refused)
    assert urgent.code == "invalid_priority"


def test_ids_follow_from_session_and_cid_alone():
    one, other = ask(session="s1"), ask(session="s1", data=b'{"sequence":"TTTT"}')
    assert isinstance(one, Admitted)
    assert isinstance(other, Admitted)
    assert (one.analysis_id, one.event.id) == (other.analysis_id, other.event.id)
    assert one.payload != other.payload
    assert ask(session="s2").analysis_id != one.analysis_id
    assert ask(cid="c2", session="s1").analysis_id != one.analysis_id


def test_white_space_does_not_make_another_payload_but_mode_priority_and_batch_do():
    first = ask()
    assert ask(data=b'{ "sequence" : "ACGT" }').payload == first.payload
    for change in ({"mode": "big-data"}, {"priority": 6}, {"batch": "b"}):
        assert ask(**change).payload != first.payload


def test_with_keys_nothing_of_the_request_is_in_the_event(rooms):
    item = rooms.admitted(data=b'{"sequence":"%s"}' % SECRET.encode())
    assert SECRET.encode() not in item.event.data
    key_id = item.event.extensions["sealed"]
    opened = rooms.sealer.open("p1", key_id, item.event.data, bound_to(item.event.id, item.event.type, "p1"))
    assert SECRET.encode() in opened
    # The digest is keyed too: another project's key gives another one.
    other = Admission(rooms.clock).admit(
        ANALYST, Submission(cid="c1", project="p1", data=b'{"sequence":"%s"}' % SECRET.encode())
    )
    assert other.payload != item.payload
