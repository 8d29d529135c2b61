"""Every setting of the platform in one typed file, and the only code that reads them.

The first half is the reference page: each field has a name, a type, a default, a unit, its meaning and the reason for
the default. The second half reads four sources, the later wins:

    default  <  settings file (TOML)  <  environment (GENESCALE_<GROUP>_<NAME>)  <  command line

`[gateway] port = 8080` in the file and `GENESCALE_GATEWAY_PORT=8080` in the environment are the same setting,
`gateway.port`. A name that nobody knows or a value that cannot be is an error, never a warning: a misspelt setting
that is silently ignored is found in production. Only `wiring`, `cli` and `trials` may import this module; everything
below gets values as arguments.
"""

import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin

import msgspec

from genescale.errors import Permanent
from genescale.sensitive import Sensitive

PREFIX = "GENESCALE_"
SETTINGS_FILE_VARIABLE = "GENESCALE_SETTINGS"
FILE_NAME = "genescale.toml"

# Variables with our prefix that are switches of the build and the tests, not settings of the platform.
OTHER_VARIABLES = frozenset(
    {
        SETTINGS_FILE_VARIABLE,
        "GENESCALE_REQUIRE_ALL",
        "GENESCALE_SKIP_UI",
        "GENESCALE_FAILPOINTS",
        "GENESCALE_CACHE",
        "GENESCALE_SHARED_DATA",
    }
)


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """What a field says about itself. `low` and `high` are allowed values; `shown` replaces the default on paper."""

    unit: str = ""
    meaning: str
    why: str
    low: float | None = None
    high: float | None = None
    shown: str | None = None


