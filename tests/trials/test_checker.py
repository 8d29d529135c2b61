"""A checker that never fails proves nothing: one bad history per fault, and faults planted in good ones."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.events.log import Position, TopicPartition
from genescale.trials.checker import Acked, FencedWrite, Final, History, Request, Sighting, Submission, check


def at(offset, topic="in", partition=0):
    return Position(topic, partition, offset)


def good():
    """Two revisions of one analysis; the first request was delivered twice and answered twice."""
    return History(
        submissions=[Submission("e1", ("a", 1), "x"), Submission("e2", ("a", 2), "y")],
        acked=[Acked("e1", at(0)), Acked("e2", at(2))],
        requests=[Request(at(0), "e1", ("a", 1)), Request(at(1), "e1", ("a", 1)), Request(at(2), "e2", ("a", 2))],
        finals=[
            Final(at(0, "out"), "r1", ("a", 1), "x"),
            Final(at(1, "out"), "r1", ("a", 1), "x"),
            Final(at(2, "out"), "r2", ("a", 2), "y"),
        ],
        shown=[("a", 1), ("a", 2)],
        sightings=[Sighting("r", at(0), "e1"), Sighting("r", at(1), "e1"), Sighting("r", at(2), "e2")],
        committed={TopicPartition("in", 0): 3},
    )


def kinds(history):
    return set(check(history).bad())


def test_a_good_history_passes():
    assert kinds(good()) == set()


def test_an_indefinite_send_may_be_missing_or_there():
    history = good()
    history.acked.pop()
    assert kinds(history) == set()
    history.requests.pop()
    history.finals.pop()
    history.shown.pop()
    history.sightings.pop()
    assert kinds(history) == set()


def test_a_reason_is_an_answer():
    history = good()
    history.finals[2] = Final(at(2, "out"), "r2", ("a", 2), None)
    assert kinds(history) == set()


def test_lost_when_there_is_no_final_event():
    history = good()
    history.finals.pop()
    history.shown.pop()
    history.committed.clear()
    assert kinds(history) == {"lost"}


def test_lost_when_the_final_event_was_never_shown():
    history = good()
    history.shown.pop()
    assert kinds(history) == {"lost"}


def test_a_committed_request_without_a_result():
    history = good()
    history.finals.pop()
    history.shown.pop()
    assert kinds(history) == {"lost", "committed_without_result"}


def test_unseen_when_the_acked_place_is_empty():
    history = good()
    history.requests.pop()
    history.sightings.pop()
    assert kinds(history) == {"unseen"}


def test_shown_twice():
    history = good()
    history.shown.append(("a", 2))
    assert kinds(history) == {"visible_duplicates"}


def test_requests_out_of_order():
    history = good()
    history.requests[0], history.requests[2] = Request(at(0), "e2", ("a", 2)), Request(at(2), "e1", ("a", 1))
    history.requests[1] = Request(at(1), "e2", ("a", 2))
    history.acked = [Acked("e1", at(2)), Acked("e2", at(0))]
    history.sightings.clear()
    assert kinds(history) == {"order_violations"}


def test_results_out_of_order():
    history = good()
    history.finals.reverse()
    assert kinds(history) == {"order_violations"}


def test_shown_out_of_order():
    history = good()
    history.shown.reverse()
    assert kinds(history) == {"order_violations"}


@pytest.mark.parametrize(
    "plant",
    [
        lambda history: history.requests.append(Request(at(3), "e9", ("a", 3))),
        lambda history: history.acked.append(Acked("e9", at(2, "other"))),
        lambda history: history.finals.append(Final(at(3, "out"), "r", ("b", 1), "z")),
        lambda history: history.finals.append(Final(at(3, "out"), "r", ("a", 2), "z")),
        lambda history: history.shown.append(("b", 1)),
    ],
)
def test_invented(plant):
    history = good()
    plant(history)
    assert "invented" in kinds(history)


def test_a_reader_that_goes_back():
    history = good()
    history.sightings.append(Sighting("r", at(1), "e1"))
    assert kinds(history) == {"nonmonotonic"}
    history.sightings[-1] = Sighting("restarted", at(1), "e1")
    assert kinds(history) == set()


def test_one_place_with_two_contents():
    history = good()
    history.sightings[2] = Sighting("r", at(2), "e1")
    assert kinds(history) == {"inconsistent_offsets"}
    history = good()
    history.acked[1] = Acked("e1", at(2))
    assert kinds(history) == {"inconsistent_offsets"}


def test_a_record_that_somebody_saw_and_that_is_gone():
    history = good()
    history.sightings.append(Sighting("r", at(7), "e1"))
    assert kinds(history) == {"inconsistent_offsets"}


def written(*writes):
    """(token, begin, end) on one partition and one topic."""
    history = good()
    history.writes = [FencedWrite("out", TopicPartition("in", 0), *one) for one in writes]
    return kinds(history)


def test_a_write_of_a_former_owner_after_the_new_one_has_written():
    assert written((1, 0, 1), (2, 2, 3), (1, 4, 5)) == {"late_writes"}
    assert written((1, 4, 5), (2, 0, 9), (2, 2, 3)) == {"late_writes"}


def test_writes_that_overlap_accuse_nobody():
    assert written((1, 0, 1), (2, 2, 5), (1, 4, 6), (2, 7, 8)) == set()
    assert written((1, 0, 1), (1, 1, 2), (2, 3, 4), (3, 5, 6)) == set()
    assert written() == set()


# ---- good histories at random, and one fault planted in each ----


@st.composite
def histories(draw):
    """A log that keeps its promises, under retries, duplicates, indefinite sends and repeated handling."""
    history = History()
    ends: dict[TopicPartition, int] = {}

    def place(topic, partition):
        offset = ends.get(TopicPartition(topic, partition), 0)
        ends[TopicPartition(topic, partition)] = offset + 1
        return Position(topic, partition, offset)

    for n, key in enumerate(draw(st.lists(st.integers(0, 4), min_size=1, max_size=30))):
        revision = 1 + sum(one.answer[0] == f"k{key}" for one in history.submissions)
        answer, event_id = (f"k{key}", revision), f"e{n}"
        history.submissions.append(Submission(event_id, answer, f"content {n}"))
        acked, stored = draw(st.sampled_from([(True, True), (True, True), (False, True), (False, False)]))
        if not stored:
            continue
        for copy_number in range(draw(st.integers(1, 2))):
            position = place("in", key % 3)
            history.requests.append(Request(position, event_id, answer))
            if acked and copy_number == 0:
                history.acked.append(Acked(event_id, position))
            history.sightings.append(Sighting(f"reader {draw(st.integers(0, 1))}", position, event_id))
    for request in history.requests:
        failed = draw(st.integers(0, 9)) == 0
        content = next(one.content for one in history.submissions if one.answer == request.answer)
        for _ in range(draw(st.integers(1, 2))):
            position = place("out", request.position.partition)
            history.finals.append(Final(position, f"r{request.answer}", request.answer, None if failed else content))
    history.shown = list(dict.fromkeys(final.answer for final in history.finals))
    history.committed = {place: end for place, end in ends.items() if place.topic == "in"}
    return history


@given(histories())
def test_every_good_history_passes(history):
    assert kinds(history) == set()


def drop_answer(history, draw):
    victim = draw(st.sampled_from(history.acked))
    answer = next(one.answer for one in history.submissions if one.event_id == victim.event_id)
    history.finals = [one for one in history.finals if one.answer != answer]
    history.shown.remove(answer)
    return {"lost", "committed_without_result"}


def drop_request(history, draw):
    victim = draw(st.sampled_from(history.acked))
    history.requests = [one for one in history.requests if one.position != victim.position]
    return {"unseen"}


def show_again(history, draw):
    history.shown.append(draw(st.sampled_from(history.shown)))
    return {"visible_duplicates"}


def change_content(history, draw):
    n = draw(st.integers(0, len(history.finals) - 1))
    history.finals[n] = history.finals[n]._replace(content="wrong")
    return {"invented"}


def invent(history, draw):
    history.finals.append(Final(Position("out", 0, 10_000), "r", ("nobody", 1), "x"))
    return {"invented"}


def answer_late(history, draw):
    key = next(iter(history.shown))[0]
    history.shown = [answer for answer in history.shown if answer != (key, 1)]
    history.submissions.append(Submission("late", (key, 99), "late"))
    history.finals.append(Final(Position("out", 0, 10_000), "r", (key, 99), "late"))
    history.finals.append(Final(Position("out", 0, 10_001), "r", (key, 1), None))
    history.shown += [(key, 99), (key, 1)]
    return {"order_violations"}


def read_back(history, draw):
    history.sightings.append(draw(st.sampled_from(history.sightings)))
    return {"nonmonotonic"}


def change_place(history, draw):
    n = draw(st.integers(0, len(history.sightings) - 1))
    history.sightings[n] = history.sightings[n]._replace(event_id="another")
    return {"inconsistent_offsets"}


FAULTS = [drop_answer, drop_request, show_again, change_content, invent, answer_late, read_back, change_place]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
@settings(max_examples=25)
@given(history=histories().filter(lambda history: history.acked), data=st.data())
def test_one_planted_fault_is_always_flagged(plant, history, data):
    history = copy.deepcopy(history)
    assert plant(history, data.draw) <= kinds(history)
