# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# apsw's own annotations use a type that Python 3.11 does not have.
"""The catalogue file: which topics exist, who is in which group, who owns which partition, and the positions.

A member proves that it lives in two ways. Its *lease* is renewed about every second by its own process and runs out
when the process is paused or stuck. And its *process* can be looked up: a member whose process is gone is dropped at
once, so that a crash costs about a second and not a whole lease. Leases are measured on the monotonic clock, which
all processes of one machine share until it reboots; a lease of another boot is over.

Ownership carries a token that only grows. Everything that an owner writes carries it too, and a smaller token is
refused: by token, never by comparing clocks.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from genescale.errors import Fenced, Permanent
from genescale.events.assignment import next_step
from genescale.events.log import MemberInfo, TopicPartition, TopicSpec
from genescale.events.sqlite_file import (
    APPLICATION_ID,
    FORMAT_VERSION,
    begin_file,
    check_format,
    connect,
    explain,
)
from genescale.store.durable import sync_folder

_SPEC = msgspec.json.Decoder(TopicSpec)
_TOPICS = msgspec.json.Decoder(list[str])


class Membership(NamedTuple):
    """A member as its process describes it."""

    group: str
    member: str
    topics: tuple[str, ...]


class Outlook(NamedTuple):
    """What a member sees when it looks at its group."""

    epoch: int
    lost: tuple[TopicPartition, ...]
    release: tuple[TopicPartition, ...]
    claimed: dict[TopicPartition, "Claimed"]


class Claimed(NamedTuple):
    """One partition that now belongs to the member."""

    token: int
    position: int | None


def lay_out_catalogue(path: Path) -> None:
    """Make the catalogue file, or leave the one that is there."""
    connection = connect(path, create=True)
    try:
        if not connection.execute("PRAGMA application_id").get:
            begin_file(connection)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT_VERSION};"
                "CREATE TABLE IF NOT EXISTS topic(name TEXT PRIMARY KEY, spec BLOB NOT NULL) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS epoch(grp TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS member(grp TEXT, member TEXT, topics BLOB NOT NULL, expires REAL NOT NULL,"
                " boot TEXT NOT NULL, process TEXT NOT NULL, PRIMARY KEY(grp, member)) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS seat(grp TEXT, topic TEXT, partition INTEGER, owner TEXT,"
                " token INTEGER NOT NULL, position INTEGER, PRIMARY KEY(grp, topic, partition)) WITHOUT ROWID"
            )
            connection.execute("COMMIT")
        check_format(connection, path)
    except apsw.Error as error:
        raise explain(error, path) from error
    finally:
        connection.close()
    sync_folder(path.parent)


# ---- topics ----


def read_topics(db: apsw.Connection) -> dict[str, TopicSpec]:
    """Every topic in the catalogue."""
    return {name: _SPEC.decode(spec) for name, spec in db.execute("SELECT name, spec FROM topic ORDER BY name")}


def topics_in(path: Path) -> dict[str, TopicSpec]:
    """`read_topics` of a catalogue that nobody has open."""
    with closing(connect(path, read_only=True)) as connection:
        try:
            return read_topics(connection)
        except apsw.Error as error:
            raise explain(error, path) from error


def write_topic(db: apsw.Connection, spec: TopicSpec) -> None:
    """Add or replace a topic's entry."""
    encoded = msgspec.json.encode(spec)
    db.execute("INSERT INTO topic VALUES(?,?) ON CONFLICT DO UPDATE SET spec=excluded.spec", (spec.name, encoded))


# ---- membership ----


def epoch(db: apsw.Connection, group: str) -> int:
    """A number that changes whenever the members of the group should look again."""
    return db.execute("SELECT number FROM epoch WHERE grp=?", (group,)).get or 0


def renew(db: apsw.Connection, members: Iterable[Membership], expires_s: float) -> None:
    """Prolong the leases of members that are still in their groups. One that was dropped must join again by itself."""
    db.executemany(
        "UPDATE member SET expires=? WHERE grp=? AND member=?",
        [(expires_s, member.group, member.member) for member in members],
    )