def default_data_directory() -> Path:
    """Where data live when nobody says otherwise: `$XDG_DATA_HOME/genescale`, else `~/.local/share/genescale`."""
    return _xdg(os.environ, "XDG_DATA_HOME", ".local/share")


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything that must survive lies."""

    directory: Annotated[
        Path,
        Says(
            meaning="The data directory: event log, tables, objects, the supervisor's lock.",
            why="The XDG place for data of one user; needs no rights and no set-up.",
            shown="`$XDG_DATA_HOME/genescale`, else `~/.local/share/genescale`",
        ),
    ] = msgspec.field(default_factory=default_data_directory)


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The event log."""

    kind: Annotated[
        Literal["sqlite", "kafka", "memory"],
        Says(
            meaning="What the event log is made of. `memory` forgets everything and is for tests.",
            why="SQLite is power-safe on one machine and needs nothing installed; a cluster sets `kafka`.",
        ),
    ] = "sqlite"
    session_timeout_s: Annotated[
        float,
        Says(
            unit="s",
            low=1,
            high=300,
            meaning="A consumer that is silent for this long is dropped from its group.",
            why="Short enough that a killed worker's partitions move within seconds, longer than a busy disk.",
        ),
    ] = 6.0
    heartbeat_s: Annotated[
        float,
        Says(
            unit="s",
            low=0.1,
            high=100,
            meaning="How often a consumer says that it lives. At most a third of the session.",
            why="Six chances per session; one small write per second and member.",
        ),
    ] = 1.0
    checkpoint_bytes: Annotated[
        int,
        Says(
            unit="bytes",
            low=65_536,
            high=4_294_967_296,
            meaning="The size of a topic's write-ahead file at which its owner moves it into the main file.",
            why="Larger files make rarer, longer pauses and a longer recovery; 16 MiB keeps both short.",
        ),
    ] = 16 * 1024 * 1024
    queue_records_max: Annotated[
        int,
        Says(
            unit="records",
            low=1,
            high=10_000_000,
            meaning="Records that may wait for the writer of one process; above it, `append` pushes back.",
            why="About 50 MB of 1 KB records: memory stays bounded when the disk is slower than the producers.",
        ),
    ] = 50_000


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """The Kafka cluster; read only when `log.kind` is `kafka`."""

    bootstrap_servers: Annotated[
        str,
        Says(
            meaning="Brokers to start from, `host:port`, separated by commas.",
            why="Where a broker on this machine listens.",
        ),
    ] = "127.0.0.1:9092"
    group_protocol: Annotated[
        Literal["classic", "consumer"],
        Says(
            meaning="`classic` is cooperative-sticky; `consumer` is KIP-848 and needs brokers of version 4 or newer.",
            why="`classic` runs on every broker and obeys `log.session_timeout_s`.",
        ),
    ] = "classic"
    security_protocol: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        Says(
            meaning="How the connection is protected. SASL uses SCRAM-SHA-512.",
            why="A broker on this machine has no certificate; a cluster sets `sasl_ssl`.",
        ),
    ] = "plaintext"
    sasl_username: Annotated[
        str,
        Says(meaning="The SCRAM user.", why="Empty: no user, as `plaintext` and `ssl` want it."),
    ] = ""
    sasl_password: Annotated[
        Sensitive[str],
        Says(meaning="The SCRAM password.", why="Empty: a password has no good default."),
    ] = msgspec.field(default_factory=lambda: Sensitive(""))
    ca_file: Annotated[
        str,
        Says(
            meaning="PEM file with the authority that signed the brokers' certificates.",
            why="Empty: the authorities that the system trusts.",
        ),
    ] = ""
    replication_factor: Annotated[
        int,
        Says(
            unit="copies",
            low=1,
            high=15,
            meaning="Copies of each partition when a topic is created.",
            why="With three copies one broker may be down for repair while another fails.",
        ),
    ] = 3
    min_insync_replicas: Annotated[
        int,
        Says(
            unit="copies",
            low=1,
            high=15,
            meaning="Copies that must have a record before it is acknowledged.",
            why="Two: an acknowledged record survives the loss of any one broker.",
        ),
    ] = 2
    linger_ms: Annotated[
        float,
        Says(
            unit="ms",
            low=0,
            high=1000,
            meaning="How long the producer waits for more records before it sends.",
            why="Zero is fastest up to about 1,000 events/s; batches fill by themselves under load.",
        ),
    ] = 0.0


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Tables and objects."""

    tables_url: Annotated[
        str,
        Says(
            meaning="The database: `sqlite:///PATH` or `postgresql://USER@HOST/NAME`, without a password.",
            why="Empty: SQLite in the data directory.",
        ),
    ] = ""
    tables_password: Annotated[
        Sensitive[str],
        Says(
            meaning="The password for `store.tables_url`, kept out of the URL because URLs get printed.",
            why="Empty: SQLite has none, and PostgreSQL may use certificates.",
        ),
    ] = msgspec.field(default_factory=lambda: Sensitive(""))
    objects_url: Annotated[
        str,
        Says(
            meaning="The object store: `file:///PATH`, `az://CONTAINER/PREFIX` or `s3://BUCKET/PREFIX`.",
            why="Empty: a folder in the data directory.",
        ),
    ] = ""


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The public door."""

    host: Annotated[
        str,
        Says(
            meaning="The address on which the portal and the API listen.",
            why="Loopback: nothing is offered to the network until somebody decides so.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Says(
            unit="port",
            low=0,
            high=65_535,
            meaning="The port of the portal and the API. 0 takes a free one.",
            why="The usual port for a web page that an ordinary user serves.",
        ),
    ] = 8080


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """The role that looks after the log: lag, retention, compaction."""

    port: Annotated[
        int,
        Says(
            unit="port",
            low=0,
            high=65_535,
            meaning="The port of the keeper's /health, /ready and /metrics. 0 takes a free one.",
            why="The first one free after the ports of the other roles (8080 to 8085).",
        ),
    ] = 8086


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """The role that answers requests."""

    lanes: Annotated[
        str,
        Says(
            meaning="The lanes that one worker serves, with commas between them; `run worker --lane` says it, too.",
            why="All of them share the memory of one program; `up` gives the urgent lane a process of its own.",
        ),
    ] = "urgent, normal, big-data, node-scale, kafka-lag"


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """The one consume loop of every role that reads events."""

    batch_records_max: Annotated[
        int,
        Says(
            unit="records",
            low=1,
            high=100_000,
            meaning="The most records that are handled and committed together.",
            why="At 500 the cost of a commit is spread thin, and a repeated batch is still short.",
        ),
    ] = 500
    attempts_max: Annotated[
        int,
        Says(
            unit="attempts",
            low=1,
            high=100,
            meaning="Tries of a retryable failure before the event goes to the dead letters.",
            why="Six tries outlast a restart of what we depend on, and do not hammer it.",
        ),
    ] = 6
    retry_age_max_s: Annotated[
        float,
        Says(
            unit="s",
            low=1,
            high=604_800,
            meaning="An event that failed for this long is not tried again, however few the tries.",
            why="After an hour the person who asked needs a reason more than another try.",
        ),
    ] = 3600.0
    backoff_base_s: Annotated[
        float,
        Says(
            unit="s",
            low=0.001,
            high=3600,
            meaning="Upper end of the first random wait; it doubles with each try.",
            why="Longer than a lost packet, shorter than a person notices.",
        ),
    ] = 0.2
    backoff_cap_s: Annotated[
        float,
        Says(
            unit="s",
            low=0.001,
            high=86_400,
            meaning="No wait between tries is longer than this.",
            why="A dependency that returns is used again within a minute.",
        ),
    ] = 60.0
    crashes_max: Annotated[
        int,
        Says(
            unit="crashes",
            low=1,
            high=100,
            meaning="Times that an event may take its process down before it goes to the dead letters.",
            why="One crash may be chance and two bad luck; the third time it is the event.",
        ),
    ] = 3
    drain_deadline_s: Annotated[
        float,
        Says(
            unit="s",
            low=0,
            high=3600,
            meaning="After SIGTERM: how long a role may finish what it has in hand.",
            why="Several of the longest usual batches, and less than the 30 s that Kubernetes grants.",
        ),
    ] = 20.0


