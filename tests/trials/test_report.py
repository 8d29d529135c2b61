import json
from types import SimpleNamespace

import pytest
from cyclopts import App

from genescale.cli import trials
from genescale.trials import report
from genescale.trials.report import CannotRun


def example(value=10, goal=5):
    return report.make_report(
        "events", 7, [report.row("rate", value, "events/s", "higher", goal=goal, samples=[8, 12])]
    )


@pytest.mark.parametrize(
    ("value", "better", "goal", "met"),
    [
        (10, "higher", 10, True),
        (9.9, "higher", 10, False),
        (10, "lower", 10, True),
        (10.1, "lower", 10, False),
        (0, "equal", 0, True),
        (1, "equal", 0, False),
        (1, "equal", None, None),
        (None, "equal", 0, None),
    ],
)
def test_a_goal_is_met_missed_or_open(value, better, goal, met):
    assert report.row("x", value, "", better, goal=goal).met is met


def test_json_is_one_object_with_every_field_of_the_format():
    found = json.loads(report.to_json(example()))
    assert set(found) == {"area", "seed", "commit", "machine", "rows"}
    assert found["rows"] == [
        {
            "name": "rate",
            "value": 10,
            "unit": "events/s",
            "better": "higher",
            "goal": 5,
            "met": True,
            "n": 2,
            "min": 8,
            "max": 12,
            "note": "",
        }
    ]
    assert found["machine"]["cores"] > 0


def test_a_peer_and_its_ratio_stand_only_where_there_is_one():
    row = report.beside(report.row("rate", 30, "events/s", "higher"), "bare loop", 60)
    found = json.loads(report.to_json(report.make_report("events", 1, [row])))
    assert found["rows"][0]["peer"] == "bare loop"
    assert found["rows"][0]["ratio"] == 0.5


def test_the_table_shows_what_was_missed_and_why_a_row_is_absent():
    rows = [
        report.row("rate", 10, "events/s", "higher", goal=60_000),
        report.absent("rate_kafka", "events/s", "higher", "java is not installed", goal=1),
    ]
    table = report.to_table(report.make_report("events", 1, rows))
    assert "MISSED rate " in table
    assert "goal >= 60,000" in table
    assert "absent" in table
    assert "java is not installed" in table
    assert table.endswith("1 goal missed")


# ---- the commands ----


def call(monkeypatch, words, outcome):
    def run(seed, *arguments, **options):
        call.seed, call.options = seed, options
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(trials, "import_module", lambda _: SimpleNamespace(run=run))
    app = App(result_action="return_value")
    app.command(trials.bench)
    app.command(trials.verify)
    return app(words)


def test_an_unknown_area_names_the_areas(capsys, monkeypatch):
    assert call(monkeypatch, "bench nothing", example()) == 2
    assert "the areas are: annotate, events, references" in capsys.readouterr().err
    assert call(monkeypatch, "verify nothing", example()) == 2
    assert "the areas are: delivery" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "outcome", "status"),
    [
        ("bench events", example(), 0),
        ("bench events", example(value=1), 0),
        ("bench events --strict", example(), 0),
        ("bench events --strict", example(value=1), 1),
        ("bench events --strict", CannotRun("no java"), 2),
        ("verify delivery", CannotRun("no java"), 2),
        ("verify delivery --strict --seed 3", CannotRun("no java"), 2),
        ("verify delivery --strict", example(value=1), 1),
    ],
)
def test_the_exit_status_tells_the_truth(capsys, monkeypatch, words, outcome, status):
    assert call(monkeypatch, words, outcome) == status
    printed = capsys.readouterr()
    assert ("no java" in printed.err) == isinstance(outcome, CannotRun)


def test_verify_hands_its_options_over(capsys, monkeypatch):
    call(monkeypatch, "verify delivery --seed 3 --events 10 --faults 2 --seconds 60 --kafka --json", example())
    del call.options["clock"]
    assert (call.seed, call.options) == (3, {"events": 10, "faults": 2, "seconds": 60.0, "kafka": True})
    assert json.loads(capsys.readouterr().out)["seed"] == 7
