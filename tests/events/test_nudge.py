"""Waking a reader in another process through a pipe."""

import os
import threading
import time
from pathlib import Path

from genescale.events.nudge import Nudger, Waiter

LONG_S = 20.0


def test_a_nudge_ends_the_wait(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path, ["topic"])
    nudger = Nudger(tmp_path)
    began = time.monotonic()
    threading.Timer(0.05, lambda: nudger.nudge("topic")).start()
    waiter.wait(LONG_S)
    assert time.monotonic() - began < LONG_S / 2
    waiter.close()


def test_a_nudge_before_the_wait_is_not_lost(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path, ["topic"])
    Nudger(tmp_path).nudge("topic")
    began = time.monotonic()
    waiter.wait(LONG_S)
    assert time.monotonic() - began < LONG_S / 2
    waiter.close()


def test_another_channel_does_not_wake(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path, ["topic"])
    Nudger(tmp_path).nudge("other")
    began = time.monotonic()
    waiter.wait(0.05)
    assert time.monotonic() - began >= 0.04
    waiter.close()


def test_a_million_nudges_do_not_block_the_writer(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path, ["topic"])
    nudger = Nudger(tmp_path)
    for _ in range(70_000):  # a pipe holds 65,536 bytes
        nudger.nudge("topic")
    waiter.wait(1.0)
    waiter.close()


def test_the_pipe_of_a_dead_reader_is_removed(tmp_path: Path) -> None:
    if (pid := os.fork()) == 0:
        Waiter(tmp_path, ["topic"])
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(list((tmp_path / "topic").iterdir())) == 1
    Nudger(tmp_path).nudge("topic")
    assert not list((tmp_path / "topic").iterdir())


def test_a_reader_leaves_nothing_behind(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path, ["one", "two"])
    waiter.close()
    waiter.wake()  # late calls are harmless
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]
