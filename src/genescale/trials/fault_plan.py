"""Which faults a delivery run injects, and when: decided once, from the seed, before anything starts.

A fault is due when so many events have been acked, so that the faults lie over the whole run however fast the machine
is. The plan is repeatable; the interleaving of real processes is not, which is why a run has hundreds of faults.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

from genescale.events import failpoint


class Kind(NamedTuple):
    """One kind of fault. `weight` is its share; `disk` and `kafka` say what it needs."""

    name: str
    weight: int
    says: str
    disk: bool = False
    kafka: bool = False


KINDS: tuple[Kind, ...] = (
    Kind("sigkill", 110, "SIGKILL of a producer, consumer, reader or keeper at any moment"),
    *(Kind(f"sigkill_{name}", 24, f"SIGKILL at the failpoint {name}") for name in failpoint.NAMES),
    Kind("sigterm", 14, "SIGTERM: a consumer drains and another takes over"),
    Kind("pause", 16, "SIGSTOP of a consumer for longer than its lease, then SIGCONT"),
    Kind("rebalance_storm", 12, "members join and leave every 0.7 s"),
    Kind("duplicate", 60, "a batch of events is sent a second time, with the same ids"),
    Kind("clock_jump", 25, "the wall clock of every process jumps by up to 10 minutes"),
    Kind("retryable", 40, "an input that fails at first and then succeeds"),
    Kind("permanent", 25, "an input that can never be handled"),
    Kind("poison", 10, "an input that kills its process"),
    Kind("disk_full", 30, "no space left for a moment", disk=True),
    Kind("fsync_error", 40, "one fsync fails, and what it should have saved is gone", disk=True),
    Kind("slow_fsync", 20, "some fsyncs take half a second", disk=True),
    Kind("power_cut", 40, "everything that was not synced is gone", disk=True),
    Kind(
        "power_cut_torn", 50, "a random part of what was not synced is gone, in blocks of 512 to 4,096 bytes", disk=True
    ),
    Kind("broker_kill", 30, "SIGKILL of one of the three brokers, which comes back 4 s later", kafka=True),
)
NAMED: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}

# The last events are kept for faults that are still waiting for their moment when all have been ordered.
PLANNED_SHARE = 0.95

# These are properties of an input: a producer carries them out by sending it.
INPUTS = ("retryable", "permanent", "poison")


class Fault(NamedTuple):
    """One fault: due when `at` events have been acked. `draw` seeds whatever is random about it."""

    at: int
    kind: str
    draw: int


def make_plan(seed: str, events: int, faults: int, kinds: list[Kind]) -> list[Fault]:
    """`faults` faults spread over `events` events; every kind at least once when there are enough of them."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    names = [name for name, share in shares(faults, kinds).items() for _ in range(share)]
    chance.shuffle(names)
    step = events * PLANNED_SHARE / max(1, len(names))
    return [Fault(int((n + chance.random()) * step), name, chance.getrandbits(32)) for n, name in enumerate(names)]


def shares(faults: int, kinds: list[Kind]) -> dict[str, int]:
    """How many faults each kind gets: by weight, at least one each while there are enough."""
    if faults <= len(kinds):
        heaviest = sorted(kinds, key=lambda kind: -kind.weight)[:faults]
        return {kind.name: 1 for kind in heaviest}
    total = sum(kind.weight for kind in kinds)
    spare = faults - len(kinds)
    got = {kind.name: 1 + spare * kind.weight // total for kind in kinds}
    for kind in sorted(kinds, key=lambda kind: -kind.weight)[: faults - sum(got.values())]:
        got[kind.name] += 1
    return got
