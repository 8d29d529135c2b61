"""From admitted to accepted: one transaction of the tables and one append for whatever came in meanwhile.

The order makes every crash harmless:

    1  rows are inserted        a cid now has one payload, on every gateway
    2  requests are appended    with event ids made from the cid, so that appending twice is recognised
    3  clients hear `accepted`  the append is durable
    4  the append is noted      with the next transaction; until then a repeat from elsewhere appends again

A crash before 3 leaves the client without an answer: it repeats, and whichever gateway hears it goes on from there.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec

from genescale.clock import Clock
from genescale.errors import Retryable
from genescale.events.envelope import to_record
from genescale.events.log import EventLog
from genescale.gateway.admission import Admitted, Refused
from genescale.gateway.tables import ANALYSES, SUBMISSIONS
from genescale.store.tables import Row, Snapshot, Tables, Transaction

QUEUED: Final = "queued"

_GROUP_RECORDS_MAX: Final = 2_000
_APPEND_TIMEOUT_S: Final = 60.0
_ASKED_AT_ONCE: Final = 500
_KEPT_MS: Final = 86_400_000  # behind this a repeat appends once more, which is recognised by its event id


class Group(msgspec.Struct, frozen=True, gc=False):
    """What is accepted or refused as a whole: one request, or all those of a batch. `group_id` is its public name."""

    group_id: str
    items: tuple[Admitted, ...]


class Taken(msgspec.Struct, frozen=True, gc=False):
    """The requests are on the log, durably. `ref` is where the last of them lies; `unfinished` had no answer yet."""

    group_id: str
    ref: str
    duplicate: bool
    unfinished: int


Answer: TypeAlias = Taken | Refused

CID_CONFLICT: Final = Refused(
    code="cid_conflict",
    message="this key was used for another request; nothing was taken in. Use a new key for a new request",
    status=HTTPStatus.CONFLICT,
)


def single(item: Admitted) -> Group:
    """One request by itself."""
    return Group(item.analysis_id, (item,))


def refusal_of(error: Retryable) -> Refused:
    """What a client hears when log or tables cannot take anything now. Its repeat is safe."""
    retry_ms = int((error.after_s or 1.0) * 1000)
    return Refused(
        code="unavailable",
        message="the platform cannot take this in now; repeat it with the same key",
        retryable=True,
        retry_ms=retry_ms,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
    )


class Submitting:
    """The blocking half: one call at a time, each for as many requests as there are."""

    def __init__(
        self, log: EventLog, tables: Tables, clock: Clock, *, new_id: Callable[[], str] = lambda: str(uuid4())
    ) -> None:
        self._log = log
        self._tables = tables
        self._clock = clock
        self._new_id = new_id
        self._turn = threading.Lock()
        self._unwritten: list[Row] = []  # rows of SUBMISSIONS whose append is durable
        self._proven: dict[str, str] = {}  # the refs in them

    def submit(self, groups: Sequence[Group]) -> list[Answer]:
        """The answers, in order; every `Taken` is on the log. Raises `Retryable` when nothing can be promised."""
        with self._turn:
            appended, noted = self._new_id(), tuple(self._unwritten)
            plan = self._tables.run(lambda tx: self._reserve(tx, groups, appended, noted))
            self._forget(noted)
            refs = self._append(plan.to_append) if plan.to_append else {}
            if refs:
                self._unwritten.append({"appended": appended, "refs": refs, "at_ms": self._clock.wall_ms()})
                self._proven |= refs
            return [plan.answer(group, number, refs) for number, group in enumerate(groups)]

    def flush(self) -> None:
        """Note appends that no later call has noted: when it is quiet, and at the end."""
        with self._turn:
            noted = tuple(self._unwritten)
            if noted:
                self._tables.run(lambda tx: _note(tx, noted))
                self._forget(noted)

    def prune(self) -> int:
        """Forget which appends were durable, after a day. How many rows went."""
        before_ms = self._clock.wall_ms() - _KEPT_MS
        return self._tables.run(lambda tx: tx.delete(SUBMISSIONS, [("at_ms", "<", before_ms)]))

    def _reserve(self, tx: Transaction, groups: Sequence[Group], appended: str, noted: Sequence[Row]) -> "_Plan":
        """Insert what is new, see what is known. A group with a conflict leaves nothing."""
        _note(tx, noted)
        known = rows_of(tx, (item.analysis_id for group in groups for item in group.items))
        before = set(known)
        now_ms = self._clock.wall_ms()
        plan = _Plan()
        again: dict[str, Admitted] = {}
        for number, group in enumerate(groups):
            if any(_conflicts(item, known.get(item.analysis_id)) for item in group.items):
                plan.conflicts.add(number)
                continue
            for item in group.items:
                if item.analysis_id in before:
                    again[item.analysis_id] = item
                elif item.analysis_id not in known:
                    row = _new_row(item, now_ms, appended)
                    tx.insert(ANALYSES, row)
                    known[item.analysis_id] = row
                    plan.to_append.append(item)
        plan.known = {identity: known[identity] for identity in before}
        plan.refs = self._refs(tx, plan.known.values())
        for identity, item in again.items():
            if identity not in plan.refs and known[identity]["state"] == QUEUED:
                # Nobody proved that it reached the log: its gateway died, or is about to tell. Twice is harmless.
                tx.update(ANALYSES, [("analysis_id", "=", identity)], {"appended": appended})
                plan.to_append.append(item)
        return plan

    def _refs(self, tx: Snapshot, rows: Iterable[Row]) -> dict[str, str]:
        """Where requests that are known lie in the log, as far as that is noted."""
        found: dict[str, str] = {}
        missing: dict[str, list[str]] = {}
        for row in rows:
            identity = row["analysis_id"]
            if identity in self._proven:
                found[identity] = self._proven[identity]
            else:
                missing.setdefault(row["appended"], []).append(identity)
        for appended in _slices(list(missing)):
            for row in tx.select(SUBMISSIONS, [("appended", "in", appended)]):
                refs: dict[str, str] = row["refs"]
                found |= {identity: refs[identity] for identity in missing[row["appended"]] if identity in refs}
        return found

    def _append(self, items: Sequence[Admitted]) -> dict[str, str]:
        records = [to_record(item.event, item.topic) for item in items]
        positions = self._log.append(records).result(_APPEND_TIMEOUT_S)
        return {item.analysis_id: str(position) for item, position in zip(items, positions, strict=True)}

    def _forget(self, noted: Sequence[Row]) -> None:
        """These are in the tables now."""
        del self._unwritten[: len(noted)]
        for row in noted:
            for identity in row["refs"]:
                self._proven.pop(identity, None)


class _Plan(msgspec.Struct, gc=False):
    """What one transaction found and did."""

    to_append: list[Admitted] = []
    conflicts: set[int] = set()
    known: dict[str, Row] = {}  # what was there before
    refs: dict[str, str] = {}

    def answer(self, group: Group, number: int, refs: dict[str, str]) -> Answer:
        if number in self.conflicts:
            return CID_CONFLICT
        last = group.items[-1].analysis_id
        found = self.refs.get(last) or refs.get(last) or str(self.known[last]["result_ref"] or "")
        duplicate = all(item.analysis_id in self.known for item in group.items)
        answered = sum(self.known.get(item.analysis_id, {}).get("revision", 0) > 0 for item in group.items)
        return Taken(group.group_id, found, duplicate, len(group.items) - answered)


class GroupCommit:
    """The asynchronous half, for one event loop: what comes in while a commit runs goes into the next one."""

    def __init__(self, submitting: Submitting, executor: Executor, *, records_max: int = _GROUP_RECORDS_MAX) -> None:
        self._submitting = submitting
        self._executor = executor
        self._records_max = records_max
        self._waiting: list[tuple[Group, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, group: Group) -> Answer:
        """The answer for one group, after its commit. Raises what `Submitting.submit` raises."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((group, answered))
        if self._running is None:
            self._running = asyncio.create_task(self._commit_all())
        return await answered

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                turn = self._next_turn()
                try:
                    answers = await loop.run_in_executor(
                        self._executor, self._submitting.submit, [group for group, _ in turn]
                    )
                except Exception as error:  # noqa: BLE001 - everybody who waits hears it, and decides
                    _tell(turn, error)
                else:
                    for (_, answered), answer in zip(turn, answers, strict=True):
                        if not answered.done():  # its connection may be gone
                            answered.set_result(answer)
                    await asyncio.sleep(0)  # those who were answered may ask again at once, and belong to the next turn
            await loop.run_in_executor(self._executor, self._flush_quietly)
        finally:
            self._running = None
            if self._waiting:  # came in during the flush
                self._running = asyncio.create_task(self._commit_all())

    def _flush_quietly(self) -> None:
        """A note that cannot be made now is made with the next commit; nobody was promised it."""
        try:
            self._submitting.flush()
        except Retryable:
            return

    def _next_turn(self) -> list[tuple[Group, asyncio.Future[Answer]]]:
        size = count = 0
        for group, _ in self._waiting:
            size += len(group.items)
            if count and size > self._records_max:
                break
            count += 1
        turn, self._waiting = self._waiting[:count], self._waiting[count:]
        return turn


