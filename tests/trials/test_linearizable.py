import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genescale.trials.linearizable import Lease, Operation, idempotency_key, judge, lease


def leases(*operations):
    """(begin, end, ask, answer) on one key."""
    return judge([Operation("p", *one) for one in operations], lease, Lease())


def test_one_after_the_other():
    assert not leases(
        (0, 1, ("acquire", "a"), 1),
        (2, 3, ("write", 1), True),
        (4, 5, ("acquire", "b"), None),
        (6, 7, ("release", 1), True),
        (8, 9, ("acquire", "b"), 2),
        (10, 11, ("write", 1), False),
    )


def test_two_owners_at_once_are_found():
    assert leases((0, 1, ("acquire", "a"), 1), (2, 3, ("acquire", "b"), 2))


def test_a_late_write_of_a_paused_worker_is_found():
    bad = leases(
        (0, 1, ("acquire", "a"), 1),
        (2, 3, ("expire",), None),
        (4, 5, ("acquire", "b"), 2),
        (6, 7, ("write", 1), True),
    )
    assert [one.ask for one in bad["p"]] == [("write", 1)]


def test_a_token_given_twice_is_found():
    assert leases(
        (0, 1, ("acquire", "a"), 1),
        (2, 3, ("release", 1), True),
        (4, 5, ("acquire", "b"), 1),
    )


def test_overlapping_calls_may_have_happened_in_either_order():
    assert not leases((0, 5, ("acquire", "a"), None), (1, 4, ("acquire", "b"), 1))
    assert leases((0, 1, ("acquire", "a"), None), (2, 4, ("acquire", "b"), 1))


def test_an_operation_without_an_answer_may_have_happened_or_not():
    acquired = (0, None, ("acquire", "a"), None)
    assert not leases(acquired, (2, 3, ("acquire", "b"), 1))
    assert not leases(acquired, (2, 3, ("acquire", "b"), None))
    assert leases(acquired, (2, 3, ("acquire", "b"), 3))


def test_keys_are_judged_apart():
    history = [Operation("p", 0, 1, ("acquire", "a"), 1), Operation("q", 2, 3, ("acquire", "b"), 2)]
    assert set(judge(history, lease, Lease())) == {"q"}


def submissions(*operations):
    return judge([Operation("cid", *one) for one in operations], idempotency_key, None)


def test_an_idempotency_key_answers_the_first_id_for_ever():
    assert not submissions((0, 1, ("submit", "x"), "x"), (2, 3, ("submit", "y"), "x"))
    assert submissions((0, 1, ("submit", "x"), "x"), (2, 3, ("submit", "y"), "y"))
    assert submissions((0, 1, ("submit", "x"), "y"))


def test_a_question_nobody_knows_is_an_error():
    with pytest.raises(ValueError, match="acquire"):
        leases((0, 1, ("steal",), None))


@st.composite
def concurrent(draw):
    """Submissions with one key, in truth one after the other at `moment`, seen from outside as overlapping calls."""
    first = None
    history = []
    for moment in range(draw(st.integers(1, 40))):
        proposed = f"id {moment}"
        first = first or proposed
        begin = moment - draw(st.floats(0, 6))
        end = draw(st.one_of(st.none(), st.floats(moment, moment + 6)))
        history.append(Operation("cid", begin, end, ("submit", proposed), None if end is None else first))
    return draw(st.permutations(history)), first


@given(concurrent())
def test_what_has_an_order_is_accepted(case):
    history, _ = case
    assert not judge(history, idempotency_key, None)


@given(concurrent())
def test_a_second_id_is_always_found(case):
    history, _ = case
    late = Operation("cid", 1000, 1001, ("submit", "another"), "another")
    answered = any(one.end is not None for one in history)
    assert bool(judge([*history, late], idempotency_key, None)) == answered


@st.composite
def arbitrary_leases(draw):
    ask = st.one_of(
        st.tuples(st.just("acquire"), st.sampled_from("ab")),
        st.just(("expire",)),
        st.tuples(st.sampled_from(["write", "release"]), st.integers(1, 2)),
    )
    history = []
    for _ in range(draw(st.integers(1, 5))):
        asked, begin = draw(ask), draw(st.integers(0, 6))
        answers = {"acquire": [None, 1, 2], "expire": [None]}.get(asked[0], [True, False])
        end = draw(st.one_of(st.none(), st.integers(begin, 7)))
        history.append(Operation("p", begin, end, asked, None if end is None else draw(st.sampled_from(answers))))
    return history


def explained_by_brute_force(history):
    """Try every subset of the unanswered operations in every order."""
    sure = [one for one in history if one.end is not None]
    unsure = [one for one in history if one.end is None]
    chosen = itertools.chain.from_iterable(itertools.combinations(unsure, n) for n in range(len(unsure) + 1))
    return any(fits(order) for extra in chosen for order in itertools.permutations([*sure, *extra]))


def fits(order):
    if any(b.end is not None and b.end < a.begin for a, b in itertools.combinations(order, 2)):
        return False
    states = {Lease()}
    for one in order:
        states = {after for state in states for after in lease(state, one)}
    return bool(states)


@given(arbitrary_leases())
@example(  # the expiry has nothing to take away at first, and makes room for the second owner later
    [
        Operation("p", 0, None, ("acquire", "a")),
        Operation("p", 0, 0, ("acquire", "a"), 2),
        Operation("p", 0, 0, ("expire",)),
    ]
)
def test_it_agrees_with_brute_force(history):
    assert bool(judge(history, lease, Lease())) != explained_by_brute_force(history)
