"""Observability is part of every cold start, so what it imports is counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = ("logs", "metrics", "traces", "probe", "redact")

# Modules that cost more than they bring here, and would come in by one careless import.
HEAVY = {"rich", "opentelemetry", "pydantic", "requests", "httpx2", "sqlalchemy", "starlette", "uvicorn", "numpy"} | {
    "apsw",
    "confluent_kafka",
    "cyclopts",
    "websockets",
    "cryptography",
    "attr",
    "pygments",
}

PROGRAM = """
import sys, time
begun = time.process_time()
import {imports}
spent = time.process_time() - begun
print(spent * 1000, *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.fixture(scope="module")
def pycache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled once for all tests here."""
    return tmp_path_factory.mktemp("pycache")


def measure(imports: str, pycache: Path, times: int) -> tuple[float, set[str]]:
    """The least CPU time in ms of several clean interpreters with compiled bytecode, and the modules that came in."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(pycache)
    best, modules = float("inf"), set[str]()
    for _ in range(times):
        program = PROGRAM.format(imports=imports)
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        spent, *names = done.stdout.split()
        best, modules = min(best, float(spent)), set(names)
    return best, modules


def test_the_whole_room_imports_quickly_and_brings_nothing_heavy(pycache: Path) -> None:
    imports = ", ".join(f"genescale.observability.{module}" for module in ROOM)
    spent_ms, modules = measure(imports, pycache, times=3)
    assert modules & HEAVY == set()
    assert spent_ms < 300, "measured: 60 to 130 ms of CPU on a busy two-core machine"


def test_settings_bring_nothing_heavy(pycache: Path) -> None:
    spent_ms, modules = measure("genescale.config", pycache, times=2)
    assert modules & (HEAVY | {"tomllib", "difflib", "structlog", "asyncio"}) == set()
    assert spent_ms < 200


def test_rich_can_be_imported_afterwards(pycache: Path) -> None:
    _, modules = measure("genescale.observability.logs, rich", pycache, times=1)
    assert "rich" in modules
