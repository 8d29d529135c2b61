"""How settings and topic specs become Kafka's words; needs no Kafka."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from genescale.events.kafka_settings import (
    KafkaSettings,
    common_config,
    member_config,
    producer_config,
    reader_config,
    spec_from_config,
    topic_config,
)
from genescale.events.log import TopicSpec
from genescale.events.topics import TOPICS
from genescale.sensitive import Sensitive

SETTINGS = KafkaSettings()

specs = st.builds(
    TopicSpec,
    name=st.just("topic"),
    partitions=st.integers(1, 1000),
    retention_s=st.none() | st.integers(1, 10**9),
    cleanup=st.sampled_from(["delete", "compact"]),
    power_safe=st.booleans(),
    record_bytes_max=st.integers(1, 10**8),
)


@given(specs)
def test_a_spec_comes_back_from_the_brokers_settings(spec: TopicSpec) -> None:
    assert spec_from_config(SETTINGS, spec.name, spec.partitions, topic_config(SETTINGS, spec)) == spec


def test_no_topic_of_ours_can_lose_what_was_acknowledged() -> None:
    for spec in TOPICS:
        config = topic_config(SETTINGS, spec)
        assert config["unclean.leader.election.enable"] == "false"
        assert config["min.insync.replicas"] == ("2" if spec.power_safe else "1"), spec.name


def test_an_hour_of_retention_is_not_kept_for_a_week() -> None:
    """Brokers delete whole closed segments: the segment must be much shorter than the retention."""
    for spec in TOPICS:
        if spec.retention_s is not None:
            assert int(topic_config(SETTINGS, spec)["segment.ms"]) * 6 <= spec.retention_s * 1000


def test_a_topic_made_by_somebody_else_is_read_with_kafkas_defaults() -> None:
    spec = spec_from_config(SETTINGS, "foreign", 3, {"cleanup.policy": "compact,delete", "retention.ms": "1000"})
    assert (spec.partitions, spec.cleanup, spec.retention_s, spec.power_safe) == (3, "compact", 1, False)


def test_the_producer_never_trades_safety() -> None:
    config = producer_config(SETTINGS)
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"
    assert config["partitioner"] == "murmur2_random"
    assert config["message.timeout.ms"] == 300_000, "shorter than an outage means duplicates"


def test_a_reader_moves_no_position_by_itself_and_starts_at_the_oldest() -> None:
    config = reader_config(SETTINGS, "group")
    assert config["enable.auto.commit"] is False
    assert config["auto.offset.reset"] == "earliest"
    assert config["check.crcs"] is True


def test_kip_848_members_set_nothing_that_the_library_refuses() -> None:
    refused = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
    classic = member_config(SETTINGS, "group", "member")
    assert refused <= classic.keys()
    assert classic["partition.assignment.strategy"] == "cooperative-sticky"
    assert not refused & member_config(KafkaSettings(group_protocol="consumer"), "group", "member").keys()


def test_the_password_shows_in_no_representation() -> None:
    settings = KafkaSettings(
        security_protocol="sasl_ssl", sasl_username="u", sasl_password=Sensitive("hunter2"), ca_file="/ca.pem"
    )
    assert "hunter2" not in repr(settings)
    config = common_config(settings)
    assert (config["sasl.mechanism"], config["sasl.password"]) == ("SCRAM-SHA-512", "hunter2")
    assert config["ssl.ca.location"] == "/ca.pem"


def test_settings_can_be_read_without_the_kafka_library() -> None:
    code = "import sys, genescale.events.kafka_settings; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
