"""The numbers that each process offers at `/metrics`, declared once with their unit and meaning.

This is the only door to the Prometheus client. A room counts with the objects below, or declares its own beside its
code with `counter`, `gauge` and `histogram`; every declaration enters the catalogue, from which
`docs/reference/metrics.md` is written. One registry per process, filled by nobody else.

    metrics.EVENTS_CONSUMED.inc(len(records), topic=topic, group=group)

Rules, held at the declaration: names in the alphabet of Prometheus 2.42, the unit in the name, counters end in
`_total`. Rules, held at each new label value: labels name things of which there are few (topics, groups, roles), never
an analysis, a session or a person. A metric that gets too many values folds the rest into `other`, because a time
series per analysis would fill the memory of every process and of Prometheus, and would tell who asked for what.
"""

import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import prometheus_client
from prometheus_client.exposition import generate_latest

from genescale.clock import Clock
from genescale.observability.redact import text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_NAME = re.compile(r"genescale(_[a-z0-9]+)+\Z")
_LABEL = re.compile(r"[a-z]+(_[a-z]+)*\Z")
_UNITS = {"seconds": "_seconds", "bytes": "_bytes", "ratio": "_ratio"}
_SERIES_MAX = 500  # label sets of one metric; 13 topics with a few groups each stay far below
_VALUE_MAX = 120
_IDENTITY = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|[0-9a-fA-F]{16}|@")  # UUIDs, digests and traces, e-mail

# What somebody would like to see as a label one day, and must not.
FORBIDDEN_LABELS = frozenset(
    {"analysis", "analysis_id", "correlationid", "event", "event_id", "id", "key", "member", "name", "offset", "path"}
    | {"patient", "project", "sample", "sequence", "session", "session_id", "subject", "token", "trace_id", "url"}
    | {"user", "user_id", "variant"}
)


class MetricInfo(NamedTuple):
    """One metric as its page shows it."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: Mapping[str, str]  # label: what its values are


_registry = prometheus_client.CollectorRegistry()
_catalogue: dict[str, MetricInfo] = {}
# Each counter would otherwise come with a second series for the moment of its creation, which 2.42 cannot use.
prometheus_client.disable_created_metrics()


class _Series:
    """One metric: finds the series of a set of labels quickly, and checks a set only when it is new."""

    def __init__(self, info: MetricInfo, metric: Any) -> None:
        self.info = info
        self._metric = metric
        self._children: dict[tuple[tuple[str, str], ...], Any] = {}

    def _child(self, labels: dict[str, str]) -> Any:
        if not self.info.labels and not labels:
            return self._metric
        key = tuple(labels.items())
        child = self._children.get(key)
        if child is None:
            child = self._metric.labels(**self._checked(labels))
            if len(self._children) < 2 * _SERIES_MAX:
                self._children[key] = child
        return child

    def _checked(self, labels: dict[str, str]) -> dict[str, str]:
        if labels.keys() != self.info.labels.keys():
            raise TypeError(f"{self.info.name} has the labels {sorted(self.info.labels)}, not {sorted(labels)}")
        if len(self._children) >= _SERIES_MAX:
            return dict.fromkeys(labels, OTHER)
        return {name: _bounded(self.info.name, name, value) for name, value in labels.items()}


class Counter(_Series):
    """Only grows. `rate()` it."""

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`."""
        self._child(labels).inc(amount)


