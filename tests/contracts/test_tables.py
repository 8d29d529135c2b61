"""What every database behind the port `store.tables` must do. Run against SQLite, and PostgreSQL (mark `postgres`)."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from genescale.clock import ManualClock
from genescale.errors import Permanent, TooLarge, Unsupported
from genescale.store.sql import KEY_BYTES_MAX, VALUE_BYTES_MAX
from genescale.store.tables import (
    Column,
    Conflict,
    InvalidRow,
    Table,
    Tables,
    TablesUnavailable,
    Transaction,
    TransactionLost,
    check_declarations,
)
from support.declared_tables import DECLARED, FRAMES, VALUES, frame, increment, open_at
from support.postgres import postgres_server

Database = Callable[..., Tables]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as fresh:
        yield fresh


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def fresh_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the address of a new, empty database with every call."""
    if request.param == "sqlite":
        numbers = iter(range(1_000_000))
        return lambda: str(tmp_path / f"tables-{next(numbers)}.sqlite")
    return request.getfixturevalue("postgres")


@pytest.fixture
def address(fresh_address: Callable[[], str]) -> str:
    return fresh_address()


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """Opens the same database each time it is called, and closes them all at the end."""
    with ExitStack() as stack:

        def open_it(declared: tuple[Table, ...] = DECLARED, clock: Any = None, **settings: Any) -> Tables:
            tables = open_at(address, declared, clock, **settings)
            stack.callback(tables.close)
            return tables

        yield open_it


@pytest.fixture
def tables(database: Database) -> Tables:
    return database()


def fill(tables: Tables, *rows: dict[str, Any]) -> None:
    with tables.transaction() as tx:
        for row in rows:
            tx.insert(FRAMES, row)


# ------------------------------------------------------------------ transactions


def test_an_error_in_the_block_leaves_nothing(tables: Tables) -> None:
    with pytest.raises(ZeroDivisionError), tables.transaction() as tx:  # noqa: PT012 - the block is what is tested
        tx.insert(FRAMES, frame("s", 1))
        raise ZeroDivisionError
    with tables.snapshot() as snapshot:
        assert snapshot.count(FRAMES) == 0


def test_a_transaction_sees_its_own_rows_and_others_see_them_after_it(tables: Tables) -> None:
    with tables.transaction() as tx:
        tx.insert(FRAMES, frame("s", 1))
        assert tx.count(FRAMES) == 1
        with tables.snapshot() as other:
            assert other.count(FRAMES) == 0
    with tables.snapshot() as other:
        assert other.count(FRAMES) == 1


def test_a_snapshot_does_not_move(tables: Tables) -> None:
    fill(tables, frame("s", 1))
    with tables.snapshot() as snapshot:
        assert snapshot.count(FRAMES) == 1
        fill(tables, frame("s", 2))
        assert snapshot.count(FRAMES) == 1


def test_a_transaction_is_useless_behind_its_block(tables: Tables) -> None:
    with tables.transaction() as tx:
        pass
    with pytest.raises(RuntimeError, match="behind"):
        tx.insert(FRAMES, frame("s", 1))


def test_one_thread_has_one_transaction_at_a_time(tables: Tables) -> None:
    with tables.transaction(), pytest.raises(RuntimeError, match="open already"), tables.transaction():
        pass


def test_rows_are_there_after_opening_again(database: Database) -> None:
    first = database()
    fill(first, frame("s", 1))
    assert database().notices == ()
    with database().snapshot() as snapshot:
        assert snapshot.get(FRAMES, {"session": "s", "seq": 1}) == frame("s", 1, revision=1, note=None)


def test_run_repeats_what_is_lost_and_gives_up_after_a_while(database: Database) -> None:
    clock = ManualClock()
    tables = database(clock=clock)
    calls: list[int] = []

    def unlucky(tx: Any) -> str:
        tx.insert(FRAMES, frame("s", 1))
        calls.append(1)
        if len(calls) < 4:
            raise TransactionLost("another one came first")
        return "done"

    before = clock.monotonic_s()
    assert tables.run(unlucky) == "done"
    assert clock.monotonic_s() > before

    def hopeless(tx: Any) -> None:
        raise TransactionLost("always")

    with pytest.raises(TransactionLost, match="always"):
        tables.run(hopeless)


