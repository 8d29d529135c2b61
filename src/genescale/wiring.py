"""Where ports meet adapters, and nowhere else: settings in, running roles out.

Adapters are imported inside the functions that choose them, so that a role pays only for what it uses and a missing
extra is named by the one who needs it.
"""

import contextlib
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from genescale import __version__
from genescale.clock import Clock, SystemClock, rfc3339
from genescale.cluster import local, machine, supervise
from genescale.config import Loaded, Settings
from genescale.errors import CannotStart, GenescaleError, Retryable
from genescale.events.log import EventLog
from genescale.events.topics import LANES, TOPICS, Lane
from genescale.gateway import platform
from genescale.observability import logs, metrics, traces
from genescale.observability.probe import Probe, State
from genescale.store.data_directory import DataDirectory, Hold, Holder, hold, open_directory, write_whole
from genescale.store.object_port import Objects
from genescale.store.tables import Table, Tables

if TYPE_CHECKING:
    from genescale.events.runner import LoopSettings
    from genescale.events.salvage import SalvageReport
    from genescale.security.revocations import Revocations
    from genescale.security.sealing import Sealer
    from genescale.security.users import Users

STATIC = Path(__file__).with_name("static")
STATE_FILE = "platform.json"

# Panels of the portal whose rooms are not there yet.
UNAVAILABLE: Mapping[str, str] = {
    "analysis": "its page is still to come; the stream and REST take analyses",
    "scaling": "arrives with the scaler",
    "cost": "arrives with the biller",
    "healing": "arrives with the healer",
    "models": "arrives with serving",
}

_GATEWAY_THREADS = 8
_PRUNE_EVERY_S = 60.0

_log = logs.get_logger(__name__)


# ---- adapters ----


def open_log(settings: Settings, clock: Clock, program: str = __version__) -> EventLog:
    """The event log that the settings name. The caller closes it."""
    if settings.log.kind == "memory":
        from genescale.events.memory import MemoryLog  # noqa: PLC0415

        return MemoryLog(clock, session_timeout_s=settings.log.session_timeout_s)
    if settings.log.kind == "kafka":
        return _open_kafka(settings, clock)
    from genescale.events.sqlite import SqliteLog, SqliteSettings  # noqa: PLC0415

    chosen = SqliteSettings(
        session_timeout_s=settings.log.session_timeout_s,
        heartbeat_s=settings.log.heartbeat_s,
        checkpoint_bytes=settings.log.checkpoint_bytes,
        queue_records_max=settings.log.queue_records_max,
    )
    log = SqliteLog(open_directory(settings.data.directory, clock, program).log, chosen, clock)
    for repair in log.repairs:
        _log.warning("the log was repaired when it was opened", repair=repair)
    return log


def salvage_log(source: Path, target: Path) -> "SalvageReport":
    """Save what can be read of the SQLite log in `source` into a new one in `target`."""
    from genescale.events.salvage import salvage  # noqa: PLC0415

    return salvage(source, target)


def loop_settings(settings: Settings) -> "LoopSettings":
    """What the consume loop of every role is told."""
    from genescale.events.retry import RetryPolicy  # noqa: PLC0415 - only roles that consume pay for it
    from genescale.events.runner import LoopSettings  # noqa: PLC0415

    loop = settings.loop
    retry = RetryPolicy(
        base_s=loop.backoff_base_s,
        cap_s=loop.backoff_cap_s,
        attempts_max=loop.attempts_max,
        age_max_s=loop.retry_age_max_s,
    )
    return LoopSettings(
        batch_records_max=loop.batch_records_max,
        crashes_max=loop.crashes_max,
        retry=retry,
    )