def look(
    db: apsw.Connection,
    me: Membership,
    tokens: Mapping[TopicPartition, int],
    partitions: Mapping[str, int],
    now_s: float,
    lease_s: float,
) -> Outlook:
    """Join or stay, drop the dead, see what to give up, and claim what is free.

    All in one transaction: members that looked first and claimed later would all go for the same partitions.
    """
    _drop_dead(db, me.group, now_s)
    joined = db.execute("SELECT 1 FROM member WHERE grp=? AND member=?", me[:2]).get
    if not joined:
        db.execute(
            "INSERT INTO member VALUES(?,?,?,?,?,?)",
            (me.group, me.member, msgspec.json.encode(me.topics), now_s + lease_s, boot(), process()),
        )
        _bump(db, me.group)
    else:
        renew(db, [me], now_s + lease_s)
    for topic in me.topics:
        rows = [(me.group, topic, partition) for partition in range(partitions[topic])]
        db.executemany("INSERT OR IGNORE INTO seat VALUES(?,?,?,NULL,0,NULL)", rows)
    owners: dict[TopicPartition, str | None] = {}
    lost: list[TopicPartition] = []
    orphans: list[TopicPartition] = []
    for topic, partition, owner, token in db.execute(
        "SELECT topic, partition, owner, token FROM seat WHERE grp=?", (me.group,)
    ):
        seat = TopicPartition(topic, partition)
        owners[seat] = owner
        if owner == me.member and seat not in tokens:  # a claim or a release of ours that was cut off half-way
            orphans.append(seat)
            owners[seat] = None
        if seat in tokens and (owner, token) != (me.member, tokens[seat]):
            lost.append(seat)
    if orphans:
        release(db, me, orphans)
    subscriptions = {
        name: _TOPICS.decode(topics)
        for name, topics in db.execute("SELECT member, topics FROM member WHERE grp=?", (me.group,))
    }
    step = next_step(me.member, subscriptions, owners)
    claimed = _claim(db, me, step.claim)
    return Outlook(epoch(db, me.group), tuple(lost), step.release, claimed)


def _claim(db: apsw.Connection, me: Membership, seats: Iterable[TopicPartition]) -> dict[TopicPartition, Claimed]:
    """Take free partitions. The token grows with every owner."""
    taken: dict[TopicPartition, Claimed] = {}
    for seat in seats:
        for row in db.execute(
            "UPDATE seat SET owner=?, token=token+1 WHERE grp=? AND topic=? AND partition=? RETURNING token, position",
            (me.member, me.group, *seat),
        ):
            taken[seat] = Claimed(*row)
    return taken


def is_quiet(db: apsw.Connection, group: str, seen_epoch: int, now_s: float) -> bool:
    """True when a look would change nothing: nobody came, went or died. Costs no write."""
    if epoch(db, group) != seen_epoch:
        return False
    return not _dead(db, group, now_s)


def release(db: apsw.Connection, me: Membership, seats: Iterable[TopicPartition]) -> None:
    """Give partitions up; their work is committed."""
    db.executemany(
        "UPDATE seat SET owner=NULL WHERE grp=? AND topic=? AND partition=? AND owner=?",
        [(me.group, *seat, me.member) for seat in seats],
    )
    _bump(db, me.group)


def leave(db: apsw.Connection, me: Membership) -> None:
    """Go at once, so that the others need not wait for the lease."""
    _drop(db, me.group, [me.member])


def members(db: apsw.Connection, group: str, now_s: float) -> list[MemberInfo]:
    """Who lives, and what they own."""
    dead = set(_dead(db, group, now_s))
    owned: dict[str, list[TopicPartition]] = {
        name: [] for (name,) in db.execute("SELECT member FROM member WHERE grp=?", (group,)) if name not in dead
    }
    for topic, partition, owner in db.execute(
        "SELECT topic, partition, owner FROM seat WHERE grp=? ORDER BY topic, partition", (group,)
    ):
        if owner in owned:
            owned[owner].append(TopicPartition(topic, partition))
    return [MemberInfo(name, tuple(seats)) for name, seats in sorted(owned.items())]


