"""The Kafka cluster that tests share: started once per run, and worlds on it for the contract suite."""

import atexit
import functools
import itertools
import os
from contextlib import suppress
from typing import Any

from genescale.clock import SystemClock
from genescale.events.kafka import KafkaConsumer, KafkaLog, KafkaTail
from genescale.events.kafka_settings import KafkaSettings
from genescale.events.log import EventLog
from genescale.sensitive import Sensitive
from genescale.trials.kafka_cluster import ADMIN, KafkaCluster, available
from support.require import missing

_NUMBERS = itertools.count()

# Kafka's group members answer heartbeats from a thread of the library: a member that only stops polling is dropped
# after `poll_interval_max_s`. Short, so that the zombie of the suite needs no five minutes; long enough
# for one thread that polls two members on a machine where five others want the processor.
SESSION_S = 6.0


def settings_for(cluster: KafkaCluster, user: str = ADMIN, **changes: object) -> KafkaSettings:
    """Settings that reach `cluster` as `user`."""
    security: dict[str, object] = {}
    if cluster.secure:
        security = {
            "security_protocol": "sasl_ssl",
            "ca_file": str(cluster.ca_path),
            "sasl_username": user,
            "sasl_password": Sensitive(cluster.passwords[user]),
        }
    quick = {"bootstrap_servers": cluster.bootstrap, "metadata_refresh_s": 1.0, "client_id": f"test-{os.getpid()}"}
    return KafkaSettings(**{**quick, **security, **changes})  # pyright: ignore[reportArgumentType]


def unique(name: str) -> str:
    """A topic or group name that no other test of this run uses."""
    return f"{name}-{os.getpid()}-{next(_NUMBERS)}"


@functools.cache
def shared_cluster() -> KafkaCluster:
    """Three plain brokers for every test of this run: use names of your own, and kill none of them."""
    if reason := available():
        missing("Apache Kafka", reason)
    # With KIP-848 the brokers decide; `SESSION_S` for both protocols.
    session = {"group.consumer.session.timeout.ms": int(SESSION_S * 1000), "group.consumer.heartbeat.interval.ms": 300}
    cluster = KafkaCluster(settings=session)
    atexit.register(cluster.stop)
    return cluster.start()


class TidyLog(KafkaLog):
    """Closes with itself the readers that a failed test left open.

    One that the garbage collector frees while it is open waits for a thread of its library, and keeps the interpreter's
    lock that this thread needs: the whole run would hang.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings, SystemClock())
        self._readers: list[KafkaConsumer | KafkaTail] = []

    def consumer(self, *args: Any, **options: Any) -> KafkaConsumer:
        """See `EventLog`."""
        reader = super().consumer(*args, **options)
        self._readers.append(reader)
        return reader

    def tail(self, *args: Any, **options: Any) -> KafkaTail:
        """See `EventLog`."""
        reader = super().tail(*args, **options)
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        """See `EventLog`."""
        for reader in self._readers:
            with suppress(Exception):  # most are closed already, and one may have a failure to tell that the test saw
                reader.close()
        super().close()


class KafkaWorld:
    """See `World` of the contract suite."""

    refuses_late_writes = False  # of the log: it is the result id that makes a late write invisible
    session_s = SESSION_S

    def __init__(self, group_protocol: str) -> None:
        self._cluster, self._protocol = shared_cluster(), group_protocol
        self._opened: list[EventLog] = []

    def open(self) -> EventLog:
        settings = settings_for(
            self._cluster,
            group_protocol=self._protocol,
            session_timeout_s=SESSION_S,
            heartbeat_s=0.3,
            poll_interval_max_s=SESSION_S,
        )
        self._opened.append(TidyLog(settings))
        return self._opened[-1]

    def close(self) -> None:
        for log in self._opened:
            log.close()
