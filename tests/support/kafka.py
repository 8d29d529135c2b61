"""The Kafka cluster that tests share: started once per run, and worlds on it for the contract suite."""

import atexit
import functools
import itertools
import os

from genescale.clock import SystemClock
from genescale.events.kafka import KafkaLog
from genescale.events.kafka_settings import KafkaSettings
from genescale.events.log import EventLog
from genescale.sensitive import Sensitive
from genescale.trials.kafka_cluster import ADMIN, KafkaCluster, available
from support.require import missing

_NUMBERS = itertools.count()

# Kafka's group members answer heartbeats from a thread of the library: a member that only stops polling is dropped
# after `poll_interval_max_s`. Short, so that the zombie of the suite needs no five minutes.
SESSION_S = 3.0


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
    session = {"group.consumer.session.timeout.ms": 3000, "group.consumer.heartbeat.interval.ms": 300}
    cluster = KafkaCluster(settings=session)
    atexit.register(cluster.stop)
    return cluster.start()


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
        self._opened.append(KafkaLog(settings, SystemClock()))
        return self._opened[-1]

    def close(self) -> None:
        for log in self._opened:
            log.close()
