"""The one output of `bench` and `verify`: a report of rows, as one JSON object or as a short table.

A row is a fact with its goal beside it. What could not be measured is absent with a note, never a number; such a row
is neither met nor missed. Names of rows are stable: they are how two runs are compared.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from genescale import __version__
from genescale.errors import Permanent

Better: TypeAlias = Literal["higher", "lower", "equal"]
Number: TypeAlias = int | float


class CannotRun(Permanent):
    """The trial needs something that this machine does not have; the message names it and the way out."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One figure. `value` None: not measured, `note` says why. `met` None: no goal, or nothing to hold against it."""

    name: str
    value: Number | None
    unit: str
    better: Better
    goal: Number | None
    met: bool | None
    n: int
    min: Number | None
    max: Number | None
    note: str
    peer: str | msgspec.UnsetType = msgspec.UNSET
    ratio: float | msgspec.UnsetType = msgspec.UNSET


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were taken on."""

    system: str
    python: str
    processor: str
    cores: int
    memory_gib: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial hands back."""

    area: str
    seed: int
    commit: str
    machine: Machine
    rows: list[Row]


def row(
    name: str,
    value: Number | None,
    unit: str,
    better: Better,
    *,
    goal: Number | None = None,
    samples: Sequence[Number] = (),
    note: str = "",
) -> Row:
    """A row with `met` decided. `samples` are the single runs behind `value`; without them it stands alone."""
    values = samples or ([] if value is None else [value])
    return Row(
        name=name,
        value=value,
        unit=unit,
        better=better,
        goal=goal,
        met=is_met(value, better, goal),
        n=len(values),
        min=min(values, default=None),
        max=max(values, default=None),
        note=note,
    )


def absent(name: str, unit: str, better: Better, why: str, *, goal: Number | None = None) -> Row:
    """A row for what could not be measured here."""
    return row(name, None, unit, better, goal=goal, note=why)


def beside(ours: Row, peer: str, peer_value: Number) -> Row:
    """The same row, held against the same figure of a named peer; `ratio` is ours over theirs."""
    if ours.value is None or not peer_value:
        return msgspec.structs.replace(ours, peer=peer)
    return msgspec.structs.replace(ours, peer=peer, ratio=round(ours.value / peer_value, 4))


def is_met(value: Number | None, better: Better, goal: Number | None) -> bool | None:
    """Whether the value reaches the goal; None when there is nothing to compare."""
    if value is None or goal is None:
        return None
    if better == "equal":
        return value == goal
    return value >= goal if better == "higher" else value <= goal


def missed(report: Report) -> list[Row]:
    """The rows whose goal was not reached."""
    return [one for one in report.rows if one.met is False]


def make_report(area: str, seed: int, rows: list[Row]) -> Report:
    """The rows, with where and from what they come."""
    return Report(area=area, seed=seed, commit=commit(), machine=machine(), rows=rows)


def machine() -> Machine:
    """This machine, as far as a reader of the figures needs to know it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        processor=_processor(),
        cores=cores,
        memory_gib=round(memory / 2**30, 1),
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the source tree that runs, `+changes` when it was edited since; the version where it has no git."""
    here = Path(__file__).parent
    try:
        name = _git(here, "rev-parse", "--short=12", "HEAD")
        return name + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def to_json(report: Report) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def to_table(report: Report) -> str:
    """A line per row for a person: what was missed first to the eye, the notes below each."""
    head = (
        f"{report.area}, seed {report.seed}, {report.commit}, {report.machine.cores} cores, {report.machine.processor}"
    )
    width = max((len(one.name) for one in report.rows), default=0)
    lines = [head]
    for one in report.rows:
        verdict = {True: "met   ", False: "MISSED", None: "      "}[one.met]
        value = "absent" if one.value is None else f"{_figure(one.value)} {one.unit}"
        lines.append(f"{verdict} {one.name:<{width}}  {value}{_goal(one)}".rstrip())
        if one.note:
            lines.append(f"         {one.note}")
    bad = len(missed(report))
    lines.append("every goal met" if bad == 0 else f"{bad} {'goal' if bad == 1 else 'goals'} missed")
    return "\n".join(lines)


def _goal(one: Row) -> str:
    parts: list[str] = []
    if one.goal is not None:
        sign = {"higher": ">=", "lower": "<=", "equal": "="}[one.better]
        parts.append(f"goal {sign} {_figure(one.goal)}")
    if one.n > 1 and one.min is not None and one.max is not None:
        parts.append(f"{_figure(one.min)} to {_figure(one.max)} in {one.n}")
    if one.peer is not msgspec.UNSET and one.ratio is not msgspec.UNSET:
        parts.append(f"{one.ratio} x {one.peer}")
    return f"  ({', '.join(parts)})" if parts else ""


def _figure(number: Number) -> str:
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
