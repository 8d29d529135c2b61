import os
import signal

import pytest

from genescale.events import failpoint
from genescale.trials import journal
from genescale.trials.board import POISON, Board, JumpingClock
from genescale.trials.journal import Journal


def test_cells_do_not_overlap():
    board = Board()
    board.put("wall_jump_ms", -5)
    board.put_producer(0, "acked", 7)
    board.put_producer(7, "duplicates_sent", 8)
    board.put_slot(0, failpoint.NAMES[0], 9)
    board.put_slot(63, "last_words", 10)
    assert board.get("wall_jump_ms") == -5
    assert board.of_producer(0, "acked") == 7
    assert board.of_producer(7, "duplicates_sent") == 8
    assert board.of_slot(0, failpoint.NAMES[0]) == 9
    board.clear_slot(0)
    assert board.of_slot(0, failpoint.NAMES[0]) == 0
    assert board.of_slot(63, "last_words") == 10


def test_the_wall_jumps_and_the_monotonic_clock_does_not():
    board = Board()
    clock = JumpingClock(board)
    wall, monotonic = clock.wall_ms(), clock.monotonic_s()
    board.put("wall_jump_ms", -600_000)
    assert clock.wall_ms() < wall - 590_000
    assert clock.monotonic_s() >= monotonic


@pytest.mark.parametrize("passages", [1, 3])
def test_an_armed_failpoint_kills_at_its_passage_and_says_so(monkeypatch, passages):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    board = Board()
    hook = board.death_at(4)
    board.put_slot(4, "mid_handling", passages)
    for _ in range(passages):
        assert not killed
        hook("before_append")
        hook("mid_handling")
    assert killed == [(os.getpid(), signal.SIGKILL)]
    assert failpoint.NAMES[board.of_slot(4, "last_words") - 1] == "mid_handling"
    assert board.of_slot(4, "last_words") != POISON


def test_a_line_that_was_cut_short_is_dropped(tmp_path):
    book = Journal(tmp_path / "producer0-12.jsonl")
    book.write("acked", 0, [[1, 2]])
    book.write("submitted", 1, 5)
    path = tmp_path / "producer0-12.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    assert list(journal.read(path)) == [["acked", 0, [[1, 2]]]]


def test_journals_are_read_in_the_order_of_their_processes(tmp_path):
    for number in (10, 9, 100):
        Journal(tmp_path / f"reader-{number}.jsonl")
    Journal(tmp_path / "producer1-1.jsonl")
    assert [path.stem for path in journal.all_of(tmp_path, "reader")] == ["reader-9", "reader-10", "reader-100"]
