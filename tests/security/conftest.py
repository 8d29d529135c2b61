from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genescale.clock import ManualClock
from genescale.security.tables import SECURITY_TABLES
from genescale.store.tables import Tables
from support.declared_tables import open_at
from support.postgres import postgres_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as fresh:
        yield fresh


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    return str(tmp_path / "tables.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres")()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tables(address: str, clock: ManualClock) -> Iterator[Tables]:
    """The tables of identity in it."""
    tables = open_at(address, SECURITY_TABLES, clock)
    yield tables
    tables.close()
