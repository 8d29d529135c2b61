"""The topics and lanes of the platform, one table: `up`, Kafka, the manifests and the tests read the same names.

A *lane* is one way for requests: one topic, one consumer group, one workload, one scaler. Nobody else reads a lane's
topic, so that a burst on one lane never delays another.
"""

import msgspec

from genescale.events.log import TopicSpec

_DAY_S = 86_400


class Lane(msgspec.Struct, frozen=True):
    """One topic, one group, one workload."""

    name: str
    topic: str
    group: str
    workload: str


LANES: tuple[Lane, ...] = (
    Lane("urgent", "genetic-urgent-raw", "vep-urgent-service-group", "worker-urgent"),
    Lane("normal", "genetic-data-raw", "vep-service-group", "worker"),
    Lane("big-data", "genetic-bigdata-raw", "vep-bigdata-service-group", "worker-bigdata"),
    Lane("node-scale", "genetic-nodescale-raw", "vep-nodescale-service-group", "worker-nodescale"),
    Lane("kafka-lag", "genetic-lag-demo-raw", "vep-kafka-lag-service-group", "worker-lag-demo"),
)

RESULTS = "genetic-data-annotated"
DEAD_LETTERS = "genetic-dead-letter"
LOOP_STATE = "genescale-loop-state"

# A copy of a record carries its bytes as base64, a third larger, and the story beside it.
_COPIES_BYTES_MAX = 2 * 1_048_576

TOPICS: tuple[TopicSpec, ...] = (
    *(TopicSpec(name=lane.topic) for lane in LANES),
    TopicSpec(name=RESULTS, retention_s=14 * _DAY_S),
    TopicSpec(name=DEAD_LETTERS, retention_s=90 * _DAY_S, record_bytes_max=_COPIES_BYTES_MAX),
    TopicSpec(name=LOOP_STATE, retention_s=None, cleanup="compact", record_bytes_max=_COPIES_BYTES_MAX),
    TopicSpec(name="usage-events", retention_s=14 * _DAY_S),
    TopicSpec(name="live-events", retention_s=3600, power_safe=False),
    TopicSpec(name="scaling-events", retention_s=14 * _DAY_S),
    TopicSpec(name="cost-events", retention_s=14 * _DAY_S),
    TopicSpec(name="healing-events", retention_s=90 * _DAY_S),
    TopicSpec(name="ml-events", retention_s=14 * _DAY_S),
)