def rows_of(tx: Snapshot, identities: Iterable[str]) -> dict[str, Row]:
    """The analyses of these ids that are known, by id."""
    found: dict[str, Row] = {}
    for some in _slices(list(dict.fromkeys(identities))):
        for row in tx.select(ANALYSES, [("analysis_id", "in", some)]):
            found[row["analysis_id"]] = row
    return found


def _conflicts(item: Admitted, row: Row | None) -> bool:
    return row is not None and row["payload"] != item.payload


def _new_row(item: Admitted, now_ms: int, appended: str) -> dict[str, Any]:
    return {
        "analysis_id": item.analysis_id,
        "project": item.project,
        "subject": item.subject,
        "session": item.session,
        "cid": item.cid,
        "payload": item.payload,
        "mode": item.mode,
        "priority": item.priority,
        "created_ms": now_ms,
        "appended": appended,
        "state": QUEUED,
    }


def _note(tx: Transaction, rows: Sequence[Row]) -> None:
    for row in rows:
        tx.upsert(SUBMISSIONS, row)


def _slices(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + _ASKED_AT_ONCE] for start in range(0, len(names), _ASKED_AT_ONCE))


def _tell(turn: Sequence[tuple[Group, "asyncio.Future[Answer]"]], error: Exception) -> None:
    for _, answered in turn:
        if not answered.done():
            answered.set_exception(error)