def test_counters_of_several_threads_lose_nothing(tables: Tables) -> None:
    fill(tables, frame("counter", 1, revision=0))

    def work() -> None:
        for _ in range(20):
            tables.run(increment)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with tables.snapshot() as snapshot:
        assert snapshot.select(FRAMES)[0]["revision"] == 80


# ------------------------------------------------------------------ keys


def test_a_second_row_with_a_key_is_a_conflict_and_the_transaction_goes_on(tables: Tables) -> None:
    fill(tables, frame("s", 1))
    with tables.transaction() as tx:
        with pytest.raises(Conflict) as raised:
            tx.insert(FRAMES, frame("s", 1, analysis="other"))
        assert raised.value.table == "frames"
        with pytest.raises(Conflict):
            tx.insert(FRAMES, frame("s", 2, analysis="a1"))  # the unique key
        assert not tx.insert(FRAMES, frame("s", 1), on_conflict="ignore")
        assert tx.insert(FRAMES, frame("s", 3), on_conflict="ignore")
    with tables.snapshot() as snapshot:
        assert [row["seq"] for row in snapshot.select(FRAMES)] == [1, 3]


@pytest.mark.parametrize("how", ["update", "upsert"])
def test_a_conflict_of_a_change_ends_the_transaction_even_when_it_is_caught(tables: Tables, how: str) -> None:
    fill(tables, frame("s", 1), frame("s", 2))

    def change(tx: Transaction) -> None:
        if how == "update":
            tx.update(FRAMES, [("seq", "=", 2)], {"analysis": "a1"})
        else:
            tx.upsert(FRAMES, frame("s", 2, analysis="a1"))

    def swallow(tx: Transaction) -> None:
        tx.insert(FRAMES, frame("s", 9))
        with pytest.raises(Conflict):
            change(tx)
        with pytest.raises(Conflict):
            tx.count(FRAMES)

    with pytest.raises(Conflict):  # the end of the block raises it again
        tables.run(swallow)
    with tables.snapshot() as snapshot:
        assert [row["analysis"] for row in snapshot.select(FRAMES)] == ["a1", "a2"]


def test_upsert_keeps_the_columns_that_are_not_given(tables: Tables) -> None:
    fill(tables, frame("s", 1, note="keep me"))
    with tables.transaction() as tx:
        tx.upsert(FRAMES, frame("s", 1, revision=5))
        tx.upsert(FRAMES, frame("s", 2))
        assert tx.get(FRAMES, {"session": "s", "seq": 1}) == frame("s", 1, revision=5, note="keep me")
        assert tx.get(FRAMES, {"session": "s", "seq": 2}) == frame("s", 2, revision=1, note=None)


def test_compare_and_set(tables: Tables) -> None:
    fill(tables, frame("s", 1))
    key = {"session": "s", "seq": 1}
    with tables.transaction() as tx:
        assert tx.compare_and_set(FRAMES, key, {"revision": 1, "note": None}, {"revision": 2})
        assert not tx.compare_and_set(FRAMES, key, {"revision": 1}, {"revision": 3})
        assert not tx.compare_and_set(FRAMES, {"session": "s", "seq": 7}, {}, {"revision": 3})
        assert tx.get(FRAMES, {"session": "s", "analysis": "a1", "revision": 2}) == frame("s", 1, revision=2, note=None)


def test_a_nullable_part_of_a_unique_key_repeats_when_it_is_none(database: Database) -> None:
    table = Table(
        name="once",
        columns=(Column("id", "integer"), Column("at", "integer", nullable=True)),
        primary_key=("id",),
        unique=(("at",),),
    )
    with database((table,)).transaction() as tx:
        assert all(tx.insert(table, {"id": number}) for number in range(3))
        tx.insert(table, {"id": 3, "at": 1})
        assert not tx.insert(table, {"id": 4, "at": 1}, on_conflict="ignore")


# ------------------------------------------------------------------ selecting


def test_conditions(tables: Tables) -> None:
    fill(tables, *(frame("s", seq, note="odd" if seq % 2 else None) for seq in range(1, 7)))

    def seqs(*where: Any) -> list[int]:
        with tables.snapshot() as snapshot:
            found = [row["seq"] for row in snapshot.select(FRAMES, where)]
            assert snapshot.count(FRAMES, where) == len(found)
            return found

    assert seqs(("seq", ">=", 2), ("seq", "<", 5)) == [2, 3, 4]
    assert seqs(("seq", ">", 4)) == [5, 6]
    assert seqs(("seq", "<=", 1)) == [1]
    assert seqs(("note", "=", None)) == [2, 4, 6]
    assert seqs(("note", "!=", None)) == [1, 3, 5]
    assert seqs(("note", "!=", "odd")) == [2, 4, 6]
    assert seqs(("note", "<", "zzz")) == [1, 3, 5]
    assert seqs(("seq", "in", [1, 6, 99])) == [1, 6]
    assert seqs(("seq", "in", [])) == []
    assert seqs(("session", "=", "' OR 1=1 --")) == []


