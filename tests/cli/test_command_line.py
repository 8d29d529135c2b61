"""The command line: help, failures in one line, exit statuses, and the page that lists it all."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from genescale import __version__, wiring
from genescale.cli import main as main_module
from genescale.cli import reference
from genescale.cli.main import COMMANDS, main
from genescale.errors import CannotStart, LogDamaged

ROOT = Path(__file__).parents[2]
HEAVY = {"cyclopts", "rich", "msgspec", "apsw", "starlette", "uvicorn", "structlog", "prometheus_client", "sqlalchemy"}


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("GENESCALE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def said(capsys, *words):
    status = main(words)
    out, err = capsys.readouterr()
    return status, out, err


def test_help_has_one_line_per_command_and_says_how_to_begin(capsys):
    for words in ((), ("--help",), ("-h",), ("help",)):
        status, out, err = said(capsys, *words)
        assert (status, err) == (0, "")
        assert "genescale up" in "".join(out.splitlines()[:4])
        for command in COMMANDS:
            (line,) = [line for line in out.splitlines() if line.startswith(f"  {command.name} ")]
            assert line.endswith(".")
        assert max(len(line) for line in out.splitlines()) <= 100


def test_help_imports_no_library():
    program = "import sys; from genescale.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in done.stdout.split())


def test_a_role_starts_without_the_command_line_library():
    program = (
        "import sys; from genescale.cli.main import main\n"
        "try: main(['--debug', 'run', 'scaler'])\nexcept Exception as error: print(error)\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "unavailable: the role scaler arrives with" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"cyclopts", "rich", "uvicorn", "apsw", "sqlalchemy"}.isdisjoint(loaded)


def test_version_tells_what_was_built(capsys):
    status, out, _ = said(capsys, "--version")
    assert status == 0
    assert out.startswith(f"genescale {__version__}\n")
    for word in ("Python 3.", "SQLite 3.", "kernels ", "portal "):
        assert word in out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("fly",), "there is no command 'fly'; there are: up, run"),
        (("up", "--prot", "1"), "--prot"),
        (("up", "--port", "many"), "many"),
        (("up", "--port", "70000"), "gateway.port"),
        (("run",), "role"),
        (("run", "scaler"), "unavailable: the role scaler arrives with"),
        (("run", "barber"), "there is no role 'barber'; there are: gateway, keeper"),
        (("settings", "--settings", "/nowhere.toml"), "/nowhere.toml"),
    ],
)
def test_what_cannot_run_is_one_line_and_status_2(capsys, words, what):
    status, out, err = said(capsys, *words)
    assert (status, out) == (2, "")
    assert what in err
    assert len(err.splitlines()) == 1
    assert err.startswith("genescale")


def test_an_unknown_setting_names_itself(capsys, monkeypatch):
    monkeypatch.setenv("GENESCALE_GATEWAY_PROT", "1")
    status, _, err = said(capsys, "settings")
    assert (status, "GENESCALE_GATEWAY_PROT" in err) == (2, True)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CannotStart("no"), 2),
        (ModuleNotFoundError("No module named 'confluent_kafka'", name="confluent_kafka"), 2),
        (LogDamaged("page 7 is damaged", path="/x", place="7"), 1),
        (ValueError("odd"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_failures_are_one_line_without_a_traceback(capsys, monkeypatch, error, status):
    def fails(*_):
        raise error

    monkeypatch.setattr(main_module, "_dispatch", fails)
    got, _, err = said(capsys, "settings")
    assert got == status
    assert "Traceback" not in err
    if isinstance(error, ModuleNotFoundError):
        assert "genescale[kafka]" in err
    if isinstance(error, Exception):
        with pytest.raises(type(error)):
            main(["--debug", "settings"])


def test_settings_say_value_unit_and_source(capsys, monkeypatch):
    monkeypatch.setenv("GENESCALE_GATEWAY_PORT", "9001")
    _, out, _ = said(capsys, "settings")
    (line,) = [line for line in out.splitlines() if line.startswith("gateway.port ")]
    assert line.split() == ["gateway.port", "9001", "port", "GENESCALE_GATEWAY_PORT"]
    status, out, _ = said(capsys, "settings", "--json")
    assert status == 0
    (row,) = [row for row in json.loads(out) if row["name"] == "gateway.port"]
    assert (row["value"], row["source"], row["default"]) == ("9001", "GENESCALE_GATEWAY_PORT", "8080")


def test_a_reader_that_has_enough_is_no_failure():
    done = subprocess.run(
        f"{sys.executable} -m genescale settings --json | head -c 10", shell=True, capture_output=True, check=True
    )
    assert done.stderr == b""


def test_every_command_exists_and_every_missing_extra_is_known():
    for command in COMMANDS:
        module, _, attribute = command.target.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute)), command.name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(wiring.EXTRAS.values()) <= set(project["optional-dependencies"])


def test_the_reference_page_is_what_the_commands_say():
    page = ROOT / "docs" / "reference" / "cli.md"
    assert page.read_text() == reference.page(), (
        "write it again: python -m genescale.cli.reference > docs/reference/cli.md"
    )
    for command in COMMANDS:
        assert f"genescale {command.name}" in page.read_text()
