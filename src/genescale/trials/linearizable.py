"""Does a concurrent history have an order in which every answer is right? (Wing and Gong, with Lowe's memo.)

For small registers that many processes share: the lease of a partition, an idempotency key. Histories are judged key
by key (linearizability is local), each with up to some 40 operations in flight at once.

Wing & Gong, "Testing and Verifying Concurrent Objects", JPDC 17, 1993; Lowe, "Testing for Linearizability", CCPE 29,
2017. `end` None marks an operation whose answer never came: it may have happened at any later moment, or never.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeAlias

# What answers the same whether it changed anything or not: such an operation may do nothing now and something later.
_SILENT = frozenset({"expire"})

State: TypeAlias = Hashable
Answer: TypeAlias = Any


class Operation(NamedTuple):
    """One call: when it began and ended (any one clock), what was asked, what came back."""

    key: str
    begin: float
    end: float | None
    ask: tuple[Hashable, ...]
    answer: Answer = None


# What the register may become by this operation; () when the answer is impossible in this state.
Model: TypeAlias = Callable[[State, Operation], tuple[State, ...]]


def judge(history: Iterable[Operation], model: Model, start: State) -> dict[str, list[Operation]]:
    """The keys whose history no order explains, each with the operations after the longest beginning that one does."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    wrong: dict[str, list[Operation]] = {}
    for key, operations in by_key.items():
        unexplained = _search(sorted(operations, key=lambda one: one.begin), model, start)
        if unexplained:
            wrong[key] = unexplained
    return wrong


def _search(operations: list[Operation], model: Model, start: State) -> list[Operation]:
    """Depth first over (set of operations that have happened, state); the set is a bit mask."""
    must = sum(1 << n for n, one in enumerate(operations) if one.end is not None)
    stack: list[tuple[int, State]] = [(0, start)]
    seen = {(0, start)}
    best = 0
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return []
        if (done & must).bit_count() > (best & must).bit_count():
            best = done
        for step in _steps(operations, model, done, state):
            if step not in seen:
                seen.add(step)
                stack.append(step)
    return [one for n, one in enumerate(operations) if not best >> n & 1 and one.end is not None]


def _steps(operations: list[Operation], model: Model, done: int, state: State) -> list[tuple[int, State]]:
    """Where one more operation can lead from here.

    An operation that fits and changes nothing is taken at once and alone: no order gains by waiting for it, since its
    answer binds it to change nothing later either. One that changes nothing and was never answered need not happen at
    all. Without these two rules the search explodes.
    """
    steps: list[tuple[int, State]] = []
    for n in _possible_next(operations, done):
        outcomes = model(state, operations[n])
        if outcomes == (state,):
            if operations[n].end is None:
                continue
            if operations[n].ask[0] not in _SILENT:
                return [(done | 1 << n, state)]
        steps += ((done | 1 << n, after) for after in outcomes)
    return steps


def _possible_next(operations: list[Operation], done: int) -> list[int]:
    """The operations that began before any operation still to come had ended."""
    found: list[int] = []
    horizon = float("inf")
    for n, one in enumerate(operations):
        if done >> n & 1:
            continue
        if one.begin > horizon:
            break
        found.append(n)
        if one.end is not None:
            horizon = min(horizon, one.end)
    return found


# ---- the registers of this program ----


class Lease(NamedTuple):
    """Who owns a partition, and the last fencing token that was given out."""

    owner: str | None = None
    token: int = 0


def lease(state: State, operation: Operation) -> tuple[State, ...]:
    """A lease with a fencing token that only grows; begins as `Lease()`.

    ("acquire", owner) answers the new token, or None when it is held; ("expire",) takes it away, at any time;
    ("write", token) answers True exactly when the token is the owner's; ("release", token) likewise.
    """
    assert isinstance(state, Lease)
    unknown = operation.end is None
    match operation.ask:
        case ("acquire", str(who)):
            if state.owner is not None:
                return (state,) if not unknown and operation.answer is None else ()
            taken = Lease(who, state.token + 1)
            return (taken,) if unknown or operation.answer == taken.token else ()
        case ("expire",):
            return (Lease(None, state.token),)
        case ("write" | "release" as what, presented):
            valid = state.owner is not None and presented == state.token
            if not unknown and operation.answer is not valid:
                return ()
            return (Lease(None, state.token),) if what == "release" and valid else (state,)
        case _:
            raise ValueError(f"a lease knows acquire, expire, write and release, not {operation.ask}")


def idempotency_key(state: State, operation: Operation) -> tuple[State, ...]:
    """("submit", proposed id) answers the id of the first submission with this key, for ever; begins as None."""
    match operation.ask:
        case ("submit", proposed):
            first = proposed if state is None else state
            return (first,) if operation.end is None or operation.answer == first else ()
        case _:
            raise ValueError(f"an idempotency key knows submit, not {operation.ask}")
