"""Who reads which partition: a pure rule that every member of a group applies to the same facts.

The memory and SQLite logs have no coordinator process. Each member looks at the list of live members and at the
present owners, then gives up what is too much for it and claims what is free, one small step at a time. Nobody takes
a partition from a live owner, so that work in progress is finished and committed first (cooperative rebalancing).
Kafka's group coordinator does the same job for the Kafka log.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from genescale.events.log import TopicPartition


class Step(NamedTuple):
    """What one member does now."""

    release: tuple[TopicPartition, ...]
    claim: tuple[TopicPartition, ...]


def quota(member: str, members: Sequence[str], topic: str, partitions: int) -> int:
    """How many partitions of `topic` the member may own. Shares differ by one at most.

    The rank is rotated by the topic's name: otherwise the first member would get the odd partition of every topic.
    """
    ranked = sorted(members)
    rank = (ranked.index(member) + zlib.crc32(topic.encode())) % len(ranked)
    return partitions // len(ranked) + (1 if rank < partitions % len(ranked) else 0)


def next_step(
    member: str,
    subscriptions: Mapping[str, Sequence[str]],
    owners: Mapping[TopicPartition, str | None],
) -> Step:
    """What `member` gives up and claims, from the live members' topics and the present owners.

    `owners` lists every partition of every subscribed topic, None for a free one. Applied by all members in any
    order, again and again, it ends with every partition owned and shares that differ by one at most.
    """
    release: list[TopicPartition] = []
    claim: list[TopicPartition] = []
    mine = set(subscriptions[member])
    for topic in sorted({seat.topic for seat in owners}):
        seats = sorted(seat for seat in owners if seat.topic == topic)
        owned = [seat for seat in seats if owners[seat] == member]
        if topic not in mine:
            release += owned
            continue
        readers = [name for name, topics in subscriptions.items() if topic in topics]
        share = quota(member, readers, topic, len(seats))
        free = [seat for seat in seats if owners[seat] is None]
        release += owned[share:]
        claim += free[: max(0, share - len(owned))]
    return Step(tuple(release), tuple(claim))