class Supervisor(msgspec.Struct, frozen=True, kw_only=True):
    """What `genescale up` does with its processes."""

    restart_backoff_base_s: Annotated[
        float,
        Says(
            unit="s",
            low=0.01,
            high=3600,
            meaning="The wait before the first restart of a role that died; it doubles each time.",
            why="One crash is hardly noticed.",
        ),
    ] = 0.2
    restart_backoff_cap_s: Annotated[
        float,
        Says(
            unit="s",
            low=0.01,
            high=3600,
            meaning="No wait before a restart is longer than this.",
            why="A role that cannot start costs little, and is back soon after the cause is mended.",
        ),
    ] = 30.0
    stop_grace_s: Annotated[
        float,
        Says(
            unit="s",
            low=0,
            high=3600,
            meaning="The wait between SIGTERM and SIGKILL for each process on the way down.",
            why="The drain deadline and five seconds for closing files; Kubernetes grants 30 s.",
        ),
    ] = 25.0


class Logging(msgspec.Struct, frozen=True, kw_only=True):
    """The lines that a role writes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Says(meaning="The least important line that is written.", why="`info` is a few lines per minute when idle."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "pretty"],
        Says(
            meaning="`auto` is pretty on a terminal and JSON elsewhere.",
            why="People read terminals, programs read pipes.",
        ),
    ] = "auto"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The small door (/health, /ready, /metrics) of roles that have no public one."""

    host: Annotated[
        str,
        Says(
            meaning="The address of that door. A pod sets `0.0.0.0`, so that its probes reach it.",
            why="Loopback: on one machine nobody else needs it.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Says(
            unit="port",
            low=0,
            high=65_535,
            meaning="The port of that door, for roles without a port of their own (workers). 0 takes a free one.",
            why="Many workers share one machine, so only a free port never clashes.",
        ),
    ] = 0


