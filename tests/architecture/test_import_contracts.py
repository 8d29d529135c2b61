"""The import contracts of pyproject.toml: kept by the code as it is, and each broken by the fault it is there for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What somebody adds -> the one contract that says no. The line is planted at the end of the module.
FAULTS = {
    "a brain reads its neighbour": (
        "cost/planted.py",
        "from genescale import scaling",
        "Floors",
    ),
    "one role imports another": ("gateway/planted.py", "from genescale import worker", "Floors"),
    "a lower room imports a higher one": ("store/planted.py", "from genescale.events import log", "Floors"),
    "an import inside a function counts": (
        "healing/planted.py",
        "def late():\n    from genescale.cost import nothing",
        "Floors",
    ),
    "a room that nobody gave a floor": ("utils/__init__.py", '"""Odds and ends."""', "Floors"),
    "science reads events": ("genomics/planted.py", "from genescale.events import log", "Science"),
    "a role picks its own log": (
        "worker/planted.py",
        "from genescale.events.sqlite import SqliteLog",
        "Only wiring chooses",
    ),
    "a log reaches into another": (
        "events/memory.py",
        "from genescale.events import sqlite_file",
        "Only wiring chooses",
    ),
    "a role picks its own tables": ("worker/planted.py", "import genescale.store.postgres", "Only wiring chooses"),
    "a brain picks its own objects": ("healing/planted.py", "import genescale.store.objects", "Only wiring chooses"),
    "a role reads settings": ("worker/planted.py", "from genescale.config import Settings", "Only wiring reads"),
    "a role opens a database": ("worker/planted.py", "import apsw", "Each outside library"),
    "a brain counts for itself": ("scaling/planted.py", "import prometheus_client", "Each outside library"),
    "a store unpickles": ("store/planted.py", "import pickle", "Nothing that runs code"),
    "two modules need each other": ("events/log.py", "from genescale.events import scan", "No cycles"),
}


def lint(source: Path, cache: Path) -> tuple[int, dict[str, str]]:
    """The exit status, and KEPT or BROKEN for each contract."""
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-logo",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "500", "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, "--cache-dir", str(cache)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert verdicts, done.stdout + done.stderr
    return done.returncode, verdicts


def test_every_contract_is_kept(tmp_path: Path) -> None:
    status, verdicts = lint(ROOT / "src", tmp_path)
    assert set(verdicts.values()) == {"KEPT"}
    assert len(verdicts) == 7
    assert status == 0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What import-linter remembers of files that did not change."""
    return tmp_path_factory.mktemp("linter")


@pytest.mark.slow
@pytest.mark.parametrize(("module", "line", "contract"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_breaks_its_contract_and_no_other(
    module: str, line: str, contract: str, tmp_path: Path, cache: Path
) -> None:
    copy = tmp_path / "src"
    skipped = shutil.ignore_patterns("__pycache__", "static", "*.so")
    shutil.copytree(ROOT / "src/genescale", copy / "genescale", ignore=skipped)
    planted = copy / "genescale" / module
    planted.parent.mkdir(exist_ok=True)
    with planted.open("a") as file:
        file.write(f"\n{line}\n")

    status, verdicts = lint(copy, cache)

    broken = [name for name, verdict in verdicts.items() if verdict == "BROKEN"]
    assert any(name.startswith(contract) for name in broken), broken
    assert [
        name for name in broken if not name.startswith((contract, "No cycles"))
    ] == []  # a way up may close a circle
    assert status == 1


def test_every_room_says_what_it_is_for() -> None:
    for door in sorted((ROOT / "src/genescale").glob("*/__init__.py")):
        text = door.read_text()
        assert text.startswith('"""'), door
        assert "import " not in text.rpartition('"""')[2], f"{door}: a room's door holds its docstring and nothing else"


def test_a_room_is_one_level_deep() -> None:
    src = ROOT / "src/genescale"
    deeper = [path for path in src.glob("*/*/") if path.name not in {"__pycache__", "assets"}]
    allowed = {src / "genomics/kernels", src / "genomics/embedded"}  # docs/decisions/0006-genomics-kernels.md
    assert set(deeper) - allowed == set()


def test_no_module_is_named_after_nothing() -> None:
    names = {path.stem for path in (ROOT / "src/genescale").rglob("*.py")}
    names |= {path.name for path in (ROOT / "src/genescale").glob("*/")}
    assert names & {"utils", "util", "common", "core", "shared", "helpers", "misc", "base", "manager"} == set()
