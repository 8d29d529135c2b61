"""A group member in a process of its own: `python kafka_member.py SERVERS PROTOCOL GROUP TOPIC`.

It is driven by lines on stdin: it polls until it has something, says what it owns and holds, and on the line `commit`
tries to commit it.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from genescale.clock import SystemClock
from genescale.errors import GenescaleError
from genescale.events.kafka import KafkaLog
from genescale.events.kafka_settings import KafkaSettings
from genescale.events.log import TopicPartition


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(servers: str, protocol: str, group: str, topic: str) -> None:
    settings = KafkaSettings(
        bootstrap_servers=servers,
        group_protocol=protocol,  # pyright: ignore[reportArgumentType]
        session_timeout_s=3.0,
        heartbeat_s=0.3,
    )
    consumer = KafkaLog(settings, SystemClock()).consumer(group, [topic])
    held: dict[TopicPartition, int] = {}
    while not held:
        for record in consumer.poll(100, 0.2):
            held[TopicPartition(record.topic, record.partition)] = record.offset + 1
    say(owned=len(consumer.assignment()), held=sum(held.values()))
    for line in sys.stdin:
        if line.strip() == "commit":
            try:
                consumer.commit(held)
                say(outcome="committed")
            except GenescaleError as error:
                say(outcome=type(error).__name__, message=str(error))
        else:
            consumer.poll(100, 1.0)
            say(owned=len(consumer.assignment()))


if __name__ == "__main__":
    main(*sys.argv[1:])
