"""Metrics: a catalogue that is kept, labels that stay few and name nobody, and text that Prometheus reads."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.observability import metrics
from genescale.sensitive import Sensitive
from support.require import require

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
numbers = itertools.count()


@pytest.fixture
def fresh() -> metrics.Counter:
    return metrics.counter(
        f"genescale_test{next(numbers)}_total", unit="events", meaning="For a test.", labels={"topic": "a topic"}
    )


def lines_of(metric: metrics.Counter | metrics.Gauge) -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if line.startswith(metric.info.name)]


@pytest.mark.parametrize(
    "name", ["events_total", "genescale_Events_total", "genescale_events", "genescale_é_total", ""]
)
def test_a_counter_with_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="genescale_<what>_<unit>"):
        metrics.counter(name, unit="events", meaning="x")


def test_a_gauge_is_no_total() -> None:
    with pytest.raises(ValueError, match="_total"):
        metrics.gauge("genescale_x_total", unit="events", meaning="x")


def test_the_unit_stands_in_the_name() -> None:
    with pytest.raises(ValueError, match="_seconds"):
        metrics.gauge("genescale_delay", unit="seconds", meaning="x")


@pytest.mark.parametrize("label", ["analysis_id", "user", "session_id", "sequence", "Topic", "a-b", ""])
def test_labels_that_name_somebody_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="cannot be a label"):
        metrics.gauge("genescale_x", unit="events", meaning="x", labels={label: "x"})


def test_a_name_is_declared_once(fresh: metrics.Counter) -> None:
    with pytest.raises(ValueError, match="twice"):
        metrics.counter(fresh.info.name, unit="events", meaning="x")


def test_wrong_labels_are_named(fresh: metrics.Counter) -> None:
    with pytest.raises(TypeError, match=r"has the labels \['topic'\], not \['group'\]"):
        fresh.inc(group="g")
    with pytest.raises(TypeError, match="not Sensitive"):
        fresh.inc(topic=Sensitive("GATTACA"))


@pytest.mark.parametrize(
    "value",
    ["0b6d1c0a-4f7e-4a57-9a52-0f5c8f2d9c11", "GATTACA" * 4, "anna@example.org", "deadbeefdeadbeef", "x" * 200],
)
def test_values_that_look_like_somebody_count_as_other(fresh: metrics.Counter, value: str) -> None:
    fresh.inc(topic=value)
    assert lines_of(fresh) == [f'{fresh.info.name}{{topic="other"}} 1.0']


@given(st.text(st.sampled_from("ACGTN"), min_size=20))
@settings(max_examples=30)
def test_no_sequence_reaches_a_label(sequence: str) -> None:
    metrics.EVENTS_FAILED.inc(topic=sequence, group=f"g-{sequence}", reason="permanent")
    assert sequence not in metrics.render().decode()


def test_too_many_values_fold_into_other(fresh: metrics.Counter) -> None:
    for number in range(3000):
        fresh.inc(topic=f"t{number}")
    lines = lines_of(fresh)
    assert len(lines) == 501
    assert f'{fresh.info.name}{{topic="other"}} 2500.0' in lines


def test_a_series_that_is_gone_disappears_and_the_others_stay() -> None:
    metrics.BUS_LAG.replace({("g", "a"): 5, ("g", "b"): 6})
    metrics.BUS_LAG.replace({("g", "b"): 7, ("h", "c"): 8})
    assert sorted(lines_of(metrics.BUS_LAG)) == [
        'genescale_bus_lag{group="g",topic="b"} 7.0',
        'genescale_bus_lag{group="h",topic="c"} 8.0',
    ]
    metrics.BUS_LAG.replace({})
    assert lines_of(metrics.BUS_LAG) == []


def test_histograms_count_per_bucket() -> None:
    metrics.APPEND_SECONDS.observe(0.003, topic="histogram-test")
    text = metrics.render().decode()
    assert 'genescale_append_seconds_bucket{le="0.005",topic="histogram-test"} 1.0' in text
    assert 'genescale_append_seconds_bucket{le="0.002",topic="histogram-test"} 0.0' in text


def test_a_role_says_what_it_is_and_whether_it_is_up() -> None:
    set_up = metrics.role_starts("metrics-test", "0.1.0", ManualClock(wall_ms=1_700_000_000_000))
    assert 'genescale_role_up{role="metrics-test"} 0.0' in metrics.render().decode()
    set_up(True)
    text = metrics.render().decode()
    assert 'genescale_role_up{role="metrics-test"} 1.0' in text
    assert 'genescale_role_start_time_seconds{role="metrics-test"} 1.7e+09' in text
    assert 'version="0.1.0"' in text


def test_the_text_has_no_second_series_for_the_moment_of_creation() -> None:
    metrics.EVENTS_APPENDED.inc(topic="created-test")
    assert "_created" not in metrics.render().decode()


def test_the_page_is_the_one_that_the_code_writes() -> None:
    expected = "\n".join(line for line in metrics.reference_page().splitlines() if "genescale_test" not in line) + "\n"
    assert PAGE.read_text() == expected, "run: python -m genescale.observability.metrics > docs/reference/metrics.md"


def test_promtool_finds_nothing_wrong() -> None:
    promtool = shutil.which("promtool")
    require("promtool", promtool, "install the package prometheus (Debian) or put promtool on the PATH")
    metrics.role_starts("metrics-test", "0.1.0", ManualClock())(True)
    metrics.EVENTS_CONSUMED.inc(topic="t", group="g")
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics.render(), capture_output=True, check=False)
    complaints = [line for line in checked.stderr.decode().splitlines() if "genescale_" in line]
    assert complaints == []
