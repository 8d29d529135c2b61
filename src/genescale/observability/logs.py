"""One line per thing that happened: JSON for programs, a readable line on a terminal, and nothing sensitive in either.

`configure` is called once, at the start of a role. From then on every line of the process goes through `redact.clean`:
ours, those of libraries that use the standard `logging`, warnings, and exceptions that nobody caught. A module writes

    log = logs.get_logger(__name__)
    log.info("batch committed", group=group, records=len(records))

with a constant message and the facts as keys, a few lines per batch, none per event above `debug`. The local variables
of a traceback are never printed.
"""

import io
import logging
import sys
import threading
import traceback
import types
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, TextIO, TypeAlias, cast

import orjson

from genescale.clock import Clock, SystemClock, rfc3339
from genescale.observability.redact import Plain, clean, text

# structlog imports `rich` when it finds it, for tracebacks that show local variables. We never show those, and rich
# costs as much time as the rest of structlog together, at every cold start of a worker. So it does not find it.
_RICH_IS_LOADED = "rich" in sys.modules
if not _RICH_IS_LOADED:
    sys.modules["rich"] = cast("types.ModuleType", None)
try:
    import structlog
    from structlog.contextvars import bound_contextvars, get_contextvars, merge_contextvars
    from structlog.processors import add_log_level
    from structlog.typing import FilteringBoundLogger
finally:
    if not _RICH_IS_LOADED:
        del sys.modules["rich"]

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["auto", "json", "pretty"]
Logger: TypeAlias = FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# Libraries whose chatter below a warning quotes what people sent: URLs, SQL parameters, frames of a socket.
_QUIET = ("uvicorn.access", "sqlalchemy", "websockets", "httptools", "urllib3", "httpx2", "httpcore2")


_CAUSES_MAX = 5
_FRAMES_MAX = 20


class _Out:
    """The place where lines go, and their form. One per process, replaced by `configure`."""

    def __init__(self, role: str, stream: TextIO, clock: Clock, *, pretty: bool) -> None:
        self.role = role
        self.stream = stream
        self.clock = clock
        self.pretty = pretty
        self.lost = 0
        self._lock = threading.RLock()  # a signal handler may log while its own thread is inside `write`

    def write(self, event: MutableMapping[str, Any]) -> None:
        """One line, whole, in one call, so that the lines of several threads never mix."""
        line = self._render(event)
        with self._lock:
            try:
                self.stream.write(line + "\n")
                self.stream.flush()
            except (OSError, ValueError, RuntimeError):
                # A closed pipe, a full disk or a signal in the middle of a write must not stop work that is safe in
                # the event log. The next line that gets through tells how many did not.
                self.lost += 1
            else:
                self.lost = 0

    def _render(self, event: MutableMapping[str, Any]) -> str:
        error = event.pop("exc_info", None)
        event.pop("stack_info", None)
        facts = {text(name): clean(value) for name, value in event.items()}
        line: dict[str, Plain] = {
            "time": rfc3339(self.clock.wall_ms()),
            "level": facts.pop("level", "info"),
            "role": self.role,
            "event": facts.pop("event", ""),
        }
        for name, value in facts.items():
            line[name if name not in line else f"{name}_"] = value
        if self.lost:
            line["lines_lost_before"] = self.lost
        if error:
            line["exception"] = _traceback(error)
        return _pretty(line) if self.pretty else orjson.dumps(line).decode()


