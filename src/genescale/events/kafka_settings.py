"""What the Kafka log is told, and how that becomes the words of librdkafka and of the brokers.

Pure: it imports no Kafka library, so that settings can be read and checked on a machine that has none.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from genescale.events.log import TopicSpec
from genescale.sensitive import Sensitive

ClientConfig: TypeAlias = dict[str, str | int | float | bool]

# A broker's limit is on the batch as it travels. What a batch of one record adds to key, value and headers: 61 bytes
# for the batch, about 20 for the record, some for each header; this is room for several hundred headers.
BATCH_OVERHEAD_BYTES = 4_096

# librdkafka's own default. A topic that takes less needs smaller batches, or good records would be refused with them.
BATCH_BYTES_MAX = 1_000_000

_GATHER_MS = 20

_DAY_MS = 86_400_000


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are, and how this program behaves towards them."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """`host:port`, comma-separated. Two or three suffice; the others are learned."""

    client_id: str = "genescale"
    """Begins the name under which the brokers' logs and tools show this process."""

    group_protocol: Literal["classic", "consumer"] = "classic"
    """`classic` (cooperative-sticky) works on every broker. `consumer` (KIP-848) needs brokers of version 4 or newer
    and moves partitions faster; there the brokers decide about session and heartbeat."""

    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """SCRAM never sends the password; PLAIN is for hosted brokers that know nothing else, under TLS only."""

    sasl_username: str = ""
    sasl_password: Sensitive[str] = msgspec.field(default_factory=lambda: Sensitive(""))

    ca_file: str = ""
    """PEM file with the authority that signed the brokers; empty: the authorities that the system trusts."""

    certificate_file: str = ""
    key_file: str = ""
    """PEM files of this client's own certificate, where the brokers ask for one (mTLS)."""

    session_timeout_s: float = 6.0
    """Classic only. A silent member loses its partitions after this. Kafka's 45 s would let a killed worker's requests
    wait for 45 s; much less would take a short pause for a death."""

    heartbeat_s: float = 1.0
    """Classic only. Also how soon a member hears that the group is changing."""

    poll_interval_max_s: float = 300.0
    """A member that does not poll for this long is dropped, although its heartbeats go on: it hangs."""

    linger_ms: float = 0.0
    """0 sends each append as soon as it is complete. More gathers small appends for this long, for programs that make
    thousands of them per second and can wait."""

    compression: Literal["none", "lz4", "zstd"] = "zstd"
    """Sealed payloads do not shrink, but the ten headers of each record do, on the wire and on three disks. Measured
    against lz4 and none, zstd costs the brokers least, and the client no more than lz4."""

    delivery_timeout_s: float = 300.0
    """When the producer gives up. Shorter than an outage makes duplicates: what it gave up may be in the log."""

    request_timeout_s: float = 10.0
    """For questions about topics, groups and offsets."""

    queue_bytes_max: int = 64 * 1024 * 1024
    """Records that wait for an acknowledgement, and records read ahead, each at most this much memory per client."""

    replication_factor: int = 3
    """Copies of each partition of topics that we create: one broker may be in repair while another fails."""

    min_insync_replicas: int = 2
    """Copies that must hold a record before it is acknowledged. 1 would make acks=all mean one copy."""

    record_bytes_max: int = 1_048_576
    """The limit for topics whose settings this user may not read."""

    metadata_refresh_s: float = 60.0
    """How soon partitions that somebody added are noticed."""