def _open_kafka(settings: Settings, clock: Clock) -> EventLog:
    with needs_extra("kafka", "log.kind = kafka"):
        from genescale.events.kafka import KafkaLog  # noqa: PLC0415
        from genescale.events.kafka_settings import KafkaSettings  # noqa: PLC0415
    kafka = settings.kafka
    chosen = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        group_protocol=kafka.group_protocol,
        security_protocol=kafka.security_protocol,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.sasl_password,
        ca_file=kafka.ca_file,
        session_timeout_s=settings.log.session_timeout_s,
        heartbeat_s=settings.log.heartbeat_s,
        linger_ms=kafka.linger_ms,
        replication_factor=kafka.replication_factor,
        min_insync_replicas=kafka.min_insync_replicas,
    )
    return KafkaLog(chosen, clock)


def open_tables(settings: Settings, declared: Sequence[Table], clock: Clock) -> Tables:
    """The tables that the settings name."""
    url = settings.store.tables_url
    if url.startswith(("postgresql://", "postgres://")):
        with needs_extra("postgres", "store.tables_url"):
            from genescale.store.postgres import open_postgres_tables  # noqa: PLC0415
        password = settings.store.tables_password.reveal()
        return open_postgres_tables(url, declared, clock, password=password)
    from genescale.store.sqlite import open_sqlite_tables  # noqa: PLC0415

    directory = open_directory(settings.data.directory, clock, __version__)
    return open_sqlite_tables(url.removeprefix("sqlite:///") or directory.tables, declared, clock)


def open_objects(settings: Settings, clock: Clock) -> Objects:
    """The object store that the settings name."""
    from genescale.store import objects  # noqa: PLC0415

    directory = open_directory(settings.data.directory, clock, __version__)
    url = settings.store.objects_url or directory.objects.as_uri()
    try:
        return objects.open_objects(url, clock)
    except ValueError as error:
        raise CannotStart(f"store.objects_url: {error}") from None


EXTRAS: Mapping[str, str] = {"confluent_kafka": "kafka", "psycopg": "postgres", "opentelemetry": "otel"}


