"""`genescale events`: look into the event log, replay it, publish the catalogue. Dead letters: `dead_letters`."""

import heapq
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import App, Parameter

from genescale import __version__, config, wiring
from genescale.cli.event_lines import compact, pretty, record_json, record_line
from genescale.clock import SystemClock
from genescale.errors import CannotStart, Permanent, UnknownTopic
from genescale.events import replay as replays
from genescale.events import schema_files
from genescale.events.catalogue import CATALOGUE
from genescale.events.envelope import check_time
from genescale.events.log import EventLog, Position, Record, TopicPartition, total_lag
from genescale.events.scan import ends_of, scan
from genescale.events.schema import asyncapi, json_schema, render

DataDirectory: TypeAlias = Annotated[Path | None, Parameter(name="--data")]
SettingsFile: TypeAlias = Annotated[Path | None, Parameter(name="--settings")]
AsJson: TypeAlias = Annotated[bool, Parameter(name="--json", negative=())]
Flag: TypeAlias = Annotated[bool, Parameter(negative=())]

_FOLLOW_POLL_S = 1.0

app = App(name="events", help="Look into the event log, replay it, mend dead letters.", help_formatter="plain")
app.command("genescale.cli.dead_letters:app", name="dlq", help="Dead letters: list, show, retry, discard.")


@contextmanager
def opened(data: Path | None, settings: Path | None) -> Generator[EventLog]:
    """The log that the settings name."""
    loaded = config.load(os.environ, settings, {"data.directory": data})
    if loaded.settings.log.kind == "memory":
        raise CannotStart("log.kind = memory lives inside one process; there is nothing to look into from here")
    with closing(wiring.open_log(loaded.settings, SystemClock())) as log:
        yield log


