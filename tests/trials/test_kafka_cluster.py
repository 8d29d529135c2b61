"""The Kafka for tests: it says what is missing, and it never outlives whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genescale.trials import kafka_cluster
from genescale.trials.kafka_cluster import available
from support.require import missing

STARTER = """
import sys, time
from genescale.trials.kafka_cluster import KafkaCluster
cluster = KafkaCluster(brokers=1).start()
print(*cluster.pids().values(), cluster.folder, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def fresh_java() -> None:
    kafka_cluster._java_version.cache_clear()


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_machine_without_java_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "java is not installed" in (available() or "")


def test_an_old_java_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "java", "echo 'openjdk version \"11.0.2\" 2019' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Java 17 or newer" in (available() or "")


def test_a_machine_without_maven_needs_it_only_for_the_first_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "java", "echo 'openjdk version \"21.0.2\" 2024' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GENESCALE_CACHE", str(tmp_path / "cache"))
    assert "mvn is not installed" in (available() or "")
    (tmp_path / "cache" / f"kafka-{kafka_cluster.KAFKA_VERSION}" / "lib").mkdir(parents=True)
    assert available() is None
    assert "openssl" in (available(secure=True) or "")


def test_a_failed_fetch_shows_what_maven_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mvn", "echo 'no route to the repository'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GENESCALE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(kafka_cluster.ClusterError, match="no route to the repository"):
        kafka_cluster.fetch()


@pytest.mark.kafka
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_brokers_die_with_their_parent(signal_number: signal.Signals) -> None:
    if reason := available():
        missing("Apache Kafka", reason)
    starter = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid, folder = starter.stdout.readline().split()
    starter.send_signal(signal_number)
    starter.communicate()
    deadline = time.monotonic() + 10
    while _runs(int(pid)) or Path(folder, "data1").exists():
        assert time.monotonic() < deadline, f"broker {pid} outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not state.startswith("Z")  # dead, and not yet fetched by the system
