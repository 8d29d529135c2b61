"""The rule of shares: in whatever order members act, every partition gets an owner and shares differ by at most one."""

from hypothesis import given
from hypothesis import strategies as st

from genescale.events.assignment import next_step, quota
from genescale.events.log import TopicPartition

names = st.lists(st.sampled_from([f"m{n}" for n in range(8)]), min_size=1, max_size=8, unique=True)


def settle(
    subscriptions: dict[str, tuple[str, ...]], owners: dict[TopicPartition, str | None], order: list[str]
) -> dict[TopicPartition, str | None]:
    """Let members act in this order, again and again, until nobody wants anything."""
    for _ in range(50):
        quiet = True
        for member in order:
            step = next_step(member, subscriptions, owners)
            for seat in step.release:
                assert owners[seat] == member, "only one's own is given up"
                owners[seat] = None
            for seat in step.claim:
                if owners[seat] is None:
                    owners[seat] = member
            quiet = quiet and not step.release and not step.claim
        if quiet:
            return owners
    raise AssertionError("the group never settled")


@given(names, st.integers(1, 30), st.randoms(use_true_random=False))
def test_every_partition_is_owned_and_shares_are_fair(members: list[str], count: int, draw: object) -> None:
    seats = [TopicPartition("t", n) for n in range(count)]
    start = {seat: draw.choice([*members, None]) for seat in seats}  # pyright: ignore[reportAttributeAccessIssue]
    owners = settle(dict.fromkeys(members, ("t",)), start, members)
    shares = [sum(owner == member for owner in owners.values()) for member in members]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@given(names, st.integers(0, 30))
def test_quotas_add_up(members: list[str], count: int) -> None:
    assert sum(quota(member, members, "topic", count) for member in members) == count


def test_a_member_that_does_not_read_a_topic_gets_none_of_it() -> None:
    owners: dict[TopicPartition, str | None] = {TopicPartition(t, n): None for t in ("a", "b") for n in range(4)}
    settled = settle({"one": ("a", "b"), "two": ("b",)}, owners, ["two", "one"])
    assert all(settled[TopicPartition("a", n)] == "one" for n in range(4))
    assert sorted(str(settled[TopicPartition("b", n)]) for n in range(4)) == ["one", "one", "two", "two"]


def test_a_newcomer_moves_no_more_than_its_share() -> None:
    seats = [TopicPartition("t", n) for n in range(24)]
    before: dict[TopicPartition, str | None] = {seat: "one" if seat.partition < 12 else "two" for seat in seats}
    after = settle(dict.fromkeys(("one", "two", "three"), ("t",)), dict(before), ["three", "one", "two"])
    assert sum(before[seat] != after[seat] for seat in seats) == 8