class Gauge(_Series):
    """Goes up and down."""

    def set(self, value: float, **labels: str) -> None:
        """The value is now this."""
        self._child(labels).set(value)

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all series at once, by their label values in the order of the declaration; others disappear.

        What is gone (a group, a topic) must not keep its last value for ever. A series that stays is never missing
        in between, since a scrape may come at any time.
        """
        names = tuple(self.info.labels)
        wanted = [dict(zip(names, key, strict=True)) for key in values]
        for labels, value in zip(wanted, values.values(), strict=True):
            self.set(value, **labels)
        kept = {tuple(labels.items()) for labels in wanted}
        for key in self._children.keys() - kept:
            checked = self._checked(dict(key))
            del self._children[key]
            if OTHER not in checked.values():
                self._metric.remove(*(checked[name] for name in names))


class Histogram(_Series):
    """Counts per bucket. `histogram_quantile()` it."""

    def observe(self, value: float, **labels: str) -> None:
        """One more measurement."""
        self._child(labels).observe(value)


def counter(name: str, *, unit: str, meaning: str, labels: Mapping[str, str] | None = None) -> Counter:
    """Declare a counter; the name ends in `_total`."""
    info = _declare(name, "counter", unit, meaning, labels)
    return Counter(info, prometheus_client.Counter(name, meaning, list(info.labels), registry=_registry))


def gauge(name: str, *, unit: str, meaning: str, labels: Mapping[str, str] | None = None) -> Gauge:
    """Declare a gauge."""
    info = _declare(name, "gauge", unit, meaning, labels)
    return Gauge(info, prometheus_client.Gauge(name, meaning, list(info.labels), registry=_registry))


def histogram(
    name: str, *, unit: str, meaning: str, buckets: Sequence[float], labels: Mapping[str, str] | None = None
) -> Histogram:
    """Declare a histogram with its upper bounds."""
    info = _declare(name, "histogram", unit, meaning, labels)
    metric = prometheus_client.Histogram(name, meaning, list(info.labels), buckets=buckets, registry=_registry)
    return Histogram(info, metric)


def render() -> bytes:
    """Everything in the text format of Prometheus, for `/metrics` with `CONTENT_TYPE`."""
    return generate_latest(_registry)


def catalogue() -> list[MetricInfo]:
    """Every metric that the modules imported so far declared, by name."""
    return [_catalogue[name] for name in sorted(_catalogue)]


def _declare(name: str, kind: Kind, unit: str, meaning: str, labels: Mapping[str, str] | None) -> MetricInfo:
    labels = labels or {}
    stem = name.removesuffix("_total")
    if not _NAME.match(name) or (kind == "counter") != name.endswith("_total"):
        raise ValueError(f"metric {name!r}: write genescale_<what>_<unit>, with _total for counters and only for them")
    if not unit or not meaning or not stem.endswith(_UNITS.get(unit, "")):
        raise ValueError(
            f"metric {name!r}: it needs a meaning, a unit, and {_UNITS.get(unit, 'its unit')!r} in the name"
        )
    for label in labels:
        if not _LABEL.match(label) or label in FORBIDDEN_LABELS:
            raise ValueError(f"metric {name!r}: {label!r} cannot be a label; labels name few things, and nobody")
    if name in _catalogue:
        raise ValueError(f"metric {name!r} is declared twice")
    _catalogue[name] = MetricInfo(name, kind, unit, meaning, dict(labels))
    return _catalogue[name]


def _bounded(metric: str, label: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{metric}: the label {label} must be text, not {type(value).__name__}")
    if len(value) > _VALUE_MAX or _IDENTITY.search(value) or text(value) != value:
        return OTHER
    return value


# ---- what every role offers ----

_TOPIC = {"topic": "name of a topic"}
_TOPIC_GROUP = {"topic": "name of a topic", "group": "name of a consumer group"}
_ROLE = {"role": "gateway, worker, keeper, ..."}

BUILD_INFO = gauge(
    "genescale_build_info",
    unit="1",
    meaning="Always 1; its labels tell which program this is.",
    labels={"version": "version of Genescale", "python": "version of Python"},
)
ROLE_UP = gauge(
    "genescale_role_up",
    unit="1",
    meaning="1 while the role works, 0 while it starts or drains.",
    labels=_ROLE,
)
ROLE_START_TIME = gauge(
    "genescale_role_start_time_seconds", unit="seconds", meaning="When the role started, since 1970.", labels=_ROLE
)
EVENTS_APPENDED = counter(
    "genescale_events_appended_total",
    unit="events",
    meaning="Events that this process appended and that are durable.",
    labels=_TOPIC,
)
APPEND_SECONDS = histogram(
    "genescale_append_seconds",
    unit="seconds",
    meaning="From the call of append until the batch is durable.",
    labels=_TOPIC,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
EVENTS_CONSUMED = counter(
    "genescale_events_consumed_total",
    unit="events",
    meaning="Events whose result is durable and whose position is committed.",
    labels=_TOPIC_GROUP,
)
EVENTS_FAILED = counter(
    "genescale_events_failed_total",
    unit="events",
    meaning="Tries of an event that failed; one event may fail several times.",
    labels={**_TOPIC_GROUP, "reason": "retryable, permanent or crash"},
)
EVENTS_PARKED = counter(
    "genescale_events_parked_total",
    unit="events",
    meaning="Events set aside to be tried again later, with those of the same key behind them.",
    labels=_TOPIC_GROUP,
)
EVENTS_DEAD_LETTERED = counter(
    "genescale_events_dead_lettered_total",
    unit="events",
    meaning="Events given up and written to the dead letters with their reason.",
    labels=_TOPIC_GROUP,
)
LOOP_BATCH_SECONDS = histogram(
    "genescale_loop_batch_seconds",
    unit="seconds",
    meaning="One turn of the consume loop: handle, append the outputs, commit. Waiting for events does not count.",
    labels={"group": "name of a consumer group"},
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
BUS_LAG = gauge(
    "genescale_bus_lag",
    unit="events",
    meaning="Events that a group has still to do: end of the topic less committed position, over all partitions.",
    labels={"group": "name of a consumer group", "topic": "name of a topic"},
)
LOG_DAMAGED = gauge(
    "genescale_log_damaged",
    unit="1",
    meaning="1 when the keeper came upon damage in the log (how-to/recover-a-damaged-log). Until the keeper restarts.",
)

# The client's own collector reads /proc at each scrape; where there is none (macOS) it offers nothing.
_process = prometheus_client.ProcessCollector(registry=_registry)
_PROCESS = (
    MetricInfo("process_cpu_seconds_total", "counter", "seconds", "User and system time of this process.", {}),
    MetricInfo("process_max_fds", "gauge", "files", "The most files that this process may open.", {}),
    MetricInfo("process_open_fds", "gauge", "files", "Files that this process has open.", {}),
    MetricInfo("process_resident_memory_bytes", "gauge", "bytes", "Memory in RAM, shared pages included.", {}),
    MetricInfo("process_start_time_seconds", "gauge", "seconds", "When the process started, since 1970.", {}),
    MetricInfo("process_virtual_memory_bytes", "gauge", "bytes", "Address space in use.", {}),
)


def role_starts(role: str, version: str, clock: Clock) -> Callable[[bool], None]:
    """Say which role and build this process is. The returned function sets whether the role is up."""
    BUILD_INFO.set(1, version=version, python=platform.python_version())
    ROLE_START_TIME.set(clock.wall_ms() / 1000, role=role)

    def set_up(up: bool) -> None:
        ROLE_UP.set(int(up), role=role)

    set_up(False)
    return set_up


def reference_page() -> str:
    """`docs/reference/metrics.md`; a test compares."""
    rows = [_PAGE_HEAD]
    for info in sorted([*catalogue(), *_PROCESS]):
        labels = "; ".join(f"`{label}`: {meaning}" for label, meaning in info.labels.items()) or "none"
        rows.append(f"| `{info.name}` | {info.kind} | {info.unit} | {info.meaning} | {labels} |")
    return "\n".join(rows) + "\n"


_PAGE_HEAD = """\
# Metrics

<!-- Generated: python -m genescale.observability.metrics > docs/reference/metrics.md -->

Every role offers these at `/metrics`, in the text format of Prometheus (2.42 or newer reads it). A metric stands here
whether or not a role has a value for it. Labels name things of which there are few. A value that looks like the id of
an analysis or of a person, or that comes after the first 500 of a metric, is counted as `other`. Names that begin with
`process_` come from the Prometheus client and exist on Linux only.

| name | type | unit | meaning | labels |
| --- | --- | --- | --- | --- |"""


if __name__ == "__main__":
    sys.stdout.write(reference_page())