@contextlib.contextmanager
def needs_extra(extra: str, wanted_by: str) -> Generator[None]:
    """Turn the failed import of an optional package into how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if EXTRAS.get((error.name or "").partition(".")[0]) != extra:
            raise
        raise CannotStart(
            f"{wanted_by} needs the package {error.name}, which is not installed: uv sync --extra {extra}, "
            f"or pip install 'genescale[{extra}]'"
        ) from error


def open_sealer(settings: Settings, clock: Clock) -> "Sealer":
    """What seals and opens what people send, with keys that only this user can read."""
    from genescale.security.keys import FileKeys  # noqa: PLC0415
    from genescale.security.sealing import ProjectSealer  # noqa: PLC0415

    directory = open_directory(settings.data.directory, clock, __version__)
    return ProjectSealer(FileKeys(directory.root / "keys", clock))


# ---- roles ----


class _Started(NamedTuple):
    """What every role has once it runs."""

    settings: Settings
    clock: Clock
    link: local.Supervised | None
    listener: socket.socket | None  # handed over by the supervisor
    set_up: Callable[[bool], None]

    def up(self) -> None:
        """Tell everybody who waits that the role does its work."""
        self.set_up(True)
        if self.link is not None:
            local.say_ready(self.link)


class _RoleMain(Protocol):
    def __call__(self, started: _Started) -> int: ...


def run_role(name: str, loaded: Loaded) -> int:
    """Run one role in the foreground until it is asked to stop. Returns its exit status."""
    if name in _LATER:
        raise CannotStart(f"unavailable: the role {name} arrives with {_LATER[name]}; there are: {', '.join(ROLES)}")
    if name not in ROLES:
        raise CannotStart(f"there is no role {name!r}; there are: {', '.join(ROLES)}")
    settings, clock = loaded.settings, SystemClock()
    link = local.supervised(os.environ)
    os.environ.pop(local.SUPERVISOR_VARIABLE, None)  # a process that the role starts has no such supervisor
    listener = local.join(link) if link is not None else None
    logs.configure(name, settings.logging.level, settings.logging.format)
    traces.configure(name, __version__, settings.tracing.ratio, settings.tracing.otlp_endpoint)
    started = _Started(settings, clock, link, listener, metrics.role_starts(name, __version__, clock))
    try:
        return ROLES[name](started)
    except GenescaleError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it must stand in the log, with its traceback
        _log.critical("the role ends after an error that nobody expected", exc_info=True)
        return 1
    finally:
        traces.close()


def start_gateway(started: _Started) -> int:
    """The public door."""
    from genescale.gateway.app import Gateway  # noqa: PLC0415
    from genescale.gateway.pages import load_pages  # noqa: PLC0415

    settings, clock = started.settings, started.clock
    listener = started.listener or machine.listen(settings.gateway.host, settings.gateway.port, "gateway.port")
    with contextlib.closing(open_log(settings, clock)) as log:
        log.create_topics(TOPICS)
        draining = threading.Event()
        view = _PlatformView(settings, clock, log, started.link)

        def ready() -> State:
            if draining.is_set():
                return State(ok=False, reasons=("it is stopping",))
            log.topics()  # raises when the log cannot be reached
            return State(ok=True)

        with _Doors(settings, clock, log, listener) as doors:
            app = Gateway(
                pages=load_pages(STATIC),
                platform=platform.Remembered(view.collect, clock),
                ready=ready,
                rest=doors.rest,
                sign_in=doors.sign_in,
                stream=doors.stream,
            )
            _serve(app, listener, started, draining, doors.drain)
    _log.info("stopped")
    return 1 if doors.failed else 0


class _Doors:
    """Everything behind the gateway's doors, and the threads that it needs. A context manager."""

    def __init__(self, settings: Settings, clock: Clock, log: EventLog, listener: socket.socket) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        from genescale.gateway.admission import Admission  # noqa: PLC0415
        from genescale.gateway.delivery import Delivery  # noqa: PLC0415
        from genescale.gateway.live import LiveValues  # noqa: PLC0415
        from genescale.gateway.rest import Rest  # noqa: PLC0415
        from genescale.gateway.results import Results  # noqa: PLC0415
        from genescale.gateway.sessions import SessionIndex  # noqa: PLC0415
        from genescale.gateway.sign_in import SignIn  # noqa: PLC0415
        from genescale.gateway.socket import Holders, Stream  # noqa: PLC0415
        from genescale.gateway.submitting import GroupCommit, Submitting  # noqa: PLC0415
        from genescale.security.origin import Origins  # noqa: PLC0415
        from genescale.security.tickets import ResumeTokens, Tickets  # noqa: PLC0415

        self.failed = False
        self._clock = clock
        self._drain_s = settings.loop.drain_deadline_s / 2
        self._stop = threading.Event()
        self._stack = contextlib.ExitStack()
        tables = self._stack.enter_context(contextlib.closing(open_gateway_tables(settings, clock)))
        executor = self._stack.enter_context(ThreadPoolExecutor(_GATEWAY_THREADS, "gateway"))
        sealer, users, revocations = open_sealer(settings, clock), *_users(tables, clock)
        origins, tickets = Origins(_own_origins(listener)), Tickets(tables, clock)
        index, holders = SessionIndex(tables, clock), Holders()
        self._delivery = Delivery(
            log, tables, index, clock, sealer=sealer, held=holders.sessions, on_frames=holders.on_frames
        )
        self._stack.callback(self._delivery.close)
        results = Results(log, tables, self._delivery, clock, objects=open_objects(settings, clock))
        submitting, admission = Submitting(log, tables, clock), Admission(clock, sealer)
        commit = GroupCommit(submitting, executor)
        self._prune: tuple[Callable[[], int], ...] = (index.prune, submitting.prune)
        self.sign_in = SignIn(users=users, tickets=tickets, origins=origins, executor=executor, clock=clock)
        self.rest = Rest(
            admission=admission,
            commit=commit,
            results=results,
            authenticate=self.sign_in.recognised,
            executor=executor,
        )
        self.stream = Stream(
            sign_in=self.sign_in,
            origins=origins,
            tickets=tickets,
            # From the keys that all gateways share, so that each can check what another signed.
            resume_tokens=ResumeTokens([sealer.blind("*", b"genescale resume tokens 1").encode()], clock),
            users=users,
            revocations=revocations,
            admission=admission,
            commit=commit,
            index=index,
            holders=holders,
            results=results,
            live=LiveValues(),
            epoch=self._delivery.epoch,
            executor=executor,
            clock=clock,
            server={"id": f"gateway-{os.getpid()}", "version": __version__},
            seed=secrets.randbits(32),
        )

    def __enter__(self) -> "_Doors":
        """Begin to deliver."""
        threads = [
            threading.Thread(target=self._deliver, name="delivery"),
            threading.Thread(target=self._forget_old, name="forget old sessions"),
        ]

        def end() -> None:
            self._stop.set()
            self._delivery.wake()
            for thread in threads:
                thread.join()

        for thread in threads:
            thread.start()
        self._stack.callback(end)
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads and close what was opened."""
        self._stack.close()

    async def drain(self) -> None:
        """Tell all clients to go elsewhere, and wait until they have what is theirs."""
        await self.stream.drain(self._drain_s)

    def _deliver(self) -> None:
        try:
            self._delivery.run(self._stop)
        except Exception:  # noqa: BLE001 - without delivery this process is of no use; a new one recovers
            _log.critical("the delivery of answers ended; the gateway ends with it", exc_info=True)
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _forget_old(self) -> None:
        while not self._clock.wait(self._stop, _PRUNE_EVERY_S):
            for prune in self._prune:
                try:
                    prune()
                except Retryable as error:
                    _log.warning("old sessions are forgotten later", error=type(error).__name__)


def open_gateway_tables(settings: Settings, clock: Clock) -> Tables:
    """The tables of analyses, sessions and users."""
    from genescale.gateway.tables import GATEWAY_TABLES  # noqa: PLC0415
    from genescale.security.tables import SECURITY_TABLES  # noqa: PLC0415

    return open_tables(settings, (*GATEWAY_TABLES, *SECURITY_TABLES), clock)


def _users(tables: Tables, clock: Clock) -> "tuple[Users, Revocations]":
    from genescale.security.passwords import Passwords  # noqa: PLC0415
    from genescale.security.revocations import Revocations  # noqa: PLC0415
    from genescale.security.users import Users  # noqa: PLC0415

    revocations = Revocations(tables, clock)
    return Users(tables, clock, Passwords(), revocations), revocations


def _own_origins(listener: socket.socket) -> list[str]:
    """Where a browser finds the pages of this gateway: its address, and the names of loopback."""
    port = listener.getsockname()[1]
    return [url_of(listener), *(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))]


def _sign_in_link(settings: Settings, clock: Clock, portal: str) -> str:
    """An address that signs the owner of this machine's platform in, once, within a quarter of an hour."""
    with contextlib.closing(open_gateway_tables(settings, clock)) as tables:
        users, _ = _users(tables, clock)
        return f"{portal}/login?token={users.link(users.owner()).reveal()}"


