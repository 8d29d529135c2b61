"""The session index: which session was told what, in which order. Every gateway reads and writes the same one.

A session gets its numbers here and nowhere else: `add` counts on, inside the transaction of the projection that moves
its position, so that a number is given once, whoever projects. The index holds where answers lie, never answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import uuid4

import msgspec

from genescale.clock import Clock
from genescale.gateway.submitting import QUEUED
from genescale.gateway.tables import ANALYSES, SESSION_FRAMES, SESSIONS
from genescale.protocol.frames import AnalysisState
from genescale.store.tables import Condition, Row, Snapshot, Tables, Transaction, Where

WINDOW_MS: Final = 15 * 60_000
WINDOW_FRAMES: Final = 10_000
KEPT_MS: Final = 24 * 3_600_000
RESULT_PATH: Final = "/api/v1/analyses/{}/result"


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session as a connection finds it; all of it was read in one transaction.

    `position` is the number after which to deliver. `why` says why a resume began anew: for metrics.
    """

    session: str
    resumed: bool
    position: int
    last_seq: int
    unfinished: Mapping[str, int]
    snapshot: tuple[AnalysisState, ...] = ()
    why: str = ""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One must-deliver frame: its number, and where its content lies."""

    seq: int
    ref: str
    cid: str
    analysis_id: str
    revision: int


class NewFrame(msgspec.Struct, frozen=True, gc=False):
    """An answer that a session must hear of, before it has a number."""

    session: str
    ref: str
    cid: str
    analysis_id: str
    revision: int


class SessionIndex:
    """Open, resume, acknowledge, read. Every call blocks for the tables."""

    def __init__(
        self,
        tables: Tables,
        clock: Clock,
        *,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        window_ms: int = WINDOW_MS,
        window_frames: int = WINDOW_FRAMES,
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._new_id = new_id
        self._window_ms = window_ms
        self._window_frames = window_frames

    def open(self, subject: str, project: str, holder: str) -> Opened:
        """A new session, held by this connection."""
        session, now_ms = self._new_id(), self._clock.wall_ms()
        row = {"session": session, "subject": subject, "project": project, "active_ms": now_ms, "holder": holder}
        self._tables.run(lambda tx: tx.insert(SESSIONS, row))
        return Opened(session=session, resumed=False, position=0, last_seq=0, unfinished={})

    def resume(
        self, session: str, subject: str, project: str, holder: str, *, last_seq: int, same_epoch: bool
    ) -> Opened:
        """Take a session over, from whatever held it. The caller has checked that the token is this subject's.

        A session that was forgotten begins anew under its old name, so that its cids keep their meaning.
        """
        now_ms = self._clock.wall_ms()
        mine = {"subject": subject, "project": project, "active_ms": now_ms, "holder": holder}

        def take_over(tx: Transaction) -> Opened:
            row = tx.get(SESSIONS, {"session": session})
            tx.upsert(SESSIONS, {"session": session, **mine})
            end = 0 if row is None else row["last_seq"]
            why = "forgotten" if row is None else "epoch" if not same_epoch else self._why_not(tx, row, last_seq)
            if not why:
                return Opened(
                    session=session,
                    resumed=True,
                    position=last_seq,
                    last_seq=end,
                    unfinished=_unfinished(_analyses(tx, session, only_queued=True)),
                )
            analyses = _analyses(tx, session)
            return Opened(
                session=session,
                resumed=False,
                position=end,
                last_seq=end,
                unfinished=_unfinished(analyses),
                snapshot=tuple(_state(row) for row in analyses),
                why=why,
            )

        return self._tables.run(take_over)

    def _why_not(self, tx: Snapshot, row: Row, last_seq: int) -> str:
        """Empty when every frame behind `last_seq` can still be given."""
        if last_seq > row["last_seq"]:
            return "ahead"  # lost data, or a forged position
        missing = row["last_seq"] - last_seq
        if missing == 0:
            return ""
        first = tx.get(SESSION_FRAMES, {"session": row["session"], "seq": last_seq + 1})
        too_old = first is None or first["at_ms"] < self._clock.wall_ms() - self._window_ms
        return "window" if too_old or missing > self._window_frames else ""

    def lost(self, held: Mapping[str, str]) -> list[str]:
        """Of these sessions (session -> connection that holds it here) those that are held elsewhere by now."""
        names = list(held)
        with self._tables.snapshot() as snapshot:
            holders = {
                row["session"]: row["holder"]
                for start in range(0, len(names), 500)
                for row in snapshot.select(SESSIONS, [("session", "in", names[start : start + 500])])
            }
        return [session for session, holder in held.items() if holders.get(session) != holder]

    def ack(self, acks: Mapping[str, int]) -> None:
        """All frames up to these numbers are safe at their clients. One transaction for everybody of this second."""
        now_ms = self._clock.wall_ms()

        def store(tx: Transaction) -> None:
            for session, seq in acks.items():
                where: Where = [("session", "=", session), ("acked_seq", "<", seq), ("last_seq", ">=", seq)]
                tx.update(SESSIONS, where, {"acked_seq": seq, "active_ms": now_ms})

        if acks:
            self._tables.run(store)

    def frames(self, session: str, after: int, limit: int) -> list[Frame]:
        """The frames behind `after`, in order."""
        with self._tables.snapshot() as snapshot:
            rows = snapshot.select(
                SESSION_FRAMES, [("session", "=", session), ("seq", ">", after)], order_by=["seq"], limit=limit
            )
        return [Frame(row["seq"], row["ref"], row["cid"], row["analysis_id"], row["revision"]) for row in rows]

    def ends(self, sessions: Iterable[str]) -> dict[str, int]:
        """The last number of each of these sessions."""
        with self._tables.snapshot() as snapshot:
            return {session: row["last_seq"] for session, row in _sessions(snapshot, sessions).items()}

    def add(self, tx: Transaction, frames: Sequence[NewFrame], now_ms: int) -> dict[str, int]:
        """Give numbers, in the order given, inside the caller's transaction. The new end of each session."""
        rows = _sessions(tx, {frame.session for frame in frames})
        ends = {session: row["last_seq"] for session, row in rows.items()}
        for frame in frames:
            if frame.session not in ends:  # forgotten after a day: its answers are found over REST
                continue
            ends[frame.session] += 1
            row = {
                "session": frame.session,
                "seq": ends[frame.session],
                "ref": frame.ref,
                "cid": frame.cid,
                "analysis_id": frame.analysis_id,
                "revision": frame.revision,
                "at_ms": now_ms,
            }
            tx.insert(SESSION_FRAMES, row)
        for session, end in ends.items():
            tx.update(SESSIONS, [("session", "=", session)], {"last_seq": end, "active_ms": now_ms})
        return ends

    def prune(self) -> int:
        """Forget frames that nobody may ask for any more, and sessions that were silent for a day."""
        now_ms = self._clock.wall_ms()

        def forget(tx: Transaction) -> int:
            frames = tx.delete(SESSION_FRAMES, [("at_ms", "<", now_ms - self._window_ms)])
            return frames + tx.delete(SESSIONS, [("active_ms", "<", now_ms - KEPT_MS)])

        return self._tables.run(forget)


def _sessions(tx: Snapshot, sessions: Iterable[str]) -> dict[str, Row]:
    names = list(sessions)
    return {
        row["session"]: row
        for start in range(0, len(names), 500)
        for row in tx.select(SESSIONS, [("session", "in", names[start : start + 500])])
    }


def _analyses(tx: Snapshot, session: str, *, only_queued: bool = False) -> list[Row]:
    wanted: list[Condition] = [("session", "=", session)]
    if only_queued:
        wanted.append(("state", "=", QUEUED))
    return tx.select(ANALYSES, wanted, order_by=["cid"])


def _unfinished(rows: Iterable[Row]) -> dict[str, int]:
    """How many analyses of each cid wait for their answer; items of a batch count under the cid of the batch."""
    counts: dict[str, int] = {}
    for row in rows:
        if row["state"] == QUEUED:
            cid = row["cid"].partition("#")[0]
            counts[cid] = counts.get(cid, 0) + 1
    return counts


def _state(row: Row) -> AnalysisState:
    finished = row["revision"] > 0
    return AnalysisState(
        cid=row["cid"],
        analysis_id=row["analysis_id"],
        state=row["state"],
        result_url=RESULT_PATH.format(row["analysis_id"]) if finished else None,
    )