def test_text_is_ordered_by_its_bytes(tables: Tables) -> None:
    texts = ["a", "B", "ä", "_", "Z", "é", "😀", "", "a b", "ab"]
    fill(tables, *(frame(text, 1) for text in texts))
    with tables.snapshot() as snapshot:
        assert [row["session"] for row in snapshot.select(FRAMES)] == sorted(texts, key=str.encode)


@pytest.mark.parametrize("descending", [False, True])
def test_pages_never_overlap_and_never_skip(tables: Tables, descending: bool) -> None:
    fill(tables, *(frame(f"s{seq % 3}", seq, revision=seq % 4) for seq in range(50)))
    with tables.snapshot() as snapshot:
        whole = snapshot.select(FRAMES, order_by=["revision"], descending=descending)
        pages: list[dict[str, Any]] = []
        while page := snapshot.select(
            FRAMES, order_by=["revision"], descending=descending, after=pages[-1] if pages else None, limit=7
        ):
            pages += page
    assert pages == whole
    expected = sorted(whole, key=lambda row: (row["revision"], row["session"], row["seq"]), reverse=descending)
    assert whole == expected


def test_update_and_delete_say_how_many(tables: Tables) -> None:
    fill(tables, *(frame("s", seq) for seq in range(5)))
    with tables.transaction() as tx:
        assert tx.update(FRAMES, [("seq", "<", 3)], {"note": "x"}) == 3
        assert tx.update(FRAMES, [("seq", "=", 77)], {"note": "x"}) == 0
        assert tx.delete(FRAMES, [("note", "=", "x")]) == 3
        assert tx.delete(FRAMES, []) == 2


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("integer", 2**63 - 1),
        ("integer", -(2**63)),
        ("real", 0.1),
        ("real", float("inf")),
        ("real", 5e-324),
        ("real", 3.0),
        ("bytes", bytes(range(256))),
        ("bytes", b""),
        ("boolean", True),
        ("boolean", False),
        ("document", {"a": [1, 2.5, None, True, "ü\u0000"]}),
        ("document", []),
        ("order", ""),
        ("order", "naïve 😀 ' \" \\ % ? $1"),
    ],
)
def test_values_come_back_as_they_went_in(tables: Tables, column: str, value: Any) -> None:
    with tables.transaction() as tx:
        tx.insert(VALUES, {"id": "v", column: value})
    with tables.snapshot() as snapshot:
        row = snapshot.get(VALUES, {"id": "v"})
        assert row is not None
        assert row[column] == value
        assert type(row[column]) is type(value)
        if column != "document":
            assert snapshot.count(VALUES, [(column, "=", value)]) == 1


def test_defaults(tables: Tables) -> None:
    with tables.transaction() as tx:
        tx.insert(VALUES, {"id": "v"})
        row = tx.get(VALUES, {"id": "v"})
    assert row is not None
    assert row["order"] == "it's"
    assert row["integer"] is None


@pytest.mark.parametrize(
    "row",
    [
        {"id": None},
        {"integer": 1},
        {"id": "v", "integer": 2**63},
        {"id": "v", "integer": True},
        {"id": "v", "integer": 1.0},
        {"id": "v", "real": float("nan")},
        {"id": "v", "real": "1"},
        {"id": "v", "bytes": "text"},
        {"id": "v", "boolean": 1},
        {"id": "v", "document": object()},
        {"id": "v", "order": "nul\x00"},
        {"id": "v", "order": "\ud800"},
        {"id": "x" * (KEY_BYTES_MAX + 1)},
        {"id": "v", "nobody": 1},
    ],
)
def test_a_value_that_the_declaration_does_not_allow_is_refused(tables: Tables, row: dict[str, Any]) -> None:
    with tables.transaction() as tx:
        with pytest.raises(InvalidRow, match="values_of_all_kinds"):
            tx.insert(VALUES, row)
        tx.insert(VALUES, {"id": "the transaction goes on"})


