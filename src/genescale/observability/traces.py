"""One analysis across processes: the W3C trace context, and spans for those who collect them.

The context (`traceparent`, `tracestate`) travels in the extensions of events, as the CloudEvents extension for
distributed tracing says, whether or not anybody records spans: it ties log lines together and keeps the trace of a
caller whole. Spans are recorded only after `configure` was given an endpoint, through the OpenTelemetry SDK of the
extra `otel`. Until then `span` is a no-op below a microsecond, and no module of OpenTelemetry is imported: its API
alone took 50 ms where the whole of this room took 130.

    with traces.span("worker.analyse", parent=traces.from_extensions(event.extensions), events=10) as span:
        ...
        extensions = traces.to_extensions(span.context)

Spans are written by hand, a few per batch. Their attributes are cleaned like log lines, and a failure shows its type.
"""

import random
import re
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeAlias

from genescale.errors import Permanent
from genescale.observability.redact import clean

Attribute: TypeAlias = str | int | float | bool

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.DOTALL)
_STATE_MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}\Z")
_STATE_MEMBERS_MAX = 32
_STATE_LENGTH_MAX = 512
# A collector that does not answer must not hold a role back from stopping.
_SEND_S = 2.0
_STOP_S = 4.0


class TraceContext(NamedTuple):
    """Where in which trace we are."""

    trace_id: str  # 32 lower-case hex digits
    span_id: str  # 16 lower-case hex digits
    sampled: bool = False
    tracestate: str = ""  # what other vendors want carried on

    @property
    def traceparent(self) -> str:
        """The header of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """The context that a caller sent, None when it sent none or a broken one: then a new trace begins, as W3C says."""
    match = _PARENT.match(traceparent or "")
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1), _state(tracestate or ""))


def from_extensions(extensions: Mapping[str, object]) -> TraceContext | None:
    """The context that an event carries."""
    parent, state = extensions.get("traceparent"), extensions.get("tracestate")
    return parse(parent if isinstance(parent, str) else None, state if isinstance(state, str) else None)


def to_extensions(context: TraceContext | None) -> dict[str, str]:
    """What an event must carry so that its consumer stays in the trace; nothing when there is none."""
    if context is None:
        return {}
    if context.tracestate:
        return {"traceparent": context.traceparent, "tracestate": context.tracestate}
    return {"traceparent": context.traceparent}


def begin(chance: random.Random) -> TraceContext:
    """A new trace that nobody records: for the edge, when the caller sent no context and tracing is off."""
    return TraceContext(f"{chance.getrandbits(128) or 1:032x}", f"{chance.getrandbits(64) or 1:016x}")


def _state(raw: str) -> str:
    """`tracestate` as far as W3C allows it: all of it or nothing, because half of it would mean something else."""
    members = [member.strip(" \t") for member in raw.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    fits = len(members) <= _STATE_MEMBERS_MAX and len(keys) == len(members)
    joined = ",".join(members)
    if fits and len(joined) <= _STATE_LENGTH_MAX and all(_STATE_MEMBER.match(member) for member in members):
        return joined
    return ""


# ---- spans ----


class Span(Protocol):
    """What `span` gives. `context` goes into the events that this step writes; None when there is no trace."""

    @property
    def context(self) -> TraceContext | None:
        """The trace and this span."""
        ...

    def set(self, **attributes: Attribute) -> None:
        """Facts that are known only later."""
        ...

    def __enter__(self) -> "Span":
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, as failed when an exception passes through."""
        ...


