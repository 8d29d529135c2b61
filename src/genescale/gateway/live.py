"""Live values for those who look: the newest of each key, never a queue.

A source (the figures of the platform, the progress of an analysis) publishes here; each connection keeps the newest
value of a key until its reader has room. Used by the event loop only; other threads publish with
`call_soon_threadsafe`.
"""

from collections.abc import Collection
from typing import Final, Protocol

from genescale.protocol.server_steps import Live

ACTIONS: Final = {
    "metrics": "subscribe-metrics",
    "scaling": "subscribe-operations",
    "cost": "subscribe-cost",
    "operations": "subscribe-operations",
}
"""Topic -> what its reader must be allowed to do."""
ANALYSIS: Final = "analysis:"


class Follower(Protocol):
    """A connection."""

    def feed(self, event: Live) -> None:
        """Take the newest value."""
        ...


class LiveValues:
    """Who follows which topic. `sources` are the topics that something publishes; the others say `unavailable`."""

    def __init__(self, sources: Collection[str] = ()) -> None:
        self._sources = frozenset(sources)
        self._followers: dict[str, set[Follower]] = {}

    def has(self, topic: str) -> bool:
        """Whether anything publishes this topic here."""
        return topic.partition(":")[0] in self._sources

    def follow(self, topic: str, follower: Follower) -> None:
        """Give this follower every later value of the topic."""
        self._followers.setdefault(topic, set()).add(follower)

    def unfollow(self, topic: str, follower: Follower) -> None:
        """No more of it. Unknown pairs are fine."""
        some = self._followers.get(topic)
        if some is not None:
            some.discard(follower)
            if not some:
                del self._followers[topic]

    def publish(self, value: Live, owner: Follower | None = None) -> None:
        """Give a value to all who follow its topic, and to the owner of an analysis, who need not subscribe."""
        some = set(self._followers.get(value.topic, ()))
        if owner is not None:
            some.add(owner)
        for follower in some:
            follower.feed(value)