def test_a_refusal_does_not_show_the_value(tables: Tables) -> None:
    with tables.transaction() as tx, pytest.raises(InvalidRow) as raised:
        tx.insert(VALUES, {"id": "v", "integer": "GATTACA"})
    assert "GATTACA" not in str(raised.value)


def test_a_value_too_large_for_a_row_is_sent_elsewhere(tables: Tables) -> None:
    with tables.transaction() as tx, pytest.raises(TooLarge, match="object"):
        tx.insert(VALUES, {"id": "v", "bytes": bytes(VALUE_BYTES_MAX + 1)})


@pytest.mark.parametrize(
    "misuse",
    [
        lambda tx: tx.select(FRAMES, [("nobody", "=", 1)]),
        lambda tx: tx.select(FRAMES, [("seq", "~", 1)]),
        lambda tx: tx.select(FRAMES, [("note", "<", None)]),
        lambda tx: tx.select(FRAMES, order_by=["note"]),
        lambda tx: tx.select(VALUES, [("document", "=", {})]),
        lambda tx: tx.get(FRAMES, {"session": "s"}),
        lambda tx: tx.update(FRAMES, [], {"seq": 2}),
        lambda tx: tx.count(msgspec.structs.replace(FRAMES, name="undeclared")),
    ],
)
def test_misuse_is_named(tables: Tables, misuse: Callable[[Any], None]) -> None:
    with tables.transaction() as tx, pytest.raises(Permanent):
        misuse(tx)


# ------------------------------------------------------------------ migration


def grown(**changes: Any) -> Table:
    return msgspec.structs.replace(FRAMES, version=2, **changes)


def test_additions_reach_an_existing_database(database: Database) -> None:
    fill(database(), frame("s", 1))
    later = grown(
        columns=(*FRAMES.columns, Column("price_pusd", "integer", default=7), Column("raw", "bytes", nullable=True)),
        unique=(*FRAMES.unique, ("analysis", "price_pusd")),
        indexes=(*FRAMES.indexes, ("price_pusd", "seq")),
    )
    new_table = Table(
        name="added",
        columns=(Column("id", "integer"), Column("raw", "bytes", default=b"\x00\xff")),
        primary_key=("id",),
    )
    newer = database((later, VALUES, new_table))
    assert database((later, VALUES, new_table)).notices == ()
    assert any("frames is now at version 2" in notice for notice in newer.notices)
    with newer.transaction() as tx:
        assert tx.select(later) == [frame("s", 1, revision=1, note=None, price_pusd=7, raw=None)]
        tx.insert(new_table, {"id": 1})
        assert tx.get(new_table, {"id": 1}) == {"id": 1, "raw": b"\x00\xff"}
        with pytest.raises(Conflict):
            tx.insert(later, frame("other", 1))  # the new unique key


def test_a_program_that_runs_goes_on_while_a_newer_one_migrates(database: Database) -> None:
    older = database()
    newer_table = grown(columns=(*FRAMES.columns, Column("lane", "text", default="fast")))
    newer = database((newer_table, VALUES))
    fill(older, frame("s", 1))
    with newer.snapshot() as snapshot:
        assert snapshot.select(newer_table)[0]["lane"] == "fast"


def test_a_newer_database_is_refused(database: Database) -> None:
    database((grown(columns=(*FRAMES.columns, Column("lane", "text", default="fast"))), VALUES))
    with pytest.raises(Unsupported, match="written by a newer Genescale"):
        database()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (grown(columns=FRAMES.columns[:-1]), "note is gone"),
        (grown(columns=(*FRAMES.columns[:-1], Column("note", "bytes", nullable=True))), "note changed"),
        (grown(columns=(*FRAMES.columns, Column("lane", "text"))), "neither nullable nor has a default"),
        (grown(primary_key=("session",)), "primary key changed"),
        (grown(unique=()), "unique key or an index is gone"),
        (grown(indexes=()), "unique key or an index is gone"),
        (msgspec.structs.replace(FRAMES, indexes=()), "same version"),
        (grown(unique=(*FRAMES.unique, ("session",))), "do not keep the new unique key"),
    ],
)
def test_what_is_not_an_addition_is_refused_and_nothing_changes(
    database: Database, changed: Table, reason: str
) -> None:
    fill(database(), frame("s", 1), frame("s", 2))
    with pytest.raises(Unsupported, match=reason):
        database((VALUES, msgspec.structs.replace(VALUES, name="never_created"), changed))
    with database().snapshot() as snapshot:
        assert snapshot.count(FRAMES) == 2
    database((Table(name="never_created", columns=(Column("id", "text"),), primary_key=("id",)),))


