"""Dead letters: nothing is altered, nothing is sent twice, and an append-only topic tells what became of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.errors import InvalidEvent, LogUnavailable, Permanent
from genescale.events import deadletter, envelope
from genescale.events.deadletter import Letter, find, fold, letter_record, read_letters, redriven
from genescale.events.envelope import Event
from genescale.events.failure import failure_of
from genescale.events.log import NewRecord, Record, append_now
from genescale.events.loop_data import Failure
from genescale.events.memory import MemoryLog
from genescale.events.scan import scan
from genescale.events.topics import DEAD_LETTERS, RESULTS, TOPICS

LANE = "genetic-data-raw"
FAILURE = Failure(error="Permanent", message="no such reference")


class Place:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.log.create_topics([spec for spec in TOPICS if spec.name in (LANE, RESULTS, DEAD_LETTERS)])

    def dead(self, record: NewRecord) -> Letter:
        """Append a record, and let it die."""
        (position,) = append_now(self.log, [record])
        read = next(r for r in self.records(record.topic) if r.position == position)
        letter = letter_record(
            read, FAILURE, attempts=3, group="g", consumer_version="0.1.0", wall_ms=self.clock.wall_ms()
        )
        append_now(self.log, [letter])
        return self.letters()[dict(letter.headers)["ce_id"].decode()]

    def records(self, topic: str) -> list[Record]:
        return list(scan(self.log, [topic]))

    def letters(self) -> deadletter.Letters:
        return read_letters(self.log)[0]


@pytest.fixture
def place() -> Place:
    return Place()


def request(**extensions: str | int) -> NewRecord:
    event = Event(
        id="0b0f4f0e-3f5b-5a8e-8c1d-6a1f7c2e9d10",
        source="/genescale/gateway",
        type="genetic.analysis.request",
        subject="a1",
        data=b'{"sequence":"ACGT"}',
        extensions={"partitionkey": "a1", **extensions},
    )
    return envelope.to_record(event, LANE)


def test_a_letter_holds_the_record_byte_for_byte(place: Place) -> None:
    original = NewRecord(LANE, b"\xff\x00", b"\x00 no event \xff", (("h", b"\xfe"), ("h", b"")))
    letter = place.dead(original)
    copy = letter.data.record
    assert copy.new_record() == original
    assert copy.record() == place.records(LANE)[0]
    assert (letter.data.failure, letter.data.attempts, letter.data.consumer_version) == (FAILURE, 3, "0.1.0")


@given(
    st.none() | st.binary(max_size=9),
    st.none() | st.binary(max_size=30),
    st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=9)), max_size=3),
)
def test_any_record_can_be_a_letter(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    place = Place()
    original = NewRecord(LANE, key, value, tuple(headers))
    assert place.dead(original).data.record.new_record() == original


def test_the_largest_record_fits_into_a_letter(place: Place) -> None:
    assert place.dead(NewRecord(LANE, b"k", bytes(1_048_000))).data.record.value == bytes(1_048_000)


def test_a_letter_written_twice_is_one_letter(place: Place) -> None:
    letter = place.dead(request())
    append_now(place.log, [place_record(place, DEAD_LETTERS, 0)])
    assert place.letters() == {letter.id: letter}


def place_record(place: Place, topic: str, index: int) -> NewRecord:
    record = place.records(topic)[index]
    return NewRecord(topic, record.key, record.value, record.headers, partition=record.partition)


def test_a_request_goes_back_with_the_next_revision(place: Place) -> None:
    letter = place.dead(request(revision=4, attempt=6, priority=5))
    settled = deadletter.retry(place.log, letter, place.clock, actor="ann", reason="bundle mended")
    first, again = (envelope.from_record(record) for record in place.records(LANE))
    assert again.id == settled.redrive == envelope.derive_id(first.id, "revision", "5")
    assert again.extensions == {"partitionkey": "a1", "revision": 5, "priority": 5, "redriveof": letter.id}
    assert (again.data, again.subject, again.type) == (first.data, first.subject, first.type)
    assert [record.key for record in place.records(LANE)] == [b"a1", b"a1"]
    after = place.letters()[letter.id]
    assert after.settled == settled
    assert (settled.outcome, settled.revision, settled.actor, settled.reason) == ("retried", 5, "ann", "bundle mended")
    assert after.settled_time is not None


def test_redrive_idempotent(place: Place) -> None:
    letter = place.dead(request())
    first = deadletter.retry(place.log, letter, place.clock, actor="ann")
    second = deadletter.retry(place.log, place.letters()[letter.id], place.clock, actor="bob")
    assert second == first
    assert len(place.records(LANE)) == 2


def test_a_retry_that_died_between_its_two_appends_sends_the_same_event_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = place.dead(request())
    with monkeypatch.context() as patch:
        patch.setattr(deadletter, "_settle", _die)
        with pytest.raises(LogUnavailable):
            deadletter.retry(place.log, letter, place.clock, actor="ann")
    deadletter.retry(place.log, place.letters()[letter.id], place.clock, actor="ann")
    _, one, two = place.records(LANE)
    assert (one.key, one.value, one.headers) == (two.key, two.value, two.headers)


def _die(*_: object) -> None:
    raise LogUnavailable("gone")


def test_two_letters_of_one_event_send_the_same_event(place: Place) -> None:
    one, two = place.dead(request()), place.dead(request())
    assert one.id != two.id
    ids = [dict(redriven(letter).headers)["ce_id"] for letter in (one, two)]
    assert ids[0] == ids[1]


def test_what_is_no_request_goes_back_unchanged_so_that_others_drop_it(place: Place) -> None:
    result = Event(id="r1", source="/w", type="genetic.analysis.result", subject="a1", data=b'{"status":"success"}')
    letter = place.dead(envelope.to_record(result, RESULTS))
    settled = deadletter.retry(place.log, letter, place.clock, actor="ann")
    again = envelope.from_record(place.records(RESULTS)[-1])
    assert (again.id, again.extensions, again.data) == ("r1", {"redriveof": letter.id}, result.data)
    assert settled.revision is None
    with pytest.raises(Permanent, match="only a request goes back with another revision"):
        redriven(letter, revision=3)


def test_a_caller_who_knows_better_gives_the_revision(place: Place) -> None:
    letter = place.dead(request())
    assert deadletter.retry(place.log, letter, place.clock, actor="ann", revision=7).revision == 7


def test_what_is_no_event_cannot_go_back(place: Place) -> None:
    letter = place.dead(NewRecord(LANE, b"k", b"junk"))
    with pytest.raises(InvalidEvent, match="ce_specversion is missing"):
        deadletter.retry(place.log, letter, place.clock, actor="ann")
    assert place.letters()[letter.id].settled is None
    assert len(place.records(LANE)) == 1


def test_a_discard_needs_a_reason_and_ends_it(place: Place) -> None:
    letter = place.dead(request())
    with pytest.raises(Permanent, match="with a reason"):
        deadletter.discard(place.log, letter, place.clock, actor="ann", reason="  ")
    settled = deadletter.discard(place.log, letter, place.clock, actor="ann", reason="a test input")
    after = place.letters()[letter.id]
    assert after.settled == settled
    assert deadletter.discard(place.log, after, place.clock, actor="bob", reason="me too") == settled
    with pytest.raises(Permanent, match="was discarded by ann: a test input"):
        deadletter.retry(place.log, after, place.clock, actor="bob")
    assert len(place.records(LANE)) == 1


def test_dlq_verbs_audited(place: Place) -> None:
    one, two = place.dead(request()), place.dead(request())
    deadletter.retry(place.log, one, place.clock, actor="ann", reason="mended")
    deadletter.discard(place.log, two, place.clock, actor="bob", reason="a test")
    trail = {letter.id: letter for letter in place.letters().values()}
    for letter, actor, reason in ((one, "ann", "mended"), (two, "bob", "a test")):
        settled = trail[letter.id].settled
        assert settled is not None
        assert (settled.actor, settled.reason) == (actor, reason)
        assert trail[letter.id].settled_time


def test_what_was_retried_is_not_discarded(place: Place) -> None:
    letter = place.dead(request())
    deadletter.retry(place.log, letter, place.clock, actor="ann")
    with pytest.raises(Permanent, match="already retried by ann"):
        deadletter.discard(place.log, place.letters()[letter.id], place.clock, actor="bob", reason="x")


def test_of_two_operators_at_the_same_moment_the_first_counts(place: Place) -> None:
    letter = place.dead(request())
    deadletter.discard(place.log, letter, place.clock, actor="ann", reason="first")
    deadletter.retry(place.log, letter, place.clock, actor="bob")  # bob had read the letter before ann was done
    settled = place.letters()[letter.id].settled
    assert settled is not None
    assert settled.actor == "ann"


def test_what_is_no_letter_is_named_and_hides_nobody(place: Place) -> None:
    letter = place.dead(request())
    append_now(place.log, [NewRecord(DEAD_LETTERS, b"x", b"junk"), request_on(DEAD_LETTERS)])
    letters, unreadable = read_letters(place.log)
    assert list(letters) == [letter.id]
    assert len(unreadable) == 2
    assert any("must not stand on genetic-dead-letter" in item.reason for item in unreadable)


def request_on(topic: str) -> NewRecord:
    record = request()
    return NewRecord(topic, record.key, record.value, record.headers)


def test_a_letter_is_found_by_its_id_the_start_of_it_or_its_position(place: Place) -> None:
    letter = place.dead(request())
    letters = place.letters()
    for handle in (letter.id, letter.id[:8], str(letter.position)):
        assert find(letters, handle) == letter
    for handle in ("", letter.id[:3], "ffffffff-no"):
        with pytest.raises(Permanent, match="no dead letter has"):
            find(letters, handle)
    other = letter._replace(id=letter.id[:10] + "x")
    with pytest.raises(Permanent, match="2 dead letters match"):
        find({**letters, other.id: other}, letter.id[:8])


def test_a_settlement_without_its_letter_is_ignored() -> None:
    place = Place()
    letter = place.dead(request())
    deadletter.discard(place.log, letter, place.clock, actor="ann", reason="x")
    rest = [record for record in place.records(DEAD_LETTERS) if record.position != letter.position]
    assert fold(rest) == ({}, [])


def test_a_foreign_error_does_not_carry_the_input_into_the_letter() -> None:
    sequence = "GATTACA" * 5
    failure = failure_of(ValueError(f"cannot parse {sequence}"))
    assert sequence not in failure.message
    assert failure.error == "ValueError"
