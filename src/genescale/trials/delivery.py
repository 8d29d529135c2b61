"""`genescale verify delivery`: every accepted event gets exactly one visible answer, whatever happens.

Real processes on the real log, while faults of every kind are injected from a seeded plan: first on an ordinary disk,
then on one that loses what was not synced, and, when asked for, on three Kafka brokers. Then everything comes to rest,
and the history is checked: from the log itself, and from journals that lie outside the faulty disk.
"""

import contextlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec

from genescale.clock import Clock
from genescale.config import Data, Kafka, Log, Settings
from genescale.trials import fault_plan, lossyfs, report, workload
from genescale.trials.board import Board
from genescale.trials.conductor import PRODUCERS, Brokers, Conductor
from genescale.trials.crew import ended_after
from genescale.trials.fault_plan import INPUTS, KINDS, Kind
from genescale.trials.judge import Verdict, judge
from genescale.trials.lossyfs import LossyFolder
from genescale.trials.report import CannotRun, Report, Row
from genescale.trials.roles import Part, create_topics

EVENTS, FAULTS, BUDGET_S = 100_000, 500, 600.0
_INJECT_SHARE = 0.75  # of the time; the rest is for coming to rest and for the judge
_SESSION_S = 1.5


class Stage(NamedTuple):
    """One log under fault. `share` of the events, the faults and the time are its own."""

    name: str
    share: float
    kinds: list[Kind]
    disk: bool = False
    kafka: bool = False


class Outcome(NamedTuple):
    """What one stage came to."""

    stage: str
    verdict: Verdict | None
    hits: Counter[str]
    died_by_themselves: Counter[str]
    stuck: list[str]


def run(
    seed: int, *, events: int | None, faults: int | None, seconds: float | None, kafka: bool, clock: Clock
) -> Report:
    """Try it. `seconds` bounds the run; events and faults follow from it when they are not given."""
    if not sys.platform.startswith("linux"):
        raise CannotRun("verify delivery stops and kills processes in ways that it knows only on Linux")
    absent = _absent_kinds(kafka)
    for module in ("genescale.events.sqlite", *(["genescale.events.kafka"] if kafka else [])):
        import_module(module)  # once, before all forks: `wiring` would do it in every one of hundreds of processes
    began_s = clock.monotonic_s()
    budget_s = seconds or BUDGET_S
    scale = budget_s / BUDGET_S if seconds else 1.0
    # A short run gets relatively fewer events: starting, resting and judging take their time in any run.
    events = events or int(EVENTS * scale)
    faults = faults if faults is not None else int(FAULTS * scale)
    stages = _stages(kafka, disk="disk_full" not in absent)
    folder = Path(tempfile.mkdtemp(prefix="genescale-delivery-"))
    outcomes: list[Outcome] = []
    share_left = 1.0
    for stage, its_events, its_faults in _divide(stages, events, faults):
        left_s = began_s + budget_s - clock.monotonic_s()  # with what the stages before did not need
        until_s = clock.monotonic_s() + left_s * stage.share / share_left * _INJECT_SHARE
        share_left -= stage.share
        plan = _Plan(stage, seed, its_events, its_faults, folder / stage.name, until_s)
        outcomes.append(_try_stage(plan, clock))
    rows = _rows(outcomes, events, faults, absent)
    rows.append(report.row("duration_s", round(clock.monotonic_s() - began_s, 1), "s", "lower", goal=budget_s))
    done = report.make_report("delivery", seed, rows)
    if report.missed(done):
        repeat = f"genescale verify delivery --seed {seed} --events {events} --faults {faults}{' --kafka' * kafka}"
        sys.stderr.write(f"to repeat: {repeat}\nthe run is kept in {folder}\n")
    else:
        shutil.rmtree(folder)
    return done


def _absent_kinds(kafka: bool) -> dict[str, str]:
    """The kinds that this machine or this run cannot have, with the reason."""
    absent: dict[str, str] = {}
    no_disk = lossyfs.unavailable()
    no_kafka = _no_kafka() if kafka else "not asked for (--kafka)"
    if kafka and no_kafka:
        raise CannotRun(f"--kafka: {no_kafka}")
    for kind in KINDS:
        if kind.disk and no_disk:
            absent[kind.name] = no_disk
        if kind.kafka and no_kafka:
            absent[kind.name] = no_kafka
    return absent


def _no_kafka() -> str | None:
    try:
        from genescale.trials import kafka_cluster  # noqa: PLC0415 - needs the extra `kafka`
    except ModuleNotFoundError as error:
        return f"the package {error.name} is not installed: pip install 'genescale[kafka]'"
    return kafka_cluster.available()


def _stages(kafka: bool, *, disk: bool) -> list[Stage]:
    plain = [kind for kind in KINDS if not kind.disk and not kind.kafka]
    found = [Stage("disk", 0.5, plain)]
    if disk:
        found.append(Stage("lossy", 0.5, [kind for kind in KINDS if not kind.kafka], disk=True))
    if kafka:
        found.append(Stage("kafka", 0.3, [kind for kind in KINDS if not kind.disk], kafka=True))
    total = sum(stage.share for stage in found)
    return [stage._replace(share=stage.share / total) for stage in found]


def _divide(stages: list[Stage], events: int, faults: int) -> Generator[tuple[Stage, int, int]]:
    """Each stage with its events and faults; the last one takes what rounding left."""
    for stage in stages[:-1]:
        its_events, its_faults = int(events * stage.share), int(faults * stage.share)
        yield stage, its_events, its_faults
    before = [(int(events * stage.share), int(faults * stage.share)) for stage in stages[:-1]]
    yield stages[-1], events - sum(e for e, _ in before), faults - sum(f for _, f in before)


# ---- one stage ----