def test_tables_of_others_stay(database: Database) -> None:
    fill(database(), frame("s", 1))
    database((VALUES,))
    with database().snapshot() as snapshot:
        assert snapshot.count(FRAMES) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        msgspec.structs.replace(FRAMES, name='x"; DROP TABLE frames; --'),
        msgspec.structs.replace(FRAMES, columns=(*FRAMES.columns, FRAMES.columns[0])),
        msgspec.structs.replace(FRAMES, primary_key=()),
        msgspec.structs.replace(FRAMES, primary_key=("note",)),
        msgspec.structs.replace(FRAMES, indexes=(("nobody",),)),
        msgspec.structs.replace(VALUES, indexes=(("document",),)),
        msgspec.structs.replace(FRAMES, name="x" * 49),
    ],
)
def test_a_wrong_declaration_is_a_mistake_of_the_program(wrong: Table) -> None:
    with pytest.raises(ValueError):
        check_declarations([wrong])


def test_check_passes_on_a_sound_database(tables: Tables) -> None:
    fill(tables, frame("s", 1))
    tables.check()


# ------------------------------------------------------------------ several processes

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from support.declared_tables import FRAMES, VALUES, frame, increment, open_at
tables = open_at({address!r})
"""


def child(address: str, program: str) -> subprocess.Popen[bytes]:
    head = CHILD.format(tests=str(Path(__file__).parents[1]), address=address)
    return subprocess.Popen([sys.executable, "-c", head + program], stdout=subprocess.PIPE)


def test_two_processes_count_together(tables: Tables, address: str) -> None:
    fill(tables, frame("counter", 1, revision=0))
    children = [child(address, "for _ in range(30): tables.run(increment)\n") for _ in range(2)]
    for one in children:
        assert one.wait(60) == 0
        assert one.stdout is not None
        one.stdout.close()
    with tables.snapshot() as snapshot:
        assert snapshot.select(FRAMES)[0]["revision"] == 60


def test_a_new_database_is_made_once_when_two_processes_open_it(address: str) -> None:
    children = [child(address, "tables.close()\n") for _ in range(2)]
    for one in children:
        assert one.wait(60) == 0
        assert one.stdout is not None
        one.stdout.close()
    tables = open_at(address)
    assert tables.notices == ()
    tables.close()


PAIRS = """
for number in range(1_000_000):
    with tables.transaction() as tx:
        tx.insert(FRAMES, frame("pair", number))
        tx.insert(VALUES, {"id": f"{number:09}", "bytes": bytes(5_000)})
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_process_leaves_whole_transactions_and_all_that_it_reported(
    tables: Tables, address: str, seed: int
) -> None:
    dice = random.Random(seed)
    one = child(address, PAIRS)
    assert one.stdout is not None
    reported = [int(one.stdout.readline()) for _ in range(dice.randint(1, 40))]
    one.send_signal(signal.SIGKILL)
    reported += [int(line) for line in one.stdout.read().split()]
    one.wait(10)
    one.stdout.close()
    fill(tables, frame("afterwards", 1))  # nobody is locked out by the dead
    with tables.snapshot() as snapshot:
        frames = {row["seq"] for row in snapshot.select(FRAMES, [("session", "=", "pair")])}
        values = {int(row["id"]) for row in snapshot.select(VALUES)}
    assert frames == values
    assert set(reported) <= frames


def test_waiting_for_another_writer_is_bounded(database: Database) -> None:
    holder, waiter = database(), database(busy_s=0.3)
    with holder.transaction() as tx:
        tx.insert(FRAMES, frame("s", 1))
        with pytest.raises((TablesUnavailable, TransactionLost)), waiter.transaction() as late:
            late.insert(FRAMES, frame("s", 1))


# ------------------------------------------------------------------ against a model

KEYS = st.tuples(st.sampled_from(["", "a", "b", "ä"]), st.integers(-2, 3))
ANALYSES = st.sampled_from(["x", "y", "z"])
NOTES = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4))


