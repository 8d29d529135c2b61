"""Delivery under faults: the product keeps its promises, and a product that is broken on purpose is caught."""

import json
import os
import subprocess
import sys

import pytest

from genescale.trials import lossyfs
from support.require import require

pytestmark = pytest.mark.faults

# Each runs in an interpreter of its own, since a delivery run forks and must have no threads.
RUN = """
import sys
from genescale.clock import SystemClock
from genescale.trials import delivery, report
outcome = delivery.run(5, events=2000, faults=45, seconds=90, kafka={kafka}, clock=SystemClock())
print(report.to_json(outcome))
"""

NO_FSYNC = """
from genescale.events import sqlite, sqlite_file, sqlite_groups
honest = sqlite_file.connect
for module in (sqlite, sqlite_file, sqlite_groups):
    module.connect = lambda path, **options: honest(path, **{**options, "power_safe": False})
"""

COMMIT_FIRST = """
from genescale.events.runner import Runner
note = Runner._note
def commit_first(self, spans, fence):
    note(self, spans, fence)
    self._commit({seat: upto for seat, (_, upto) in spans.items()})
Runner._note = commit_first
"""

WRONG_ANSWER = """
from genescale.trials import roles
right = roles.content_of
roles.content_of = lambda asked: right(asked)[::-1] if asked.index % 97 == 0 else right(asked)
"""


def verify(tmp_path, sabotage="", *, kafka=False):
    """Run with some of the code replaced; {name of the row: row}. What a run keeps goes with the test's folder."""
    program = sabotage + RUN.format(kafka=kafka)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["rows"]}


@pytest.fixture
def lossy_disk():
    reason = lossyfs.unavailable()
    require("FUSE", reason is None, str(reason))


def test_every_accepted_event_gets_one_answer_under_every_fault(tmp_path, lossy_disk):
    rows = verify(tmp_path)
    assert {name: row for name, row in rows.items() if row["met"] is False} == {}
    assert rows["accepted"]["value"] == 2000
    assert "broker_kill: not asked for" in rows["fault_kinds_hit"]["note"]


def test_a_log_that_does_not_fsync_is_caught(tmp_path, lossy_disk):
    rows = verify(tmp_path, NO_FSYNC)
    assert rows["lost"]["value"] + rows["log_inconsistencies"]["value"] > 0


def test_a_loop_that_commits_before_it_has_written_is_caught(tmp_path):
    assert verify(tmp_path, COMMIT_FIRST)["lost"]["value"] > 0


def test_an_answer_that_nobody_computes_is_caught(tmp_path):
    assert verify(tmp_path, WRONG_ANSWER)["invented"]["value"] > 0


@pytest.mark.kafka
def test_the_same_on_three_kafka_brokers(tmp_path, lossy_disk):
    kafka_cluster = pytest.importorskip("genescale.trials.kafka_cluster")
    reason = kafka_cluster.available()
    require("Kafka", reason is None, str(reason))
    rows = verify(tmp_path, kafka=True)
    # In so short a run a failpoint may find no more passages after a broker was lost: then a fault less is no defect.
    broken = {name: row for name, row in rows.items() if row["met"] is False and name != "faults_injected"}
    assert broken == {}
    assert "broker_kill 0" not in rows["fault_kinds_hit"]["note"]