@app.command
def tail(
    *topics: str,
    records: Annotated[int, Parameter(name=["--records", "-n"])] = 10,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    type: str | None = None,  # noqa: A002 - the word that a person types
    json: AsJson = False,
    reveal: Flag = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Print the newest events, one line each.

    A line says: time, topic/partition/offset, type, id, what is in it.

    Parameters
    ----------
    topics
        Which topics. Default: all.
    records
        How many of the newest to print first; 0 begins with what comes next.
    follow
        Go on until Ctrl-C.
    type
        Only events of this type.
    json
        One JSON object per line: position, timestamp_ms, event.
    reveal
        Print sensitive data in full. Sequences and variants are shown as length and digest otherwise.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        names = _known(log, topics)
        ends = ends_of(log, names)
        for record in _newest(log, names, ends, max(records, 0), type):
            _print_record(record, json=json, reveal=reveal)
        if not follow:
            return 0
        with closing(log.tail(names, ends)) as reader:
            while True:
                for record in sorted(reader.poll(1_000, _FOLLOW_POLL_S), key=_age):
                    if type is None or _type_of(record) == type:
                        _print_record(record, json=json, reveal=reveal)


@app.command
def show(
    what: str,
    *,
    json: AsJson = False,
    reveal: Flag = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Print one event whole.

    Parameters
    ----------
    what
        Its position (topic/partition/offset), which is found at once, or its id, for which every topic is read.
    json
        One JSON object: position, timestamp_ms, event.
    reveal
        Print sensitive data in full.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        found = _at(log, _position(what)) if what.count("/") == 2 else _with_id(log, what)
    for record in found:
        document = record_json(record, reveal=reveal)
        print(compact(document) if json else f"{record_line(record, reveal=False)}\n{pretty(document)}")
    if not found:
        print(f"genescale events show: no event {what!r}; retention may have removed it", file=sys.stderr)
    return 0 if found else 1


@app.command
def topics(*, json: AsJson = False, data: DataDirectory = None, settings: SettingsFile = None) -> int:
    """Print every topic.

    A line says: partitions, records held, what happens to old ones.

    Parameters
    ----------
    json
        A JSON array, with first and end offset per partition.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        specs = log.topics()
        bounds = {name: log.bounds(name) for name in specs}
    rows = [
        {
            "topic": name,
            "partitions": spec.partitions,
            "records": sum(bound.end - bound.first for bound in bounds[name].values()),
            "retention_s": spec.retention_s,
            "cleanup": spec.cleanup,
            "power_safe": spec.power_safe,
            "offsets": {str(number): list(bound) for number, bound in sorted(bounds[name].items())},
        }
        for name, spec in sorted(specs.items())
    ]
    if json:
        print(pretty(rows))
    elif not rows:
        print("no topics yet; `genescale up` creates them")
    for row in rows if not json else ():
        kept = "kept for ever" if row["retention_s"] is None else f"kept {row['retention_s']} s"
        counts = f"{row['partitions']:>4} partitions {row['records']:>12} records"
        print(f"{row['topic']:<24} {counts}  {row['cleanup']}, {kept}")
    return 0


@app.command
def lag(
    group: str | None = None, *, json: AsJson = False, data: DataDirectory = None, settings: SettingsFile = None
) -> int:
    """Print how far each consumer group is behind.

    Parameters
    ----------
    group
        Only this group, with a line per partition.
    json
        A JSON array, always with every partition.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        groups = sorted(log.groups())
        if group is not None and group not in groups:
            raise Permanent(f"no group {group!r}; there are: {', '.join(groups) or 'none'}")
        chosen = [group] if group is not None else groups
        found = {name: (sorted(log.lag(name)), log.members(name)) for name in chosen}
    if json:
        print(
            pretty(
                [
                    {
                        "group": name,
                        "lag": total_lag(lags),
                        "members": [member.member for member in members],
                        "partitions": [item._asdict() for item in lags],
                    }
                    for name, (lags, members) in found.items()
                ]
            )
        )
        return 0
    if not found:
        print("no group has read anything yet")
    for name, (lags, members) in found.items():
        print(f"{name:<32} {total_lag(lags):>12} behind  {len(members)} members")
        for item in lags if group is not None else ():
            position = "-" if item.position is None else item.position
            print(f"  {item.topic}/{item.partition:<4} position {position:>10}  end {item.end:>10}  lag {item.lag:>10}")
    return 0


@app.command
def replay(
    *topics: str,
    group: str,
    from_start: Flag = False,
    from_time: str | None = None,
    from_offset: str | None = None,
    from_event: str | None = None,
    deliver: Flag = False,
    json: AsJson = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Place a replay group at some point of the log.

    Whoever joins it handles the log once more from there, without side effects. It is called replay-NAME. Its events
    carry the extension `replay`, outputs are thrown away, nothing is pushed or charged. Placing a group twice moves it,
    as long as nobody is in it.

    Parameters
    ----------
    topics
        Which topics to replay.
    group
        The name of the replay.
    from_start
        Everything that is still there.
    from_time
        Events since this time (RFC 3339 with zone, such as 2026-11-21T10:00:00Z).
    from_offset
        One partition from this position on: topic/partition/offset.
    from_event
        This event and everything after it.
    deliver
        Let the effects out: the group is called redeliver-NAME, its events are not marked, outputs are appended.
    json
        One JSON object: group, records, positions.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    starts = [from_start or None, from_time, from_offset, from_event]
    if sum(start is not None for start in starts) != 1:
        raise CannotStart("say where to begin: one of --from-start, --from-time, --from-offset and --from-event")
    name = replays.group_name(group, deliver=deliver)
    with opened(data, settings) as log:
        plan = _plan(log, name, topics, from_time=from_time, from_offset=from_offset, from_event=from_event)
        replays.prepare(log, plan)
    if json:
        positions = {f"{seat.topic}/{seat.partition}": offset for seat, offset in sorted(plan.positions.items())}
        print(pretty({"group": plan.group, "records": plan.records, "positions": positions}))
        return 0
    print(f"{plan.records} records wait for the group {plan.group}, {'with' if deliver else 'without'} side effects")
    return 0


@app.command
def salvage(
    *,
    source: Annotated[Path, Parameter(name="--from")],
    target: Annotated[Path, Parameter(name="--to")],
    json: AsJson = False,
) -> int:
    """Save what can be read of a damaged log into a new one.

    The damaged one is not changed. Stop the platform first. Exit status 1 when something is lost.

    Parameters
    ----------
    source
        The damaged log: the folder `log` of a data directory.
    target
        A new folder.
    json
        The report as one JSON object.
    """
    report = wiring.salvage_log(source, target)
    if json:
        print(pretty(msgspec.to_builtins(report)))
        return 0 if report.whole else 1
    for topic in report.topics:
        print(f"{topic.topic:<32} {topic.saved:>10} saved  {topic.lost:>8} lost  {topic.bad_pages:>6} bad pages")
        for part in topic.partitions:
            for first, last in part.lost:
                print(f"  lost {topic.topic}/{part.partition}/{first} to {last}")
    print(f"{report.positions_saved} positions saved, {report.positions_moved} of them moved to what is left")
    for note in report.notes:
        print(note)
    return 0 if report.whole else 1


@app.command
def schemas(
    *,
    type: str | None = None,  # noqa: A002 - the word that a person types
    major: int | None = None,
    asyncapi: Flag = False,  # noqa: A002,RUF100 - the name of the format
    json: AsJson = False,
    check: Flag = False,
    write: Flag = False,
    root: Path = Path(),
) -> int:
    """Print or check the catalogue of event types.

    Parameters
    ----------
    type
        Print the JSON Schema of this type.
    major
        Its major version. Default: the newest.
    asyncapi
        Print all types and topics as one AsyncAPI 3.0 document.
    json
        The catalogue as a JSON array.
    check
        Compare the committed schemas and the golden corpus with the catalogue; exit 1 when they differ or one breaks.
    write
        Bring the committed files up to date. Refuses a breaking change.
    root
        The checkout, for --check and --write.
    """
    if check or write:
        return _schema_files(root, write=write)
    if asyncapi:
        print(_asyncapi_text(), end="")
        return 0
    if type is not None:
        CATALOGUE.latest(type)  # raises for an unknown type
        wanted = major or CATALOGUE.latest(type).major
        entry = next((entry for entry in CATALOGUE if (entry.name, entry.major) == (type, wanted)), None)
        if entry is None:
            raise Permanent(f"{type} has no major version {major}; the newest is {CATALOGUE.latest(type).major}")
        print(render(json_schema(entry)), end="")
        return 0
    rows = [
        {
            "type": entry.name,
            "major": entry.major,
            "stability": entry.stability,
            "dataschema": entry.dataschema,
            "topics": list(entry.topics),
            "key": entry.key,
            "summary": entry.summary,
        }
        for entry in CATALOGUE
    ]
    if json:
        print(pretty(rows))
    for row in rows if not json else ():
        print(f"{row['type']:<40} v{row['major']}  {row['stability']:<6}  {row['summary']}")
    return 0


def _asyncapi_text() -> str:
    return render(asyncapi(__version__))


def _schema_files(root: Path, *, write: bool) -> int:
    if not (root / schema_files.CORPUS).is_dir():
        raise CannotStart(
            f"{root / schema_files.CORPUS} is not there; run this in a checkout of the source, or say --root"
        )
    if write:
        for name in schema_files.write(root):
            print(f"wrote {name}")
        return 0
    problems = schema_files.check(root)
    for problem in problems:
        print(problem)
    forms = sum(1 for _ in schema_files.corpus(root))
    print(f"{len(list(CATALOGUE))} types, {forms} committed forms, {len(problems)} problems")
    return 1 if problems else 0


# ---- finding records ----


def _known(log: EventLog, topics: Sequence[str]) -> list[str]:
    known = log.topics()
    for topic in topics:
        if topic not in known:
            raise UnknownTopic(f"no topic {topic!r}; there are: {', '.join(sorted(known)) or 'none yet'}")
    return list(topics) or sorted(known)


def _newest(
    log: EventLog, topics: Sequence[str], ends: Mapping[TopicPartition, int], count: int, type_name: str | None
) -> list[Record]:
    """The newest records of all partitions together, oldest first. A type may be rare: then everything is read."""
    if count == 0 or not topics:
        return []
    firsts = {TopicPartition(topic, n): bounds.first for topic in topics for n, bounds in log.bounds(topic).items()}
    reach = count if type_name is None else sys.maxsize
    start = {seat: max(firsts[seat], end - reach) for seat, end in ends.items()}
    found = (record for record in scan(log, topics, start, until=ends) if type_name in (None, _type_of(record)))
    return heapq.nlargest(count, found, key=_age)[::-1]


def _age(record: Record) -> tuple[int, Position]:
    return record.timestamp_ms, record.position


def _type_of(record: Record) -> str | None:
    event = record_json(record, reveal=False).get("event")
    return event["type"] if event is not None else None


def _print_record(record: Record, *, json: bool, reveal: bool) -> None:
    if json:
        print(compact(record_json(record, reveal=reveal)), flush=True)
    else:
        print(record_line(record, reveal=reveal), flush=True)


def _position(text: str) -> Position:
    topic, partition, offset = text.split("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise Permanent(f"{text!r} is no position; write topic/partition/offset, such as genetic-data-raw/7/1042")
    return Position(topic, int(partition), int(offset))


def _at(log: EventLog, position: Position) -> list[Record]:
    _known(log, [position.topic])
    seat = TopicPartition(position.topic, position.partition)
    ends = ends_of(log, [position.topic])
    if seat not in ends:
        raise Permanent(f"{position.topic} has {len(ends)} partitions, and no {position.partition}")
    start = {**ends, seat: min(position.offset, ends[seat])}
    until = {**ends, seat: min(position.offset + 1, ends[seat])}
    return [record for record in scan(log, [position.topic], start, until=until) if record.position == position]


def _with_id(log: EventLog, event_id: str) -> list[Record]:
    names = _known(log, [])
    return [record for record in scan(log, names) if replays.holds_event(record, event_id)] if names else []


def _plan(
    log: EventLog,
    group: str,
    topics: Sequence[str],
    *,
    from_time: str | None,
    from_offset: str | None,
    from_event: str | None,
) -> replays.Plan:
    if from_offset is not None:
        position = _position(from_offset) if from_offset.count("/") == 2 else None
        if position is None or set(topics) - {position.topic}:
            raise CannotStart("--from-offset names one partition, as topic/partition/offset, and takes no other topic")
        _known(log, [position.topic])
        return replays.from_offset(log, group, position)
    if not topics:
        raise CannotStart("name the topics to replay; `genescale events topics` lists them")
    names = _known(log, topics)
    if from_event is not None:
        return replays.from_event(log, names, group, from_event)
    if from_time is not None:
        check_time(from_time)
        return replays.from_time(log, names, group, int(datetime.fromisoformat(from_time).timestamp() * 1000))
    return replays.from_start(log, names, group)