# ---- positions ----


def commit(
    db: apsw.Connection,
    me: Membership,
    tokens: Mapping[TopicPartition, int],
    positions: Mapping[TopicPartition, int],
) -> None:
    """Move the positions, all or none. Raises `Fenced` when one partition has another owner or a newer token."""
    for seat in positions:
        row = db.execute(
            "SELECT owner, token FROM seat WHERE grp=? AND topic=? AND partition=?", (me.group, *seat)
        ).fetchone()
        if row != (me.member, tokens[seat]):
            raise Fenced(f"group {me.group!r}: {seat.topic}/{seat.partition} has a new owner")
    db.executemany(
        "UPDATE seat SET position=? WHERE grp=? AND topic=? AND partition=?",
        [(offset, me.group, *seat) for seat, offset in positions.items()],
    )


def positions(db: apsw.Connection, group: str) -> dict[TopicPartition, int | None]:
    """Every partition that the group knows, with its position."""
    rows = db.execute("SELECT topic, partition, position FROM seat WHERE grp=? ORDER BY topic, partition", (group,))
    return {TopicPartition(topic, partition): position for topic, partition, position in rows}


def set_positions(db: apsw.Connection, group: str, wanted: Mapping[TopicPartition, int], now_s: float) -> None:
    """Move the positions of a group at rest."""
    _drop_dead(db, group, now_s)
    alive = db.execute("SELECT count(*) FROM member WHERE grp=?", (group,)).get
    if alive:
        raise Permanent(f"group {group!r} has {alive} live members; stop them before moving its positions")
    db.executemany(
        "INSERT INTO seat VALUES(?,?,?,NULL,0,?) ON CONFLICT DO UPDATE SET position=excluded.position",
        [(group, *seat, offset) for seat, offset in wanted.items()],
    )


def put_seat(db: apsw.Connection, group: str, seat: TopicPartition, token: int, position: int | None) -> None:
    """Set one position and its token as they were in another log."""
    db.execute("INSERT INTO seat VALUES(?,?,?,NULL,?,?)", (group, *seat, token, position))


def group_names(db: apsw.Connection) -> list[str]:
    """Groups with members or positions."""
    return [name for (name,) in db.execute("SELECT grp FROM seat UNION SELECT grp FROM member ORDER BY 1")]


# ---- who is alive ----


def _dead(db: apsw.Connection, group: str, now_s: float) -> list[str]:
    rows = db.execute("SELECT member, expires, boot, process FROM member WHERE grp=?", (group,))
    return [
        name
        for name, expires_s, booted, who in rows
        if booted != boot() or expires_s <= now_s or not process_lives(who)
    ]


def _drop_dead(db: apsw.Connection, group: str, now_s: float) -> None:
    dead = _dead(db, group, now_s)
    if dead:
        _drop(db, group, dead)


def _drop(db: apsw.Connection, group: str, names: Iterable[str]) -> None:
    rows = [(group, name) for name in names]
    db.executemany("DELETE FROM member WHERE grp=? AND member=?", rows)
    db.executemany("UPDATE seat SET owner=NULL WHERE grp=? AND owner=?", rows)
    _bump(db, group)


def _bump(db: apsw.Connection, group: str) -> None:
    db.execute("INSERT INTO epoch VALUES(?,1) ON CONFLICT DO UPDATE SET number=number+1", (group,))


@cache
def boot() -> str:
    """What tells this boot of the machine from any other; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process(pid: int | None = None) -> str:
    """`namespace/pid/start`: a pid alone is reused, and means something else in another container."""
    pid = os.getpid() if pid is None else pid
    return f"{_pid_namespace()}/{pid}/{_started(pid)}"


def process_lives(who: str) -> bool:
    """False only when it is certain that the process is gone."""
    namespace, pid, started = who.rsplit("/", 2)
    if not namespace or namespace != _pid_namespace():
        return True  # not ours to see: its lease decides
    return _started(int(pid)) == started


@cache
def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start time of a process in clock ticks; empty when there is no such process (or only its zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
