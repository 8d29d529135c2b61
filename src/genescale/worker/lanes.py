"""Several lanes in one process: a consume loop in a thread of its own for each.

One process for each lane would cost the memory of the program five times on a machine that is mostly idle. Threads
share it; what must not wait for others (the urgent lane) gets a process of its own from whoever starts them.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genescale.errors import CannotStart
from genescale.events.runner import Runner
from genescale.events.topics import LANES, Lane
from genescale.observability import logs

_log = logs.get_logger(__name__)


def lanes_of(names: str) -> tuple[Lane, ...]:
    """The lanes of a setting such as `urgent, normal`. Raises `CannotStart` for a name that is none."""
    known = {lane.name: lane for lane in LANES}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    wrong = [name for name in wanted if name not in known]
    if wrong or not wanted:
        raise CannotStart(f"worker.lanes: {', '.join(wrong) or 'nothing'} is no lane; there are: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))


class LaneThreads:
    """Runs the loops until `stop`. When one of them ends by an error, all end: a new process recovers."""

    def __init__(self, lanes: Sequence[Lane], make: Callable[[Lane], Runner[Any]]) -> None:
        self._make = make
        self._lanes = lanes
        self._runners: dict[str, Runner[Any]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Returns when every loop has handed back what it held. Raises what ended one of them."""
        threads = [threading.Thread(target=self._serve, args=(lane,), name=f"lane {lane.name}") for lane in self._lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End soon. Safe from any thread."""
        with self._lock:
            self._stopping = True
            runners = list(self._runners.values())
        for runner in runners:
            runner.stop()

    def counts(self) -> Mapping[str, int]:
        """How many requests each lane has handled since the start."""
        with self._lock:
            return {name: runner.counts.handled for name, runner in self._runners.items()}

    def _serve(self, lane: Lane) -> None:
        try:
            runner = self._make(lane)
            with self._lock:
                self._runners[lane.name] = runner
                stopping = self._stopping
            if stopping:
                runner.close()
                return
            runner.run()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the other lanes must not go on without this one
            self.failure = self.failure or error
            _log.critical("the loop of a lane ended", lane=lane.name, error=type(error).__name__)
            self.stop()