class TablesAgainstDict(RuleBasedStateMachine):
    """One table beside a dict with the same rows; every rule does the same to both."""

    address: Callable[[], str]

    @initialize()
    def begin(self) -> None:
        self.tables = open_at(self.address())
        self.model: dict[tuple[str, int], dict[str, Any]] = {}

    def teardown(self) -> None:
        if hasattr(self, "tables"):
            self.tables.close()

    def clashes(self, row: dict[str, Any], model: dict[tuple[str, int], dict[str, Any]]) -> bool:
        return any(
            other["session"] == row["session"] and other["analysis"] == row["analysis"] and other["seq"] != row["seq"]
            for other in model.values()
        )

    @rule(key=KEYS, analysis=ANALYSES, note=NOTES)
    def insert(self, key: tuple[str, int], analysis: str, note: str | None) -> None:
        row = {"session": key[0], "seq": key[1], "analysis": analysis, "revision": 1, "note": note}
        new = key not in self.model and not self.clashes(row, self.model)
        with self.tables.transaction() as tx:
            assert tx.insert(FRAMES, row, on_conflict="ignore") == new
        if new:
            self.model[key] = row

    @rule(key=KEYS, analysis=ANALYSES)
    def upsert(self, key: tuple[str, int], analysis: str) -> None:
        row = {"session": key[0], "seq": key[1], "analysis": analysis}
        try:
            with self.tables.transaction() as tx:
                tx.upsert(FRAMES, row)
        except Conflict:
            assert self.clashes(row, self.model)
        else:
            assert not self.clashes(row, self.model)
            self.model[key] = {"revision": 1, "note": None, **self.model.get(key, {}), **row}

    @rule(low=st.integers(-2, 3), note=NOTES, rolled_back=st.booleans())
    def update(self, low: int, note: str | None, rolled_back: bool) -> None:
        matching = [row for row in self.model.values() if row["seq"] >= low]

        def change(tx: Transaction) -> None:
            assert tx.update(FRAMES, [("seq", ">=", low)], {"note": note}) == len(matching)
            if rolled_back:
                raise ZeroDivisionError

        with suppress(ZeroDivisionError):
            self.tables.run(change)
        if not rolled_back:
            for row in matching:
                row["note"] = note

    @rule(session=st.sampled_from(["", "a", "b", "ä"]), high=st.integers(-2, 3))
    def delete(self, session: str, high: int) -> None:
        gone = [key for key in self.model if key[0] == session and key[1] < high]
        with self.tables.transaction() as tx:
            assert tx.delete(FRAMES, [("session", "=", session), ("seq", "<", high)]) == len(gone)
        for key in gone:
            del self.model[key]

    @rule(key=KEYS, expected=NOTES, note=NOTES)
    def compare_and_set(self, key: tuple[str, int], expected: str | None, note: str | None) -> None:
        row = self.model.get(key)
        same = row is not None and row["note"] == expected
        with self.tables.transaction() as tx:
            where = {"session": key[0], "seq": key[1]}
            assert tx.compare_and_set(FRAMES, where, {"note": expected}, {"note": note}) == same
        if row is not None and same:
            row["note"] = note

    @rule(after=KEYS, descending=st.booleans(), limit=st.integers(0, 5), note=NOTES)
    def select(self, after: tuple[str, int], descending: bool, limit: int, note: str | None) -> None:
        def order(row: dict[str, Any]) -> tuple[int, bytes]:
            return row["seq"], row["session"].encode()

        start = (after[1], after[0].encode())
        rows = sorted(self.model.values(), key=order, reverse=descending)
        rows = [row for row in rows if (order(row) < start if descending else order(row) > start)]
        rows = [row for row in rows if row["note"] != note][:limit]
        with self.tables.snapshot() as snapshot:
            assert rows == snapshot.select(
                FRAMES,
                [("note", "!=", note)],
                order_by=["seq"],
                descending=descending,
                after={"session": after[0], "seq": after[1]},
                limit=limit,
            )

    @invariant()
    def same_rows(self) -> None:
        if hasattr(self, "tables"):
            with self.tables.snapshot() as snapshot:
                found = {(row["session"], row["seq"]): row for row in snapshot.select(FRAMES)}
            assert found == self.model


def test_any_sequence_of_calls_does_what_a_dict_does(fresh_address: Callable[[], str]) -> None:
    machine = type("Machine", (TablesAgainstDict,), {"address": staticmethod(fresh_address)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