def _serve(
    app: Callable[..., Awaitable[None]],
    listener: socket.socket,
    started: _Started,
    draining: threading.Event,
    drain: Callable[[], Awaitable[None]],
) -> None:
    """Serve an ASGI application on a listening socket until a signal asks to stop; sets `draining` then."""
    import asyncio  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    if find_spec("websockets") is None:  # uvicorn would refuse every socket as if its path did not exist
        raise CannotStart("the package websockets is missing; install Genescale again")

    class Server(uvicorn.Server):
        """uvicorn's, except that it drains before it ends, and that ending on a signal is a success."""

        _loop: asyncio.AbstractEventLoop | None = None
        _drain: asyncio.Task[None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self._loop = asyncio.get_running_loop()
            if self.started:
                started.up()
                _log.info("serving", address=url_of(listener))

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
            again = draining.is_set()
            draining.set()
            started.set_up(False)
            if again or self._loop is None:  # a second signal: now
                self.force_exit = again
                self.should_exit = True
            else:
                self._loop.call_soon_threadsafe(self._begin_to_drain)

        def _begin_to_drain(self) -> None:
            self._drain = asyncio.ensure_future(self._drained())

        async def _drained(self) -> None:
            try:
                await drain()
            finally:
                self.should_exit = True

    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # costs a third of the throughput and 50 KB per connection
        ws_max_size=1_048_576,
        log_config=None,
        log_level="warning",  # its six lines per start and stop tell nothing that ours do not
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(started.settings.loop.drain_deadline_s / 2)),  # the stream had its half
    )
    Server(config).run(sockets=[listener])


