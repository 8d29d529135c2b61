"""Logs for trials, opened as every role opens them: through settings and `wiring`."""

from pathlib import Path

from genescale import config
from genescale.clock import Clock
from genescale.events.log import EventLog
from genescale.events.runner import LoopSettings
from genescale.wiring import loop_settings, open_log


def sqlite_log(folder: Path, clock: Clock) -> EventLog:
    """The SQLite log of a data directory at `folder`."""
    overrides = {"data.directory": str(folder), "log.kind": "sqlite"}
    return open_log(config.load({}, overrides=overrides).settings, clock)


def kafka_log(bootstrap_servers: str, clock: Clock, folder: Path) -> EventLog:
    """The log on these brokers; `folder` is the data directory for what is not on Kafka."""
    overrides = {
        "data.directory": str(folder),
        "log.kind": "kafka",
        "kafka.bootstrap_servers": bootstrap_servers,
    }
    return open_log(config.load({}, overrides=overrides).settings, clock)


def default_loop() -> LoopSettings:
    """The loop as a role runs it by default."""
    return loop_settings(config.load({}).settings)
