"""Traces: the W3C context survives every hop, and spans are recorded only for those who asked."""

import http.server
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import INVALID_SPAN_CONTEXT

from genescale.errors import Permanent
from genescale.observability import traces
from genescale.observability.traces import TraceContext, begin, from_extensions, parse, to_extensions
from genescale.sensitive import Sensitive

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    traces.close()


@pytest.fixture
def kept() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    traces.record_with("worker", "0.1.0", 1.0, SimpleSpanProcessor(exporter))
    return exporter


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        PARENT + "-more",
        PARENT + "\n",
        PARENT.upper(),
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        " " + PARENT,
    ],
)
def test_a_broken_context_begins_a_new_trace(broken: str | None) -> None:
    assert parse(broken) is None


def test_a_later_version_is_read_as_far_as_we_know_it() -> None:
    context = parse("cc" + PARENT[2:] + "-what-the-future-will-be-like")
    assert context is not None
    assert context.traceparent == PARENT


@pytest.mark.parametrize(
    ("raw", "carried"),
    [
        ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
        (" a=1 ,, b=2 ", "a=1,b=2"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a", ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        ("a=" + "x" * 250 + ",b=" + "x" * 256 + ",c=1", ""),
    ],
)
def test_tracestate_is_carried_whole_or_not_at_all(raw: str, carried: str) -> None:
    context = parse(PARENT, raw)
    assert context is not None
    assert context.tracestate == carried


contexts = st.builds(
    TraceContext,
    st.integers(1, 2**128 - 1).map(lambda n: f"{n:032x}"),
    st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}"),
    st.booleans(),
    st.sampled_from(["", "a=1", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"]),
)


@given(contexts)
def test_a_context_survives_an_event(context: TraceContext) -> None:
    assert from_extensions(to_extensions(context)) == context


@given(st.text(), st.text())
def test_any_text_is_read_without_an_error(parent: str, state: str) -> None:
    parse(parent, state)


@given(st.one_of(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?", fullmatch=True), st.text()))
def test_we_agree_with_opentelemetry_on_what_a_traceparent_is(parent: str) -> None:
    ours = parse(parent)
    found = TraceContextTextMapPropagator().extract({"traceparent": parent})
    theirs = next(iter(found.values())).get_span_context() if found else INVALID_SPAN_CONTEXT
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert (int(ours.trace_id, 16), int(ours.span_id, 16)) == (theirs.trace_id, theirs.span_id)
        assert ours.sampled == theirs.trace_flags.sampled


def test_events_without_a_context_stay_without() -> None:
    assert from_extensions({"traceparent": 5, "priority": 1}) is None
    assert to_extensions(None) == {}


def test_a_new_trace_repeats_with_its_seed() -> None:
    assert begin(random.Random(1)) == begin(random.Random(1)) != begin(random.Random(2))
    assert parse(begin(random.Random(1)).traceparent) == begin(random.Random(1))


# ---- off ----


def test_off_means_that_the_parent_is_handed_on() -> None:
    parent = parse(PARENT)
    with traces.span("worker.analyse", parent, events=10) as span:
        span.set(failed=0)
        assert span.context == parent
    with traces.span("worker.analyse") as span:
        assert span.context is None


def test_off_costs_next_to_nothing() -> None:
    parent, best = parse(PARENT), 1.0
    for _ in range(20):  # the best of many short runs: other work on the machine must not fail this test
        begun = time.perf_counter()
        for _ in range(1000):
            with traces.span("worker.analyse", parent, events=10):
                pass
        best = min(best, (time.perf_counter() - begun) / 1000)
    assert best < 1e-6


def test_an_endpoint_without_opentelemetry_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(Permanent, match=r"install genescale\[otel\]"):
        traces.configure("worker", "0.1.0", 1.0, "http://127.0.0.1:9")


def test_no_endpoint_imports_no_opentelemetry() -> None:
    program = (
        "import sys; from genescale.observability import traces\n"
        "traces.configure('worker', '0.1.0', 1.0, '')\n"
        "with traces.span('x'): pass\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# ---- on ----


def test_a_span_continues_the_trace_of_its_parent(kept: InMemorySpanExporter) -> None:
    parent = parse(PARENT, "congo=t61rcWkgMzE")
    with traces.span("worker.analyse", parent, events=10) as span:
        inside = span.context
    recorded = kept.get_finished_spans()[0]
    assert inside is not None
    assert parent is not None
    assert (inside.trace_id, inside.sampled, inside.tracestate) == (parent.trace_id, True, parent.tracestate)
    assert inside.span_id == f"{recorded.context.span_id:016x}" != parent.span_id
    assert recorded.parent is not None
    assert f"{recorded.parent.span_id:016x}" == parent.span_id
    assert dict(recorded.attributes or {}) == {"events": 10}
    assert recorded.resource.attributes["service.name"] == "worker"


def test_a_parent_that_is_not_sampled_decides(kept: InMemorySpanExporter) -> None:
    parent = parse(PARENT[:-2] + "00")
    with traces.span("worker.analyse", parent) as span:
        assert span.context == parent
    assert kept.get_finished_spans() == ()


def test_the_ratio_decides_for_new_traces() -> None:
    exporter = InMemorySpanExporter()
    traces.record_with("worker", "0.1.0", 0.0, SimpleSpanProcessor(exporter))
    with traces.span("gateway.submit") as span:
        assert span.context is not None
        assert not span.context.sampled
    assert exporter.get_finished_spans() == ()


def test_a_failure_shows_its_type_and_nothing_else(kept: InMemorySpanExporter) -> None:
    def fails() -> None:
        with traces.span("worker.analyse", note=Sensitive("GATTACA")) as span:
            span.set(sequence="GATTACA" * 5)
            raise ValueError("chr17:43044295:G>A")

    with pytest.raises(ValueError):
        fails()
    written = kept.get_finished_spans()[0].to_json()
    assert '"error.type": "ValueError"' in written
    assert "<sensitive 7 long" in written
    assert "chr17" not in written
    assert "GATTACA" not in written


def test_spans_reach_a_collector() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        traces.configure("worker", "0.1.0", 1.0, f"http://127.0.0.1:{server.server_port}/")
        with traces.span("worker.analyse"):
            pass
        traces.close()
        server.shutdown()
    assert [path for path, _ in received] == ["/v1/traces"]


def test_a_collector_that_is_gone_does_not_hold_the_stop_back() -> None:
    traces.configure("worker", "0.1.0", 1.0, "http://127.0.0.1:9")
    with traces.span("worker.analyse"):
        pass
    begun = time.monotonic()
    traces.close()
    assert time.monotonic() - begun < 5