def start_keeper(started: _Started) -> int:
    """Upkeep of the log, and the lag of every group."""
    from genescale.events.keeper import Keeper  # noqa: PLC0415

    settings, clock = started.settings, started.clock
    stop = threading.Event()
    with contextlib.closing(open_log(settings, clock)) as log:
        log.create_topics(TOPICS)
        keeper = Keeper(log, clock)
        with _probe(settings.metrics.host, settings.keeper.port, "keeper.port", keeper.ready) as probe:
            _on_stop_signals(stop.set)
            started.up()
            _log.info("keeping", probe=f"http://{probe.host}:{probe.port}")
            keeper.run(stop)
            started.set_up(False)
    _log.info("stopped")
    return 0


def start_worker(started: _Started) -> int:
    """Analyses. One thread for each lane that the settings name; they share the open references."""
    from genescale.events.runner import Runner  # noqa: PLC0415
    from genescale.genomics.references import References  # noqa: PLC0415
    from genescale.worker.deps import OpenReferences, WorkerDeps  # noqa: PLC0415
    from genescale.worker.handler import subscription  # noqa: PLC0415
    from genescale.worker.lanes import LaneThreads, lanes_of  # noqa: PLC0415

    settings, clock = started.settings, started.clock
    lanes = lanes_of(settings.worker.lanes)
    directory = open_directory(settings.data.directory, clock, __version__)
    references = OpenReferences(References(directory.root / "references"))
    references.set_of(None)  # a missing reference shows now, not at the first request
    _calm_garbage_collection()
    with contextlib.closing(open_log(settings, clock)) as log:
        log.create_topics(TOPICS)
        sealer, objects = open_sealer(settings, clock), open_objects(settings, clock)

        def runner(lane: Lane) -> "Runner[WorkerDeps]":
            deps = WorkerDeps(references.for_thread(), clock, sealer, objects)
            seed = secrets.randbits(32)
            return Runner(log, subscription(lane, deps), loop_settings(settings), clock, version=__version__, seed=seed)

        threads = LaneThreads(lanes, runner)
        with _probe(settings.metrics.host, settings.metrics.port, "metrics.port", lambda: State(ok=True)) as probe:
            _on_stop_signals(threads.stop)
            started.up()
            names = ", ".join(lane.name for lane in lanes)
            _log.info("working", lanes=names, probe=f"http://{probe.host}:{probe.port}")
            threads.run()
            started.set_up(False)
    _log.info("stopped")
    return 0


