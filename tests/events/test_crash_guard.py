"""Finding the record that kills: a model of processes that die is run against the guard."""

from hypothesis import given
from hypothesis import strategies as st

from genescale.events.crash_guard import CrashGuard
from genescale.events.loop_data import BatchStarted

CRASHES_MAX = 3


def note_of(start: int, upto: int, crashes: int, *, clean: bool = False) -> BatchStarted:
    return BatchStarted(group="g", topic="t", partition=0, start=start, upto=upto, crashes=crashes, clean=clean)


def live(records: int, poison: set[int], batch_max: int) -> tuple[dict[int, int], set[int]]:
    """Process all records, a new process after each death. Returns the deaths by culprit, and who was given up."""
    position, last = 0, None
    deaths: dict[int, int] = dict.fromkeys(poison, 0)
    given_up: set[int] = set()
    while position < records:
        guard = CrashGuard(batch_max, CRASHES_MAX)
        guard.take_over(0, position, last)
        while position < records:
            level = guard.level(0, position)
            batch: list[int] = []
            for record in range(position, min(records, position + guard.batch_max(level))):
                if guard.level(0, record) != level:
                    break
                batch.append(record)
            note = guard.note(0, batch[0], batch[-1] + 1)
            last = note_of(*note) if note else last
            culprit = next((record for record in batch if record in poison), None)
            if level >= CRASHES_MAX:
                given_up.update(batch)
            elif culprit is not None:
                deaths[culprit] += 1
                break
            position = batch[-1] + 1
    return deaths, given_up


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4), st.sampled_from([1, 7, 50, 500]))
def test_exactly_the_poison_is_given_up_after_exactly_three_deaths(
    records: int, poison: set[int], batch_max: int
) -> None:
    present = {record for record in poison if record < records}
    deaths, given_up = live(records, present, batch_max)
    assert given_up == present
    assert all(deaths[record] <= CRASHES_MAX for record in present)
    if len(present) == 1:
        assert deaths == dict.fromkeys(present, CRASHES_MAX)


def test_a_clean_end_is_no_suspicion() -> None:
    guard = CrashGuard(100, CRASHES_MAX)
    guard.take_over(0, 50, note_of(0, 800, 0, clean=True))
    assert guard.calm


def test_a_note_that_was_lived_through_is_no_suspicion() -> None:
    guard = CrashGuard(100, CRASHES_MAX)
    guard.take_over(0, 50, note_of(0, 50, 2))
    assert guard.calm


def test_one_note_covers_many_batches_while_nothing_is_suspected() -> None:
    guard = CrashGuard(100, CRASHES_MAX)
    guard.take_over(0, 0, None)
    written = [guard.note(0, start, start + 100) for start in range(0, 1600, 100)]
    assert sum(note is not None for note in written) == 2