class Tracing(msgspec.Struct, frozen=True, kw_only=True):
    """OpenTelemetry traces; needs the extra `otel`."""

    ratio: Annotated[
        float,
        Says(
            unit="share",
            low=0,
            high=1,
            meaning="The share of new traces that is recorded. A trace that comes in keeps its own decision.",
            why="A recorded span costs about 20 us, so one in a hundred is all that the hot path should pay.",
        ),
    ] = 0.01
    otlp_endpoint: Annotated[
        str,
        Says(
            meaning="Where spans go: the base URL of an OTLP/HTTP collector, for example `http://127.0.0.1:4318`.",
            why="Empty: nobody collects, so tracing is off and costs nothing.",
        ),
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All groups. Each is a table of the settings file."""

    data: Data = msgspec.field(default_factory=Data)
    log: Log = msgspec.field(default_factory=Log)
    kafka: Kafka = msgspec.field(default_factory=Kafka)
    store: Store = msgspec.field(default_factory=Store)
    gateway: Gateway = msgspec.field(default_factory=Gateway)
    keeper: Keeper = msgspec.field(default_factory=Keeper)
    worker: Worker = msgspec.field(default_factory=Worker)
    loop: Loop = msgspec.field(default_factory=Loop)
    supervisor: Supervisor = msgspec.field(default_factory=Supervisor)
    logging: Logging = msgspec.field(default_factory=Logging)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    tracing: Tracing = msgspec.field(default_factory=Tracing)


GROUPS: dict[str, type[msgspec.Struct]] = {
    "data": Data,
    "log": Log,
    "kafka": Kafka,
    "store": Store,
    "gateway": Gateway,
    "keeper": Keeper,
    "worker": Worker,
    "loop": Loop,
    "supervisor": Supervisor,
    "logging": Logging,
    "metrics": Metrics,
    "tracing": Tracing,
}


# ---- what a reader of settings gets ----


class BadSetting(Permanent):
    """A setting that does not exist or cannot have this value. `name` and `source` are for programs."""

    def __init__(self, message: str, *, name: str, source: str) -> None:
        super().__init__(message)
        self.name = name
        self.source = source


class Field(NamedTuple):
    """One setting as the documentation and `genescale settings` show it."""

    name: str
    variable: str
    type: str
    default: str
    unit: str
    meaning: str
    why: str
    sensitive: bool
    value: str  # the value in force; a sensitive one as length and digest
    source: str  # "default", "FILE:LINE", a variable, or "command line"


class Loaded(NamedTuple):
    """The settings in force. `sources` says where each one that is not a default came from; `file` was read, if any."""

    settings: Settings
    sources: dict[str, str]
    file: Path | None


class _Spec(NamedTuple):
    name: str
    kind: Any
    default: Any
    says: Says

    @property
    def variable(self) -> str:
        return PREFIX + self.name.replace(".", "_").upper()

    @property
    def sensitive(self) -> bool:
        return get_origin(self.kind) is Sensitive


def load(
    environment: Mapping[str, str],
    file: Path | None = None,
    overrides: Mapping[str, object] = types.MappingProxyType({}),
) -> Loaded:
    """Read all sources. `overrides` are `{"gateway.port": 9000}` from the command line, None meaning not given.

    Raises `BadSetting` for the first thing that is wrong. A secret comes from a settings file, or from a file of its
    own named by `<setting>_file` (a mounted secret); the environment and the command line are refused for it, since
    other processes can read them.
    """
    specs = _specs()
    secret_files = {f"{spec.name}_file" for spec in specs.values() if spec.sensitive}
    known = specs.keys() | secret_files
    from_environment = _from_environment(environment, known)
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in given.keys() - known:
        raise _unknown(name, "command line", known)
    values: dict[str, tuple[object, str]] = {}
    path = _settings_file(environment, file, _early_directory(environment, from_environment, given))
    if path is not None:
        values.update(_from_file(path, known, may_move=file is not None or SETTINGS_FILE_VARIABLE in environment))
    for name, (value, source) in from_environment.items():
        _refuse_open_secret(specs.get(name), value, source)
        _supersede(values, name, value, source)
    for name, value in given.items():
        _refuse_open_secret(specs.get(name), value, "command line")
        _supersede(values, name, value, "command line")
    return _build(specs, values, environment, path)


def describe(loaded: Loaded | None = None) -> list[Field]:
    """Every setting in the order of this file; with `loaded`, the values in force and where they came from."""
    fields: list[Field] = []
    for spec in _specs().values():
        default = spec.says.shown or _shown(spec.default)
        value, source = _shown(spec.default), "default"
        if loaded is not None:
            group, _, attribute = spec.name.partition(".")
            value = _shown(getattr(getattr(loaded.settings, group), attribute))
            source = loaded.sources.get(spec.name, "default")
        fields.append(
            Field(
                name=spec.name,
                variable=spec.variable + ("_FILE" if spec.sensitive else ""),
                type=_type_name(spec.kind),
                default=default,
                unit=spec.says.unit,
                meaning=spec.says.meaning,
                why=spec.says.why,
                sensitive=spec.sensitive,
                value=value,
                source=source,
            )
        )
    return fields


def reference_page() -> str:
    """`docs/reference/settings.md`; a test compares."""
    specs = _specs()
    lines = [_PAGE_HEAD]
    for group, struct in GROUPS.items():
        lines += [f"## {group}", "", (struct.__doc__ or "").strip(), ""]
        for field in describe():
            if not field.name.startswith(group + "."):
                continue
            says = specs[field.name].says
            bounds = "" if says.low is None else f", {says.low:,.15g} to {says.high:,.15g}"
            unit = f" ({field.unit}{bounds})" if field.unit else bounds
            default = says.shown or (f"`{field.default}`" if field.default else "empty")
            lines += [
                f"### `{field.name}`",
                "",
                field.meaning,
                "",
                f"- type: {field.type}{unit}",
                f"- default: {default}. {field.why}",
                f"- environment: `{field.variable}`",
                "",
            ]
    return "\n".join(lines)


_PAGE_HEAD = """\
# Settings

<!-- Generated from src/genescale/config.py: python -m genescale.config > docs/reference/settings.md -->

Settings come from four places; the later wins:

1. the defaults on this page;
2. a settings file in TOML: `--settings FILE`, else the file that `GENESCALE_SETTINGS` names, else `genescale.toml` in
   the data directory, else `$XDG_CONFIG_HOME/genescale/genescale.toml` (`~/.config/genescale/genescale.toml`). The
   first that exists is the only one that is read;
3. the environment: `GENESCALE_<GROUP>_<NAME>`, so `gateway.port` is `GENESCALE_GATEWAY_PORT`;
4. the command line.

A setting that does not exist, or a value that it cannot have, stops the start with a message that names it.
`genescale settings` prints every value in force and where it came from.

Secrets stand in the settings file or, better, in a file of their own: `kafka.sasl_password_file = "/run/secrets/kafka"`
or `GENESCALE_KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka`. They are refused in the environment and on the command line,
which other processes can read.
"""


# ---- how it is read ----


def _specs() -> dict[str, _Spec]:
    specs: dict[str, _Spec] = {}
    for group, struct in GROUPS.items():
        hints = typing.get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            kind, says = get_args(hints[field.name])
            default = field.default if field.default is not msgspec.NODEFAULT else _made(field.default_factory)
            name = f"{group}.{field.name}"
            specs[name] = _Spec(name, kind, default, cast("Says", says))
    return specs


def _made(factory: object) -> object:
    return cast("Callable[[], object]", factory)()


def _xdg(environment: Mapping[str, str], variable: str, fallback: str) -> Path:
    base = environment.get(variable, "")
    # The XDG specification: a relative path is invalid and is ignored.
    root = Path(base) if base.startswith("/") else Path(environment.get("HOME") or Path.home()) / fallback
    return root / "genescale"


def _early_directory(
    environment: Mapping[str, str], from_environment: Mapping[str, tuple[str, str]], given: Mapping[str, object]
) -> Path:
    """The data directory before any file was read, since one of the files may lie in it."""
    if "data.directory" in given:
        return Path(str(given["data.directory"])).expanduser()
    if "data.directory" in from_environment:
        return Path(from_environment["data.directory"][0]).expanduser()
    return _xdg(environment, "XDG_DATA_HOME", ".local/share")


def _settings_file(environment: Mapping[str, str], file: Path | None, directory: Path) -> Path | None:
    named, source = file, "--settings"
    if named is None and environment.get(SETTINGS_FILE_VARIABLE):
        named, source = Path(environment[SETTINGS_FILE_VARIABLE]), SETTINGS_FILE_VARIABLE
    if named is not None:
        if not named.is_file():
            raise BadSetting(f"{source}: there is no settings file {named}", name="settings", source=source)
        return named
    candidates = (directory / FILE_NAME, _xdg(environment, "XDG_CONFIG_HOME", ".config") / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _from_environment(environment: Mapping[str, str], known: Iterable[str]) -> dict[str, tuple[str, str]]:
    names = {PREFIX + name.replace(".", "_").upper(): name for name in known}
    found: dict[str, tuple[str, str]] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in names:
            near = _nearest(variable, [*names, *OTHER_VARIABLES])
            raise BadSetting(
                f"{variable} is set, but no setting has this name{near}; `genescale settings` lists them all",
                name=variable,
                source=variable,
            )
        found[names[variable]] = (value, variable)
    return found


def _from_file(path: Path, known: Iterable[str], *, may_move: bool) -> dict[str, tuple[object, str]]:
    import tomllib  # noqa: PLC0415 - only who has a settings file pays for the parser

    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path} cannot be read as TOML: {error}", name="settings", source=str(path)) from None
    found: dict[str, tuple[object, str]] = {}
    known = frozenset(known)
    for group, table in document.items():
        source = f"{path}:{_line(text, group, None)}"
        if group not in GROUPS:
            raise _unknown(group, source, GROUPS, what="group of settings")
        if not isinstance(table, dict):
            raise BadSetting(
                f"{source}: {group} is a group; write [{group}] and its settings below", name=group, source=source
            )
        for key, value in cast("dict[str, object]", table).items():
            name, source = f"{group}.{key}", f"{path}:{_line(text, group, key)}"
            if name not in known:
                raise _unknown(name, source, known)
            found[name] = (value, source)
    if "data.directory" in found and not may_move:
        source = found["data.directory"][1]
        raise BadSetting(
            f"{source}: data.directory cannot be set in a file that is found by itself, because the data directory is "
            f"looked up first; use --data, {PREFIX}DATA_DIRECTORY, or name the file with --settings",
            name="data.directory",
            source=source,
        )
    return found


def _line(text: str, group: str, key: str | None) -> int:
    """The line of a setting, found the way a person finds it; tomllib does not say."""
    table, fallback = "", 1
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("["):
            table = line.strip("[] \t").split("#")[0].strip(" ]\"'")
            if table == group:
                fallback = number
                if key is None:
                    return number
            continue
        name = line.split("=", 1)[0].strip().replace('"', "").replace("'", "").replace(" ", "")
        full = f"{table}.{name}" if table else name
        if key is not None and full == f"{group}.{key}":
            return number
        if not table and (name == group or name.startswith(group + ".")):
            fallback = number
    return fallback


def _supersede(values: dict[str, tuple[object, str]], name: str, value: object, source: str) -> None:
    # A secret and the file that holds it are one setting, so the later source replaces both.
    twin = name.removesuffix("_file") if name.endswith("_file") else f"{name}_file"
    values.pop(twin, None)
    values[name] = (value, source)


def _refuse_open_secret(spec: _Spec | None, value: object, source: str) -> None:
    if spec is not None and spec.sensitive and not isinstance(value, Sensitive):
        raise BadSetting(
            f"{source}: {spec.name} is a secret and must not stand where other processes can read it; put it into a "
            f"file and set {spec.variable}_FILE, or {spec.name} in the settings file",
            name=spec.name,
            source=source,
        )


def _build(
    specs: Mapping[str, _Spec],
    values: Mapping[str, tuple[object, str]],
    environment: Mapping[str, str],
    path: Path | None,
) -> Loaded:
    groups: dict[str, dict[str, object]] = {group: {} for group in GROUPS}
    groups["data"]["directory"] = _xdg(environment, "XDG_DATA_HOME", ".local/share")
    sources: dict[str, str] = {}
    for name, (value, source) in values.items():
        spec = specs.get(name)
        read = value
        if spec is None:
            spec = specs[name.removesuffix("_file")]
            if spec.name in values:
                raise BadSetting(
                    f"{source}: {spec.name} and {name} are both set; keep one", name=spec.name, source=source
                )
            read = _secret_from(str(value), name, source)
        group, _, attribute = spec.name.partition(".")
        groups[group][attribute] = _convert(spec, read, source)
        sources[spec.name] = source
    settings = Settings(**{group: GROUPS[group](**fields) for group, fields in groups.items()})  # pyright: ignore[reportArgumentType]
    loaded = Loaded(settings, sources, path)
    _check_together(loaded)
    return loaded


def _secret_from(path: str, name: str, source: str) -> Sensitive[str]:
    try:
        return Sensitive(Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadSetting(f"{source}: {name} = {path!r} cannot be read: {reason}", name=name, source=source) from None


def _convert(spec: _Spec, value: object, source: str) -> object:
    """The value in its type and inside its bounds, or `BadSetting`. Text from the environment is parsed."""
    if spec.sensitive:
        if isinstance(value, str):
            return Sensitive(value)
        if isinstance(value, Sensitive):
            return cast("object", value)
        raise _bad(spec, "(not shown)", source, "text")
    wanted = _type_name(spec.kind)
    if get_origin(spec.kind) is Literal:
        choices = get_args(spec.kind)
        if value in choices:
            return value
        raise _bad(spec, value, source, wanted, near=_nearest(str(value), choices))
    if spec.kind is Path and isinstance(value, (str, Path)) and str(value):
        return Path(value).expanduser().absolute()
    if spec.kind is str and isinstance(value, str):
        _check_text(spec, value, source)
        return value
    if spec.kind in (int, float):
        number = _number(spec.kind, value)
        if number is None:
            raise _bad(spec, value, source, f"a {wanted}")
        low, high = spec.says.low, spec.says.high
        if (low is not None and number < low) or (high is not None and number > high):
            raise _bad(spec, value, source, f"{low:,.15g} to {high:,.15g} {spec.says.unit}".rstrip())
        return number
    raise _bad(spec, value, source, f"a {wanted}")


def _number(kind: type, value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if kind is int and isinstance(value, float):
        return None
    try:
        number = kind(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _check_text(spec: _Spec, value: str, source: str) -> None:
    """URLs: a known scheme, and no password, because URLs end up in messages and in process lists."""
    schemes = _SCHEMES.get(spec.name)
    if not schemes or not value:
        return
    scheme, separator, rest = value.partition("://")
    authority = (rest or value).split("/", 1)[0]
    if ("@" in authority and ":" in authority.rsplit("@", 1)[0]) or "password=" in value:
        raise BadSetting(
            f"{source}: {spec.name} holds a password (not shown); take it out of the URL and set "
            f"{PREFIX}STORE_TABLES_PASSWORD_FILE",
            name=spec.name,
            source=source,
        )
    if not separator or scheme not in schemes:
        raise _bad(spec, value, source, "a URL that starts with " + " or ".join(f"{s}://" for s in schemes))


_SCHEMES = {
    "store.tables_url": ("sqlite", "postgresql"),
    "store.objects_url": ("file", "az", "s3"),
    "tracing.otlp_endpoint": ("http", "https"),
}


def _check_together(loaded: Loaded) -> None:
    """Values that are fine alone and wrong together."""
    log, kafka, loop, supervisor = (getattr(loaded.settings, g) for g in ("log", "kafka", "loop", "supervisor"))
    sasl = kafka.security_protocol.startswith("sasl")
    rules = (
        (3 * log.heartbeat_s <= log.session_timeout_s, "log.heartbeat_s", "at most a third of log.session_timeout_s"),
        (
            kafka.min_insync_replicas <= kafka.replication_factor,
            "kafka.min_insync_replicas",
            "at most kafka.replication_factor",
        ),
        (loop.backoff_base_s <= loop.backoff_cap_s, "loop.backoff_base_s", "at most loop.backoff_cap_s"),
        (
            supervisor.restart_backoff_base_s <= supervisor.restart_backoff_cap_s,
            "supervisor.restart_backoff_base_s",
            "at most supervisor.restart_backoff_cap_s",
        ),
        (
            loop.drain_deadline_s <= supervisor.stop_grace_s,
            "loop.drain_deadline_s",
            "at most supervisor.stop_grace_s, or the supervisor kills a role that is still draining",
        ),
        (not sasl or bool(kafka.sasl_username), "kafka.sasl_username", "set, because kafka.security_protocol is SASL"),
        (
            not sasl or len(kafka.sasl_password) > 0,
            "kafka.sasl_password",
            "set, because kafka.security_protocol is SASL",
        ),
    )
    for kept, name, wanted in rules:
        if not kept:
            group, _, attribute = name.partition(".")
            value = _shown(getattr(getattr(loaded.settings, group), attribute))
            source = loaded.sources.get(name, "default")
            raise BadSetting(f"{name} = {value or 'empty'} ({source}): it must be {wanted}", name=name, source=source)


def _bad(spec: _Spec, value: object, source: str, wanted: str, near: str = "") -> BadSetting:
    return BadSetting(
        f"{source}: {spec.name} = {value!r}: expected {wanted}{near}. {spec.says.meaning}",
        name=spec.name,
        source=source,
    )


def _unknown(name: str, source: str, known: Iterable[str], what: str = "setting") -> BadSetting:
    near = _nearest(name, known)
    return BadSetting(
        f"{source}: there is no {what} {name!r}{near}; `genescale settings` lists them all", name=name, source=source
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only for a message

    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is Sensitive:
        return "secret text"
    return {int: "whole number", float: "number", str: "text", Path: "path"}[kind]


def _shown(value: object) -> str:
    if isinstance(value, Sensitive):
        return repr(cast("object", value)) if len(cast("Sensitive[str]", value)) else ""
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(reference_page())