def _calm_garbage_collection() -> None:
    """A batch makes some 50,000 dictionaries without a cycle; looking through them again and again costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


ROLES: Mapping[str, _RoleMain] = {"gateway": start_gateway, "keeper": start_keeper, "worker": start_worker}
_LATER: Mapping[str, str] = {
    "scaler": "scaling from zero",
    "biller": "the cost of an analysis",
    "healer": "self-healing",
    "serving": "models",
    "mcp": "the door for assistants",
}


def _on_stop_signals(act: Callable[[], None]) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        # In a thread of its own: the handler interrupts the main thread anywhere, also where that holds the very lock
        # that `act` needs, and would wait for it for ever.
        threading.Thread(target=act, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _probe(host: str, port: int, setting: str, ready: Callable[[], State]) -> Probe:
    try:
        return Probe(ready=ready, host=host, port=port)
    except OSError as error:
        raise CannotStart(machine.why_not_listening(error, host, port, setting)) from error


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket as a person types it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# ---- what the portal shows ----


class _PlatformView:
    """Collects `GET /api/v1/platform`."""

    def __init__(self, settings: Settings, clock: Clock, log: EventLog, link: local.Supervised | None) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._link = link
        self._started_at = rfc3339(clock.wall_ms())

    def collect(self) -> platform.PlatformAnswer:
        """Ask the log and the supervisor. Blocks."""
        report = self._report()
        return platform.PlatformAnswer(
            version=__version__,
            started_at=report.started_at if report else self._started_at,
            now=rfc3339(self._clock.wall_ms()),
            log=platform.LogPlace(self._settings.log.kind, self._place()),
            roles=[_role_state(role) for role in report.roles] if report else [self._alone()],
            topics=platform.topic_states(self._log),
            groups=platform.group_states(self._log),
            unavailable=[platform.Unavailable(panel, reason) for panel, reason in UNAVAILABLE.items()],
        )

    def _report(self) -> local.PlatformReport | None:
        """What our supervisor wrote last. None without one, or before its first word."""
        if self._link is None:
            return None
        path = self._settings.data.directory.expanduser() / "runtime" / STATE_FILE
        try:
            report = msgspec.json.decode(path.read_bytes(), type=local.PlatformReport)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return report if report.pid == self._link.pid else None

    def _alone(self) -> platform.RoleState:
        return platform.RoleState(name="gateway", state="running", pid=os.getpid(), restarts=0, since=self._started_at)

    def _place(self) -> str:
        if self._settings.log.kind == "kafka":
            return self._settings.kafka.bootstrap_servers
        return str(self._settings.data.directory) if self._settings.log.kind == "sqlite" else "this process"


def _role_state(role: local.RoleReport) -> platform.RoleState:
    return platform.RoleState(name=role.name, state=role.state, pid=role.pid, restarts=role.restarts, since=role.since)


# ---- the whole platform on this machine ----


def run_platform(loaded: Loaded, announce: Callable[[str], None]) -> int:
    """Run all roles under supervision until Ctrl-C or SIGTERM. Returns the exit status.

    `announce` gets the one line that the person at the terminal waits for, once the portal answers.
    """
    settings, clock = loaded.settings, SystemClock()
    if settings.log.kind == "memory":
        raise CannotStart("log.kind = memory lives in one process, and `up` starts several; use sqlite or kafka")
    directory = open_directory(settings.data.directory, clock, __version__)
    pretty = settings.logging.format == "pretty" or (settings.logging.format == "auto" and sys.stderr.isatty())
    logs.configure("up", settings.logging.level, "pretty" if pretty else "json")
    with hold(directory) as held:
        host, port = settings.gateway.host, settings.gateway.port
        with contextlib.closing(machine.listen(host, port, "gateway.port", "--port")) as listener:
            portal = url_of(listener)
            _say_left_behind(held)
            held.tell(Holder(os.getpid(), portal, rfc3339(clock.wall_ms())))
            first_line = f"Genescale {__version__} is at {portal}   data in {directory.root}   Ctrl-C stops it"

            def tell() -> None:
                announce(first_line)
                try:
                    announce(f"Sign in, once, within 15 minutes: {_sign_in_link(settings, clock, portal)}")
                except (GenescaleError, OSError) as error:
                    _log.warning("there is no link to sign in with", reason=str(error))

            supervisor = local.LocalPlatform(
                _commands(loaded, directory, listener, pretty=pretty),
                policy=_policy(settings),
                clock=clock,
                watcher=_watcher(directory, tell, pretty=pretty),
            )
            try:
                ended = supervisor.run()
            finally:
                (directory.runtime / STATE_FILE).unlink(missing_ok=True)
    return supervise.CANNOT_START if ended.given_up is not None else 0


def _say_left_behind(held: Hold) -> None:
    if held.left_behind is not None:
        _log.warning(
            "the last platform here ended without saying so; its lock ended with it, and the log checks itself",
            pid=held.left_behind.pid,
            since=held.left_behind.since,
        )


def _policy(settings: Settings) -> supervise.Policy:
    return supervise.Policy(
        first_delay_s=settings.supervisor.restart_backoff_base_s,
        delay_max_s=settings.supervisor.restart_backoff_cap_s,
        grace_s=settings.supervisor.stop_grace_s,
    )


def _commands(
    loaded: Loaded, directory: DataDirectory, listener: socket.socket, *, pretty: bool
) -> list[local.RoleCommand]:
    """Each role is this very program again, with our settings in its environment."""
    environment = {
        **os.environ,
        "GENESCALE_DATA_DIRECTORY": str(directory.root),
        "GENESCALE_LOGGING_FORMAT": "pretty" if pretty else "json",
        "PYTHONUNBUFFERED": "1",
    }
    if loaded.file is not None:
        environment["GENESCALE_SETTINGS"] = str(loaded.file.absolute())
    return [
        local.RoleCommand(
            name=name,
            arguments=(sys.executable, "-m", "genescale", "run", role),
            environment={**environment, **own},
            listen_fd=listener.fileno() if name == "gateway" else None,
        )
        for name, role, own in _PROCESSES
    ]


# The processes of `up`. An idle worker takes some 35 MB of its own, so the lanes share one, all but the urgent lane:
# what is urgent must not wait for the interpreter's lock while a burst has it.
_PROCESSES: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("gateway", "gateway", {}),
    ("keeper", "keeper", {}),
    ("worker-urgent", "worker", {"GENESCALE_WORKER_LANES": "urgent"}),
    ("worker", "worker", {"GENESCALE_WORKER_LANES": ",".join(one.name for one in LANES if one.name != "urgent")}),
)


def _watcher(directory: DataDirectory, announce: Callable[[], None], *, pretty: bool) -> local.Watcher:
    """Every line of every role on our standard error, and the state of the roles in the runtime folder."""
    state_file = directory.runtime / STATE_FILE
    announced = False

    def line(role: str, stream: local.Stream, text: str) -> None:
        ours = pretty or text.startswith('{"time":')
        if stream == "stderr" and ours:  # a line of our own form already, or a terminal that takes all forms
            with contextlib.suppress(OSError):  # nobody reads any more; the roles work on, as they do without readers
                sys.stderr.write(text + "\n")
        elif text.strip():
            _log.warning("a role printed something", process=role, stream=stream, line=text)

    def happened(role: str, what: str, facts: Mapping[str, object]) -> None:
        nonlocal announced
        tell = _log.warning if facts.keys() & {"ended_with", "reason"} or "cannot" in what else _log.info
        tell(what, **({"process": role} if role else {}), **facts)
        if role == "gateway" and what == "running" and not announced:
            announced = True
            announce()

    def publish(report: local.PlatformReport) -> None:
        try:
            write_whole(state_file, msgspec.json.encode(report))
        except OSError as error:  # a full disk must not end the processes that could say so
            _log.warning("the state of the roles cannot be written", place=str(state_file), reason=str(error))

    return local.Watcher(line=line, happened=happened, publish=publish)


# ---- what was built ----


class BuildFacts(NamedTuple):
    """What `genescale --version` tells."""

    version: str
    python: str
    sqlite: str
    kernels: str
    portal: str


def build_facts() -> BuildFacts:
    """Which program this is, and which of its optional parts were built."""
    from genescale.events import kernel  # noqa: PLC0415
    from genescale.events.sqlite_file import sqlite_version  # noqa: PLC0415

    return BuildFacts(
        version=__version__,
        python=".".join(str(part) for part in sys.version_info[:3]),
        sqlite=sqlite_version(),
        kernels="compiled" if kernel.COMPILED else "interpreted (slower, same answers)",
        portal="built" if (STATIC / "index.html").is_file() else "not built",
    )