def configure(
    role: str,
    level: Level = "info",
    format: Format = "auto",  # noqa: A002 - the name of the setting
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> None:
    """Send every line of this process to `stream` (standard error when None), as `role`.

    `auto` is pretty when the stream is a terminal. Takes over the standard `logging`, its warnings, and the hooks for
    exceptions that nobody catches. Give uvicorn `log_config=None`, or it takes its loggers back.
    """
    target = stream if stream is not None else sys.stderr
    pretty = format == "pretty" or (format == "auto" and target.isatty())
    out = _Out(role, target, clock or SystemClock(), pretty=pretty)
    _install(out, _LEVELS[level])
    _take_over_logging(out, _LEVELS[level])
    _take_over_hooks()


def get_logger(name: str) -> Logger:
    """A logger whose lines carry `module: name`. May be called at import, before `configure`."""
    return cast("Logger", structlog.get_logger(module=name))


def correlated(
    *,
    analysis_id: str | None = None,
    event_id: str | None = None,
    correlationid: str | None = None,
    traceparent: str | None = None,
) -> AbstractContextManager[None]:
    """Inside this `with`, every line of this task or thread carries these ids, those of libraries too."""
    ids = {
        "analysis_id": analysis_id,
        "event_id": event_id,
        "correlationid": correlationid,
        "traceparent": traceparent,
    }
    return bound_contextvars(**{name: value for name, value in ids.items() if value is not None})


# ---- the three ways in: structlog, logging, and hooks ----


class _Sink:
    """What structlog takes for its logger: each method gets the finished event and hands it on."""

    def __init__(self, out: _Out) -> None:
        self._out = out

    def msg(self, event: MutableMapping[str, Any]) -> None:
        self._out.write(event)

    debug = info = warning = error = critical = exception = fatal = warn = log = msg


def _install(out: _Out, level: int) -> None:
    structlog.configure(
        processors=[merge_contextvars, add_log_level, _as_arguments],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Sink(out),
        cache_logger_on_first_use=False,  # a logger made at import must follow a later `configure`
    )


def _as_arguments(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[MutableMapping[str, Any]], dict[str, Any]]:
    return (event,), {}


class _Bridge(logging.Handler):
    """The standard `logging` into the same lines."""

    def __init__(self, out: _Out) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; a call whose arguments do not fit its message is told without them."""
        event: dict[str, Any] = {**get_contextvars(), "level": record.levelname.lower(), "module": record.name}
        try:
            event["event"] = record.getMessage()
        except Exception as error:  # noqa: BLE001 - any __str__ may be called here
            event.update(
                event="a log call failed", failure=type(error).__name__, place=f"{record.module}:{record.lineno}"
            )
        event["exc_info"] = record.exc_info
        self._out.write(event)


def _take_over_logging(out: _Out, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Bridge(out)]
    # Never `debug` for libraries, whatever our own level: some print every frame and every parameter there.
    root.setLevel(max(level, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


def _take_over_hooks() -> None:
    log = get_logger("genescale")

    def uncaught(kind: type[BaseException], value: BaseException, trace: types.TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, value, trace)
        else:
            log.critical("uncaught exception", exc_info=(kind, value, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread else "?"
            log.critical(
                "uncaught exception", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
            )

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        log.error("exception that cannot be raised", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


# ---- how a line looks ----


def _traceback(error: object) -> str:
    """Frames, source lines and messages of an exception and its causes; never the values of local variables."""
    if isinstance(error, tuple):
        error = cast("tuple[object, ...]", error)[1]
    if not isinstance(error, BaseException):
        error = sys.exc_info()[1]
    parts: list[str] = []
    while isinstance(error, BaseException) and len(parts) < _CAUSES_MAX:
        rows = [row.rstrip() for row in traceback.format_tb(error.__traceback__, limit=-_FRAMES_MAX)]
        rows.append(str(clean(error)))
        rows += [str(clean(note)) for note in getattr(error, "__notes__", ())]
        parts.append("\n".join(rows))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text("\n-- which came after:\n".join(parts))


def _pretty(line: dict[str, Plain]) -> str:
    exception = line.pop("exception", None)
    time, level, role, event = (str(line.pop(name)) for name in ("time", "level", "role", "event"))
    written = io.StringIO()
    written.write(f"{time[11:23]} {level:<8}{role:<10} {_printable(event)}")
    for name, value in line.items():
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        written.write(f"  {_printable(name)}={_printable(shown)}")
    for row in str(exception or "").splitlines():
        written.write(f"\n    {_printable(row)}")
    return written.getvalue()


def _printable(value: str) -> str:
    # A value with escape codes or line breaks could paint over other lines of the terminal, or forge one.
    return value if value.isprintable() else repr(value)[1:-1]


class _Unconfigured(io.TextIOBase):
    """Standard error, looked up at each line, for code that logs before `configure` or never calls it."""

    encoding: ClassVar[str] = "utf-8"  # pyright: ignore[reportIncompatibleVariableOverride]

    def write(self, line: str, /) -> int:
        return sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


# structlog's own default prints to standard output with nothing redacted. Ours is safe from the first import.
_install(_Out("-", cast("TextIO", _Unconfigured()), SystemClock(), pretty=False), logging.WARNING)
