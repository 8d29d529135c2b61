"""The peer of `runner_kafka`: the same records through confluent-kafka alone, with nothing of ours around it.

Consume 500, produce them again, flush, commit. No decoding, no handler, no crash notes: what the client library and the
brokers leave possible on this machine, so that a figure taken on a slow or busy one can be judged.
"""

# The type stubs of confluent-kafka leave much untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from confluent_kafka import Consumer, Producer

from genescale.clock import Clock

_BATCH = 500


def bare_loop_rate(bootstrap_servers: str, source: str, target: str, events: int, clock: Clock) -> float:
    """Events per second from `source` to `target`."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
        }
    )
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-bare",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([source])
        done, began_s = 0, 0.0
        while done < events:
            messages = consumer.consume(_BATCH, 1.0)
            if messages and not done:
                began_s = clock.monotonic_s()
            for message in messages:
                producer.produce(target, message.value(), key=message.key(), headers=message.headers())
            producer.flush()
            if messages:
                consumer.commit(asynchronous=False)
            done += len(messages)
        return done / (clock.monotonic_s() - began_s)
    finally:
        consumer.close()
