"""Looks after the log: retention, compaction and checkpoints on a period, and the lag of every group as a metric.

One process per platform does this, the role `keeper`, so that consumers need not, and so that the lag is true while no
consumer runs: scaling from zero reads it.
"""

import threading
from collections import Counter

from genescale.clock import Clock
from genescale.errors import LogDamaged, Retryable
from genescale.events.log import EventLog
from genescale.observability import metrics
from genescale.observability.logs import get_logger
from genescale.observability.probe import State

_log = get_logger(__name__)

LAG_EVERY_S = 5.0  # three looks in a scrape interval of 15 s
UPKEEP_EVERY_S = 60.0  # retention is counted in hours, so a minute late is early


class Keeper:
    """The upkeep of one log. `run` in one thread; `ready` may be asked from any."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._upkeep_due_s = clock.monotonic_s()
        self._refusal: str | None = "it has not looked at the log yet"
        metrics.LOG_DAMAGED.set(0)

    def ready(self) -> State:
        """Whether the log answered when it was last asked."""
        refusal = self._refusal
        return State(ok=refusal is None, reasons=() if refusal is None else (refusal,))

    def run(self, stop: threading.Event) -> None:
        """Take turns until `stop` is set. What a retry can mend is told and tried again at the next turn."""
        while not stop.is_set():
            try:
                self.turn()
                self._refusal = None
            except Retryable as error:
                self._refusal = str(error)
                _log.warning("the log did not answer; trying again", reason=str(error), again_in_s=LAG_EVERY_S)
            self._clock.wait(stop, LAG_EVERY_S)

    def turn(self) -> None:
        """Look at the lag, and do the upkeep if it is due."""
        self.show_lag()
        now_s = self._clock.monotonic_s()
        if now_s < self._upkeep_due_s:
            return
        self._upkeep_due_s = now_s + UPKEEP_EVERY_S
        try:
            done = {what: count for what, count in self._log.maintain().items() if count}
        except LogDamaged as error:
            # Told, not died of: the lag must stay true while a person decides, and another start would find the same.
            metrics.LOG_DAMAGED.set(1)
            _log.error("the log is damaged", path=error.path, place=error.place, reason=str(error))
            return
        if done:
            _log.info("upkeep done", **done)

    def show_lag(self) -> None:
        """Set `genescale_bus_lag` for every group; a group that is gone disappears."""
        lags: Counter[tuple[str, str]] = Counter()
        for group in self._log.groups():
            for lag in self._log.lag(group):
                lags[group, lag.topic] += lag.lag
        metrics.BUS_LAG.replace(lags)
