"""Where ports meet adapters: what is chosen, and what is said when it cannot be."""

import json
import sys
from contextlib import closing

import pytest

from genescale import config, wiring
from genescale.cli.main import main
from genescale.clock import ManualClock, SystemClock
from genescale.errors import CannotStart
from genescale.events.memory import MemoryLog
from genescale.events.sqlite import SqliteLog
from genescale.store.data_directory import LAYOUT_FILE


def settings(tmp_path, **overrides):
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return config.load({}, None, {"data.directory": tmp_path / "data", **given}).settings


def test_the_log_is_sqlite_in_the_data_directory_unless_told_otherwise(tmp_path):
    with closing(wiring.open_log(settings(tmp_path), SystemClock())) as log:
        assert isinstance(log, SqliteLog)
        assert log.directory == tmp_path / "data" / "log"
    assert (tmp_path / "data" / LAYOUT_FILE).is_file()
    assert isinstance(wiring.open_log(settings(tmp_path, log__kind="memory"), ManualClock()), MemoryLog)


@pytest.mark.parametrize(
    ("module", "adapter", "overrides"),
    [
        ("confluent_kafka", "genescale.events.kafka", {"log__kind": "kafka"}),
        ("psycopg", "genescale.store.postgres", {"store__tables_url": "postgresql://me@127.0.0.1:1/x"}),
    ],
)
def test_a_missing_extra_is_named_with_its_installation(tmp_path, monkeypatch, module, adapter, overrides):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, adapter, raising=False)
    chosen = settings(tmp_path, **overrides)
    with pytest.raises(CannotStart, match=rf"needs the package {module}.*genescale\[{wiring.EXTRAS[module]}\]"):
        wiring.open_log(chosen, ManualClock()) if module == "confluent_kafka" else wiring.open_tables(
            chosen, [], ManualClock()
        )


def test_tables_and_objects_lie_in_the_data_directory_unless_told_otherwise(tmp_path):
    wiring.open_tables(settings(tmp_path), [], SystemClock()).close()
    assert (tmp_path / "data" / "tables.sqlite").is_file()
    assert wiring.open_objects(settings(tmp_path), SystemClock()) is not None


def test_an_address_of_no_object_store_names_the_setting(tmp_path):
    with pytest.raises(CannotStart, match=r"store\.objects_url"):
        wiring.open_objects(settings(tmp_path, store__objects_url="file://nowhere"), ManualClock())


def test_data_of_a_newer_program_are_not_touched(tmp_path, capsys):
    (tmp_path / LAYOUT_FILE).write_text(json.dumps({"format": 9, "created": "x", "program": "3.0.0"}))
    assert main(["up", "--data", str(tmp_path), "--port", "0"]) == 2
    assert "made by Genescale 3.0.0" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == [LAYOUT_FILE]


def test_a_memory_log_cannot_be_shared_by_the_roles_of_a_platform(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GENESCALE_LOG_KIND", "memory")
    assert main(["up", "--data", str(tmp_path), "--port", "0"]) == 2
    assert "sqlite or kafka" in capsys.readouterr().err


def test_the_state_of_the_roles_is_believed_only_from_our_own_supervisor(tmp_path):
    chosen = settings(tmp_path)
    with closing(wiring.open_log(chosen, SystemClock())) as log:
        report = wiring.local.PlatformReport(
            pid=4711,
            started_at="2026-01-01T00:00:00.000Z",
            cpu_s=None,
            pss_bytes=None,
            roles=(
                wiring.local.RoleReport(
                    name="keeper",
                    state="backing-off",
                    pid=None,
                    restarts=2,
                    since="2026-01-01T00:00:01.000Z",
                    last_exit="signal 9",
                    cpu_s=None,
                    pss_bytes=None,
                ),
            ),
        )
        place = tmp_path / "data" / "runtime" / wiring.STATE_FILE
        place.write_bytes(wiring.msgspec.json.encode(report))
        ours, stranger = (wiring.local.Supervised(pid, 0, None) for pid in (4711, 4712))

        def roles(link):
            view = wiring._PlatformView(chosen, SystemClock(), log, link)
            return [(role.name, role.state, role.restarts) for role in view.collect().roles]

        assert roles(ours) == [("keeper", "backing-off", 2)]
        assert roles(stranger) == roles(None) == [("gateway", "running", 0)]
        place.write_bytes(b"{")
        assert roles(ours) == [("gateway", "running", 0)]