def common_config(settings: KafkaSettings) -> ClientConfig:
    """What every client needs."""
    config: ClientConfig = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.client_id,
        "socket.keepalive.enable": True,  # balancers forget idle connections without a word
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,  # librdkafka's 10 s would add to every broker restart
        "topic.metadata.refresh.interval.ms": _ms(settings.metadata_refresh_s),
        "log.connection.close": False,  # brokers close idle connections; that is no news
        "security.protocol": settings.security_protocol,
    }
    if settings.ca_file:
        config["ssl.ca.location"] = settings.ca_file
    if settings.certificate_file:
        config["ssl.certificate.location"] = settings.certificate_file
        config["ssl.key.location"] = settings.key_file
    if settings.security_protocol.startswith("sasl"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"] = settings.sasl_username
        config["sasl.password"] = settings.sasl_password.reveal()
    return config


def producer_config(settings: KafkaSettings, batch_bytes: int = BATCH_BYTES_MAX) -> ClientConfig:
    """Idempotent, acknowledged by all in-sync replicas, keyed as Java's clients do."""
    return common_config(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        # Without a linger of the user's, an append is flushed when its last record is queued; until then, gather.
        "linger.ms": settings.linger_ms or _GATHER_MS,
        "compression.type": settings.compression,
        "message.timeout.ms": _ms(settings.delivery_timeout_s),
        "message.max.bytes": 16
        * 1024
        * 1024,  # the topic's own limit is checked before; this one must not be in its way
        "batch.size": batch_bytes,
        "queue.buffering.max.kbytes": settings.queue_bytes_max // 1024,
    }


def reader_config(settings: KafkaSettings, group: str) -> ClientConfig:
    """For a tail, and the ground for a group member. Positions move only when we say so."""
    return common_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # `latest` would skip the very record that woke the worker
        "check.crcs": True,  # a record that cannot be trusted is never handed out
        "queued.max.messages.kbytes": settings.queue_bytes_max // 1024,
        "fetch.queue.backoff.ms": 20,  # librdkafka rests 1 s when its queue was full; by then ours is long empty
    }


def member_config(settings: KafkaSettings, group: str, member: str) -> ClientConfig:
    """For a member of a group."""
    config = reader_config(settings, group) | {
        "client.id": member,
        "group.protocol": settings.group_protocol,
        "max.poll.interval.ms": _ms(settings.poll_interval_max_s),
    }
    if settings.group_protocol == "classic":  # with KIP-848 a client that sets any of these is refused
        config |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _ms(settings.session_timeout_s),
            "heartbeat.interval.ms": _ms(settings.heartbeat_s),
        }
    return config


def topic_config(settings: KafkaSettings, spec: TopicSpec) -> dict[str, str]:
    """The topic's settings on the brokers."""
    # A topic that need not survive a power cut goes on with one broker of three; the others need two copies.
    copies = settings.min_insync_replicas if spec.power_safe else 1
    retention_ms = -1 if spec.retention_s is None else spec.retention_s * 1000
    config = {
        "cleanup.policy": spec.cleanup,
        "retention.ms": str(retention_ms),
        "max.message.bytes": str(spec.record_bytes_max + BATCH_OVERHEAD_BYTES),
        "min.insync.replicas": str(copies),
        "unclean.leader.election.enable": "false",
        "compression.type": "producer",  # brokers keep what was sent; compressing again would cost CPU for nothing
        "segment.ms": str(_segment_ms(spec)),
    }
    if spec.cleanup == "compact":
        config["min.cleanable.dirty.ratio"] = "0.1"  # these topics are small, and replayed at every start
    return config


def spec_from_config(settings: KafkaSettings, name: str, partitions: int, config: Mapping[str, str]) -> TopicSpec:
    """The other way round, for a topic that may have been made by somebody else."""
    retention_ms = int(config.get("retention.ms", "-1"))
    limit = int(config.get("max.message.bytes", settings.record_bytes_max + BATCH_OVERHEAD_BYTES))
    return TopicSpec(
        name=name,
        partitions=partitions,
        retention_s=None if retention_ms < 0 else retention_ms // 1000,
        cleanup="compact" if "compact" in config.get("cleanup.policy", "delete") else "delete",
        power_safe=int(config.get("min.insync.replicas", "1")) >= settings.min_insync_replicas,
        record_bytes_max=max(0, limit - BATCH_OVERHEAD_BYTES),
    )


def _segment_ms(spec: TopicSpec) -> int:
    """Brokers delete and compact whole closed segments only: one of a week would keep an hour's data for a week."""
    if spec.cleanup == "compact":
        return _DAY_MS // 24
    if spec.retention_s is None:
        return 7 * _DAY_MS
    return min(7 * _DAY_MS, max(600_000, spec.retention_s * 1000 // 6))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
