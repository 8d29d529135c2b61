"""Several lanes in one process: all of them run, all of them stop, and one that fails ends the others."""

import threading
from typing import Any

import pytest

from genescale.errors import CannotStart, LogBroken
from genescale.events.topics import LANES, Lane
from genescale.worker.lanes import LaneThreads, lanes_of


class Loop:
    """Stands for a consume loop."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.began = threading.Event()
        self.asked = threading.Event()

    def run(self) -> None:
        self.began.set()
        if self.failure is not None:
            raise self.failure
        assert self.asked.wait(10)

    def stop(self) -> None:
        self.asked.set()

    close = stop


def test_the_names_of_lanes_are_those_of_the_table() -> None:
    assert lanes_of("normal") == (LANES[1],)
    assert lanes_of(" urgent, normal ,urgent") == LANES[:2]
    for wrong in ("", ",", "fast", "normal, fast"):
        with pytest.raises(CannotStart, match="urgent, normal, big-data"):
            lanes_of(wrong)


def test_every_lane_runs_until_all_are_stopped() -> None:
    loops: dict[str, Loop] = {}
    threads = LaneThreads(LANES, lambda lane: made(loops, lane))
    whole = threading.Thread(target=threads.run)
    whole.start()
    while len(loops) < len(LANES):
        threading.Event().wait(0.001)
    assert all(loop.began.wait(10) for loop in loops.values())
    threads.stop()
    whole.join(10)
    assert not whole.is_alive()
    assert threads.failure is None


def test_a_lane_that_fails_ends_the_others_and_is_told() -> None:
    loops: dict[str, Loop] = {}
    failure = LogBroken("the disk refused to confirm a write")

    def make(lane: Lane) -> Any:
        return made(loops, lane, failure if lane.name == "normal" else None)

    with pytest.raises(LogBroken):
        LaneThreads(LANES, make).run()
    assert all(loop.asked.is_set() for name, loop in loops.items() if name != "normal")


def made(loops: dict[str, Loop], lane: Lane, failure: Exception | None = None) -> Any:
    loops[lane.name] = Loop(failure)
    return loops[lane.name]
