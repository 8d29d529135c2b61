"""`genescale up`, `genescale run ROLE` and `genescale settings`."""

import json as json_text
import os
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from genescale import config, wiring

DataDirectory: TypeAlias = Annotated[Path | None, Parameter(name="--data")]
SettingsFile: TypeAlias = Annotated[Path | None, Parameter(name="--settings")]


def up(
    *, data: DataDirectory = None, port: int | None = None, host: str | None = None, settings: SettingsFile = None
) -> int:
    """Run the whole platform on this machine, with its portal, until Ctrl-C.

    Each role is a process of its own and is started again when it ends. Every event is one line on standard error.

    Parameters
    ----------
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    port
        The port of the portal; 0 takes a free one. Default: 8080.
    host
        The address on which the portal listens. Default: 127.0.0.1, this machine only.
    settings
        A settings file (TOML). `genescale settings` shows what is in force.
    """
    overrides = {"data.directory": data, "gateway.port": port, "gateway.host": host}
    loaded = config.load(os.environ, settings, overrides)
    return wiring.run_platform(loaded, lambda line: print(line, flush=True))


def run(
    role: str,
    *,
    lane: str | None = None,
    data: DataDirectory = None,
    port: int | None = None,
    settings: SettingsFile = None,
) -> int:
    """Run one role in the foreground until Ctrl-C or SIGTERM.

    Parameters
    ----------
    role
        Which one: gateway (portal and API), keeper (upkeep of the event log) or worker (analyses).
    lane
        What a worker serves: urgent, normal, big-data, node-scale, kafka-lag, or several with commas. Default: all.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    port
        The port of the role; 0 takes a free one. Default: the setting gateway.port, keeper.port or metrics.port.
    settings
        A settings file (TOML).
    """
    overrides: dict[str, object] = {"data.directory": data, "worker.lanes": lane}
    if port is not None and role in wiring.ROLES:
        overrides["metrics.port" if role == "worker" else f"{role}.port"] = port
    return wiring.run_role(role, config.load(os.environ, settings, overrides))


def settings(
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Print every setting with its value, its unit and where it came from. Secrets show as length and digest.

    Parameters
    ----------
    json
        Print a JSON array, with type, default and meaning too.
    data
        The data directory whose settings file counts.
    settings
        A settings file (TOML) instead of the one that would be found.
    """
    fields = config.describe(config.load(os.environ, settings, {"data.directory": data}))
    if json:
        print(json_text.dumps([field._asdict() for field in fields], indent=2))
        return 0
    widths = [max(len(getattr(field, column)) for field in fields) for column in ("name", "value")]
    for field in fields:
        value = f"{field.value} {field.unit}" if field.value else "-"
        print(f"{field.name:<{widths[0]}}  {value:<{widths[1] + 8}}  {field.source}".rstrip())
    return 0