class _Plan(NamedTuple):
    stage: Stage
    seed: int
    events: int
    faults: int
    folder: Path
    until_s: float


def _try_stage(plan: _Plan, clock: Clock) -> Outcome:
    stage = plan.stage
    faults = fault_plan.make_plan(f"{plan.seed}/{stage.name}", plan.events, plan.faults, stage.kinds)
    marks: dict[int, str] = {}
    for fault in faults:
        if fault.kind in INPUTS:
            at = next(n for n in range(fault.at, plan.events * 2) if n % plan.events not in marks) % plan.events
            marks[at] = fault.kind
    load = workload.Workload(stage.name, plan.seed, plan.events, PRODUCERS, workload.marked(marks, PRODUCERS))
    journals = plan.folder / "journals"
    journals.mkdir(parents=True)
    with _place(stage, plan.folder) as (settings, disk, brokers):
        part = Part(load, settings, journals, Board(), slot=0, number=0)
        conductor = Conductor(part, faults, plan.folder, clock, disk=disk, brokers=brokers)
        with ended_after(conductor.crew) as crew:
            if not crew.run_once("topics", create_topics):
                raise CannotRun(f"the topics could not be made: {_last_words(plan.folder / 'topics.log')}")
            stuck = conductor.run(plan.until_s)
            paper = plan.folder / "verdict.json"
            judged = crew.run_once("judge", lambda part: judge(part, paper))
        if not judged:
            stuck.append(f"the log could not be judged: {_last_words(plan.folder / 'judge.log')}")
        verdict = msgspec.json.decode(paper.read_bytes(), type=Verdict) if judged else None
        return Outcome(stage.name, verdict, conductor.hits, crew.deaths.by_themselves, stuck)


@contextlib.contextmanager
def _place(stage: Stage, folder: Path) -> Generator[tuple[Settings, LossyFolder | None, Brokers | None]]:
    """Where the log of this stage lives."""
    log = Log(kind="kafka" if stage.kafka else "sqlite", session_timeout_s=_SESSION_S, heartbeat_s=_SESSION_S / 5)
    if stage.kafka:
        from genescale.trials.brokers import RemoteCluster  # noqa: PLC0415 - as above

        with contextlib.closing(RemoteCluster()) as brokers:
            kafka = Kafka(bootstrap_servers=brokers.bootstrap)
            settings = Settings(data=Data(directory=folder / "data"), log=log, kafka=kafka)
            yield settings, None, brokers
    elif stage.disk:
        with contextlib.closing(LossyFolder(folder / "backing", folder / "mount")) as disk:
            yield Settings(data=Data(directory=disk.path / "data"), log=log), disk, None
    else:
        yield Settings(data=Data(directory=folder / "data"), log=log), None, None


def _last_words(path: Path) -> str:
    lines = path.read_text().strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"


# ---- the report ----


def _rows(outcomes: list[Outcome], events: int, faults: int, absent: dict[str, str]) -> list[Row]:
    hits = sum((outcome.hits for outcome in outcomes), Counter[str]())
    kinds = [kind.name for kind in KINDS if kind.name not in absent]
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict is not None]
    stuck = [f"{outcome.stage}: {words}" for outcome in outcomes for words in outcome.stuck]
    accepted = sum(verdict.accepted for verdict in verdicts)
    ended = sum((outcome.died_by_themselves for outcome in outcomes), Counter[str]())
    letters = sum((Counter(verdict.dead_lettered) for verdict in verdicts), Counter[str]())
    repeats = sum(verdict.finals for verdict in verdicts) - accepted
    rows = [
        report.row("accepted", accepted, "events", "equal", goal=events, note="; ".join(stuck)),
        _fault_row("lost", outcomes, "lost", "unseen"),
        _fault_row("visible_duplicates", outcomes, "visible_duplicates"),
        _fault_row("order_violations", outcomes, "order_violations"),
        _fault_row("invented", outcomes, "invented"),
        _fault_row("log_inconsistencies", outcomes, "nonmonotonic", "inconsistent_offsets"),
        _fault_row("committed_without_result", outcomes, "committed_without_result"),
        _fault_row("late_writes", outcomes, "late_writes"),
        report.row("faults_injected", sum(hits.values()), "faults", "higher", goal=faults),
        report.row(
            "fault_kinds_hit",
            sum(hits[kind] > 0 for kind in kinds),
            "kinds",
            "equal",
            goal=len(kinds),
            note=_kinds_note(hits, kinds, absent),
        ),
        report.row("dead_lettered", sum(letters.values()), "events", "lower", note=_counted(letters)),
        report.row("hidden_repeats", repeats, "results", "lower", note="done twice, and seen once"),
        report.row("unordered_deaths", sum(ended.values()), "processes", "lower", note=_counted(ended)),
    ]
    return rows if len(verdicts) == len(outcomes) else [_unjudged(row) for row in rows]


def _fault_row(name: str, outcomes: list[Outcome], *findings: str) -> Row:
    count, cases = 0, list[str]()
    for outcome in outcomes:
        for finding in findings if outcome.verdict else ():
            assert outcome.verdict is not None
            count += outcome.verdict.wrong.get(finding, 0)
            cases += outcome.verdict.cases.get(finding, [])[:3]
    return report.row(name, count, "events", "equal", goal=0, note="; ".join(cases))


def _unjudged(row: Row) -> Row:
    """A log that nobody could read proves nothing: no promise about it is kept."""
    return msgspec.structs.replace(row, met=False) if row.goal == 0 else row


def _kinds_note(hits: Counter[str], kinds: list[str], absent: dict[str, str]) -> str:
    return _counted(Counter({kind: hits[kind] for kind in kinds})) + "".join(
        f"; absent {kind}: {why}" for kind, why in absent.items()
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
