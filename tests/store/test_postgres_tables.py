"""What only a server can suffer: it goes away, refuses us, or cancels one of two transactions that meet."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from genescale.clock import SystemClock
from genescale.store.postgres import open_postgres_tables
from genescale.store.tables import Column, Table, Tables, TablesUnavailable, TransactionLost
from support.postgres import postgres_server

pytestmark = pytest.mark.postgres

ON_CALL = Table(name="on_call", columns=(Column("doctor", "text"), Column("ready", "boolean")), primary_key=("doctor",))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def dsn(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.fixture
def tables(dsn: str) -> Iterator[Tables]:
    opened = open_postgres_tables(dsn, [ON_CALL], SystemClock(), seed=1)
    yield opened
    opened.close()


def leave(tables: Tables, doctor: str, other: Callable[[], object] = lambda: None) -> None:
    """Go off duty, but only when somebody else stays: the classic that weaker isolation gets wrong."""
    with tables.transaction() as tx:
        if tx.count(ON_CALL, [("ready", "=", True)]) > 1:
            other()
            tx.update(ON_CALL, [("doctor", "=", doctor)], {"ready": False})


def test_of_two_transactions_that_contradict_each_other_one_is_lost(dsn: str, tables: Tables) -> None:
    with tables.transaction() as tx:
        tx.insert(ON_CALL, {"doctor": "ada", "ready": True})
        tx.insert(ON_CALL, {"doctor": "bea", "ready": True})
    second = open_postgres_tables(dsn, [ON_CALL], SystemClock(), seed=2)
    with pytest.raises(TransactionLost):
        leave(tables, "ada", other=lambda: leave(second, "bea"))
    second.close()
    with tables.snapshot() as snapshot:
        assert snapshot.count(ON_CALL, [("ready", "=", True)]) == 1


def test_a_server_that_went_away_and_came_back_costs_one_error(dsn: str, tables: Tables) -> None:
    with tables.snapshot() as one, tables.snapshot() as two:  # two connections, idle afterwards
        assert one.count(ON_CALL) == two.count(ON_CALL) == 0
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genescale'")
    with pytest.raises(TablesUnavailable, match="cannot be reached"):
        leave(tables, "ada")
    leave(tables, "ada")
    with tables.snapshot() as snapshot:
        assert snapshot.count(ON_CALL) == 0


def test_a_connection_lost_in_a_transaction_leaves_nothing(dsn: str, tables: Tables) -> None:
    def cut() -> None:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genescale'")

    with pytest.raises(TablesUnavailable), tables.transaction() as tx:  # noqa: PT012 - the cut comes in the middle
        tx.insert(ON_CALL, {"doctor": "ada", "ready": True})
        cut()
    with tables.snapshot() as snapshot:
        assert snapshot.count(ON_CALL) == 0


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(TablesUnavailable, match="cannot be reached"):
        open_postgres_tables("postgresql://u@127.0.0.1:9/x", [ON_CALL], SystemClock(), busy_s=2)


def test_a_database_that_is_not_there_is_named(dsn: str) -> None:
    nowhere = psycopg.conninfo.make_conninfo(dsn, dbname="nowhere")
    with pytest.raises(TablesUnavailable, match="nowhere"):
        open_postgres_tables(nowhere, [ON_CALL], SystemClock())


def test_a_password_beside_the_address_is_used(dsn: str) -> None:
    role = f"role_{time.time_ns()}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'correct'".encode())
        found = admin.execute("SHOW hba_file").fetchone()
        assert found is not None
        rules = Path(found[0])
        rules.write_text(f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n{rules.read_text()}")
        loaded = admin.execute("SELECT pg_conf_load_time()").fetchone()
        admin.execute("SELECT pg_reload_conf()")
        while admin.execute("SELECT pg_conf_load_time()").fetchone() == loaded:  # the server reads it a moment later
            time.sleep(0.01)
        schema = admin.execute("SELECT current_schema()").fetchone()
        assert schema is not None
        admin.execute(f"GRANT ALL ON SCHEMA {schema[0]} TO {role}".encode())
    address = psycopg.conninfo.make_conninfo(dsn, user=role)
    open_postgres_tables(address, [ON_CALL], SystemClock(), password="correct").close()
    with pytest.raises(TablesUnavailable, match="password") as raised:
        open_postgres_tables(address, [ON_CALL], SystemClock(), password="wrong")
    assert "wrong" not in str(raised.value)