class _NoSpan:
    """Hands the parent on and records nothing."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def set(self, **attributes: Attribute) -> None:
        """Nothing."""

    def __enter__(self) -> "_NoSpan":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


_Start: TypeAlias = Callable[[str, TraceContext | None, dict[str, Attribute]], Span]


class _Tracing:
    """The one that is in force. Both are None while tracing is off."""

    def __init__(self) -> None:
        self.start: _Start | None = None
        self.stop: Callable[[], None] | None = None


_tracing = _Tracing()


def span(name: str, parent: TraceContext | None = None, **attributes: Attribute) -> Span:
    """One step of a trace, for a `with`. Without a parent it begins a trace, and the ratio decides if it counts."""
    start = _tracing.start
    # A parent that is not sampled decides for its children too; the SDK would spend 7 us to find the same.
    if start is None or (parent is not None and not parent.sampled):
        return _NoSpan(parent)
    return start(name, parent, attributes)


def configure(role: str, version: str, ratio: float, otlp_endpoint: str) -> None:
    """Record spans and send them to an OTLP/HTTP collector; an empty endpoint leaves tracing off.

    Raises `Permanent` when an endpoint is set and the extra `otel` is not installed: spans that somebody asked for
    must not vanish in silence.
    """
    if not otlp_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise Permanent(
            "tracing.otlp_endpoint is set, but OpenTelemetry is not installed; install genescale[otel], or leave the "
            "setting empty"
        ) from None
    exporter = OTLPSpanExporter(endpoint=otlp_endpoint.rstrip("/") + "/v1/traces", timeout=_SEND_S)
    record_with(role, version, ratio, BatchSpanProcessor(exporter))


def record_with(role: str, version: str, ratio: float, processor: Any) -> None:
    """Record spans with this OpenTelemetry span processor; `configure` gives one that sends, a test one that keeps."""
    from opentelemetry import trace  # noqa: PLC0415 - only who records pays for the import
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    resource = Resource({"service.namespace": "genescale", "service.name": role, "service.version": version})
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("genescale", version)

    def start(name: str, parent: TraceContext | None, attributes: dict[str, Attribute]) -> Span:
        return _RecordedSpan(trace, tracer, name, parent, attributes)

    def stop() -> None:
        # `shutdown` sends what is queued; its own time-out counts each batch again, so the wait is cut off here.
        ending = threading.Thread(target=provider.shutdown, name="traces-stop", daemon=True)
        ending.start()
        ending.join(_STOP_S)

    close()
    _tracing.start, _tracing.stop = start, stop


def close() -> None:
    """Send what is left and switch tracing off. Harmless when it is off."""
    stop, _tracing.start, _tracing.stop = _tracing.stop, None, None
    if stop is not None:
        stop()


class _RecordedSpan:
    """A span of the SDK. It is handed from call to call and never kept in a context variable, so threads cannot mix."""

    def __init__(
        self, trace: Any, tracer: Any, name: str, parent: TraceContext | None, attributes: dict[str, Attribute]
    ) -> None:
        self._trace = trace
        self._span = tracer.start_span(name, context=_otel_context(trace, parent), attributes=_cleaned(attributes))
        own = self._span.get_span_context()
        self.context: TraceContext | None = TraceContext(
            f"{own.trace_id:032x}",
            f"{own.span_id:016x}",
            bool(own.trace_flags.sampled),
            parent.tracestate if parent is not None else "",
        )

    def set(self, **attributes: Attribute) -> None:
        """See `Span`."""
        self._span.set_attributes(_cleaned(attributes))

    def __enter__(self) -> "_RecordedSpan":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Not `record_exception`: it would store the message and the traceback, which may quote what was sent.
            self._span.set_attribute("error.type", kind.__qualname__)
            self._span.set_status(self._trace.StatusCode.ERROR, kind.__qualname__)
        self._span.end()


def _otel_context(trace: Any, parent: TraceContext | None) -> Any:
    from opentelemetry.context import Context  # noqa: PLC0415 - loaded already when spans are recorded

    if parent is None:
        return Context()  # not the ambient one: what is no argument does not count
    remote = trace.SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(parent.sampled)),
        trace_state=trace.TraceState.from_header([parent.tracestate]) if parent.tracestate else None,
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _cleaned(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    cleaned: dict[str, Attribute] = {}
    for name, value in attributes.items():
        plain = clean(value)
        cleaned[name] = plain if isinstance(plain, (str, int, float, bool)) else str(plain)
    return cleaned
